// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"fmt"
	"os"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// filesChunk is what one memslot of the files area covers. KVM keeps 8 bytes a page for each slot: one for the whole area would cost
// 128 MiB, and most guests map less than this.
const filesChunk = 64 << 20

// files is the files area of one guest: address space, and memslots as far as files have been in it.
type files struct {
	window *guestmem.Window // nil: no file was mapped yet
	chunks [abi.FilesMax / filesChunk]bool
}

// MapFile implements monitor.Sandbox.
func (s *sandbox) MapFile(off uint64, f *os.File, size int64) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return errEnded
	}
	if size <= 0 || off > abi.FilesMax || uint64(size) > abi.FilesMax-off {
		return fmt.Errorf("map a file of %d bytes at 0x%x: outside of the files area", size, off)
	}
	fs := &s.files
	if fs.window == nil {
		w, err := guestmem.NewWindow(abi.FilesMax)
		if err != nil {
			return err
		}
		fs.window = w
	}
	if err := fs.window.Map(off, f, uint64(size)); err != nil {
		return err
	}
	for c := off / filesChunk; c <= (off+uint64(size)-1)/filesChunk; c++ {
		if fs.chunks[c] {
			continue
		}
		r := kvmabi.UserspaceMemoryRegion{
			Slot:          slotFiles + uint32(c),
			Flags:         kvmabi.MemReadonly,
			GuestPhysAddr: abi.FilesGPA + c*filesChunk,
			MemorySize:    filesChunk,
			UserspaceAddr: fs.window.HostAddr() + c*filesChunk,
		}
		if _, err := ioctlPtr(int(s.vm.Fd()), kvmabi.SetUserMemoryRegion, &r); err != nil {
			return errors.Join(fmt.Errorf("KVM_SET_USER_MEMORY_REGION, files at 0x%x: %w", r.GuestPhysAddr, err), fs.window.Unmap(off, uint64(size)))
		}
		fs.chunks[c] = true
	}
	return nil
}

// UnmapFile implements monitor.Sandbox. KVM drops what it had mapped for the guest by itself.
func (s *sandbox) UnmapFile(off uint64, size int64) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return errEnded
	}
	if s.files.window == nil || size <= 0 {
		return fmt.Errorf("unmap a file at 0x%x: nothing is there", off)
	}
	return s.files.window.Unmap(off, uint64(size))
}

// close: Preconditions: the virtual machine is gone.
func (fs *files) close() error {
	if fs.window == nil {
		return nil
	}
	return fs.window.Close()
}
