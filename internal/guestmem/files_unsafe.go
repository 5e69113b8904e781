// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is a stretch of an area that shows the first Size bytes of a file.
type File struct {
	*os.File
	Size uint64
}

// MapFiles maps files read-only and shared, each at the next multiple of HugeSize. What lies behind a file's last page reads as zeros;
// a file that is long enough is mapped to the end of its last huge page, so that its huge pages are mapped as such.
func MapFiles(gpa GuestAddr, files []File) (*Area, error) {
	a, err := reserve(gpa, Span(files), unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	var off uint64
	for _, f := range files {
		length := f.Size
		if fi, err := f.Stat(); err == nil && uint64(fi.Size()) >= roundUp(length) {
			length = roundUp(length)
		}
		_, err = unix.MmapPtr(int(f.Fd()), 0, unsafe.Add(a.base, off), uintptr(length), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
		if err != nil {
			a.Close()
			return nil, fmt.Errorf("map %s: %w", f.Name(), err)
		}
		off += roundUp(f.Size)
	}
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
