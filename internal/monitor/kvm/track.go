// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"

	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// track knows which pages of RAM were written. KVM keeps the log of what the guest writes; own are the pages that the monitor wrote
// itself, and those of a log that went with its memslot.
type track struct {
	own []uint64
	log []uint64 // scratch, or the like of it would be garbage after every request
}

// wrote notes a write by the monitor to n bytes at pa; t may be nil.
func (t *track) wrote(pa, n uint64) {
	if t == nil {
		return
	}
	for page := pa / pageSize; page <= (pa+n-1)/pageSize; page++ {
		t.own[page/64] |= 1 << (page % 64)
	}
}

// Track implements monitor.Stateful.
func (s *sandbox) Track() error {
	if s.ended {
		return errEnded
	}
	if s.track != nil {
		return nil
	}
	vm := int(s.vm.Fd())
	c := kvmabi.Cap{Cap: kvmabi.CapManualDirtyLog, Args: [4]uint64{kvmabi.ManualProtect}}
	if _, err := ioctlPtr(vm, kvmabi.EnableCap, &c); err != nil {
		return fmt.Errorf("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: %w", err)
	}
	if err := setSlot(vm, slotRAM, kvmabi.MemLogDirtyPages, s.mem.ram, s.mem.ram.Size()); err != nil {
		return err
	}
	n := guestmem.Words(s.mem.ram.Size())
	s.track = &track{own: make([]uint64, n), log: make([]uint64, n)}
	return nil
}

// trackWords checks that pages are tracked and that bits has a bit for each.
func (s *sandbox) trackWords(bits []uint64) error {
	if s.track == nil || s.closedRun() {
		return fmt.Errorf("written pages: they are not tracked")
	}
	if len(bits) < len(s.track.own) {
		return fmt.Errorf("written pages: %d words for those of %d MiB", len(bits), s.mem.ram.Size()>>20)
	}
	return nil
}

// closedRun reports whether the virtual machine is gone.
func (s *sandbox) closedRun() bool {
	s.life.Lock()
	defer s.life.Unlock()
	return s.closed
}

// Written implements monitor.Stateful.
func (s *sandbox) Written(bits []uint64) error {
	if err := s.trackWords(bits); err != nil {
		return err
	}
	t := s.track
	if err := getDirtyLog(int(s.vm.Fd()), slotRAM, t.log); err != nil {
		return fmt.Errorf("KVM_GET_DIRTY_LOG: %w", err)
	}
	for i, w := range t.log {
		if w |= t.own[i]; w != 0 {
			bits[i] |= w
		}
	}
	return nil
}

// Untouch implements monitor.Stateful. KVM is asked once for each run of words that have bits.
func (s *sandbox) Untouch(bits []uint64) error {
	if err := s.trackWords(bits); err != nil {
		return err
	}
	t := s.track
	for i := 0; i < len(t.own); {
		if bits[i] == 0 {
			i++
			continue
		}
		from := i
		for ; i < len(t.own) && bits[i] != 0; i++ {
			t.own[i] &^= bits[i]
			t.log[i] = bits[i] // memory that stays where it is
		}
		pages := min(uint64(i-from)*64, s.mem.ram.Size()/pageSize-uint64(from)*64)
		if err := clearDirtyLog(int(s.vm.Fd()), slotRAM, uint64(from)*64, uint32(pages), t.log[from:i]); err != nil {
			return fmt.Errorf("KVM_CLEAR_DIRTY_LOG: %w", err)
		}
	}
	return nil
}

// ForgetTables implements monitor.Stateful: a memslot that goes takes all that was derived from it along.
func (s *sandbox) ForgetTables() error {
	if s.ended {
		return errEnded
	}
	vm := int(s.vm.Fd())
	flags := uint32(0)
	if t := s.track; t != nil {
		flags = kvmabi.MemLogDirtyPages
		if err := s.Written(t.own); err != nil { // the log goes, too
			return err
		}
	}
	if err := setSlot(vm, slotRAM, 0, s.mem.ram, 0); err != nil {
		return err
	}
	return setSlot(vm, slotRAM, flags, s.mem.ram, s.mem.ram.Size())
}

// RunAt implements monitor.Stateful.
func (s *sandbox) RunAt(ns uint64) {
	s.life.Lock()
	defer s.life.Unlock()
	if !s.closed {
		s.clock.runAt(ns)
	}
}

// MonoOffset implements monitor.Stateful.
func (s *sandbox) MonoOffset() uint64 {
	s.life.Lock()
	defer s.life.Unlock()
	return s.clock.ahead
}
