// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bits of an entry of /proc/self/pagemap. Only the page's number is kept from processes without privileges, these are not.
const (
	pagemapOwn     = 1 << 56 // nobody else has it mapped; never of the page of zeros that reading gives
	pagemapFile    = 1 << 61 // a page of a file, or shared
	pagemapSwapped = 1 << 62
	pagemapPresent = 1 << 63
)

// Pagemap is an open /proc/self/pagemap: a jailed process opens it before it is jailed. The zero value opens it when first needed.
// Not safe for concurrent use.
type Pagemap struct {
	File *os.File
	buf  []uint64
}

// scan calls f with the entries of [off, off+n), in order, some at a time.
func (p *Pagemap) scan(a *Area, off, n uint64, f func(page uint64, entries []uint64)) error {
	if err := a.pages(off, n); err != nil {
		return err
	}
	if p.File == nil {
		file, err := os.Open("/proc/self/pagemap")
		if err != nil {
			return err
		}
		p.File = file
	}
	if p.buf == nil {
		p.buf = make([]uint64, 4096) // 16 MiB at a time
	}
	first := (a.HostAddr() + off) / PageSize
	for done, pages := uint64(0), n/PageSize; done < pages; {
		want := min(pages-done, uint64(len(p.buf)))
		b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p.buf))), want*8)
		got, err := unix.Pread(int(p.File.Fd()), b, int64(first+done)*8)
		if err == unix.EINTR {
			continue
		}
		if err != nil || got < 8 {
			return fmt.Errorf("read %s: %d bytes, %w", p.File.Name(), got, err)
		}
		f(done, p.buf[:got/8])
		done += uint64(got / 8)
	}
	return nil
}

// Present sets the bits of the pages of [off, off+n) that were ever touched: they are in memory or swapped out. The others read as
// zeros, or as the file that MapFilePrivate put there. Bit 0 is the page at off.
func (p *Pagemap) Present(a *Area, off, n uint64, set []uint64) error {
	return p.scan(a, off, n, func(page uint64, entries []uint64) {
		for i, e := range entries {
			if e&(pagemapPresent|pagemapSwapped) != 0 {
				set[(page+uint64(i))/64] |= 1 << ((page + uint64(i)) % 64)
			}
		}
	})
}

// PrivateBytes is the memory that only this area has: pages in memory or in swap that are not a file's. A page of MapFilePrivate that was never
// written is the file's.
func (p *Pagemap) PrivateBytes(a *Area) (int64, error) {
	var pages int64
	err := p.scan(a, 0, a.size, func(_ uint64, entries []uint64) {
		for _, e := range entries {
			if e&pagemapSwapped != 0 || e&(pagemapPresent|pagemapFile|pagemapOwn) == pagemapPresent|pagemapOwn {
				pages++
			}
		}
	})
	return pages * PageSize, err
}
