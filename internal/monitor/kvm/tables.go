// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"encoding/binary"
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/guestmem"
)

// Page-table entry bits. Accessed and dirty are always preset: where KVM shadows page tables, a first touch that
// has to set them costs a trap of its own, and neighbours whose accessed bit is set are shadowed in the same go.
const (
	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteUser     = 1 << 2
	pteAccessed = 1 << 5
	pteDirty    = 1 << 6
	pteHuge     = 1 << 7
	pteNX       = 1 << 63

	pteLeaf  = ptePresent | pteUser | pteAccessed | pteDirty
	pteTable = ptePresent | pteUser | pteWrite | pteAccessed
)

const (
	pageSize = 4096
	hugeSize = guestmem.HugeSize
)

// tables builds page tables in a buffer that will lie at pa; page 0 is the PML4.
type tables struct {
	pa    uint64
	pages [][512]uint64
}

// entry finds the entry for va at a level (1: 4 KiB, 2: 2 MiB), making the tables above it.
func (t *tables) entry(va uint64, level int) (*uint64, error) {
	page := 0
	for l := 4; ; l-- {
		e := &t.pages[page][va>>(12+9*(l-1))&511]
		if l == level {
			return e, nil
		}
		if *e == 0 {
			if len(t.pages) == cap(t.pages) {
				return nil, fmt.Errorf("boot page tables need more than %d pages", cap(t.pages))
			}
			t.pages = t.pages[:len(t.pages)+1]
			*e = t.pa + uint64(len(t.pages)-1)*pageSize | pteTable
		}
		page = int((*e&^uint64(pteNX)&^(pageSize-1) - t.pa) / pageSize)
	}
}

// huge maps [va, va+size) to pa in 2 MiB pages.
func (t *tables) huge(va, pa, size, flags uint64) error {
	for off := uint64(0); off < size; off += hugeSize {
		e, err := t.entry(va+off, 2)
		if err != nil {
			return err
		}
		*e = (pa + off) | pteLeaf | pteHuge | flags
	}
	return nil
}

// buildTables writes the page tables that abi/unifaas_abi.h draws; the library OS adopts them.
func (m *memory) buildTables(l *elfx.Libos) error {
	t := &tables{pa: l.Header.BootTables, pages: make([][512]uint64, 1, abi.BootTables)}
	for _, r := range []struct{ va, pa, size, flags uint64 }{
		{abi.LibosVA, abi.RAMGPA, hugeSize, 0},
		{abi.LibosDataVA, abi.RAMGPA + hugeSize, hugeSize, pteWrite | pteNX},
		{abi.SharedVA, abi.SharedGPA, abi.SharedSize, pteWrite | pteNX},
		{abi.PhysVA, abi.RAMGPA, m.ram.Size(), pteWrite | pteNX},
	} {
		if err := t.huge(r.va, r.pa, r.size, r.flags); err != nil {
			return err
		}
	}
	if m.image != nil {
		if err := t.huge(abi.ImageVA, abi.ImageGPA, m.image.Size(), pteNX); err != nil {
			return err
		}
	}
	bell, err := t.entry(abi.DoorbellVA, 1)
	if err != nil {
		return err
	}
	*bell = abi.DoorbellGPA | pteLeaf | pteWrite | pteNX

	var buf [pageSize]byte
	for i := range t.pages {
		for j, e := range t.pages[i] {
			binary.LittleEndian.PutUint64(buf[j*8:], e)
		}
		if err := m.ram.WriteAt(buf[:], t.pa+uint64(i)*pageSize); err != nil {
			return fmt.Errorf("boot page tables: %w", err)
		}
	}
	return nil
}
