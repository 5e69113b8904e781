// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"slices"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/tender/wire"
)

// How long requests are held for the first instance, counted from when its program listens, until it is initialised. Who says so itself
// gets more.
const (
	patience       = 500 * time.Millisecond
	patienceManual = 5 * time.Second
)

// capture is what an instance has whose state the snapshot will be. Its streams wait, so that no request is in it.
type capture struct {
	listens bool
	late    bool // who is held from now on goes on
	served  bool // nobody is held any more: requests may have left their traces
	wait    time.Duration
	timer   *time.Timer

	ahead    bool // a stream was opened that the snapshot is to have, see ahead.go
	outbound int  // streams of the guest at that time
}

// captureListens is the program's first listening socket, where requests come. Preconditions: in.mu is held.
func (in *instance) captureListens() {
	c := in.capture
	if c == nil || c.listens {
		return
	}
	c.listens = true
	c.wait = patience
	if in.manual {
		c.wait = patienceManual
	}
	c.timer = time.AfterFunc(c.wait, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.capture != c || in.ended {
			return
		}
		if in.table.ahead != nil { // the program does not take it: then without
			in.command(in.table.dropAhead())
			c.timer.Reset(c.wait)
			return
		}
		c.late = true
		in.command(in.captureDue())
	})
}

// captureDue lets who has waited for long enough go on, without a snapshot so far. Preconditions: in.mu is held.
func (in *instance) captureDue() error {
	c := in.capture
	if c == nil || !c.late || c.served || in.table.nwaiting+len(in.table.jobs) == 0 {
		return nil
	}
	why := fmt.Errorf("the program was not initialised %v after it began to listen", c.wait)
	if what := in.quiescent(); in.ready && what != "" {
		why = fmt.Errorf("%s %v after the program began to listen", what, c.wait)
	}
	in.host.out.send(&wire.Snapshotted{Error: oneLine(why), Later: true})
	if in.host.states.pristine {
		in.captureGone()
		in.host.states.postpone(in)
	} else {
		c.served = true // what it is when it rests again will do: the instance itself goes on with that, too
	}
	return in.table.unhold()
}

// captureIn is when a state may be taken that cannot be taken now; below 0: something will happen before. Preconditions: in.mu is held.
func (in *instance) captureIn() time.Duration {
	if in.capture == nil || !in.capture.listens || !in.ready || in.quiescent() != awaits {
		return forever
	}
	return in.table.awaited()
}

const awaits = "answers from outside are awaited"

// captureOver ends the search for a snapshot, without one if err is not nil, and lets the streams go on. Preconditions: in.mu is held.
func (in *instance) captureOver(err error) error {
	in.captureGone()
	if err != nil {
		in.host.states.taken(nil)
		in.host.out.send(&wire.Snapshotted{Error: oneLine(err)})
	}
	return in.table.unhold()
}

// captureGone forgets that the instance was to be the snapshot. Preconditions: in.mu is held.
func (in *instance) captureGone() {
	if c := in.capture; c != nil && c.timer != nil {
		c.timer.Stop()
	}
	in.capture = nil
}

// quiescent says what is under way, if anything is: then no state can be taken. The guest is in IDLE. Preconditions: in.mu is held.
func (in *instance) quiescent() string {
	empty, err := in.link.rx.Empty()
	switch {
	case err != nil || !empty || !in.link.tx.Empty() || in.table.tx.GuestWaits() || in.signals != 0:
		return "messages are under way"
	case in.table.inbound() > in.table.unbound():
		return "streams are open"
	case in.table.connecting():
		return "connections are being made"
	case in.table.awaited() > 0:
		return awaits
	case in.frees.waiting():
		return "memory is being given back"
	case in.files != nil || in.console.in.fd >= 0 || in.console.in.oweEOF || in.console.out[0].fd >= 0 || in.console.out[1].fd >= 0:
		return "it has files of the host open"
	}
	return ""
}

// takeSnapshot takes the state of a guest that says in IDLE that it is initialised, if nothing is under way. Preconditions: in.mu is held; this
// is the vCPU thread.
func (in *instance) takeSnapshot() {
	if !in.ready || in.capture == nil || !in.capture.listens || in.ended || in.rewinds > 0 || in.quiescent() != "" ||
		in.table.nwaiting+len(in.table.jobs) > 0 && in.capture.served {
		return
	}
	if wait, err := in.openAhead(); wait || err != nil {
		in.after(err)
		return
	}
	st := in.host.states
	sb, ok := in.sb.(monitor.Stateful)
	if !ok {
		in.after(in.captureOver(errNoSnapshot))
		return
	}
	link := in.saveLink()
	in.captureGone() // the timer finds nothing to do any more
	start := in.host.clock.now()
	in.link.shut = true
	in.mu.Unlock()
	im, info, err := st.take(sb, link, uint64(start)+sb.MonoOffset())
	var r *state.Rewinder
	if err == nil && st.track {
		r, err = state.NewRewinder(im, sb)
	}
	in.mu.Lock()
	in.link.shut = in.rewinds > 0
	if err != nil {
		if im != nil {
			im.Close()
		}
		in.after(in.captureOver(fmt.Errorf("take a snapshot: %w", err)))
		return
	}
	in.rewinder = r
	in.host.shells.used(top(im))
	st.taken(im)
	in.host.out.send(&wire.Snapshotted{Pages: uint32(info.Pages), Shared: uint32(info.Shared), Bytes: info.Bytes,
		Took: in.host.clock.now() - start})
	in.after(in.captureOver(nil))
}

// after is what follows on the vCPU thread when streams were let go on.
func (in *instance) after(err error) {
	if err == nil {
		_, err = in.push()
	}
	if err != nil {
		in.fail(err)
	}
}

// take writes the state into the sink and opens what was written.
func (st *states) take(sb monitor.Stateful, link snapshot.Link, mono uint64) (*state.Image, snapshot.Info, error) {
	st.mu.Lock()
	sink := st.sink
	st.mu.Unlock()
	key := st.key
	key.Features = sb.Features()
	info, err := state.Capture(sink, sb, st.layers, snapshot.Meta{Key: key, Link: link, Mono: mono})
	if err != nil {
		return nil, info, err
	}
	im, err := state.Open(sink, key, st.layers)
	return im, info, err
}

// saveLink is the host's side of the queues. Preconditions: quiescent.
func (in *instance) saveLink() snapshot.Link {
	l := snapshot.Link{RxHead: in.link.rx.Index(), TxTail: in.link.tx.Index(), Next: in.table.next}
	for port, on := range in.table.listening {
		if on {
			l.Ports = append(l.Ports, port)
		}
	}
	slices.Sort(l.Ports)
	if s := in.table.ahead; s != nil {
		l.Ahead, l.AheadPort = s.id, s.port
	}
	in.console.saveLink(&l)
	return l
}

// inbound is how many streams of others than the guest there are, programs started by request among them.
func (t *table) inbound() (n int) {
	for _, s := range t.streams {
		if s.out == nil {
			n++
		}
	}
	return n
}

// connecting reports whether the guest waits for a connection.
func (t *table) connecting() bool {
	for _, s := range t.streams {
		if s.out != nil && !s.out.open {
			return true
		}
	}
	return false
}

// unhold lets those go on that were held until the snapshot was taken.
func (t *table) unhold() error {
	t.held = false
	return t.unwait()
}

func (c *console) saveLink(l *snapshot.Link) {
	l.Stdin = c.in.credit
	for i := range c.out {
		l.Window[i] = c.out[i].window
	}
	l.Closed = c.closed
}

// restore makes the console that of a guest whose state was put in. Output of before still goes out, and counts no more.
func (c *console) restore(l *snapshot.Link) {
	c.in = source{fd: -1, credit: l.Stdin}
	for i := range c.out {
		s := &c.out[i]
		s.stale, s.extra = len(s.pending), 0
		s.window = min(l.Window[i], abi.ConnWindow)
		s.owed = abi.ConnWindow - s.window
	}
	c.closed = l.Closed
}

// restore makes the rings' host side that of a state: both are empty.
func (l *link) restore(s *snapshot.Link) {
	l.rx.Resume(s.RxHead)
	l.tx.Resume(s.TxTail)
	l.full, l.pushed = false, false
}
