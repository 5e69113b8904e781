// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connectLimit is a little longer than Linux repeats its SYN: normally the kernel gives up first.
const connectLimit = 130 * time.Second

// dial makes a connected, non-blocking socket.
func dial(ctx context.Context, udp bool, to netip.AddrPort) (*os.File, syscall.Errno) {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: first4(to.Addr())}
	if to.Addr().Is6() {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	if udp {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, scarce(err)
	}
	if !udp {
		// The guest has gathered its writes already.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	for {
		if err = unix.Connect(fd, sa); err != unix.EINTR {
			break
		}
	}
	// In the runtime's poller only now: a socket that is not connecting yet counts as hung up.
	f := os.NewFile(uintptr(fd), "egress")
	if err == unix.EINPROGRESS || err == unix.EALREADY {
		err = wait(ctx, f)
	}
	if err != nil {
		f.Close()
		return nil, scarce(err)
	}
	return f, 0
}

// wait returns when a connection is made or has failed.
func wait(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = rc.Write(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(p, 0)
		}
		if n == 0 && err == nil {
			return false
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = syscall.Errno(errno)
		}
		result = err
		return true
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return unix.ETIMEDOUT
		}
		return unix.ECANCELED
	}
	if err != nil {
		return err
	}
	return result
}

func first4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

// scarce is the errno of an error as a guest may see it: that the node has no descriptors left is not the program's doing.
func scarce(err error) syscall.Errno {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return unix.EIO
	}
	switch e {
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return unix.ENOBUFS
	case unix.EAFNOSUPPORT: // a machine without IPv6
		return unix.ENETUNREACH
	case unix.EPERM: // its packet filter
		return unix.EACCES
	}
	return e
}
