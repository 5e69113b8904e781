// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Window is address space where files appear and disappear. It has no accessors: its pages are others' files, which may be cut
// short at any moment, and touching what was cut off would be a SIGBUS. Only the kernel follows it on behalf of a guest. Not safe
// for concurrent use.
type Window struct {
	base    unsafe.Pointer
	size    uint64
	mapping []byte
}

// NewWindow reserves size bytes of address space, a multiple of HugeSize; no memory.
func NewWindow(size uint64) (*Window, error) {
	a, err := reserve(0, size, unix.PROT_NONE)
	if err != nil {
		return nil, err
	}
	return &Window{base: a.base, size: size, mapping: a.mapping}, nil
}

// Close unmaps everything. Idempotent.
func (w *Window) Close() error {
	if w.mapping == nil {
		return nil
	}
	m := w.mapping
	w.mapping, w.base, w.size = nil, nil, 0
	return unix.Munmap(m)
}

// HostAddr is for the kernel, as with Area.
func (w *Window) HostAddr() uint64 { return uint64(uintptr(w.base)) }

// check: offsets come from an allocator, but a guest chose the order of its calls.
func (w *Window) check(off, size uint64) error {
	if off%4096 != 0 || size == 0 || !within(off, size, w.size) {
		return rangeError(off, size, w.size)
	}
	return nil
}

// Map shows the first size bytes of f at off, read-only.
func (w *Window) Map(off uint64, f *os.File, size uint64) error {
	if err := w.check(off, size); err != nil {
		return err
	}
	// Some file systems map nothing shared.
	var err error
	for _, kind := range []int{unix.MAP_SHARED, unix.MAP_PRIVATE} {
		_, err = unix.MmapPtr(int(f.Fd()), 0, unsafe.Add(w.base, off), uintptr(size), unix.PROT_READ, kind|unix.MAP_FIXED)
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("map %d KiB of a file: %w", size>>10, err)
}

// Unmap takes [off, off+size) away again, in whole pages.
func (w *Window) Unmap(off, size uint64) error {
	if err := w.check(off, size); err != nil {
		return err
	}
	_, err := unix.MmapPtr(-1, 0, unsafe.Add(w.base, off), uintptr(size), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return err
}
