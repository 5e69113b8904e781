// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow reads from a non-blocking socket. It bypasses the Go scheduler: the call never blocks, and on the path of every
// request a trip through the scheduler costs more than the call.
func readNow(fd int, p []byte) (int, unix.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// writeNow is the same for sending.
func writeNow(fd int, p []byte) (int, unix.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// sendNow sends one datagram, which may be empty.
func sendNow(fd int, p []byte) unix.Errno {
	var at unsafe.Pointer
	if len(p) > 0 {
		at = unsafe.Pointer(&p[0])
	}
	for {
		_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(at), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return e
		}
	}
}

// nextDgram is the size of the datagram that is read next.
func nextDgram(fd int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT|unix.MSG_PEEK|unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// epollWait waits with nanosecond resolution; a negative timeout waits for ever, zero only looks.
func epollWait(epfd int, events []unix.EpollEvent, timeout time.Duration) (int, unix.Errno) {
	var tp *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(timeout))
		tp = &ts
	}
	call := unix.Syscall6
	if timeout == 0 {
		call = unix.RawSyscall6
	}
	n, _, e := call(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(tp)), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// timerSet makes a timerfd expire once after d.
func timerSet(fd int, d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

// timerExpired takes the expiry of a non-blocking timerfd; false if there is none yet.
func timerExpired(fd uintptr) bool {
	var n uint64
	_, _, e := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&n)), 8)
	return e != unix.EAGAIN && e != unix.EINTR
}

// setName names this thread, which stands for the process in listings if it is the first one. Preconditions: at most 15 bytes.
func setName(name string) {
	var b [16]byte
	copy(b[:15], name)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b)), 0, 0, 0)
}
