// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net"
	"sync"
	"time"
)

// spareLife is how long a stream waits in a rewound instance for its invocation.
const spareLife = 500 * time.Millisecond

// spareTransport is that of an instance that is rewound after each invocation. It has a stream for the next one before that comes: the program
// has accepted it, and started whatever it starts for a connection, while nobody waits.
//
// The streams of an invocation stay open until the rewind is over, although who has the answer closes them: the program would see that first, and
// do what it does then, for nothing, or end because it still writes to them.
type spareTransport struct {
	*directTransport

	mu    sync.Mutex
	conn  net.Conn // nil: there is none
	timer *time.Timer
	used  []*heldConn // given to the transport since the last rewind
}

// heldConn is a stream of an invocation.
type heldConn struct {
	net.Conn
	t      *spareTransport
	let    bool // Close closes it
	closed bool // it is to be closed as soon as it may
}

// Close implements net.Conn.
func (c *heldConn) Close() error {
	c.t.mu.Lock()
	c.closed = true
	let := c.let
	c.t.mu.Unlock()
	if let {
		return c.Conn.Close()
	}
	return c.Conn.SetDeadline(time.Unix(1, 0)) // who reads or writes has to hear of it
}

func newSpareTransport(dial func(context.Context) (net.Conn, error)) *spareTransport {
	t := &spareTransport{}
	t.directTransport = newDirect(func(ctx context.Context) (net.Conn, error) {
		c := t.take()
		if c == nil {
			var err error
			if c, err = dial(ctx); err != nil {
				return nil, err
			}
		}
		held := &heldConn{Conn: c, t: t}
		t.mu.Lock()
		t.used = append(t.used, held)
		t.mu.Unlock()
		return held, nil
	}, -1)
	return t
}

// put keeps a stream for the next request; old is called if it stays for too long.
func (t *spareTransport) put(c net.Conn, old func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		t.conn.Close()
		t.timer.Stop()
	}
	t.conn, t.timer = c, time.AfterFunc(spareLife, old)
}

// take gives the stream that waits; nil: there is none.
func (t *spareTransport) take() net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.conn
	if c != nil {
		t.timer.Stop()
		t.conn = nil
	}
	return c
}

// takeUsed gives the streams of the invocations since the last rewind; let closes them.
func (t *spareTransport) takeUsed() []*heldConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.used
	t.used = nil
	return used
}

// let has streams closed that invocations were done with.
func (t *spareTransport) let(used []*heldConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range used {
		if c.let = true; c.closed { // later ones close themselves
			c.Conn.Close()
		}
	}
}

// CloseIdleConnections closes all that nothing runs on.
func (t *spareTransport) CloseIdleConnections() {
	if c := t.take(); c != nil {
		c.Close()
	}
	t.let(t.takeUsed())
	t.directTransport.CloseIdleConnections()
}

// spare is the transport with a stream for the next invocation; false: the instance has none.
func (i *instance) spare() (*spareTransport, bool) {
	t := i.transport
	if p, ok := t.(*protocols); ok {
		t = p.transport
	}
	s, ok := t.(*spareTransport)
	return s, ok
}

// stale puts an instance back whose stream nobody has asked for: programs give up connections on which nothing comes, which is no part of the
// snapshot.
func (p *pool) stale(i *instance, g Guest) {
	p.mu.Lock()
	t, ok := i.spare()
	if !ok || i.state != ready || i.inflight > 0 || i.guest != g {
		p.mu.Unlock()
		return
	}
	c := t.take()
	if c == nil {
		p.mu.Unlock()
		return
	}
	p.instances.run(i, 1) // as if it were somebody's: nobody else gets it meanwhile
	p.instances.rewind(i, 1)
	p.mu.Unlock()
	g.Rewind(false, func(r Rewound, err error) { p.rewound(i, g, r, err) }) // without another stream: nobody has asked for this one
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instances.run(i, -1)
	if i.state == retired && i.inflight == 0 {
		p.end(i, 0, "it is not wanted any more")
	}
	p.serveWanted(i)
	p.serve()
	p.grow()
}
