// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// sandbox is one virtual machine.
type sandbox struct {
	host   *host
	header abi.LibosHeader
	config monitor.Config
	mem    *memory
	files  files
	vm     *os.File
	vcpu   *vcpu
	clock  *clock

	track *track // nil: no page is tracked

	refreshed time.Time // when Run last saw the clock page renewed
	ended     bool      // Run returned for the last time
	over      bool      // the program has ended; LoadCPU begins anew

	// life guards what other goroutines use against Close; Run needs no lock, as Close must not overlap it.
	life   sync.Mutex
	closed bool

	// What other goroutines ask of Run, see interrupt.go.
	requests atomic.Uint32
	thread   atomic.Int32 // the OS thread inside Run, or 0
}

var _ monitor.Sandbox = (*sandbox)(nil)

func newSandbox(h *host, c monitor.Config) (_ *sandbox, err error) {
	if err := checkConfig(&c); err != nil {
		return nil, err
	}
	l, err := elfx.ParseLibos(c.Libos)
	if err != nil {
		return nil, err
	}
	s := &sandbox{host: h, header: l.Header, config: c}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.mem, err = newMemory(h, &c, l); err != nil {
		return nil, err
	}
	if err = s.mem.buildTables(l); err != nil {
		return nil, err
	}
	if err = writeBoot(s.mem.shared, &c); err != nil {
		return nil, err
	}
	fd, err := ioctl(int(h.file.Fd()), kvmabi.CreateVM, 0)
	for err == unix.EINTR { // the kernel starts a thread for it, which a signal cuts short: a late kick of another sandbox
		fd, err = ioctl(int(h.file.Fd()), kvmabi.CreateVM, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("KVM_CREATE_VM: %w", err)
	}
	s.vm = os.NewFile(uintptr(fd), "kvm-vm")
	// A hostile guest can get to CPL0. There it would change what LoadCPU had to put back, and no honest one has any use for these
	// registers. Before the memslots: behind them KVM waits 12 ms for readers that there are none of.
	if err = denyMSRs(fd); err != nil {
		return nil, fmt.Errorf("KVM_X86_SET_MSR_FILTER: %w", err)
	}
	if err = s.mem.install(fd); err != nil {
		return nil, err
	}
	if s.vcpu, err = newVCPU(h, fd); err != nil {
		return nil, err
	}
	if err = s.vcpu.setup(h, l); err != nil {
		return nil, err
	}
	if err = h.cpuidPage.write(s.vcpu.raw, s.mem.shared); err != nil {
		return nil, err
	}
	if khz, err := ioctl(int(s.vcpu.fd.Fd()), kvmabi.GetTSCKHz, 0); err == nil {
		h.ticker.setKHz(khz)
	}
	s.clock = &clock{area: s.mem.shared, ticker: h.ticker}
	s.refresh()
	return s, nil
}

// SetBoot implements monitor.Sandbox. The seed is renewed too.
func (s *sandbox) SetBoot(b monitor.Boot) error {
	s.config.Boot = b
	return writeBoot(s.mem.shared, &s.config)
}

// Populate implements monitor.Sandbox.
func (s *sandbox) Populate(n int64) error {
	n = min(n, s.config.Memory) &^ (guestmem.HugeSize - 1)
	if err := s.mem.ram.Populate(0, uint64(n)); err != nil {
		return err
	}
	s.mem.ready = max(s.mem.ready, uint64(n))
	return s.mem.shared.Populate(0, s.mem.shared.Size())
}

// Shared implements monitor.Sandbox.
func (s *sandbox) Shared() *guestmem.Area { return s.mem.shared }

// MemoryUsed implements monitor.Sandbox.
func (s *sandbox) MemoryUsed() int64 {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return 0
	}
	return s.mem.ram.Resident()
}

// RefreshClock implements monitor.Sandbox.
func (s *sandbox) RefreshClock() {
	s.life.Lock()
	defer s.life.Unlock()
	if !s.closed {
		s.clock.refresh()
	}
}

// refresh is RefreshClock by Run itself.
func (s *sandbox) refresh() {
	s.RefreshClock()
	s.refreshed = time.Now()
}

// Close implements monitor.Sandbox.
func (s *sandbox) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed, s.ended = true, true
	var errs []error
	// The vCPU holds the virtual machine, which holds the memory: in this order each really goes.
	if s.vcpu != nil {
		errs = append(errs, s.vcpu.close())
	}
	if s.vm != nil {
		errs = append(errs, s.vm.Close())
	}
	if s.mem != nil {
		errs = append(errs, s.host.spares.put(s.mem))
	}
	errs = append(errs, s.files.close())
	return errors.Join(errs...)
}
