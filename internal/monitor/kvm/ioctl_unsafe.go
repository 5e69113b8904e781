// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// ioctl passes a plain number. KVM_RUN goes through here too: Syscall, not RawSyscall, as the Go runtime has to know that
// the thread may stay away.
func ioctl(fd int, req, arg uintptr) (int, error) {
	r, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
	if e != 0 {
		return int(r), e
	}
	return int(r), nil
}

// ioctlPtr passes a struct of kvmabi.
func ioctlPtr[T any](fd int, req uintptr, arg *T) (int, error) {
	r, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(unsafe.Pointer(arg)))
	if e != 0 {
		return int(r), e
	}
	return int(r), nil
}

// ioctlAttr sets a 64-bit attribute of a vCPU.
func ioctlAttr(fd int, group uint32, attr, value uint64) error {
	v := new(uint64)
	*v = value
	a := kvmabi.DeviceAttr{Group: group, Attr: attr, Addr: uint64(uintptr(unsafe.Pointer(v)))}
	_, _, e := unix.Syscall6(unix.SYS_IOCTL, uintptr(fd), kvmabi.SetDeviceAttr, uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(v)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// denyMSRs refuses guests all model-specific registers: reading and writing one is a general protection fault.
func denyMSRs(vm int) error {
	none := new([8]uint8) // one range has to be there; it lets nothing through either
	f := kvmabi.MSRFilter{Flags: kvmabi.MSRFilterDeny}
	f.Ranges[0] = kvmabi.MSRFilterRange{Flags: kvmabi.MSRFilterRead | kvmabi.MSRFilterWrite, NMSRs: 8, Base: msrSTAR &^ 7,
		Bitmap: uint64(uintptr(unsafe.Pointer(none)))}
	_, _, e := unix.Syscall6(unix.SYS_IOCTL, uintptr(vm), kvmabi.SetMSRFilter, uintptr(unsafe.Pointer(&f)), uintptr(unsafe.Pointer(none)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// getDirtyLog fills bits, of as many words as the slot needs.
func getDirtyLog(vm int, slot uint32, bits []uint64) error {
	l := kvmabi.DirtyLog{Slot: slot, Bitmap: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bits))))}
	_, _, e := unix.Syscall6(unix.SYS_IOCTL, uintptr(vm), kvmabi.GetDirtyLog, uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(unsafe.SliceData(bits))), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// clearDirtyLog forgets the pages with a bit set; bit 0 is page first, a multiple of 64.
func clearDirtyLog(vm int, slot uint32, first uint64, pages uint32, bits []uint64) error {
	l := kvmabi.ClearDirtyLogRange{Slot: slot, NumPages: pages, FirstPage: first, Bitmap: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bits))))}
	_, _, e := unix.Syscall6(unix.SYS_IOCTL, uintptr(vm), kvmabi.ClearDirtyLog, uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(unsafe.SliceData(bits))), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// runPage is the struct kvm_run that a vCPU shares with its monitor.
func runPage(m []byte) *kvmabi.Run { return (*kvmabi.Run)(unsafe.Pointer(unsafe.SliceData(m))) }

func mmioOf(r *kvmabi.Run) kvmabi.MMIO { return *(*kvmabi.MMIO)(unsafe.Pointer(&r.Exit)) }

func internalErrorOf(r *kvmabi.Run) kvmabi.InternalError {
	return *(*kvmabi.InternalError)(unsafe.Pointer(&r.Exit))
}

func memoryFaultOf(r *kvmabi.Run) kvmabi.MemoryFault {
	return *(*kvmabi.MemoryFault)(unsafe.Pointer(&r.Exit))
}

func failEntryOf(r *kvmabi.Run) kvmabi.FailEntry {
	return *(*kvmabi.FailEntry)(unsafe.Pointer(&r.Exit))
}

func ioOf(r *kvmabi.Run) kvmabi.IO { return *(*kvmabi.IO)(unsafe.Pointer(&r.Exit)) }
