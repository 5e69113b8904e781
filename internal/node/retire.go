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
	g := i.guest
	if g == nil {
		return
	}
	p.busy.Add(1)
	go func() {
		defer p.busy.Done()
		p.keepShells(time.Now()) // before: the virtual machine that it leaves can be one
		stop(g, grace, reason)
	}()
}

// lastGrace is how much grace an instance has after its last invocation. Preconditions: mu is held.
func (p *pool) lastGrace(o outcome) time.Duration {
	if p.draining && !o.retire && !p.spec.Fresh {
		return p.grace()
	}
	return 0 // nothing is left that it could finish, or it did not finish in time
}

// reap parks and ends instances that were idle for too long, and the tender when it has had nothing to do for some time.
func (p *pool) reap(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return
	}
	p.shrink(max(p.least(), p.up()), now.Add(-p.idle()))
	if p.n.opts.Park > 0 {
		p.parkIdle(now, now.Add(-p.n.opts.Park), len(p.instances.all))
	}
	if p.running() == 0 && len(p.queue) == 0 && p.used.Before(now.Add(-min(p.idle(), tenderIdle))) {
		p.tender.dismiss()
	}
}

// parkIdle parks at most n instances last used before a moment, the longest idle first. Preconditions: mu is held.
func (p *pool) parkIdle(now, before time.Time, n int) (parked int) {
	for e := p.instances.idle.Front(); e != nil && parked < n; {
		i := e.Value.(*instance)
		e = e.Next()
		if !i.used.Before(before) {
			break
		}
		if p.canPark(i, now) {
			p.startPark(i)
			parked++
		}
	}
	return parked
}

// shrink ends idle instances last used before a moment, parked ones first, then the longest idle, until keep are left. Preconditions: mu
// is held.
func (p *pool) shrink(keep int, before time.Time) {
	for p.kept() > keep {
		i := p.instances.longestParked()
		if i == nil || !i.used.Before(before) {
			break
		}
		p.dropParked(i)
	}
	for p.kept() > keep {
		i := p.instances.longestIdle()
		if i == nil || !i.used.Before(before) {
			return
		}
		p.end(i, p.grace(), "idle")
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
	var ended []<-chan struct{}
	for i := range p.instances.each() {
		if i.state == ready && i.inflight == 0 {
			p.end(i, 0, "its tender is dismissed")
		}
		if i.ending && i.guest != nil || i.state == parking {
			ended = append(ended, i.left)
		}
	}
	p.mu.Unlock()
	for _, left := range ended {
		select {
		case <-left:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	p.mu.Lock()
	free := p.running() == 0 && len(p.queue) == 0
	p.mu.Unlock()
	return free && p.tender.dismissNow(), nil
}

// setScale changes the bounds. With now, idle instances beyond Min end at once rather than after their idle time.
func (p *pool) setScale(s Scale, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scale = s
	p.n.capacity.note(p.account, p.each(), s.weight())
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
		p.n.capacity.shut(p)
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
		for i := range p.instances.each() {
			switch {
			case i.state == parkedState:
				p.dropParked(i)
				continue
			case i.state == booting || i.state == waking || i.state == parking && i.parkBegun:
				i.ending = true
			case i.inflight == 0:
				p.end(i, p.grace(), "its revision is not served any more")
			}
			p.instances.set(i, retired)
			for len(i.wanted) > 0 {
				i.answer(grant{err: err})
			}
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
		for i := range p.instances.each() {
			i.ending = true
			if i.guest != nil {
				i.guest.Kill("the node is shutting down")
			}
		}
		p.mu.Unlock()
	}
	p.tender.close()
	<-gone
	if p.parked != nil {
		p.parked.Close()
	}
	p.snap.close(closing)
}
