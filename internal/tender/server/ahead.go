// SPDX-License-Identifier: Apache-2.0

package server

import (
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
)

// A snapshot has one stream in it that the program has accepted and on which nothing was said: what a program does for a connection before
// the first byte (a thread, buffers, their pages and page tables) is done once for the snapshot, not after each restore and rewind. The
// first stream that is asked for in a restored instance is that one.
//
//	listens, waits ──▶ OPEN ──▶ accepted, waits for its bytes ──▶ snapshot ──▶ restored: id known, no socket ──▶ Dial: its socket
//
// A program that does not accept it, that speaks first or ends it, or that makes connections of its own for it has it reset, and its
// snapshot is taken without.

// openAhead opens that stream if it is time to. wait says that the snapshot is not to be taken now. Preconditions: in.mu is held, capture is
// not nil, the guest is quiescent.
func (in *instance) openAhead() (wait bool, err error) {
	c, t, port := in.capture, in.table, in.host.states.port
	switch {
	case t.ahead == nil && (c.ahead || c.late || in.manual || port == 0 || !t.listening[port]): // who says when means that moment
		return false, nil
	case t.ahead == nil:
		c.ahead, c.outbound = true, len(t.streams)
		s := newStream(t.newID(), port)
		s.oweOpen = true
		t.streams[s.id], t.ahead, t.aheadAccepted = s, s, false
		return true, t.settle(s)
	case len(t.streams)-1 != c.outbound || t.ahead.credit != abi.ConnWindow:
		return true, t.dropAhead()
	}
	return !t.aheadAccepted, nil
}

// dropAhead resets the stream that is nobody's.
func (t *table) dropAhead() error {
	if t.ahead == nil {
		return nil
	}
	return t.reset(t.ahead, unix.ECONNRESET)
}

// unbound is how many of the streams are nobody's.
func (t *table) unbound() int {
	if t.ahead != nil {
		return 1
	}
	return 0
}

// aheadMessage is a message of the guest on that stream: nothing that it does with it is of use to anybody. Preconditions: ahead is not nil.
func (t *table) aheadMessage(typ uint16) error {
	switch typ {
	case abi.MsgAccepted:
		t.aheadAccepted = true
		return nil
	case abi.MsgReset:
		t.ahead.silent = true
		t.remove(t.ahead)
		return nil
	case abi.MsgData, abi.MsgEOF, abi.MsgCredit:
		return t.dropAhead()
	}
	return violated("message of type %d on stream %d", typ, t.ahead.id)
}

// setAhead makes the table know the stream of a state that was put in. Preconditions: there are no other streams.
func (t *table) setAhead(l *snapshot.Link) {
	if l.Ahead == 0 {
		return
	}
	s := newStream(l.Ahead, l.AheadPort)
	t.streams[s.id], t.ahead = s, s
}

// bindAhead gives that stream its socket, and it is like any other.
func (t *table) bindAhead(fd int) {
	if s := t.ahead; t.attach(s, fd) {
		t.ahead = nil
		t.wantRead(s)
	}
}
