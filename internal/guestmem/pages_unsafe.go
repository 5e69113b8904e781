// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PageSize is what whole pages are counted in. Sets of pages are slices of words: page n is bit n%64 of word n/64.
const PageSize = 4096

// Words is how many words a set of the pages of n bytes takes.
func Words(n uint64) int { return int((n + 64*PageSize - 1) / (64 * PageSize)) }

// NewView maps size bytes of f from off on, read-only and shared: what others write to the file shows. Size is a multiple of PageSize. The
// file must not become shorter meanwhile, or reading is a SIGBUS: seal a memory file (F_SEAL_SHRINK) before. f may be closed afterwards.
func NewView(f *os.File, off int64, size uint64) (*Area, error) {
	if size == 0 || size%PageSize != 0 || off < 0 || off%PageSize != 0 || size > 1<<40 {
		return nil, fmt.Errorf("map %s: %d bytes at 0x%x are not whole pages below 1 TiB", f.Name(), size, off)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	if st.Size < off || uint64(st.Size-off) < size {
		return nil, fmt.Errorf("map %s: %d bytes at 0x%x, it has %d", f.Name(), size, off, st.Size)
	}
	a, err := reserve(0, roundUp(size), unix.PROT_NONE)
	if err != nil {
		return nil, err
	}
	a.size = size
	_, err = unix.MmapPtr(int(f.Fd()), off, a.base, uintptr(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
	if err == unix.EPERM { // before Linux 6.7, for a file that is sealed against writing: the same pages
		_, err = unix.MmapPtr(int(f.Fd()), off, a.base, uintptr(size), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED)
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return a, nil
}

// pages checks a range of whole pages.
func (a *Area) pages(off, n uint64) error {
	if off%PageSize != 0 || n%PageSize != 0 || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	return nil
}

// Copy copies n bytes at from of src, another area or another part of this one, to off.
func (a *Area) Copy(off uint64, src *Area, from, n uint64) error {
	if !a.writable || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if !within(from, n, src.size) {
		return rangeError(from, n, src.size)
	}
	copy(a.slice(off, n), src.slice(from, n))
	return nil
}

// Zero clears [off, off+n) and keeps its memory; see Discard.
func (a *Area) Zero(off, n uint64) error {
	if !a.writable || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	clear(a.slice(off, n))
	return nil
}

var zeroPage [PageSize]byte

// isZero: twice as fast as a loop over words, as it compares 32 bytes at a time.
func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:]) }

// NonZero sets the bits of the pages of [off, off+n) that hold anything but zeros; bit 0 is the page at off. Other bits stay. Reading a page
// that was never touched costs a fault: see Present.
func (a *Area) NonZero(off, n uint64, set []uint64) error {
	if err := a.pages(off, n); err != nil {
		return err
	}
	for i := range n / PageSize {
		if !isZero(a.slice(off+i*PageSize, PageSize)) {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return nil
}

// Differ sets the bits of the pages of [off, off+n) that are not as those of other from from on.
func (a *Area) Differ(off uint64, other *Area, from, n uint64, set []uint64) error {
	if err := a.pages(off, n); err != nil {
		return err
	}
	if err := other.pages(from, n); err != nil {
		return err
	}
	for i := range n / PageSize {
		if !bytes.Equal(a.slice(off+i*PageSize, PageSize), other.slice(from+i*PageSize, PageSize)) {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return nil
}

// ReadFile fills [off, off+n) from a file, without a buffer between. A file that ends before is an error.
func (a *Area) ReadFile(off uint64, f *os.File, from int64, n uint64) error {
	if !a.writable || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	for n > 0 {
		got, err := unix.Pread(int(f.Fd()), a.slice(off, n), from)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if got == 0 {
			return fmt.Errorf("read %s: it ends %d bytes before what is needed", f.Name(), n)
		}
		off, from, n = off+uint64(got), from+int64(got), n-uint64(got)
	}
	return nil
}

// WriteFile writes [off, off+n) to a file. A guest that runs meanwhile makes it a mixture.
func (a *Area) WriteFile(off uint64, f *os.File, to int64, n uint64) error {
	if !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	for n > 0 {
		put, err := unix.Pwrite(int(f.Fd()), a.slice(off, n), to)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Name(), err)
		}
		off, to, n = off+uint64(put), to+int64(put), n-uint64(put)
	}
	return nil
}

// MapFilePrivate shows n bytes of f from from on in place of [off, off+n), whole blocks of HugeSize: pages are the file's until they are written,
// then the area's own. What was there is gone; a guest sees the change at once. The file must not become shorter, as with NewView.
func (a *Area) MapFilePrivate(off, n uint64, f *os.File, from int64) error {
	if !a.writable || off%HugeSize != 0 || n%HugeSize != 0 || n == 0 || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if from < 0 || from%PageSize != 0 {
		return fmt.Errorf("map %s at 0x%x: not a whole page", f.Name(), from)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	if st.Size < from || uint64(st.Size-from) < n {
		return fmt.Errorf("map %s: %d bytes at 0x%x, it has %d", f.Name(), n, from, st.Size)
	}
	_, err := unix.MmapPtr(int(f.Fd()), from, unsafe.Add(a.base, off), uintptr(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	a.setFiled(off, n, true)
	return nil
}

// setFiled notes which blocks are not fresh memory.
func (a *Area) setFiled(off, n uint64, filed bool) {
	if a.filed == nil && !filed {
		return
	}
	if a.filed == nil {
		a.filed = make([]bool, a.size/HugeSize)
	}
	for b := off / HugeSize; b < (off+n)/HugeSize; b++ {
		a.filed[b] = filed
	}
}

// unfile makes what is a file's in [off, off+n) zero: whole blocks anew, parts by writing.
func (a *Area) unfile(off, n uint64) error {
	if a.filed == nil {
		return nil
	}
	for at, end := off, off+n; at < end; {
		next := min(at&^(HugeSize-1)+HugeSize, end)
		var err error
		switch {
		case !a.filed[at/HugeSize]:
		case next-at == HugeSize:
			err = a.MapAnonymous(at, HugeSize)
		default:
			err = a.Zero(at, next-at)
		}
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

// Recycle makes the area as New gave it but for its first keep bytes, a multiple of HugeSize: they are zero too, and in memory. For memory that
// was in use this takes a third of what giving it back and asking for it again does.
func (a *Area) Recycle(keep uint64) error {
	if !a.writable || keep%HugeSize != 0 || keep > a.size {
		return rangeError(0, keep, a.size)
	}
	if err := a.unfile(0, a.size); err != nil {
		return err
	}
	if err := a.Zero(0, keep); err != nil {
		return err
	}
	return a.Discard(keep, a.size-keep)
}

// MapAnonymous undoes MapFilePrivate: [off, off+n), whole blocks of HugeSize, is fresh memory again and reads as zeros.
func (a *Area) MapAnonymous(off, n uint64) error {
	if !a.writable || off%HugeSize != 0 || n%HugeSize != 0 || n == 0 || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	_, err := unix.MmapPtr(-1, 0, unsafe.Add(a.base, off), uintptr(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map %d KiB of guest memory: %w", n>>10, err)
	}
	_ = unix.Madvise(a.slice(off, n), unix.MADV_HUGEPAGE) // as New
	a.setFiled(off, n, false)
	return nil
}
