// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is a stretch of an area that shows the first Size bytes of a file.
type File struct {
	*os.File
	Size uint64
}

// MapFiles maps files read-only and shared, each at the next multiple of HugeSize. What lies behind a file's last page reads as zeros.
func MapFiles(gpa GuestAddr, files []File) (*Area, error) {
	a, err := reserve(gpa, Span(files), unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	var off uint64
	for _, f := range files {
		_, err = unix.MmapPtr(int(f.Fd()), 0, unsafe.Add(a.base, off), uintptr(f.Size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
		if err != nil {
			a.Close()
			return nil, fmt.Errorf("map %s: %w", f.Name(), err)
		}
		off += roundUp(f.Size)
	}
	return a, nil
}

// CopyFiles reads files into memory of its own, in huge pages where the host has them, read-only from then on; they lie as MapFiles
// lays them out.
func CopyFiles(gpa GuestAddr, files []File) (*Area, error) {
	a, err := New(gpa, Span(files))
	if err != nil {
		return nil, err
	}
	var off uint64
	for _, f := range files {
		if _, err := io.ReadFull(io.NewSectionReader(f, 0, int64(f.Size)), a.slice(off, f.Size)); err != nil {
			a.Close()
			return nil, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		off += roundUp(f.Size)
	}
	if err := unix.Mprotect(a.slice(0, a.size), unix.PROT_READ); err != nil {
		a.Close()
		return nil, fmt.Errorf("protect a copy of files: %w", err)
	}
	a.writable = false
	return a, nil
}

// Span is the size of an area of files.
func Span(files []File) (n uint64) {
	for _, f := range files {
		n += roundUp(f.Size)
	}
	return n
}

func roundUp(n uint64) uint64 { return (n + HugeSize - 1) &^ uint64(HugeSize-1) }
