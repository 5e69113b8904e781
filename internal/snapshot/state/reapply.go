// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// ApplyAgain is Apply for a sandbox that was recycled and has not run since: it keeps the translations that a KVM with shadow page tables has of it.
// The guest has to store the entries of page tables before all else (abi.MsgTables), and none that Recycle gave.
func (im *Image) ApplyAgain(sb monitor.Stateful, f *os.File, off, n int64) (snapshot.Meta, []abi.Entry, error) {
	if err := im.fits(sb); err != nil {
		return snapshot.Meta{}, nil, err
	}
	to := &target{ram: sb.RAM(), tables: make([]byte, abi.TablesEnd-abi.TablesPA)}
	c := cursor{spans: im.spans}
	for p := uint32(tablesFirst); p < tablesEnd; p++ {
		copy(to.tables[(p-tablesFirst)*pageSize:], c.page(p))
	}
	m, err := im.apply(sb, to, f, off, n)
	if err != nil {
		return snapshot.Meta{}, nil, fmt.Errorf("parked instance: %w", err)
	}
	entries, err := im.putTables(sb, func(p uint32) []byte {
		at := (p - tablesFirst) * pageSize
		return to.tables[at : at+pageSize]
	}, sb.Shared().Load64(abi.CtlTablesOut) != 0)
	return *m, entries, err
}

// putTables gives the entries that differ from what page tables have to be. If the guest cannot be asked to store them, they are written, and the
// translations forgotten.
func (im *Image) putTables(sb monitor.Stateful, page func(uint32) []byte, out bool) ([]abi.Entry, error) {
	var entries []abi.Entry
	ram, g, ok := sb.RAM(), newGuard(im.bootPage(), page), !out
	tables, err := ram.Bytes(abi.TablesPA, abi.TablesEnd-abi.TablesPA)
	if err != nil {
		return nil, err
	}
	for p := uint32(tablesFirst); ok && p < tablesEnd; p++ {
		there := tables[(p-tablesFirst)*pageSize:][:pageSize]
		want := page(p)
		if want == nil {
			want = zeroPage[:]
		}
		if bytes.Equal(there, want) {
			continue
		}
		for at := 0; ok && at < pageSize; at += 8 {
			v := binary.LittleEndian.Uint64(want[at:])
			if binary.LittleEndian.Uint64(there[at:]) == v {
				continue
			}
			if ok = !g.holds(p, at/8) && len(entries) < entriesMax; ok {
				entries = append(entries, abi.Entry{PA: uint64(p)*pageSize + uint64(at), Value: v})
			}
		}
	}
	if ok {
		return entries, nil
	}
	for p := uint32(tablesFirst); p < tablesEnd; p++ {
		there := tables[(p-tablesFirst)*pageSize:][:pageSize]
		if want := page(p); want != nil {
			copy(there, want)
		} else {
			clear(there)
		}
	}
	return nil, sb.ForgetTables()
}

// target is where a delta goes to.
type target struct {
	ram    *guestmem.Area
	tables []byte // page tables, if the guest is to store them
}

// run gives the memory of the first pages of a run that lie together, and how many these are.
func (t *target) run(first, pages uint64) ([]byte, uint64, error) {
	if t.tables != nil {
		switch {
		case first >= tablesFirst && first < tablesEnd:
			pages = min(pages, tablesEnd-first)
			at := (first - tablesFirst) * pageSize
			return t.tables[at : at+pages*pageSize], pages, nil
		case first < tablesFirst:
			pages = min(pages, tablesFirst-first)
		}
	}
	b, err := t.ram.Bytes(first*pageSize, pages*pageSize)
	return b, pages, err
}
