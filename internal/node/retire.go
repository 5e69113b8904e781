// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"
)

// end ends an instance that nothing runs in, in the background. Preconditions: mu is held.
func (p *pool) end(i *instance, grace time.Duration, reason string) {
	if i.ending {
		return
	}
	i.ending = true
	p.instances.set(i, retired)
	p.busy.Add(1)
	go func() {
		defer p.busy.Done()
		i.stop(grace, reason)
	}()
}

// reap ends instances that were idle for too long, and the tender when it has had nothing to do for as long.
func (p *pool) reap(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shrink(p.scale.Min, now.Add(-p.n.opts.Idle))
	if len(p.instances.all) == 0 && len(p.queue) == 0 && p.used.Before(now.Add(-p.n.opts.Idle)) {
		p.tender.dismiss()
	}
}

// shrink ends idle instances last used before a moment, the longest idle first, until keep are left. Preconditions: mu is held.
func (p *pool) shrink(keep int, before time.Time) {
	for p.count(ready)+p.count(booting) > keep {
		i := p.instances.longestIdle()
		if i == nil || !i.used.Before(before) {
			return
		}
		p.end(i, stopGrace, "idle")
	}
}

// Dismiss ends the instances of a function that run nothing and, if none is left, its tender. It returns when they are gone and reports whether none
// is left.
func (n *Node) Dismiss(ctx context.Context, function string) (bool, error) {
	p, err := n.pool(function)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	var ended []*instance
	for i := range p.instances.all {
		if i.state == ready && i.inflight == 0 {
			p.end(i, 0, "its tender is dismissed")
		}
		if i.ending && i.guest != nil {
			ended = append(ended, i)
		}
	}
	p.mu.Unlock()
	for _, i := range ended {
		select {
		case <-i.left:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	p.mu.Lock()
	free := len(p.instances.all) == 0 && len(p.queue) == 0
	p.mu.Unlock()
	return free && p.tender.dismissNow(), nil
}

// setScale changes the bounds. With now, idle instances beyond Min end at once rather than after their idle time.
func (p *pool) setScale(s Scale, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scale = s
	p.failures = 0
	if now {
		p.shrink(s.Min, time.Now().Add(time.Hour))
	}
	p.floor()
	p.grow()
}

// drain ends the pool: who waits looks the function up again, idle instances go at once, busy ones after their last
// invocation, all at the latest when ctx ends. It returns when nothing of the pool is left.
func (p *pool) drain(ctx context.Context, closing bool) {
	p.mu.Lock()
	if !p.draining {
		p.draining = true
		err := errReplaced
		if closing {
			err = ErrClosing
		}
		for len(p.queue) > 0 {
			p.answer(grant{err: err})
		}
		for _, timer := range []*time.Timer{p.growAt, p.floorAt} {
			if timer != nil {
				timer.Stop()
			}
		}
		p.cancel()
		for i := range p.instances.all {
			if i.state == booting {
				i.ending = true
			} else if i.inflight == 0 {
				p.end(i, stopGrace, "its revision is not served any more")
			}
			p.instances.set(i, retired)
		}
	}
	p.mu.Unlock()

	gone := make(chan struct{})
	go func() {
		p.busy.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		p.mu.Lock()
		for i := range p.instances.all {
			i.ending = true
			if i.guest != nil {
				i.guest.Kill("the node is shutting down")
			}
		}
		p.mu.Unlock()
	}
	p.tender.close()
	<-gone
	p.snap.close(closing)
}
