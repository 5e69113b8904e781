// SPDX-License-Identifier: Apache-2.0

package tendertest

import (
	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// What makes a sandbox Stateful: it has memory, which its program can use, and a vCPU without a state: the program is a goroutine.

var _ monitor.Stateful = (*sandbox)(nil)

// RAM implements monitor.Stateful.
func (s *sandbox) RAM() *guestmem.Area { return s.ram }

// RAM is the guest's memory.
func (g *Guest) RAM() *guestmem.Area { return g.sb.ram }

func newRAM(c monitor.Config) (*guestmem.Area, error) {
	size := max(uint64(c.Memory), abi.RAMMin)
	return guestmem.New(abi.RAMGPA, size&^(guestmem.HugeSize-1))
}

// SaveCPU implements monitor.Stateful.
func (s *sandbox) SaveCPU() ([]byte, error) { return []byte("fake"), nil }

// LoadCPU implements monitor.Stateful.
func (s *sandbox) LoadCPU([]byte) error { return nil }

// Features implements monitor.Stateful.
func (s *sandbox) Features() string { return "fake" }

// RunAt implements monitor.Stateful.
func (s *sandbox) RunAt(uint64) {}

// MonoOffset implements monitor.Stateful.
func (s *sandbox) MonoOffset() uint64 { return 0 }

// Track implements monitor.Stateful.
func (s *sandbox) Track() error { return nil }

// Written implements monitor.Stateful: any page may have been.
func (s *sandbox) Written(bits []uint64) error {
	for i := range bits {
		bits[i] = ^uint64(0)
	}
	return nil
}

// Untouch implements monitor.Stateful.
func (s *sandbox) Untouch([]uint64) error { return nil }

// ForgetTables implements monitor.Stateful.
func (s *sandbox) ForgetTables() error { return nil }
