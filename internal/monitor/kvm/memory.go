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
	slotFiles // and those that follow, see files.go
)

// memory is what a guest can see.
type memory struct {
	ram    *guestmem.Area
	shared *guestmem.Area
	image  *guestmem.Area // nil: none; owned by host.images
	ready  uint64         // so much of RAM, from its start, was populated
}

// checkConfig refuses sizes that the guest ABI cannot express.
func checkConfig(c *monitor.Config) error {
	if c.Memory < abi.RAMMin || c.Memory > abi.RAMMax || c.Memory%guestmem.HugeSize != 0 {
		return fmt.Errorf("memory of %d bytes: need a multiple of 2 MiB from %d MiB to %d MiB", c.Memory, abi.RAMMin>>20, abi.RAMMax>>20)
	}
	if len(c.Layers) > abi.LayersMax {
		return fmt.Errorf("image of %d layers: at most %d", len(c.Layers), abi.LayersMax)
	}
	room := int64(abi.ImageMax)
	for _, l := range c.Layers {
		if l.File == nil || l.Size <= 0 || l.Size > room {
			return fmt.Errorf("image layer of %d bytes: need 1 byte to %d GiB for all", l.Size, abi.ImageMax>>30)
		}
		room -= layerEnd(l.Size)
	}
	return nil
}

// layerEnd is where the next layer begins behind one of size bytes.
func layerEnd(size int64) int64 { return (size + guestmem.HugeSize - 1) &^ (guestmem.HugeSize - 1) }

// newMemory maps everything and puts the library OS in place.
func newMemory(h *host, c *monitor.Config, l *elfx.Libos) (_ *memory, err error) {
	m := h.spares.take(uint64(c.Memory))
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.ram == nil {
		if m.ram, err = guestmem.New(abi.RAMGPA, uint64(c.Memory)); err != nil {
			return nil, err
		}
		if m.shared, err = guestmem.New(abi.SharedGPA, abi.SharedSize); err != nil {
			return nil, err
		}
	}
	if len(c.Layers) > 0 {
		if m.image, err = h.images.get(c.Layers); err != nil {
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

// install tells KVM what lies where.
func (m *memory) install(vm int) error {
	for _, s := range []struct {
		slot, flags uint32
		area        *guestmem.Area
	}{{slotRAM, 0, m.ram}, {slotShared, 0, m.shared}, {slotImage, kvmabi.MemReadonly, m.image}} {
		if s.area == nil {
			continue
		}
		if err := setSlot(vm, s.slot, s.flags, s.area, s.area.Size()); err != nil {
			return err
		}
	}
	return nil
}

// setSlot makes a memslot of an area, changes its flags, or deletes it if size is 0.
func setSlot(vm int, slot, flags uint32, a *guestmem.Area, size uint64) error {
	r := kvmabi.UserspaceMemoryRegion{
		Slot:          slot,
		Flags:         flags,
		GuestPhysAddr: uint64(a.GPA()),
		MemorySize:    size,
		UserspaceAddr: a.HostAddr(),
	}
	if _, err := ioctlPtr(vm, kvmabi.SetUserMemoryRegion, &r); err != nil {
		return fmt.Errorf("KVM_SET_USER_MEMORY_REGION, %d MiB at 0x%x: %w", r.MemorySize>>20, r.GuestPhysAddr, err)
	}
	return nil
}

func (m *memory) close() error {
	var first error
	for _, a := range []*guestmem.Area{m.ram, m.shared} {
		if a == nil {
			continue
		}
		if err := a.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
