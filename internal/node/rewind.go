// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"time"
)

// rewind puts an instance back to the snapshot after an invocation: the next one may have it at once, the tender sees to the order. false:
// it cannot be, and has to end. Preconditions: pool.mu is not held, nothing else runs in the instance.
func (p *pool) rewind(i *instance) bool {
	if why := i.cannotRewind(); why != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.saidFresh {
			p.saidFresh = true
			p.n.line(p.spec.Function, i.id, fmt.Sprintf("there is no snapshot to rewind to: %v: each instance ends after one invocation", why))
		}
		return false
	}
	g := i.guest
	p.mu.Lock()
	p.instances.rewind(i, 1)
	p.mu.Unlock()
	t, spare := i.spare()
	var used []*heldConn
	if spare {
		used = t.takeUsed()
	}
	c := g.Rewind(spare, func(r Rewound, err error) {
		if spare {
			t.let(used)
		}
		p.rewound(i, g, r, err)
	})
	if !spare {
		i.transport.CloseIdleConnections()
	}
	if c != nil {
		t.put(c, func() { p.stale(i, g) })
	}
	return true
}

// outlived reports whether an instance has been rewound for so long that another one, whose clock begins at the snapshot's, is to take its place;
// that is being made then.
func (p *pool) outlived(i *instance) bool {
	if time.Since(i.begun) < rewindLife || i.cannotRewind() != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining || p.instances.coming() > 0 || !p.room(0) {
		return false // next time
	}
	p.boot()
	return true
}

// cannotRewind is why an instance was made in a way that it cannot be rewound.
func (i *instance) cannotRewind() error {
	if i.origin != FromBoot {
		return nil
	}
	why := i.lineage.reason()
	if why == nil && !i.taker {
		why = errors.New("it was not there yet")
	}
	return why
}

// rewound is told how a rewind of a guest went, which may not be the instance's any more.
func (p *pool) rewound(i *instance, g Guest, r Rewound, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instances.rewind(i, -1)
	if err == nil {
		p.instances.took(i, r.Took)
		p.stats.Rewinds++
		p.stats.RewindPages += int64(r.Pages)
		p.stats.RewindTime += r.Took
		return
	}
	if i.state == gone || i.ending || i.state == parking || i.guest != g { // a guest that is parked ends, and nothing of it is needed
		return
	}
	p.n.line(p.spec.Function, i.id, fmt.Sprintf("ended: it could not be rewound: %v", err))
	p.end(i, 0, "it could not be rewound")
	p.floor()
	p.grow()
}
