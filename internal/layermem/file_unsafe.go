// SPDX-License-Identifier: Apache-2.0

package layermem

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	hugeSize     = 2 << 20
	madvCollapse = 25 // Linux 6.1
)

// seals forbid every change. F_SEAL_FUTURE_WRITE rather than F_SEAL_WRITE, with which kernels before 6.7 refuse shared mappings that
// only read.
const seals = unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// load copies the first size bytes of a file into a memory file of huge pages. It is a multiple of them long; what follows the
// copy is zero.
func load(from io.ReaderAt, name string, size int64) (_ *os.File, err error) {
	length := (size + hugeSize - 1) &^ (hugeSize - 1)
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Ftruncate(fd, length); err != nil {
		return nil, fmt.Errorf("make a memory file of %d MiB: %w", length>>20, err)
	}
	unmap, mem, err := mapHuge(fd, int(length))
	if err != nil {
		return nil, err
	}
	defer func() {
		if unmap != nil {
			unmap()
		}
	}()
	// Huge pages first: one zeroed and filled at once costs a tenth of one that is put together from 512 small pages. A range with no
	// page at all cannot be collapsed, hence one byte in each.
	for i := int64(0); i < length; i += hugeSize {
		mem[i] = 0
	}
	_ = unix.Madvise(mem, madvCollapse) // else small pages: each costs a guest a fault more
	n, err := io.ReadFull(io.NewSectionReader(from, 0, size), mem[:size])
	if err != nil {
		return nil, fmt.Errorf("read %s: %d of %d bytes: %w", name, n, size, err)
	}
	unmap()
	unmap = nil
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal a memory file: %w", err)
	}
	return f, nil
}

// mapHuge maps a file for writing where huge pages of it can be mapped as such.
func mapHuge(fd, length int) (unmap func(), mem []byte, err error) {
	room, err := unix.Mmap(-1, 0, length+hugeSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, fmt.Errorf("map a memory file of %d MiB: %w", length>>20, err)
	}
	base := unsafe.Pointer(unsafe.SliceData(room))
	at := unsafe.Add(base, -uintptr(base)&(hugeSize-1))
	if _, err := unix.MmapPtr(fd, 0, at, uintptr(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		_ = unix.Munmap(room)
		return nil, nil, fmt.Errorf("map a memory file of %d MiB: %w", length>>20, err)
	}
	return func() { _ = unix.Munmap(room) }, unsafe.Slice((*byte)(at), length), nil
}
