// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"
)

// watch sees to it that an instance whose caller left does not go on for ever: a program that has been busy since
// without a single answer when the invocation's limit comes is ended as if the caller were still there.
// Preconditions: the invocation still counts.
func (p *pool) watch(i *instance, limit time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.watched {
		i.watchAgain = true // what was answered before he left says nothing of his invocation
		return
	}
	p.startWatch(i, limit)
}

// startWatch: Preconditions: mu is held.
func (p *pool) startWatch(i *instance, limit time.Time) {
	if p.draining || i.state != ready {
		return
	}
	i.watched = true
	before, guest := i.answers, i.guest
	p.busy.Add(1)
	go func() {
		defer p.busy.Done()
		defer p.unwatch(i)
		ctx, cancel := context.WithDeadline(p.ctx, limit)
		defer cancel()
		start := time.Now()
		first, err := guest.Usage(ctx)
		if err != nil {
			return
		}
		select {
		case <-guest.Done():
			return
		case <-ctx.Done():
		}
		if p.ctx.Err() != nil {
			return // the pool is going anyway
		}
		ctx, cancel = context.WithTimeout(p.ctx, time.Second)
		defer cancel()
		last, err := guest.Usage(ctx)
		if err != nil || last.CPU-first.CPU < time.Since(start)/2 {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if i.answers == before && i.state == ready {
			p.stats.Timeouts++
			p.instances.set(i, retired)
			if i.inflight == 0 {
				p.end(i, 0, "still busy at the time limit of a caller that left")
			}
			p.n.line(p.spec.Function, i.id, "ended: still busy at the time limit of a caller that left")
			p.floor()
		}
	}()
}

func (p *pool) unwatch(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := i.watchAgain
	i.watched, i.watchAgain = false, false
	if again {
		p.startWatch(i, time.Now().Add(p.spec.Timeout))
	}
}
