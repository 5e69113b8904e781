// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sdk

import (
	"os"
	"syscall"
	"unsafe"
)

const (
	devicePath     = "/dev/snapshot"
	askGeneration  = 0x5501 // ioctl: *uint64
	adviseWipeFork = 18     // MADV_WIPEONFORK
)

type device struct{ file *os.File }

// openDevice gives nil outside of UniFaaS. (Linux has a device by that name for hibernation, which nobody can open for both reading and writing.)
func openDevice() *device {
	f, err := os.OpenFile(devicePath, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	d := &device{f}
	if _, err := d.generation(); err != nil {
		f.Close()
		return nil
	}
	return d
}

func (d *device) generation() (n uint64, err error) {
	c, err := d.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	errno := syscall.EBADF
	err = c.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, askGeneration, uintptr(unsafe.Pointer(&n)))
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return n, err
}

// wipedWord is at the start of a page that the kernel wipes in every copy of the process; nil where it does not.
func wipedWord() *uint32 {
	m, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return nil
	}
	if err := syscall.Madvise(m, adviseWipeFork); err != nil {
		syscall.Munmap(m)
		return nil
	}
	return (*uint32)(unsafe.Pointer(unsafe.SliceData(m)))
}
