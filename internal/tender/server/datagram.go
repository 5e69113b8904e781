// SPDX-License-Identifier: Apache-2.0

package server

import (
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// Streams of datagrams: one DATA is one datagram, and none is kept on this side. What the guest has no credit for stays in the
// socket, where the kernel drops what is too much.

// dgramEvent is event for a stream of datagrams.
func (t *table) dgramEvent(s *stream, events uint32) {
	s.out.ended = s.out.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0
	if events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		s.readable = true
		t.wantRead(s)
	}
}

// sendDgram sends one datagram. One that the socket has no room for is lost, as in any network.
func (t *table) sendDgram(s *stream, p []byte) error {
	if len(p) > abi.DgramMax {
		return violated("datagram of %d bytes on stream %d", len(p), s.id)
	}
	if uint32(len(p)) > s.window {
		return violated("%d bytes on stream %d with credit for %d", len(p), s.id, s.window)
	}
	s.window -= uint32(len(p))
	s.owed += uint32(len(p))
	t.wantFlush(s) // which grants them anew
	// An error may belong to a datagram before this one, which is then sent at the second attempt.
	for range 2 {
		e := sendNow(s.fd, p)
		if e == 0 || e == unix.EAGAIN {
			break
		}
		if lost(e) {
			return t.reset(s, e)
		}
		s.out.fault = e
	}
	return nil
}

// lost tells the errors of a socket that is no more from those that a datagram met.
func lost(e unix.Errno) bool {
	switch e {
	case unix.EPIPE, unix.ECONNRESET, unix.ENOTCONN, unix.EBADF, unix.ENOTSOCK:
		return true
	}
	return false
}

// dgramsAtOnce bounds one turn of a stream, which others share the thread with.
const dgramsAtOnce = 256

// readDgrams moves datagrams to the guest. full: the ring has no room for the next one.
func (t *table) readDgrams(s *stream) (moved, full bool, err error) {
	for n := 0; n < dgramsAtOnce && !s.gone && s.readable && s.credit > 0; n++ {
		room, err := t.room()
		if err != nil {
			return moved, false, err
		}
		if room == 0 {
			return moved, true, nil
		}
		limit := min(room, int(s.credit), len(t.scratch))
		var n int
		var e unix.Errno
		large := false // for all the credit that the guest gives: lost
		if limit < abi.DgramMax {
			n, e = nextDgram(s.fd)
			switch {
			case e != 0:
			case n > room:
				t.wantRoom()
				if room, err = t.room(); err != nil || n > room {
					return moved, true, err
				}
				continue
			case n > int(s.credit) && s.credit < grantAt:
				return moved, false, nil // until it grants more
			default:
				large = n > limit
			}
		}
		if e == 0 {
			n, e = readNow(s.fd, t.scratch[:limit])
			t.took(n)
		}
		switch {
		case e == unix.EAGAIN:
			s.readable = false
			return moved, false, nil
		case e == unix.EINTR:
			continue
		case e != 0 && lost(e), n == 0 && e == 0 && s.out.ended:
			return true, false, t.reset(s, e)
		case e != 0:
			s.out.fault = e
			if err := t.settle(s); err != nil {
				return moved, false, err
			}
			continue
		}
		moved = true
		if large {
			continue
		}
		if ok, err := t.put(abi.MsgData, s.id, 0, t.scratch[:n]); err != nil || !ok {
			if err == nil {
				err = violated("rx ring shrank")
			}
			return moved, false, err
		}
		s.credit -= uint32(n)
		t.uses(s, 0)
	}
	return moved, false, nil
}
