// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// spareLife is how long a stream waits in a rewound instance for its invocation.
const spareLife = 500 * time.Millisecond

// spareTransport is that of an instance that is rewound after each invocation. It has a stream for the next one before that comes: the program
// has accepted it, and started whatever it starts for a connection, while nobody waits.
type spareTransport struct {
	*http.Transport

	mu    sync.Mutex
	conn  net.Conn // nil: there is none
	timer *time.Timer
}

func newSpareTransport(dial func(context.Context) (net.Conn, error)) *spareTransport {
	t := &spareTransport{}
	t.Transport = newTransport(func(ctx context.Context) (net.Conn, error) {
		if c := t.take(); c != nil {
			return c, nil
		}
		return dial(ctx)
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

// CloseIdleConnections closes that one, too.
func (t *spareTransport) CloseIdleConnections() {
	if c := t.take(); c != nil {
		c.Close()
	}
	t.Transport.CloseIdleConnections()
}

// prepare makes a stream for the next invocation of a rewound instance, unless that is there already. Preconditions: busy counts it.
func (p *pool) prepare(i *instance, g Guest) {
	defer p.busy.Done()
	t, ok := i.transport.(*spareTransport)
	if !ok {
		return
	}
	c, err := g.Dial(p.ctx)
	if err != nil {
		return // who needs one will hear of it
	}
	p.mu.Lock()
	free := i.state == ready && i.inflight == 0 && i.rewinding == 0 && i.guest == g
	if free {
		t.put(c, func() { p.stale(i, g) })
	}
	p.mu.Unlock()
	if !free { // another stream may be in use: this one ends unused
		c.Close()
	}
}

// stale puts an instance back whose stream nobody has asked for: programs give up connections on which nothing comes, which is no part of the
// snapshot.
func (p *pool) stale(i *instance, g Guest) {
	p.mu.Lock()
	t, ok := i.transport.(*spareTransport)
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
	c.Close()
	g.Rewind(func(r Rewound, err error) {
		if p.rewound(i, g, r, err) {
			p.busy.Done() // without another stream: nobody has asked for this one
		}
	})
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
