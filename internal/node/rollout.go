// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rolloutsAtOnce is how many revisions are proved at once: each boots an instance that nobody waits for.
const rolloutsAtOnce = 4

// ErrReplaced is why a revision was not proved: another one is wanted instead.
var ErrReplaced = errors.New("another revision is wanted instead")

// Update serves a revision from now on, and next, if it is not nil, from when one of its instances has proved that it answers: it listens, and its
// readiness probe, if there is one, is content. Until then the one before serves everything; if next fails, it goes on. next may be the same as
// serve: then nothing changes hands, but it is proved. done is told how that went, once, in a goroutine of its own: nil, ErrClosing, ErrReplaced, or why
// the revision is of no use. It is not called if there is nothing to be proved. Update may be repeated: what is under way goes on.
func (n *Node) Update(serve Spec, next *Spec, done func(error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return
	}
	serve = serve.normal()
	f := n.functions[serve.Function]
	if f == nil {
		f = &served{}
		n.functions[serve.Function] = f
	}
	f.scale = serve.Scale
	if next != nil && f.pool != nil && !f.pool.spec.sameProgram(serve) && f.pool.spec.sameProgram(next.normal()) {
		f.pool.setScale(serve.Scale, false) // it has taken over already: who asks has not heard of it yet
		return
	}
	switch {
	case f.pool == nil:
		f.pool = newPool(n, serve)
	case f.pool.spec.sameProgram(serve):
		f.pool.setScale(serve.Scale, false)
	case f.next != nil && f.next.spec.sameProgram(serve):
		n.promote(f) // it has proved itself elsewhere
	default:
		n.retire(f.pool, nil)
		f.pool = newPool(n, serve)
	}
	if next == nil {
		n.abandon(f)
		return
	}
	want := next.normal()
	if f.pool.spec.sameProgram(want) {
		n.abandon(f)
		if f.proving != f.pool {
			f.proving = f.pool
			n.prove(f.pool, true, done)
		}
		return
	}
	f.scale = want.Scale
	if f.next != nil && f.next.spec.sameProgram(want) {
		return
	}
	n.abandon(f)
	want.Scale.Min = 0 // one is enough to prove it; the others come with the traffic
	f.next = newPool(n, want)
	n.prove(f.next, false, done)
}

// abandon gives a revision up that was to take over. Preconditions: mu is held.
func (n *Node) abandon(f *served) {
	if f.next != nil {
		n.retire(f.next, nil)
		f.next = nil
	}
}

// promote has the next revision serve everything. Preconditions: mu is held.
func (n *Node) promote(f *served) {
	old := f.pool
	f.pool, f.next = f.next, nil
	f.pool.setScale(f.scale, false)
	n.retire(old, nil)
}

// prove finds out in the background whether a pool's revision answers, and has it take over if it is to. first: it serves already. Preconditions: mu is
// held.
func (n *Node) prove(p *pool, first bool, done func(error)) {
	n.drains.Add(1)
	go func() {
		defer n.drains.Done()
		err := n.proof(p)
		if err == nil && first {
			p.unneeded()
		}
		n.mu.Lock()
		f := n.functions[p.spec.Function]
		switch {
		case n.closing:
			err = ErrClosing
		case f != nil && f.pool == p:
			if f.proving == p {
				f.proving = nil
			}
		case f == nil || f.next != p:
			err = ErrReplaced
		case err == nil:
			n.promote(f)
		default:
			n.abandon(f)
		}
		n.mu.Unlock()
		if done != nil {
			done(err)
		}
	}()
}

// proof waits until an instance of a pool answers.
func (n *Node) proof(p *pool) error {
	select {
	case n.proofs <- struct{}{}:
		defer func() { <-n.proofs }()
	case <-p.ctx.Done():
		return ErrReplaced
	}
	i, err := p.first()
	if i != nil {
		p.snapshotSettled(i)
		asked := p.untouched() && p.spec.Serving.Readiness != ""
		if asked {
			ctx, cancel := context.WithTimeout(p.ctx, p.startLimit())
			err = p.content(ctx, i)
			cancel()
		}
		p.release(i, outcome{tried: asked})
	}
	return err
}

// snapshotSettled waits until it is known whether the others start from a snapshot of an instance: it must not end before.
func (p *pool) snapshotSettled(i *instance) {
	select {
	case <-i.lineage.known: // a moment after it listens, see lineage.listens
	case <-i.guest.Done():
	case <-p.ctx.Done():
	}
}

// unneeded ends the instances that were made only to prove the revision, if the next ones start from a snapshot: until somebody calls the function it
// takes no memory.
func (p *pool) unneeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.instances.each() {
		if p.draining || p.kept() <= p.scale.Min || len(p.queue) > 0 {
			return
		}
		if i.state == ready && i.inflight == 0 && i.invocations == 0 && len(i.wanted) == 0 && i.lineage.usable() {
			p.end(i, 0, "it has proved its revision")
		}
	}
}

// first waits for an instance as an invocation does, but for as long as one may take to start, and whoever else waits; nil: there is one that has
// answered before.
func (p *pool) first() (*instance, error) {
	limit := p.startLimit() + p.n.opts.WaitLimit
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	p.mu.Lock()
	if p.draining {
		p.mu.Unlock()
		return nil, errReplaced
	}
	if p.count(ready)+p.count(parkedState) > 0 && !p.untouched() {
		p.mu.Unlock()
		return nil, nil
	}
	w := &waiter{since: time.Now(), ready: make(chan grant, 1)}
	p.queue = append(p.queue, w)
	p.serve()
	p.grow()
	p.mu.Unlock()
	i, err := p.waitFor(ctx, w, limit)
	if errors.Is(err, ErrWait) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no instance could be started in %v: the node is full", limit)
	}
	return i, err
}
