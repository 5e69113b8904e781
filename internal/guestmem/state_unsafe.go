// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
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
