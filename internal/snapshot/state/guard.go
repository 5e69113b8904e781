// SPDX-License-Identifier: Apache-2.0

package state

import "unifaas.dev/abi"

// guard knows the entries of page tables by which a guest reaches its library OS. The library OS of the snapshot runs first after a rewind,
// in the tables that the last request has left: it can only store the entries that differ if these do not.
type guard struct {
	roots  map[uint32]bool // pages that are roots of address spaces
	tables map[uint32]bool // pages below their slots for the window
}

// The slots of a root that belong to the library OS.
const (
	windowFirst = abi.WindowVA >> 39
	windowEnd   = abi.WindowEnd >> 39
)

// newGuard is for page tables as page gives them, nil where they are zero; boot is the page of the first root.
func newGuard(boot uint32, page func(uint32) []byte) guard {
	g := guard{roots: map[uint32]bool{}, tables: map[uint32]bool{}}
	if boot < tablesFirst || boot >= tablesEnd || page(boot) == nil {
		return g
	}
	root := page(boot)
	for n := uint32(tablesFirst); n < tablesEnd; n++ {
		if b := page(n); b != nil && sameWindow(b, root) {
			g.roots[n] = true
		}
	}
	for slot := windowFirst; slot < windowEnd; slot++ {
		g.reach(page, le.Uint64(root[slot*8:]), 3)
	}
	return g
}

func sameWindow(a, b []byte) bool {
	return string(a[windowFirst*8:windowEnd*8]) == string(b[windowFirst*8:windowEnd*8])
}

// reach notes the table that an entry refers to, and all below. level: the table's own, 1 to 3.
func (g *guard) reach(page func(uint32) []byte, entry uint64, level int) {
	const present, huge, address = 1, 1 << 7, 0xffffffffff000
	pa := entry & address
	n := uint32(pa / pageSize)
	if entry&present == 0 || entry&huge != 0 || pa < abi.TablesPA || pa >= abi.TablesEnd || g.tables[n] {
		return
	}
	g.tables[n] = true
	b := page(n)
	if level == 1 || b == nil {
		return
	}
	for at := 0; at < pageSize; at += 8 {
		g.reach(page, le.Uint64(b[at:]), level-1)
	}
}

// holds reports whether entry slot of a page has to be as it is; all have if it is not known where tables begin.
func (g *guard) holds(page uint32, slot int) bool {
	return len(g.roots) == 0 || g.tables[page] || g.roots[page] && slot >= windowFirst && slot < windowEnd
}

// page is the content of one page, nil if it is zero.
func (im *Image) page(n uint32) []byte {
	c := cursor{spans: im.spans}
	return c.page(n)
}
