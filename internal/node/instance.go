// SPDX-License-Identifier: Apache-2.0

package node

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"time"

	"unifaas.dev/internal/snapshot/parked"
)

type state int

const (
	booting state = iota
	waking
	ready
	parking
	parkedState // exists only as what differs from the snapshot
	leaving     // gets no invocations now; parked or ended when the last one is over, for another function
	retired     // gets no more invocations; ended when the last one is over
	gone        // has ended; invocations may not know yet
	states
)

func (s state) String() string {
	return [...]string{"booting", "waking", "ready", "parking", "parked", "leaving", "ending", "ended"}[s]
}

// instance is one copy of a revision. Its fields belong to the pool's mutex but for those set once before it is ready.
type instance struct {
	id      string
	created time.Time
	begun   time.Time     // of its boot, or its last wake
	left    chan struct{} // closed when it has ended
	park    chan struct{} // tells its goroutine to park it

	// Set before the instance is ready.
	guest     Guest
	transport transport
	boot      Parts
	origin    Origin
	lineage   *lineage
	taker     bool     // the tender's snapshot is to be taken of it
	taken     *lineage // and others may wait for that; belongs to its own goroutine
	turn      func()   // ends its turn at starting; nil: it has none; as well

	state       state
	calls       *calls        // nil while it is parked
	seq         uint64        // of instances made
	at          int           // in members.free
	idle        *list.Element // in members.idle, rest or line
	slot        *parked.Slot  // what is kept of it while it is parked; nil: it is as the snapshot
	gen         int           // which snapshot it differs from
	parkBegun   bool          // its guest was told to park
	settled     chan struct{} // closed when it is parked, or is not; nil: nobody waits
	wanted      []*waiter     // invocations that are for this very instance, the oldest first
	parkTries   int           // for which it was busy
	parkAfter   time.Time
	inflight    int
	rewinding   int           // rewinds that are not over
	rewindTime  time.Duration // of the last ones; 0: not known
	invocations int64
	answers     int64     // invocations that ended well
	used        time.Time // end of the last invocation
	claimed     bool      // boot was reported to an invocation
	said        string    // contract lambda: its last line on standard error while it starts
	watched     bool      // a watch is on
	watchAgain  bool      // and began too early for somebody who left since
	ending      bool      // the node ends it: its end is no crash
	yields      bool      // it goes so that another function gets its room
}

// transport passes requests to a program: over HTTP, or by running it.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// newTransport gives an instance its own streams: none is ever used for another instance. conns are kept for further requests; below 0:
// none, without a word of that to the program.
func newTransport(dial func(context.Context) (net.Conn, error), conns int) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return &stream{Conn: c}, nil
		},
		DisableCompression:     true,
		MaxIdleConns:           conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        idleConnLimit,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// String is for logs.
func (o Origin) String() string {
	return [...]string{"started", "started from its snapshot", "woken"}[o]
}

func (o Origin) short() string { return [...]string{"boot", "snapshot", "parked"}[o] }

// stop ends a guest: with grace it may react to SIGTERM first.
func stop(g Guest, grace time.Duration, reason string) {
	if grace > 0 {
		g.Signal(sigTERM)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-g.Done():
			return
		case <-t.C:
		}
	}
	g.Kill(reason)
}

const sigTERM = 15
