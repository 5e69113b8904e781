// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bytes is the memory [off, off+n) itself, to compare and copy pages of a guest whose vCPU has stopped. Nothing in it can be relied
// upon longer than that, and it is gone after Close.
func (a *Area) Bytes(off, n uint64) ([]byte, error) {
	if !within(off, n, a.size) {
		return nil, rangeError(off, n, a.size)
	}
	return a.slice(off, n), nil
}

// Present tells for each page of [off, off+len(vec)*PageSize) whether the host has something for it: bit 0 of its byte. Another page was never
// touched and reads as zeros.
func (a *Area) Present(off uint64, vec []byte) error {
	n := uint64(len(vec)) * PageSize
	if err := a.pages(off, n); err != nil || n == 0 {
		return err
	}
	// mincore knows nothing of pages that were swapped out.
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil || si.Totalswap != 0 {
		return a.presentOrSwapped(off, vec)
	}
	_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Add(a.base, off)), uintptr(n), uintptr(unsafe.Pointer(&vec[0])))
	if e != 0 {
		return fmt.Errorf("ask which guest memory is there: %w", e)
	}
	return nil
}

// presentOrSwapped is Present where there is swap space.
func (a *Area) presentOrSwapped(off uint64, vec []byte) error {
	var p Pagemap
	set := make([]uint64, Words(uint64(len(vec))*PageSize))
	err := p.Present(a, off, uint64(len(vec))*PageSize, set)
	if p.File != nil {
		p.File.Close()
	}
	for i := range vec {
		vec[i] = byte(set[i/64] >> (i % 64) & 1)
		if err != nil { // a process that may not open it looks at everything
			vec[i] = 1
		}
	}
	return nil
}

// Prefault maps what a view's file has of [off, off+n) now rather than at the first touch.
func (a *Area) Prefault(off, n uint64) error {
	if !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if n == 0 {
		return nil
	}
	if err := unix.Madvise(a.slice(off, n), unix.MADV_POPULATE_READ); err != nil {
		return fmt.Errorf("map %d KiB of a file: %w", n>>10, err)
	}
	return nil
}

// Small makes a block of HugeSize fresh memory that is handed out page by page, where New gives it whole. What was there is gone; a guest
// sees the change at once.
func (a *Area) Small(off uint64) error {
	if err := a.MapAnonymous(off, HugeSize); err != nil {
		return err
	}
	a.setFiled(off, HugeSize, true) // not as New gave it
	// A host without transparent huge pages refuses: it has only small ones.
	_ = unix.Madvise(a.slice(off, HugeSize), unix.MADV_NOHUGEPAGE)
	return nil
}

// MapPages is MapFilePrivate for pages of a block that is Small.
func (a *Area) MapPages(off, n uint64, f *os.File, from int64) error {
	if err := a.pages(off, n); err != nil || !a.writable || n == 0 {
		return rangeError(off, n, a.size)
	}
	for b := off / HugeSize; b <= (off+n-1)/HugeSize; b++ {
		if a.filed == nil || !a.filed[b] {
			return fmt.Errorf("map %s: block 0x%x of guest memory is not of small pages", f.Name(), b)
		}
	}
	if fi, err := f.Stat(); err != nil || from < 0 || from%PageSize != 0 || fi.Size() < from || uint64(fi.Size()-from) < n {
		return fmt.Errorf("map %s: it does not have %d bytes at 0x%x", f.Name(), n, from)
	}
	_, err := unix.MmapPtr(int(f.Fd()), from, unsafe.Add(a.base, off), uintptr(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return nil
}

// IsSmall reports whether the block at off is one that New did not give: Small, or of a file.
func (a *Area) IsSmall(off uint64) bool {
	return a.filed != nil && off < a.size && a.filed[off/HugeSize]
}
