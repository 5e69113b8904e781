// SPDX-License-Identifier: Apache-2.0

package nodetest

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketPair is what a tender gives too: buffered, with half-close, unlike net.Pipe.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	conn := func(fd int) (net.Conn, error) {
		f := os.NewFile(uintptr(fd), "stream")
		defer f.Close()
		return net.FileConn(f)
	}
	if a, err = conn(fds[0]); err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	if b, err = conn(fds[1]); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}
