// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"math/bits"
	"os"

	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// imageArea is the image's layers as guests see them.
type imageArea struct {
	files []*os.File
	views []*guestmem.Area // nil: not mapped
	first []uint32         // page of the image area where each begins
	pages []uint32
}

// mapLayers maps the layers that nobody can cut short. Others are not worth sharing with: they are not in memory for all.
func mapLayers(layers []monitor.Layer) *imageArea {
	a := &imageArea{}
	next := uint64(0)
	for _, l := range layers {
		size := roundUp(uint64(l.Size), pageSize)
		var v *guestmem.Area
		if snapshot.IsWhole(l.File) {
			v, _ = guestmem.NewView(l.File, 0, size) // else nothing is shared
		}
		a.files = append(a.files, l.File)
		a.views = append(a.views, v)
		a.first = append(a.first, uint32(next/pageSize))
		a.pages = append(a.pages, uint32(size/pageSize))
		next += roundUp(size, guestmem.HugeSize)
	}
	return a
}

func (a *imageArea) close() {
	for _, v := range a.views {
		if v != nil {
			v.Close()
		}
	}
}

// page is a page of the image area; nil if it is not mapped.
func (a *imageArea) page(n uint32) []byte {
	for i, v := range a.views {
		if v != nil && n >= a.first[i] && n-a.first[i] < a.pages[i] {
			if b, err := v.Bytes(uint64(n-a.first[i])*pageSize, pageSize); err == nil {
				return b
			}
		}
	}
	return nil
}

// share finds pages of RAM, those of data, that are in the image too. A table of RAM's pages, each by a few of its bytes, is asked for each
// page of the image: the image is larger, and looked at once.
func share(ram []byte, data []snapshot.Run, a *imageArea) (rest []snapshot.Run, shared []snapshot.Extent) {
	t := newPageTable(ram, data)
	found := map[uint32]uint32{} // page of RAM -> page of the image
	for i, v := range a.views {
		if v == nil {
			continue
		}
		b, err := v.Bytes(0, v.Size())
		if err != nil {
			continue
		}
		for n := uint32(0); n < a.pages[i]; n++ {
			t.find(b[int(n)*pageSize:int(n+1)*pageSize], func(page uint32) { found[page] = a.first[i] + n })
		}
	}
	if len(found) == 0 {
		return data, nil
	}
	for _, r := range data {
		for ; r.Pages > 0; r.Page, r.Pages = r.Page+1, r.Pages-1 {
			b := ram[int(r.Page)*pageSize : int(r.Page+1)*pageSize]
			if n := len(shared); n > 0 {
				// The page after the last one, also where the image has the same in several places.
				if e := &shared[n-1]; e.RAM+e.Pages == r.Page {
					if p := a.page(e.Image + e.Pages); p != nil && bytes.Equal(p, b) {
						e.Pages++
						continue
					}
				}
			}
			if at, ok := found[r.Page]; ok {
				shared = append(shared, snapshot.Extent{RAM: r.Page, Image: at, Pages: 1})
				continue
			}
			if n := len(rest); n > 0 && rest[n-1].Page+rest[n-1].Pages == r.Page {
				rest[n-1].Pages++
			} else {
				rest = append(rest, snapshot.Run{Page: r.Page, Pages: 1})
			}
		}
	}
	return rest, shared
}

// pageTable finds pages of RAM by their content.
type pageTable struct {
	ram   []byte
	slots []uint32 // pages plus one; 0: free
	shift int
}

// probes bounds how far a page is looked for: RAM may be full of pages that begin alike.
const probes = 16

func newPageTable(ram []byte, data []snapshot.Run) *pageTable {
	n := 1
	for _, r := range data {
		n += int(r.Pages)
	}
	log := bits.Len(uint(n)) + 1
	t := &pageTable{ram: ram, slots: make([]uint32, 1<<log), shift: 64 - log}
	for _, r := range data {
		for p := r.Page; p < r.Page+r.Pages; p++ {
			at := t.hash(t.page(p))
			for range probes {
				if t.slots[at] == 0 {
					t.slots[at] = p + 1
					break
				}
				at = (at + 1) & uint64(len(t.slots)-1)
			}
		}
	}
	return t
}

func (t *pageTable) page(n uint32) []byte { return t.ram[int(n)*pageSize : int(n+1)*pageSize] }

// hash looks at two cache lines of a page.
func (t *pageTable) hash(p []byte) uint64 {
	x := le.Uint64(p[8:])*0x9e3779b97f4a7c15 ^ le.Uint64(p[48:])
	x = (x ^ x>>29 ^ le.Uint64(p[2048:])) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>32 ^ le.Uint64(p[2048+40:])) * 0x94d049bb133111eb
	return x >> t.shift
}

// find calls f for each page of RAM that is like p.
func (t *pageTable) find(p []byte, f func(page uint32)) {
	at := t.hash(p)
	for range probes {
		n := t.slots[at]
		if n == 0 {
			return
		}
		if bytes.Equal(t.page(n-1), p) {
			f(n - 1)
		}
		at = (at + 1) & uint64(len(t.slots)-1)
	}
}
