// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// Memslots.
const (
	slotRAM = iota
	slotShared
	slotImage
)

// memory is what a guest can see.
type memory struct {
	ram    *guestmem.Area
	shared *guestmem.Area
	image  *guestmem.Area // nil: none
}

// checkConfig refuses sizes that the guest ABI cannot express.
func checkConfig(c *monitor.Config) error {
	if c.Memory < abi.RAMMin || c.Memory > abi.RAMMax || c.Memory%guestmem.HugeSize != 0 {
		return fmt.Errorf("memory of %d bytes: need a multiple of 2 MiB from %d MiB to %d MiB", c.Memory, abi.RAMMin>>20, abi.RAMMax>>20)
	}
	if c.Image != nil && (c.ImageSize <= 0 || c.ImageSize > abi.ImageMax) {
		return fmt.Errorf("image of %d bytes: need 1 byte to %d GiB", c.ImageSize, abi.ImageMax>>30)
	}
	return nil
}

// newMemory maps everything and puts the library OS in place.
func newMemory(c *monitor.Config, l *elfx.Libos) (_ *memory, err error) {
	m := &memory{}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.ram, err = guestmem.New(abi.RAMGPA, uint64(c.Memory)); err != nil {
		return nil, err
	}
	if m.shared, err = guestmem.New(abi.SharedGPA, abi.SharedSize); err != nil {
		return nil, err
	}
	if c.Image != nil {
		if err = checkImage(c); err != nil {
			return nil, err
		}
		if m.image, err = guestmem.MapFile(abi.ImageGPA, c.Image, uint64(c.ImageSize)); err != nil {
			return nil, err
		}
	}
	for _, s := range l.Segments {
		if err = m.ram.WriteAt(s.Data, s.PA); err != nil {
			return nil, fmt.Errorf("load the library OS: %w", err)
		}
	}
	return m, nil
}

// checkImage refuses an image that is shorter than promised: touching what is not there would end the guest much later.
func checkImage(c *monitor.Config) error {
	st, err := c.Image.Stat()
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if st.Size() < c.ImageSize {
		return fmt.Errorf("image %s: %d bytes, expected %d: build it again", c.Image.Name(), st.Size(), c.ImageSize)
	}
	return nil
}

// install tells KVM what lies where.
func (m *memory) install(vm int) error {
	for _, s := range []struct {
		slot, flags uint32
		area        *guestmem.Area
	}{{slotRAM, 0, m.ram}, {slotShared, 0, m.shared}, {slotImage, kvmabi.MemReadonly, m.image}} {
		if s.area == nil {
			continue
		}
		r := kvmabi.UserspaceMemoryRegion{
			Slot:          s.slot,
			Flags:         s.flags,
			GuestPhysAddr: uint64(s.area.GPA()),
			MemorySize:    s.area.Size(),
			UserspaceAddr: s.area.HostAddr(),
		}
		if _, err := ioctlPtr(vm, kvmabi.SetUserMemoryRegion, &r); err != nil {
			return fmt.Errorf("KVM_SET_USER_MEMORY_REGION, %d MiB at 0x%x: %w", r.MemorySize>>20, r.GuestPhysAddr, err)
		}
	}
	return nil
}

func (m *memory) close() error {
	var first error
	for _, a := range []*guestmem.Area{m.ram, m.shared, m.image} {
		if a == nil {
			continue
		}
		if err := a.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
