// SPDX-License-Identifier: Apache-2.0

// Package kvm is the monitor that runs the library OS in a virtual machine, straight on /dev/kvm.
//
// A machine has RAM, a shared area, an image and one vCPU; no interrupt controller, timer, firmware, PCI or virtio. The
// guest lives at CPL3 from its first instruction, in page tables that the monitor builds. It leaves the vCPU by a
// doorbell (an MMIO store), or because it was kicked; anything else ends it with a report.
package kvm

import (
	"os"
	"sync"

	"unifaas.dev/internal/monitor"
)

// Monitor makes KVM sandboxes. The zero value works; it opens /dev/kvm when first needed.
type Monitor struct {
	// Device is an open /dev/kvm to use instead of opening it: for a process that may not open paths.
	Device *os.File

	mu   sync.Mutex
	host *host
}

var _ monitor.Monitor = (*Monitor)(nil)

// Name implements monitor.Monitor.
func (m *Monitor) Name() string { return "kvm" }

// Probe implements monitor.Monitor.
func (m *Monitor) Probe() error {
	_, err := m.open()
	return err
}

// Create implements monitor.Monitor.
func (m *Monitor) Create(c monitor.Config) (monitor.Sandbox, error) {
	h, err := m.open()
	if err != nil {
		return nil, err
	}
	return newSandbox(h, c)
}

// KeepMemory makes the monitor keep the memory of up to n sandboxes that are closed for those that it makes next, with as much RAM as
// Populate was asked for; what is kept beyond n, or for longer than a second, is given back. It is none at first.
func (m *Monitor) KeepMemory(n int) error {
	h, err := m.open()
	if err == nil {
		h.spares.setMax(n)
	}
	return err
}

// Close gives /dev/kvm back; sandboxes that exist go on.
func (m *Monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host == nil {
		return nil
	}
	h := m.host
	m.host = nil
	h.spares.setMax(0)
	h.images.close()
	if m.Device != nil {
		return nil
	}
	return h.file.Close()
}

// open asks the host once; a failure is asked again, as it can be repaired meanwhile.
func (m *Monitor) open() (*host, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host != nil {
		return m.host, nil
	}
	h, err := openHost(m.Device)
	if err == nil {
		m.host = h
	}
	return h, err
}
