// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminal is the one among the standard streams, as it was before the program could change it.
type terminal struct {
	fd  int // -1: none
	was unix.Termios
}

func openTerminal(o *Options) *terminal {
	for _, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		if f == nil {
			continue
		}
		if is, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return &terminal{int(f.Fd()), *is}
		}
	}
	return &terminal{fd: -1}
}

// suspend makes it what it was, and gives what makes it again what the program wanted. A process in the background leaves it alone: the
// terminal is somebody else's then.
func (t *terminal) suspend() (again func()) {
	again = func() {}
	if t.fd < 0 {
		return again
	}
	is, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	front, gerr := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil || *is == t.was || gerr == nil && front != unix.Getpgrp() {
		return again
	}
	_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.was)
	return func() { _ = unix.IoctlSetTermios(t.fd, unix.TCSETS, is) }
}

// restore is suspend for good.
func (t *terminal) restore() { _ = t.suspend() }
