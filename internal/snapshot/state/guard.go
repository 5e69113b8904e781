// SPDX-License-Identifier: Apache-2.0

package state

import "unifaas.dev/abi"

// guard knows the entries of page tables by which a guest reaches its library OS. The library OS of the snapshot runs first after a rewind,
// in the tables that the last request has left: it can only store the entries that differ if these do not.
type guard struct {
	roots  map[uint32]bool // pages that are roots of address spaces in the image
	tables map[uint32]bool // pages below their slots for the window
}

// The slots of a root that belong to the library OS.
const (
	windowFirst = abi.WindowVA >> 39
	windowEnd   = abi.WindowEnd >> 39
)

func (im *Image) newGuard() guard {
	g := guard{roots: map[uint32]bool{}, tables: map[uint32]bool{}}
	first := uint32(im.header.BootTables / pageSize)
	if first < tablesFirst || first >= tablesEnd {
		return g
	}
	boot := im.page(first)
	c := cursor{spans: im.spans}
	for p := uint32(tablesFirst); p < tablesEnd; p++ {
		if b := c.page(p); b != nil && sameWindow(b, boot) {
			g.roots[p] = true
		}
	}
	if boot != nil {
		for slot := windowFirst; slot < windowEnd; slot++ {
			im.reach(g.tables, le.Uint64(boot[slot*8:]), 3)
		}
	}
	return g
}

func sameWindow(a, b []byte) bool {
	return b != nil && string(a[windowFirst*8:windowEnd*8]) == string(b[windowFirst*8:windowEnd*8])
}

// reach notes the table that an entry refers to, and all below. level: the table's own, 1 to 3.
func (im *Image) reach(seen map[uint32]bool, entry uint64, level int) {
	const present, huge, address = 1, 1 << 7, 0xffffffffff000
	pa := entry & address
	if entry&present == 0 || entry&huge != 0 || pa < abi.TablesPA || pa >= abi.TablesEnd || seen[uint32(pa/pageSize)] {
		return
	}
	seen[uint32(pa/pageSize)] = true
	b := im.page(uint32(pa / pageSize))
	if level == 1 || b == nil {
		return
	}
	for at := 0; at < pageSize; at += 8 {
		im.reach(seen, le.Uint64(b[at:]), level-1)
	}
}

// holds reports whether entry slot of a page has to be as in the image.
func (g *guard) holds(page uint32, slot int) bool {
	return g.tables[page] || g.roots[page] && slot >= windowFirst && slot < windowEnd
}

// page is the content of one page, nil if it is zero.
func (im *Image) page(n uint32) []byte {
	c := cursor{spans: im.spans}
	return c.page(n)
}
