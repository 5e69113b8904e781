// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"slices"
)

// join has an invocation wait for one instance, and for no other. Preconditions: mu is held.
func (p *pool) join(i *instance, w *waiter) error {
	if len(i.wanted) >= p.n.opts.Queue {
		p.stats.Refused++
		return refused(retryLeast, "%d invocations are waiting for it, as many as may", len(i.wanted))
	}
	w.of = i
	i.wanted = append(i.wanted, w)
	p.serveWanted(i)
	return nil
}

// serveWanted does what those who wait for this very instance need. Preconditions: mu is held.
func (p *pool) serveWanted(i *instance) {
	if len(i.wanted) == 0 {
		return
	}
	if i.state == parking && !i.parkBegun {
		p.reclaim(i)
	}
	switch i.state {
	case parkedState:
		if p.room(forNamed) {
			p.wake(i)
			return
		}
		if p.named == nil {
			p.named = map[*instance]struct{}{}
		}
		p.named[i] = struct{}{}
	case ready:
		for len(i.wanted) > 0 && i.state == ready && i.inflight < p.spec.Concurrency {
			p.give(i)
			i.answer(grant{inst: i})
		}
	case retired, gone:
		for len(i.wanted) > 0 {
			i.answer(grant{err: ErrNoInstance})
		}
	}
}

// answer lets the oldest of those who wait for this instance go on. Preconditions: mu is held, there is one.
func (i *instance) answer(g grant) {
	w := i.wanted[0]
	i.wanted = i.wanted[1:]
	if len(i.wanted) == 0 {
		i.wanted = nil
	}
	w.ready <- g
}

// leave takes a waiter out of where it waits; false: it was granted something. Preconditions: mu is held.
func (p *pool) leave(w *waiter) bool {
	line := &p.queue
	if w.of != nil {
		line = &w.of.wanted
	}
	at := slices.Index(*line, w)
	if at < 0 {
		return false
	}
	*line = slices.Delete(*line, at, at+1)
	return true
}

// Park parks the instances of a function that run nothing, now. It returns when they are parked, and how many instances still run.
func (n *Node) Park(ctx context.Context, function string) (running int, err error) {
	p, err := n.pool(function)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	var at []<-chan struct{}
	for i := range p.instances.each() {
		if i.state == ready && i.inflight == 0 && p.canPark(i, i.parkAfter) {
			p.startPark(i)
		}
		if i.state == parking {
			if i.settled == nil {
				i.settled = make(chan struct{})
			}
			at = append(at, i.settled)
		}
	}
	p.mu.Unlock()
	for _, settled := range at {
		select {
		case <-settled:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running(), nil
}
