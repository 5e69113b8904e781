// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/tender/wire"
)

// console is streams 0, 1 and 2. Each is a descriptor that the node passed, or, for output, events to the node.
//
// The descriptors are someone's terminal, pipe or file, shared with other processes: they are never made non-blocking.
// Instead each is asked first, and then given no more than it takes at once.
type console struct {
	*link
	epfd   int
	in     source
	out    [2]sink
	tty    terminal
	closed uint8                             // bit n: the guest has closed stream n
	emit   func(stream uint8, p []byte) bool // an Output event; false: not now
}

// source is standard input.
type source struct {
	fd     int // -1: nothing more comes from it
	kind   fdKind
	credit uint32
	ready  bool // a read returns something
	armed  bool // epoll will say when
	oweEOF bool
	errno  unix.Errno // with oweEOF: why nothing more comes; 0: it ended
}

// sink is standard output or error.
type sink struct {
	id       uint32
	fd       int // -1: events
	kind     fdKind
	window   uint32
	owed     uint32
	extra    uint32 // credit that what is pending took beyond its length
	pending  []byte
	stale    int  // bytes of pending that count for no credit: the guest that wrote them is another one now
	waiting  bool // for epoll to say that the descriptor takes more
	later    bool // the node takes no events now: try again soon
	broken   bool // nobody reads: what comes is dropped
	oweReset bool
	errno    unix.Errno // with broken: why; 0: nobody reads
}

type fdKind uint8

const (
	kindStream fdKind = iota // pipe, terminal: may block
	kindSocket
	kindPlain // file, /dev/null: never blocks, and epoll does not take it
)

// pipeRoom is what a pipe or terminal that poll calls writable takes without blocking.
const pipeRoom = 4096

func newConsole(l *link, epfd int, stdio [3]int, emit func(uint8, []byte) bool) *console {
	c := &console{link: l, epfd: epfd, emit: emit}
	c.in = source{fd: stdio[0], credit: abi.ConnWindow, kind: c.add(stdio[0], abi.ConnStdin)}
	c.in.ready = c.in.kind == kindPlain
	c.in.oweEOF = stdio[0] < 0
	c.tty = findTerminal(stdio)
	for i := range c.out {
		id := uint32(abi.ConnStdout + i)
		c.out[i] = sink{id: id, fd: stdio[1+i], window: abi.ConnWindow, kind: c.add(stdio[1+i], id)}
	}
	return c
}

// add puts a descriptor into the epoll set, with nothing armed.
func (c *console) add(fd int, id uint32) fdKind {
	if fd < 0 {
		return kindPlain
	}
	ev := unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(id)}
	if unix.EpollCtl(c.epfd, unix.EPOLL_CTL_ADD, fd, &ev) != nil {
		return kindPlain
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return kindSocket
	}
	return kindStream
}

func (c *console) arm(fd int, id, events uint32) {
	ev := unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(id)}
	_ = unix.EpollCtl(c.epfd, unix.EPOLL_CTL_MOD, fd, &ev)
}

// event is what epoll says of one of the three.
func (c *console) event(id uint32) {
	if id == abi.ConnStdin {
		c.in.armed, c.in.ready = false, true
		return
	}
	c.out[id-abi.ConnStdout].waiting = false
}

// sink is the output stream that a message names.
func (c *console) sink(id uint32) (*sink, error) {
	if id != abi.ConnStdout && id != abi.ConnStderr {
		return nil, violated("data on console stream %d", id)
	}
	return &c.out[id-abi.ConnStdout], nil
}

// data takes console output of the guest, for which it has used up cost bytes of credit, not less than there are.
func (c *console) data(id uint32, p []byte, cost uint32) error {
	s, err := c.sink(id)
	if err != nil {
		return err
	}
	if cost > s.window {
		return violated("%d bytes on console stream %d with credit for %d", cost, id, s.window)
	}
	s.window -= cost
	if s.broken {
		s.owed += cost
		return nil
	}
	s.extra += cost - uint32(len(p))
	s.pending = grow(s.pending, p)
	return nil
}

// grant is more input that the guest takes.
func (c *console) grant(id, n uint32) error {
	if id != abi.ConnStdin || uint64(c.in.credit)+uint64(n) > maxCredit {
		return violated("credit of %d bytes on console stream %d", n, id)
	}
	c.in.credit += n
	return nil
}

// closeIn is the guest's word that it reads no more input.
func (c *console) closeIn() {
	c.in.fd, c.in.oweEOF = -1, false
}

// service moves what can be moved. It is called whenever anything may have changed and is cheap when nothing has.
func (c *console) service() error {
	for i := range c.out {
		if err := c.write(&c.out[i]); err != nil {
			return err
		}
	}
	if err := c.tty.service(c.link, c.idle()); err != nil {
		return err
	}
	return c.read()
}

// idle reports whether all output has left.
func (c *console) idle() bool { return len(c.out[0].pending) == 0 && len(c.out[1].pending) == 0 }

// retrySoon reports whether output waits for the node to take events, of which nobody tells.
func (c *console) retrySoon() bool { return c.out[0].later || c.out[1].later }

func (c *console) write(s *sink) error {
	s.later = false
	for len(s.pending) > 0 && !s.waiting {
		n, wait := c.writeOnce(s)
		if wait {
			break
		}
		old := min(n, s.stale)
		s.stale -= old
		s.owed += uint32(n - old)
		clear(s.pending[:n]) // nothing of a request stays behind a rewind
		s.pending = s.pending[n:]
	}
	if len(s.pending) == 0 {
		s.pending = nil
		s.owed += s.extra
		s.extra = 0
	}
	if s.oweReset {
		ok, err := c.put(abi.MsgReset, s.id, uint32(s.errno), nil)
		if err != nil {
			return err
		}
		s.oweReset = !ok
	}
	if s.owed >= grantAt {
		ok, err := c.put(abi.MsgCredit, s.id, s.owed, nil)
		if err != nil {
			return err
		}
		if ok {
			s.window += s.owed
			s.owed = 0
		}
	}
	return nil
}

// writeOnce writes some of what is pending; wait: not now.
func (c *console) writeOnce(s *sink) (n int, wait bool) {
	if s.fd < 0 {
		p := s.pending[:min(len(s.pending), wire.MaxOutput)]
		if !c.emit(uint8(s.id), p) {
			s.later = true
			return 0, true
		}
		return len(p), false
	}
	var err error
	switch s.kind {
	case kindSocket:
		var e unix.Errno
		if n, e = writeNow(s.fd, s.pending); e != 0 {
			err = e
		}
	case kindStream:
		if !ready(s.fd, unix.POLLOUT) {
			err = unix.EAGAIN
			break
		}
		n, err = unix.Write(s.fd, s.pending[:min(len(s.pending), pipeRoom)])
	default:
		n, err = unix.Write(s.fd, s.pending)
	}
	switch err {
	case nil:
		return n, false
	case unix.EINTR:
		return 0, false
	case unix.EAGAIN:
		s.waiting = true
		c.arm(s.fd, s.id, unix.EPOLLOUT)
		return 0, true
	}
	// Nobody reads any more, or the disk is full: the program finds its stream broken.
	s.broken, s.oweReset = true, true
	if err != unix.EPIPE && err != unix.ECONNRESET {
		s.errno = errnoOf(err)
	}
	return len(s.pending), false
}

func (c *console) read() error {
	in := &c.in
	for in.fd >= 0 && in.credit > 0 && !in.armed {
		room, err := c.room()
		if err != nil || room == 0 {
			return err
		}
		if !in.ready {
			in.armed = true
			c.arm(in.fd, abi.ConnStdin, unix.EPOLLIN|unix.EPOLLRDHUP)
			break
		}
		// Someone else may have read it in the meantime, and the vCPU thread must not block in read.
		if in.kind == kindStream && !ready(in.fd, unix.POLLIN) {
			in.ready = false
			continue
		}
		n, err := unix.Read(in.fd, c.scratch[:min(room, int(in.credit), len(c.scratch))])
		c.took(n)
		in.ready = in.kind == kindPlain
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil || n <= 0 {
			in.fd, in.oweEOF = -1, true
			if err != nil {
				in.errno = errnoOf(err)
			}
			break
		}
		in.credit -= uint32(n)
		if ok, err := c.put(abi.MsgData, abi.ConnStdin, 0, c.scratch[:n]); err != nil || !ok {
			return violated("rx ring shrank")
		}
	}
	if in.oweEOF {
		ok, err := c.put(abi.MsgEOF, abi.ConnStdin, uint32(in.errno), nil)
		if err != nil {
			return err
		}
		in.oweEOF = !ok
	}
	return nil
}

// lost is why standard output and error did not take all that the program wrote; 0: they did, or nobody wanted it.
func (c *console) lost() [2]uint16 { return [2]uint16{uint16(c.out[0].errno), uint16(c.out[1].errno)} }

func errnoOf(err error) unix.Errno {
	var e unix.Errno
	if !errors.As(err, &e) || e == 0 {
		return unix.EIO
	}
	return e
}
