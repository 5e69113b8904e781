// SPDX-License-Identifier: Apache-2.0

package server

import (
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// Limits of one instance.
const (
	maxStreams = 4096
	maxPorts   = 256     // ports listened on at once
	maxCredit  = 1 << 30 // more than this the guest cannot mean
	grantAt    = abi.ConnWindow / 2
)

// stream is one TCP connection of the guest: a socket on this side, messages on the other.
//
// It ends when both directions have ended, or with a RESET from either side. Nothing in it grows: what waits to be
// written is bounded by the window that the guest was granted, and what the guest has not taken yet stays in the socket.
type stream struct {
	id   uint32
	port uint16
	fd   int       // -1: not connected
	out  *outbound // nil: inbound
	job  *job      // nil: a connection

	// socket -> guest
	credit   uint32 // bytes the guest still takes
	readable bool   // a read may return something
	hup      bool   // the end follows what is readable
	ended    bool   // the end was read
	inReady  bool   // on table.ready

	// guest -> socket
	window   uint32 // bytes the guest may still send
	owed     uint32 // bytes written to the socket and not yet granted anew
	pending  []byte // bytes not yet written
	blocked  bool   // the socket was full: waiting for EPOLLOUT
	guestEnd bool   // the guest sent EOF
	shut     bool   // and the socket was told
	inFlush  bool   // on table.flush

	// messages that wait for room in the rx ring, sent in this order
	oweOpen  bool
	oweEOF   bool
	oweReset bool
	inOwing  bool // on table.owing
	gone     bool // no longer in the table
	silent   bool // the guest has reset it and wants to hear no more
}

// table holds the streams of one instance. The instance's mutex guards it.
type table struct {
	*link
	clock    clock
	epfd     int
	streams  map[uint32]*stream
	next     uint32 // id of the next stream
	wrapped  bool   // ids began anew: any unknown one may be an old one
	opened   uint64 // streams ever, outbound ones aside
	outbound bool   // the guest has asked for one
	forget   bool   // what streams brought is cleared one day, wherever it was
	held     bool   // new streams wait until the snapshot was taken
	away     bool   // or until the state is put back: they may be in it

	ahead         *stream // accepted, and nobody's yet, see ahead.go; nil: there is none
	aheadAccepted bool

	net *dialer // nil: there is no network

	listening map[uint16]bool
	waiting   map[uint16][]int // sockets for ports that nobody listens on yet
	nwaiting  int
	jobs      []waitingJob

	ready []*stream // may have something to read, and the guest has credit
	flush []*stream // have something to write, and their socket may take it
	owing []*stream // have a message that waits for room in the rx ring
	spare [][]byte  // buffers for pending
	clean int       // so many of them, the first, are wiped
}

func newTable(l *link, epfd int) *table {
	return &table{link: l, epfd: epfd, streams: map[uint32]*stream{}, next: abi.ConnFirst,
		listening: map[uint16]bool{}, waiting: map[uint16][]int{}}
}

// dial takes over a socket. It waits for the port if nothing listens there yet.
func (t *table) dial(port uint16, fd int) error {
	if len(t.streams)+t.nwaiting >= maxStreams {
		t.sweep()
	}
	if len(t.streams)+t.nwaiting >= maxStreams {
		unix.Close(fd)
		return nil
	}
	if !t.listening[port] || t.held || t.away {
		t.waiting[port] = append(t.waiting[port], fd)
		t.nwaiting++
		return nil
	}
	return t.open(port, fd, nil)
}

// newStream is one on which nothing was said; it has no socket.
func newStream(id uint32, port uint16) *stream {
	return &stream{id: id, port: port, fd: -1, credit: abi.ConnWindow, window: abi.ConnWindow}
}

// attach gives a stream its socket; one that cannot be had is closed.
func (t *table) attach(s *stream, fd int) bool {
	// Edge-triggered: readiness is remembered in the stream, so that a guest without credit costs no wake-ups.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(s.id)}
	if unix.SetNonblock(fd, true) != nil || unix.EpollCtl(t.epfd, unix.EPOLL_CTL_ADD, fd, &ev) != nil {
		unix.Close(fd)
		return false
	}
	// The first request is usually there already: read it with the OPEN rather than after a wait.
	s.fd, s.readable = fd, true
	t.opened++
	return true
}

func (t *table) open(port uint16, fd int, j *job) error {
	if j == nil && t.ahead != nil && t.ahead.port == port {
		t.bindAhead(fd)
		return nil
	}
	s := newStream(t.newID(), port)
	if !t.attach(s, fd) {
		return nil
	}
	s.job, s.oweOpen = j, true
	t.streams[s.id] = s
	if err := t.settle(s); err != nil {
		return err
	}
	t.wantRead(s)
	return nil
}

// sweep drops waiting sockets whose other end has given up.
func (t *table) sweep() {
	for port, fds := range t.waiting {
		kept := fds[:0]
		for _, fd := range fds {
			if ready(fd, unix.POLLHUP) {
				unix.Close(fd)
				t.nwaiting--
			} else {
				kept = append(kept, fd)
			}
		}
		t.waiting[port] = kept
	}
}

func (t *table) newID() uint32 {
	for {
		id := t.next
		t.next++
		if t.next == abi.ConnGuest {
			t.next, t.wrapped = abi.ConnFirst, true
		}
		if t.streams[id] == nil {
			return id
		}
	}
}

// listen and unlisten follow what the program does.
func (t *table) listen(port uint16) error {
	if !t.listening[port] && len(t.listening) >= maxPorts {
		return violated("listens on more than %d ports", maxPorts)
	}
	t.listening[port] = true
	if t.held || t.away {
		return nil
	}
	if port == spawnPort {
		return t.startJobs()
	}
	fds := t.waiting[port]
	delete(t.waiting, port)
	t.nwaiting -= len(fds)
	for i, fd := range fds {
		if err := t.open(port, fd, nil); err != nil {
			for _, rest := range fds[i+1:] {
				unix.Close(rest)
			}
			return err
		}
	}
	return nil
}

func (t *table) unlisten(port uint16) { delete(t.listening, port) }

// lookup finds the stream that a guest's message names. nil without error: a stream that ended on this side while the
// message was on its way.
func (t *table) lookup(id uint32) (*stream, error) {
	if s := t.streams[id]; s != nil {
		return s, nil
	}
	if id&abi.ConnGuest != 0 && t.outbound {
		return nil, nil
	}
	if id < abi.ConnFirst || (id >= t.next && !t.wrapped) {
		return nil, violated("message for stream %d, which never was", id)
	}
	return nil, nil
}

// remove forgets a stream and closes its socket.
func (t *table) remove(s *stream) {
	if s.gone {
		return
	}
	s.gone = true
	if s == t.ahead {
		t.ahead = nil
	}
	t.release(s)
	closeFD(s.fd) // leaves the epoll set by itself
	delete(t.streams, s.id)
	if s.out != nil {
		t.abandon(s)
	}
}

// release gives the buffer of pending back.
func (t *table) release(s *stream) {
	switch {
	case s.pending == nil:
	case len(t.spare) < 8:
		t.spare = append(t.spare, s.pending[:0])
	case t.forget:
		clear(s.pending[:cap(s.pending)])
	}
	s.pending = nil
}

// reset ends a stream from this side. e is why, for the guest if it has asked for the stream.
func (t *table) reset(s *stream, e unix.Errno) error {
	if s.gone {
		return nil
	}
	if s.out != nil {
		s.out.errno = e
	}
	s.oweReset = true
	unheard := s.oweOpen || s.silent
	t.remove(s)
	if unheard {
		s.oweOpen, s.oweReset = false, false
		return nil
	}
	return t.settle(s)
}

// settle sends the messages that a stream owes the guest; what finds no room is tried again by service.
func (t *table) settle(s *stream) error {
	for !s.silent {
		var typ uint16
		var arg uint32
		var payload []byte
		var flag *bool
		switch {
		case s.oweOpen && s.out != nil:
			typ, arg, flag = abi.MsgConnected, uint32(s.out.errno), &s.oweOpen
		case s.oweOpen && s.job != nil:
			typ, payload, flag = abi.MsgSpawn, s.job.env, &s.oweOpen
		case s.oweOpen:
			typ, arg, flag = abi.MsgOpen, uint32(s.port), &s.oweOpen
		case s.oweReset:
			typ, flag = abi.MsgReset, &s.oweReset
			if s.out != nil {
				arg = uint32(s.out.errno)
			}
		case s.gone:
			return nil
		case s.out != nil && s.out.fault != 0:
			typ, arg = abi.MsgError, uint32(s.out.fault)
		case s.oweEOF:
			typ, flag = abi.MsgEOF, &s.oweEOF
		case (s.owed >= grantAt || s.owed > 0 && s.out != nil && s.out.udp) && !s.guestEnd:
			typ, arg = abi.MsgCredit, s.owed
		default:
			if s.ended && s.shut {
				t.remove(s)
			}
			return nil
		}
		ok, err := t.put(typ, s.id, arg, payload)
		if err != nil {
			return err
		}
		if !ok {
			if !s.inOwing {
				s.inOwing = true
				t.owing = append(t.owing, s)
			}
			return nil
		}
		switch {
		case typ == abi.MsgConnected:
			s.oweOpen = false
			if s.out.errno != 0 {
				t.remove(s)
				return nil
			}
			s.out.open = true
			if !s.out.udp {
				t.uses(s, freshWait)
			}
		case typ == abi.MsgError:
			s.out.fault = 0
		case flag != nil:
			*flag = false
			if typ == abi.MsgSpawn && t.forget {
				clear(s.job.env)
			}
		default:
			s.window += s.owed
			s.owed = 0
		}
	}
	return nil
}

// closeAll is the end of the instance.
func (t *table) closeAll() {
	t.net = nil // nothing is said after the instance's end
	for _, s := range t.streams {
		t.remove(s)
	}
	t.closeWaiting()
	t.ready, t.flush, t.owing = nil, nil, nil
}

func (t *table) closeWaiting() {
	for _, fds := range t.waiting {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	t.waiting, t.nwaiting = map[uint16][]int{}, 0
	for _, j := range t.jobs {
		unix.Close(j.fd)
	}
	t.jobs = nil
}
