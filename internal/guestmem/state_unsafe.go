// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"errors"
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

// Present tells for each page of [off, off+len(vec)*4096) whether the host has memory for it: bit 0 of its byte. Another page reads
// as zeros.
func (a *Area) Present(off uint64, vec []byte) error {
	n := uint64(len(vec)) * 4096
	if off%4096 != 0 || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if n == 0 {
		return nil
	}
	_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Add(a.base, off)), uintptr(n), uintptr(unsafe.Pointer(&vec[0])))
	if e != 0 {
		return fmt.Errorf("ask which guest memory is there: %w", e)
	}
	return nil
}

// View is part of a file that cannot change any more, mapped read-only.
type View struct {
	base    unsafe.Pointer // aligned to HugeSize
	size    uint64
	mapping []byte
}

// NewView maps the first size bytes of a memory file that is sealed against being cut short. Its pages are those of all who map it. The file
// may be closed afterwards.
func NewView(f *os.File, size uint64) (*View, error) {
	fd := int(f.Fd())
	if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, fmt.Errorf("map %s: it may be cut short meanwhile", f.Name())
	}
	if fi, err := f.Stat(); err != nil || uint64(fi.Size()) < size {
		return nil, errors.Join(fmt.Errorf("map %s: it does not have %d bytes", f.Name(), size), err)
	}
	a, err := reserve(0, roundUp(size), unix.PROT_NONE)
	if err != nil {
		return nil, err
	}
	v := &View{base: a.base, size: size, mapping: a.mapping}
	// Private: a file that is sealed against writing cannot be mapped shared before Linux 6.7.
	if _, err := unix.MmapPtr(fd, 0, v.base, uintptr(size), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED); err != nil {
		v.Close()
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return v, nil
}

// Bytes is [off, off+n) of the file. It is gone after Close.
func (v *View) Bytes(off, n uint64) ([]byte, error) {
	if !within(off, n, v.size) {
		return nil, rangeError(off, n, v.size)
	}
	return unsafe.Slice((*byte)(unsafe.Add(v.base, off)), n), nil
}

// Size is in bytes; 0 once closed.
func (v *View) Size() uint64 { return v.size }

// Populate maps what the file has of [off, off+n) now rather than at the first touch.
func (v *View) Populate(off, n uint64) error {
	if !within(off, n, v.size) {
		return rangeError(off, n, v.size)
	}
	if n == 0 {
		return nil
	}
	if err := unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(v.base, off)), n), unix.MADV_POPULATE_READ); err != nil {
		return fmt.Errorf("populate %d KiB of a file's memory: %w", n>>10, err)
	}
	return nil
}

// Close unmaps it. Idempotent.
func (v *View) Close() error {
	if v.mapping == nil {
		return nil
	}
	m := v.mapping
	v.mapping, v.base, v.size = nil, nil, 0
	return unix.Munmap(m)
}
