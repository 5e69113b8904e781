// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/tender/wire"
)

// maxAsked bounds the connections that the node works on for one instance; further ones wait here.
const maxAsked = wire.MaxAsked

// outbound is what a stream has more that the guest asked for.
type outbound struct {
	udp   bool
	open  bool // the guest was told that it is connected
	asked bool // the node is at it
	token uint32
	to    wire.Connect
	errno unix.Errno // why it cannot be had, or why it ended
	fault unix.Errno // of a datagram, for the guest
	ended bool       // udp: the other side of the socket is gone
	until int64      // when it is no longer in use, see awaited.go
}

// dialer asks the node for the connections of one instance. The instance's mutex guards it.
type dialer struct {
	offer func(wire.Message) bool // false: the node is behind
	tell  func(wire.Message)
	id    uint32 // of the instance
	token uint32
	asked map[uint32]*stream // by token, until the answer; nil once nobody waits for it any more
	queue []*stream          // to be asked for
}

// connect is the guest's CONNECT. Refusals are answered like any other failure, when the ring has room: until then they
// count as streams.
func (t *table) connect(id, proto uint32, payload []byte) error {
	family := binary.LittleEndian.Uint16(payload)
	scope := binary.LittleEndian.Uint32(payload[4:])
	to := wire.Connect{UDP: proto == abi.ProtoUDP, IPv6: family == 6, Port: binary.LittleEndian.Uint16(payload[2:]), Addr: [16]byte(payload[8:24])}
	switch {
	case id&abi.ConnGuest == 0:
		return violated("connects as stream %d, an id of the monitor", id)
	case t.streams[id] != nil:
		return violated("connects as stream %d, which is in use", id)
	case proto != abi.ProtoTCP && proto != abi.ProtoUDP:
		return violated("connects by protocol %d", proto)
	case family != 4 && family != 6, scope != 0, family == 4 && [12]byte(to.Addr[4:]) != [12]byte{}:
		return violated("connects to an address of family %d, scope %d", family, scope)
	case len(t.streams) >= 2*maxStreams || len(t.owing) >= 4*maxStreams:
		return violated("connects and does not read the answers")
	}
	s := &stream{id: id, fd: -1, credit: abi.ConnWindow, window: abi.ConnWindow, out: &outbound{udp: to.UDP, to: to}}
	room := len(t.streams)+t.nwaiting < maxStreams
	t.streams[id] = s
	t.outbound = true
	switch {
	case t.net == nil:
		return t.answer(s, unix.ENETUNREACH)
	case !room:
		return t.answer(s, unix.ENOBUFS)
	}
	t.net.queue = append(t.net.queue, s)
	return t.ask()
}

// ask passes requests on to the node as far as its bound goes.
func (t *table) ask() error {
	n := t.net
	for len(n.queue) > 0 && len(n.asked) < maxAsked {
		s := n.queue[0]
		n.queue = n.queue[1:]
		if s.gone {
			continue
		}
		for n.token++; n.taken(n.token); n.token++ {
		}
		m := s.out.to
		m.Instance, m.Token = n.id, n.token
		if !n.offer(&m) {
			if err := t.answer(s, unix.ENOBUFS); err != nil {
				return err
			}
			continue
		}
		s.out.token, s.out.asked = n.token, true
		n.asked[n.token] = s
	}
	if len(n.queue) == 0 {
		n.queue = nil
	} else if len(n.queue) > 2*maxStreams { // most of them given up
		kept := make([]*stream, 0, maxStreams)
		for _, s := range n.queue {
			if !s.gone {
				kept = append(kept, s)
			}
		}
		n.queue = kept
	}
	return nil
}

func (n *dialer) taken(token uint32) bool {
	_, ok := n.asked[token]
	return ok
}

// answer tells the guest how its CONNECT went. The stream is gone if it went wrong.
func (t *table) answer(s *stream, e unix.Errno) error {
	s.out.errno = e
	s.oweOpen = true
	return t.settle(s)
}

// connected is the node's answer. It owns the descriptor, -1 if there is none.
func (t *table) connected(token uint32, e unix.Errno, fd int) error {
	n := t.net
	if n == nil || !n.taken(token) {
		closeFD(fd)
		return nil
	}
	s := n.asked[token]
	delete(n.asked, token)
	if s == nil {
		closeFD(fd)
		return t.ask()
	}
	s.out.asked = false
	if e == 0 {
		e = t.adopt(s, fd)
	}
	if err := t.answer(s, e); err != nil {
		return err
	}
	return t.ask()
}

// adopt makes fd the stream's socket.
func (t *table) adopt(s *stream, fd int) unix.Errno {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff)
	ev := unix.EpollEvent{Events: events, Fd: int32(s.id)}
	err := unix.SetNonblock(fd, true)
	if err == nil {
		err = unix.EpollCtl(t.epfd, unix.EPOLL_CTL_ADD, fd, &ev)
	}
	if err != nil {
		unix.Close(fd)
		return unix.ENOBUFS
	}
	s.fd = fd
	return 0
}

// abandon is the end of an outbound stream, connected or not.
func (t *table) abandon(s *stream) {
	if !s.out.asked || t.net == nil {
		return
	}
	s.out.asked = false
	t.net.asked[s.out.token] = nil
	t.net.tell(&wire.Abort{Instance: t.net.id, Token: s.out.token})
}

// broken is a socket that takes no more. What its peer sent before is read first, as Linux delivers it, as far as the guest's
// credit and the ring go.
func (t *table) broken(s *stream, e unix.Errno) error {
	for s.credit > 0 && !s.ended {
		room, err := t.room()
		if err != nil {
			return err
		}
		if room == 0 {
			break
		}
		s.readable = true
		if _, err := t.read(s, min(room, int(s.credit), len(t.scratch))); err != nil {
			return err
		}
		if s.gone || !s.readable && !s.hup {
			break
		}
	}
	return t.reset(s, e)
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}
