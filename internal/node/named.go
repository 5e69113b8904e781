// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrNoInstance is an instance that was asked for by its name and is not there, or not any more.
var ErrNoInstance = errors.New("no such instance")

// wish is an invocation that waits for one instance and no other.
type wish struct {
	waiter
	inst *instance
}

// acquireNamed is acquire for an invocation that wants one instance: it waits while that is busy, and wakes it if it is parked.
func (p *pool) acquireNamed(ctx context.Context, id string) (*instance, error) {
	p.mu.Lock()
	if p.draining {
		p.mu.Unlock()
		return nil, errReplaced
	}
	i := p.instances.named[id]
	if i == nil {
		p.mu.Unlock()
		return nil, ErrNoInstance
	}
	if len(p.wishes) >= p.n.opts.Queue {
		p.stats.Refused++
		p.mu.Unlock()
		return nil, ErrBusy
	}
	w := &wish{waiter{since: time.Now(), ready: make(chan grant, 1)}, i}
	p.wishes = append(p.wishes, w)
	p.fulfil()
	p.mu.Unlock()
	return p.await(ctx, &w.waiter, func() bool {
		at := slices.Index(p.wishes, w)
		if at >= 0 {
			p.wishes = slices.Delete(p.wishes, at, at+1)
		}
		return at >= 0
	})
}

// fulfil gives instances to those who wait for them by name, before anybody else gets them. Preconditions: mu is held.
func (p *pool) fulfil() {
	for at := 0; at < len(p.wishes); {
		w := p.wishes[at]
		i := w.inst
		var g grant
		switch {
		case p.draining:
			g.err = errReplaced
		case i.state == retired || i.state == gone:
			g.err = ErrNoInstance
		case i.state == ready && i.inflight < p.spec.Concurrency:
			p.give(i)
			g.inst = i
		case i.state == parkedState:
			p.wake(i)
			at++
			continue
		default: // it is on its way, or busy
			at++
			continue
		}
		p.wishes = slices.Delete(p.wishes, at, at+1)
		w.ready <- g
	}
}

// disappoint tells those who wait for an instance by name why they do not get it. Preconditions: mu is held.
func (p *pool) disappoint(i *instance, why error) {
	p.wishes = slices.DeleteFunc(p.wishes, func(w *wish) bool {
		if w.inst == i {
			w.ready <- grant{err: why}
		}
		return w.inst == i
	})
}
