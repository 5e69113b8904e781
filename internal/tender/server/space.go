// SPDX-License-Identifier: Apache-2.0

package server

import (
	"slices"

	"unifaas.dev/abi"
)

const (
	smallPage = 4096
	hugePage  = 2 << 20
)

// space hands out the files area of one guest, lowest address first: what is low shares memslots and page tables.
// The zero value is all free.
type space struct {
	taken []extent // sorted, apart from each other or touching
}

type extent struct{ from, to uint64 }

// take finds room for size bytes, at a multiple of 2 MiB if they fill as much.
func (s *space) take(size uint64) (uint64, bool) {
	if size == 0 || size > abi.FilesMax {
		return 0, false
	}
	align := uint64(smallPage)
	if size >= hugePage {
		align = hugePage
	}
	size = pages(size)
	at := uint64(0)
	i := 0
	for ; i < len(s.taken); i++ {
		if at+size <= s.taken[i].from {
			break
		}
		at = (s.taken[i].to + align - 1) &^ (align - 1)
	}
	if at > abi.FilesMax || size > abi.FilesMax-at {
		return 0, false
	}
	s.taken = slices.Insert(s.taken, i, extent{at, at + size})
	return at, true
}

// give takes back what take has handed out.
func (s *space) give(at, size uint64) {
	i, ok := slices.BinarySearchFunc(s.taken, at, func(e extent, at uint64) int {
		switch {
		case e.from < at:
			return -1
		case e.from > at:
			return 1
		}
		return 0
	})
	if ok && s.taken[i].to == at+pages(size) {
		s.taken = slices.Delete(s.taken, i, i+1)
	}
}

func pages(size uint64) uint64 { return (size + smallPage - 1) &^ uint64(smallPage-1) }
