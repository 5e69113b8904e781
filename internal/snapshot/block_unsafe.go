// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BlockSize is what images are written in.
const BlockSize = 2 << 20

// BlockDense is the number of pages from which on a block of an image is better one huge page than its pages alone: such a page costs a
// tenth to make, and next to nothing to map where the image is used.
const BlockDense = BlockSize / pageSize * 5 / 8

const madvCollapse = 25 // Linux 6.1

// WriteBlock lets fill write a block of a memory file, at a multiple of BlockSize inside of it, that has no memory yet: as a huge page if the
// host has one. What fill leaves alone is zero.
func WriteBlock(f *os.File, off int64, fill func(block []byte)) error {
	if off%BlockSize != 0 {
		return fmt.Errorf("write snapshot: block at 0x%x", off)
	}
	if fi, err := f.Stat(); err != nil || fi.Size()-off < BlockSize { // touching what is not there is a SIGBUS
		return fmt.Errorf("write snapshot: no block at 0x%x", off)
	}
	room, err := unix.Mmap(-1, 0, 2*BlockSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	defer unix.Munmap(room)
	base := unsafe.Pointer(unsafe.SliceData(room))
	at := unsafe.Add(base, -uintptr(base)&(BlockSize-1))
	if _, err := unix.MmapPtr(int(f.Fd()), off, at, BlockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	block := unsafe.Slice((*byte)(at), BlockSize)
	// A range with no page at all cannot be collapsed, hence one byte. Where there are no huge pages, small ones do.
	block[0] = 0
	_ = unix.Madvise(block, madvCollapse)
	fill(block)
	return nil
}
