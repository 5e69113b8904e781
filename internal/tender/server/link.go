// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/queue"
)

// violation is what a guest did that no honest library OS does. Its instance has to end.
type violation struct{ what string }

func (v *violation) Error() string { return "guest broke the queue protocol: " + v.what }

func violated(format string, args ...any) error { return &violation{fmt.Sprintf(format, args...)} }

// isViolation reports whether an error is the guest's doing rather than the host's.
func isViolation(err error) bool {
	var v *violation
	var c *queue.CorruptError
	return errors.As(err, &v) || errors.As(err, &c)
}

// link is the pair of rings of one instance as its streams and its console use it.
type link struct {
	area *guestmem.Area
	rx   *queue.Rx
	tx   *queue.Tx

	shut    bool // nothing can be put: the guest's state is about to be another one
	pushed  bool // something was put since whoever cares looked last
	full    bool // a message found no room: the guest was asked for a doorbell
	buf     [abi.MsgMax]byte
	scratch [abi.MsgMax]byte
	bufUsed int // of buf, since it was wiped
	used    int // of scratch
	zeros   [2][256]byte
}

func newLink(area *guestmem.Area) *link {
	return &link{area: area, rx: queue.NewRx(area), tx: queue.NewTx(area)}
}

// put sends one message to the guest; false if there is no room now.
func (l *link) put(typ uint16, conn, arg uint32, payload []byte) (bool, error) {
	if l.shut {
		return false, nil
	}
	ok, err := l.rx.Put(typ, conn, arg, payload)
	if err != nil {
		return false, err
	}
	if !ok {
		if l.full {
			return false, nil
		}
		l.full = true
		l.rx.WantRoom(true)
		// The guest may have made room before it saw the wish.
		if ok, err = l.rx.Put(typ, conn, arg, payload); err != nil || !ok {
			return false, err
		}
	}
	l.pushed = true
	return true, nil
}

// took notes that something has used scratch up to n.
func (l *link) took(n int) { l.used = max(l.used, n) }

// wipe clears what has passed through the buffers.
func (l *link) wipe() {
	clear(l.buf[:l.bufUsed])
	clear(l.scratch[:l.used])
	l.bufUsed, l.used = 0, 0
}

// scrub takes what was copied last out of the vector registers, by copying as much as goes through all of them.
func (l *link) scrub() { copy(l.zeros[1][:], l.zeros[0][:]) }

// room is the payload that a put would take now, 0 if none.
func (l *link) room() (int, error) {
	if l.shut {
		return 0, nil
	}
	n, err := l.rx.Room()
	if err != nil {
		return 0, err
	}
	if n <= 0 && !l.full {
		l.full = true
		l.rx.WantRoom(true)
		n, err = l.rx.Room()
	}
	return max(n, 0), err
}

// wantRoom asks for a doorbell when there is room for more than there is now.
func (l *link) wantRoom() {
	if !l.full {
		l.full = true
		l.rx.WantRoom(true)
	}
}

// retry forgets that the ring was full, so that the next put tries again.
func (l *link) retry() {
	if l.full {
		l.full = false
		l.rx.WantRoom(false)
	}
}
