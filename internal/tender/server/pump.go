// SPDX-License-Identifier: Apache-2.0

package server

import (
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// event is what epoll says of a stream's socket.
func (t *table) event(id, events uint32) error {
	s := t.streams[id]
	if s == nil {
		return nil
	}
	if s.out != nil && s.out.udp {
		t.dgramEvent(s, events)
		return nil
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.readable = true
		s.hup = s.hup || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
		t.wantRead(s)
	}
	if events&unix.EPOLLHUP != 0 && s.job != nil {
		return t.reset(s, unix.ECONNRESET) // nobody waits for the program any more
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && s.blocked {
		t.unblock(s)
		t.wantFlush(s)
	}
	return nil
}

func (t *table) wantRead(s *stream) {
	if s.readable && s.credit > 0 && !s.inReady && !s.ended && !s.gone {
		s.inReady = true
		t.ready = append(t.ready, s)
	}
}

func (t *table) wantFlush(s *stream) {
	if !s.inFlush && !s.blocked && !s.gone {
		s.inFlush = true
		t.flush = append(t.flush, s)
	}
}

// data takes bytes of the guest for a stream; flushAll writes them, many messages in one call.
func (t *table) data(s *stream, p []byte) error {
	if s.out != nil {
		t.sends(s)
	}
	if s.out != nil && s.out.udp {
		return t.sendDgram(s, p)
	}
	if s.guestEnd {
		return violated("data after the end of stream %d", s.id)
	}
	if uint32(len(p)) > s.window {
		return violated("%d bytes on stream %d with credit for %d", len(p), s.id, s.window)
	}
	s.window -= uint32(len(p))
	if s.pending == nil {
		if n := len(t.spare); n > 0 {
			s.pending, t.spare = t.spare[n-1], t.spare[:n-1]
			t.clean = min(t.clean, n-1)
		} else if t.forget {
			s.pending = make([]byte, 0, abi.ConnWindow) // never moves: what is left behind could not be cleared
		}
	}
	s.pending = grow(s.pending, p)
	t.wantFlush(s)
	return nil
}

// credit is more room that the guest made.
func (t *table) grant(s *stream, n uint32) error {
	if uint64(s.credit)+uint64(n) > maxCredit {
		return violated("credit of %d more bytes on stream %d", n, s.id)
	}
	s.credit += n
	t.wantRead(s)
	return nil
}

// eof is the guest's end of a stream.
func (t *table) eof(s *stream) error {
	if s.guestEnd {
		return violated("second end of stream %d", s.id)
	}
	s.guestEnd = true
	t.wantFlush(s)
	return nil
}

// guestReset is the guest's RESET. What it had written before still goes out if the socket takes it.
func (t *table) guestReset(s *stream) error {
	s.silent = true
	if err := t.write(s); err != nil {
		return err
	}
	t.remove(s)
	return nil
}

// write moves pending bytes to the socket, then the guest's end.
func (t *table) write(s *stream) error {
	for !s.gone && len(s.pending) > 0 {
		n, e := writeNow(s.fd, s.pending)
		switch e {
		case 0:
			s.owed += uint32(n)
			if n == len(s.pending) {
				t.release(s)
				break
			}
			s.pending = shift(s.pending, n)
		case unix.EINTR:
		case unix.EAGAIN:
			t.block(s)
			return t.settle(s)
		default:
			if s.out != nil && !s.silent {
				return t.broken(s, e)
			}
			return t.reset(s, e)
		}
	}
	if s.job != nil && s.job.over {
		t.remove(s)
		return nil
	}
	if s.guestEnd && !s.shut && !s.gone {
		s.shut = true
		// Fails if the other side has closed: then its end is read, or was.
		_ = unix.Shutdown(s.fd, unix.SHUT_WR)
	}
	return t.settle(s)
}

// block waits for room in the socket. EPOLLOUT is asked for only then: a stream socket reports it each time its reader
// takes something, which would wake the vCPU thread after every response.
func (t *table) block(s *stream) {
	s.blocked = true
	t.interest(s, unix.EPOLLOUT)
}

func (t *table) unblock(s *stream) {
	s.blocked = false
	t.interest(s, 0)
}

func (t *table) interest(s *stream, more uint32) {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff | more, Fd: int32(s.id)}
	_ = unix.EpollCtl(t.epfd, unix.EPOLL_CTL_MOD, s.fd, &ev)
}

// flushAll writes what the guest sent.
func (t *table) flushAll() error {
	for i := 0; i < len(t.flush); i++ {
		s := t.flush[i]
		s.inFlush = false
		if s.gone || s.blocked {
			continue
		}
		if err := t.write(s); err != nil {
			return err
		}
	}
	clear(t.flush)
	t.flush = t.flush[:0]
	return nil
}

// settleAll retries messages that found no room.
func (t *table) settleAll() error {
	list := t.owing
	t.owing = nil
	for _, s := range list {
		s.inOwing = false
		if err := t.settle(s); err != nil {
			return err
		}
	}
	return nil
}

// readAll moves bytes from the sockets to the guest, each stream one buffer at a time, until sockets, credit or ring are
// used up. moved reports whether anything was read.
func (t *table) readAll() (moved bool, err error) {
	list := t.ready
	t.ready = nil
	for i := 0; i < len(list); i++ {
		s := list[i]
		if s.gone || s.ended || !s.readable || s.credit == 0 || s.oweOpen {
			// A stream whose OPEN waits for room is taken up again when that was sent.
			s.inReady = s.oweOpen && !s.gone
			if s.inReady {
				t.ready = append(t.ready, s)
			}
			continue
		}
		if s.out != nil && s.out.udp {
			m, full, err := t.readDgrams(s)
			moved = moved || m
			if err != nil {
				return moved, err
			}
			if full {
				t.ready = append(t.ready, list[i:]...)
				return moved, nil
			}
			// Short of credit: grant takes it up again. Otherwise it had its turn.
			if s.inReady = false; s.credit >= grantAt {
				t.wantRead(s)
			}
			continue
		}
		room, err := t.room()
		if err != nil {
			return moved, err
		}
		if room == 0 {
			t.ready = append(t.ready, list[i:]...)
			return moved, nil
		}
		again, err := t.read(s, min(room, int(s.credit), len(t.scratch)))
		if err != nil {
			return moved, err
		}
		moved = true
		if again {
			list = append(list, s)
		} else {
			s.inReady = false
		}
	}
	return moved, nil
}

// read does one read; again reports whether more may follow at once.
func (t *table) read(s *stream, limit int) (again bool, err error) {
	n, e := readNow(s.fd, t.scratch[:limit])
	t.took(n)
	switch {
	case e == unix.EINTR:
		return true, nil
	case e == unix.EAGAIN:
		s.readable = false
		return false, nil
	case e != 0:
		return false, t.reset(s, e)
	case n == 0:
		s.readable, s.ended, s.oweEOF = false, true, true
		if s.out != nil {
			t.uses(s, 0)
		}
		return false, t.settle(s)
	}
	if s.out != nil {
		t.uses(s, dripWait)
	}
	ok, err := t.put(abi.MsgData, s.id, 0, t.scratch[:n])
	if err != nil {
		return false, err
	}
	if !ok {
		// room said that it fits, and only this side fills the ring.
		return false, violated("rx ring shrank")
	}
	if t.forget {
		t.scrub()
	}
	s.credit -= uint32(n)
	// A short read of a stream socket means that it is empty, and edge-triggered epoll tells of more.
	if n < limit && !s.hup {
		s.readable = false
	}
	return s.readable && s.credit > 0, nil
}
