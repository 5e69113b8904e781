// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Area is mapped memory that a guest can see. Accesses may be made from any goroutine, but none may overlap Close.
type Area struct {
	gpa      GuestAddr
	base     unsafe.Pointer // aligned to HugeSize
	size     uint64         // 0 once closed
	mapping  []byte         // what Close unmaps: the reservation around the area
	writable bool
	filed    []bool // blocks of HugeSize that MapFilePrivate put a file in; nil: none
}

// New maps size bytes of zeroed private memory, aligned to HugeSize and backed by huge pages where the host has them.
func New(gpa GuestAddr, size uint64) (*Area, error) {
	a, err := reserve(gpa, size, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	a.writable = true
	// A host without transparent huge pages refuses: slower, not wrong.
	_ = unix.Madvise(a.slice(0, size), unix.MADV_HUGEPAGE)
	return a, nil
}

// reserve maps anonymous memory with room to align it.
func reserve(gpa GuestAddr, size uint64, prot int) (*Area, error) {
	if size == 0 || size%HugeSize != 0 || size > 1<<40 {
		return nil, fmt.Errorf("map guest memory: size %d is not a multiple of 2 MiB below 1 TiB", size)
	}
	m, err := unix.Mmap(-1, 0, int(size+HugeSize), prot, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d MiB of guest memory: %w", size>>20, err)
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(m)))
	skip := -start & (HugeSize - 1)
	return &Area{gpa: gpa, base: unsafe.Add(unsafe.Pointer(unsafe.SliceData(m)), skip), size: size, mapping: m}, nil
}

// Close unmaps the area; every later access fails. Idempotent.
func (a *Area) Close() error {
	if a.mapping == nil {
		return nil
	}
	m := a.mapping
	a.mapping, a.base, a.size = nil, nil, 0
	return unix.Munmap(m)
}

// Detach gives the memory to another Area; this one is as after Close.
func (a *Area) Detach() *Area {
	d := *a
	*a = Area{gpa: a.gpa}
	return &d
}

// GPA is where the guest sees the area.
func (a *Area) GPA() GuestAddr { return a.gpa }

// Size is in bytes; 0 once closed.
func (a *Area) Size() uint64 { return a.size }

// HostAddr is for the kernel, which is told where the memory behind a guest address is. Nothing may dereference it.
func (a *Area) HostAddr() uint64 { return uint64(uintptr(a.base)) }

// slice is the memory itself. Preconditions: the range was checked.
func (a *Area) slice(off, n uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(a.base, off)), n)
}

// ReadAt copies len(p) bytes at off out of the area.
func (a *Area) ReadAt(p []byte, off uint64) error {
	if !within(off, uint64(len(p)), a.size) {
		return rangeError(off, uint64(len(p)), a.size)
	}
	copy(p, a.slice(off, uint64(len(p))))
	return nil
}

// WriteAt copies p into the area at off.
func (a *Area) WriteAt(p []byte, off uint64) error {
	if !a.writable || !within(off, uint64(len(p)), a.size) {
		return rangeError(off, uint64(len(p)), a.size)
	}
	copy(a.slice(off, uint64(len(p))), p)
	return nil
}

// Populate makes the host allocate [off, off+n) now rather than at the guest's first touch.
func (a *Area) Populate(off, n uint64) error {
	if !a.writable || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if n == 0 {
		return nil
	}
	if err := unix.Madvise(a.slice(off, n), unix.MADV_POPULATE_WRITE); err != nil {
		return fmt.Errorf("populate %d KiB of guest memory: %w", n>>10, err)
	}
	return nil
}

// Discard gives the memory of the pages in [off, off+n) back to the host; they read as zeros afterwards, also where MapFilePrivate put a file.
func (a *Area) Discard(off, n uint64) error {
	if !a.writable || off%PageSize != 0 || n%PageSize != 0 || !within(off, n, a.size) {
		return rangeError(off, n, a.size)
	}
	if n == 0 {
		return nil
	}
	// What is a file's would be the file's again, not zero.
	if err := a.unfile(off, n); err != nil {
		return err
	}
	return a.discard(off, n)
}

// discard gives back all but the blocks of small pages.
func (a *Area) discard(off, n uint64) error {
	for n > 0 {
		part := n
		if a.filed != nil {
			part = min(n, HugeSize-off%HugeSize)
		}
		if a.filed == nil || !a.filed[off/HugeSize] {
			if err := unix.Madvise(a.slice(off, part), unix.MADV_DONTNEED); err != nil {
				return err
			}
		}
		off, n = off+part, n-part
	}
	return nil
}

// Resident is the number of bytes that the host has memory for, those of files (MapFilePrivate) that it has anyway included.
func (a *Area) Resident() int64 {
	var (
		vec   [8192]byte // 32 MiB at a time
		total int64
	)
	const chunk = uint64(len(vec)) * 4096
	for off := uint64(0); off < a.size; off += chunk {
		n := min(chunk, a.size-off)
		_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Add(a.base, off)), uintptr(n), uintptr(unsafe.Pointer(&vec[0])))
		if e != 0 {
			return total
		}
		for _, v := range vec[:n/4096] {
			total += int64(v & 1)
		}
	}
	return total * 4096
}

// word checks an access to one aligned word. Offsets of words are chosen by the host (constants, masked indices), never
// by the guest, so that a bad one is a bug here and panics.
func (a *Area) word(off, n uint64) unsafe.Pointer {
	if off%n != 0 || !within(off, n, a.size) {
		panic(rangeError(off, n, a.size))
	}
	return unsafe.Add(a.base, off)
}

// Load32 reads an aligned word.
func (a *Area) Load32(off uint64) uint32 { return atomic.LoadUint32((*uint32)(a.word(off, 4))) }

// Load64 reads an aligned word.
func (a *Area) Load64(off uint64) uint64 { return atomic.LoadUint64((*uint64)(a.word(off, 8))) }

// Store32 writes an aligned word. Preconditions: the area is writable.
func (a *Area) Store32(off uint64, v uint32) { atomic.StoreUint32((*uint32)(a.word(off, 4)), v) }

// Store64 writes an aligned word. Preconditions: the area is writable.
func (a *Area) Store64(off uint64, v uint64) { atomic.StoreUint64((*uint64)(a.word(off, 8)), v) }

// CompareAndSwap32 changes an aligned word if it holds old. Preconditions: the area is writable.
func (a *Area) CompareAndSwap32(off uint64, old, v uint32) bool {
	return atomic.CompareAndSwapUint32((*uint32)(a.word(off, 4)), old, v)
}
