// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// terminal is the one that the console is, if it is one. Whoever passed it puts it back to what it was in the end.
type terminal struct {
	fd   int // -1: none
	conn uint32
	tell bool          // the guest is owed how it is
	set  *abi.Terminal // how the guest wants it once all output before has left
}

func findTerminal(stdio [3]int) terminal {
	for i, fd := range stdio {
		if fd >= 0 {
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
				return terminal{fd: fd, conn: uint32(i), tell: true}
			}
		}
	}
	return terminal{fd: -1}
}

// setTerminal is the guest's wish. One without a terminal is forgotten: the node decides what a console is, the guest may not know yet.
func (c *console) setTerminal(payload []byte) error {
	var t abi.Terminal
	if err := binary.Read(bytes.NewReader(payload), binary.LittleEndian, &t); err != nil {
		return violated("terminal: %v", err)
	}
	if c.tty.fd >= 0 {
		c.tty.set = &t
	}
	return nil
}

// service: idle says that all output has left.
func (t *terminal) service(l *link, idle bool) error {
	if t.fd < 0 {
		return nil
	}
	if t.set != nil && idle {
		if is, err := unix.IoctlGetTermios(t.fd, unix.TCGETS); err == nil {
			is.Iflag, is.Oflag, is.Lflag = t.set.Iflag, t.set.Oflag, t.set.Lflag
			copy(is.Cc[:], t.set.Cc[:])
			_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, is)
		}
		t.set = nil
	}
	if !t.tell {
		return nil
	}
	is, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		t.tell = false
		return nil
	}
	m := abi.Terminal{Iflag: is.Iflag, Oflag: is.Oflag, Lflag: is.Lflag}
	copy(m.Cc[:], is.Cc[:])
	if size, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ); err == nil {
		m.Rows, m.Cols = size.Row, size.Col
	}
	b, err := binary.Append(nil, binary.LittleEndian, &m)
	if err != nil {
		return err
	}
	ok, err := l.put(abi.MsgTerminal, t.conn, 0, b)
	t.tell = !ok
	return err
}
