// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

const (
	maxEvents = 64
	forever   = time.Duration(-1)
	// retryOutput is when console output is offered to a busy node again.
	retryOutput = 5 * time.Millisecond
	// stubborn is how often a guest may ring IDLE with data waiting and not take any before it is slowed down.
	stubborn = 16
)

// idle waits, with the mutex released while in epoll, until there is a reason to enter the guest again.
// Preconditions: in.mu is held, the guest is not running.
func (in *instance) idle() {
	in.takeSnapshot()
	for !in.ended && in.rewinds == 0 {
		if in.table.tx.GuestWaits() {
			return // the ring was emptied just now
		}
		empty, err := in.link.rx.Empty()
		if err != nil {
			in.fail(err)
			return
		}
		if !empty {
			in.throttle()
			return
		}
		in.stubbornness = 0
		if in.parking != nil {
			if in.parkNow(); in.ended {
				return
			}
		}
		wait := forever
		if timer, ok := in.nextTimer(); ok {
			now := in.host.clock.now()
			if timer <= now {
				return
			}
			wait = time.Duration(timer - now)
		}
		rest, err := in.rest()
		if err != nil {
			in.fail(err)
			return
		}
		if rest >= 0 && (wait < 0 || wait > rest) {
			wait = rest
		}
		if due := in.captureIn(); due >= 0 && (wait < 0 || wait > due) {
			wait = due
		}
		if in.console.retrySoon() && (wait < 0 || wait > retryOutput) {
			wait = retryOutput
		}
		if err := in.look(wait); err != nil {
			in.fail(err)
			return
		}
		if _, err := in.push(); err != nil {
			in.fail(err)
			return
		}
		in.takeSnapshot()
	}
}

// throttle slows down a guest that says it is idle and leaves what it was given.
func (in *instance) throttle() {
	tail := in.link.area.Load64(abi.CtlRxTail)
	if tail != in.lastTail {
		in.lastTail, in.stubbornness = tail, 0
		return
	}
	if in.stubbornness++; in.stubbornness > stubborn {
		in.mu.Unlock()
		time.Sleep(time.Millisecond)
		in.mu.Lock()
	}
}

// look asks epoll what has come and takes note. With a wait other than zero the mutex is released meanwhile.
// Preconditions: in.mu is held.
func (in *instance) look(wait time.Duration) error {
	events := &in.events
	if wait != 0 {
		in.sleeping = true
		in.mu.Unlock()
	}
	n, e := epollWait(in.epfd, events[:], wait)
	if wait != 0 {
		in.mu.Lock()
		in.sleeping = false
	}
	if e == unix.EINTR {
		return nil
	}
	if e != 0 {
		return e
	}
	for i := range n {
		switch id := uint32(events[i].Fd); {
		case id == wakeID:
			var b [8]byte
			_, _ = unix.Read(in.evfd, b[:])
		case id < wakeID:
			in.console.event(id)
		default:
			if err := in.table.event(id, events[i].Events); err != nil {
				return err
			}
		}
	}
	return nil
}

// wake makes the vCPU thread look again, wherever it is. Preconditions: in.mu is held.
func (in *instance) wake() {
	if in.sleeping {
		in.wakeSleeper()
	} else if in.running.Load() && in.link.pushed {
		in.preempts++
		in.sb.Preempt()
	}
}

func (in *instance) wakeSleeper() {
	if in.sleeping {
		one := [8]byte{1}
		_, _ = unix.Write(in.evfd, one[:])
	}
}
