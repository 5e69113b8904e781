// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"time"

	"unifaas.dev/internal/units"
)

// need is what a pool wants room for.
type need uint8

const (
	forQueue need = 1 << iota // invocations that wait
	forFloor                  // Scale.Min, or what the autoscaler wants
	forNamed                  // invocations for one parked instance
)

// idleEnough is how long an instance has run nothing that makes room for anybody. One that had something just now only goes if its function
// has more than its share.
const idleEnough = 100 * time.Millisecond

// room asks for room for one more running instance. If there is none it is looked for, and the pool is told when there may be some; with no
// need the pool can do without. Preconditions: mu is held. What was given is to be used.
func (p *pool) room(why need) bool {
	n := p.n
	if n.capacity.take(p.account, n.memory.Load(), time.Now(), why != 0) {
		n.memory.Add(p.each()) // until it is measured
		return true
	}
	if why == 0 {
		return false
	}
	if p.lacking == 0 {
		n.wantRoom(p.each())
	}
	p.lacking |= why
	switch {
	case n.opts.Instances > 0 && n.capacity.count() >= n.opts.Instances:
		p.sayNow("room", fmt.Sprintf("waits for room: the node runs %d instances, its limit", n.opts.Instances))
	case n.opts.MemoryBudget > 0:
		p.sayNow("room", fmt.Sprintf("waits for memory: the node's budget of %s is used", units.HumanBytes(n.opts.MemoryBudget)))
	}
	return false
}

// without has a pool that looks whether it needs room forget that it did; it gives what it needed room for. Preconditions: mu is held.
func (p *pool) without(why need) (before need) {
	before = p.lacking
	p.lacking &^= why
	return before
}

// sated is the end of such a look. Preconditions: mu is held.
func (p *pool) sated(before need) {
	if before != 0 && p.lacking == 0 {
		p.n.capacity.sated(p.account)
	}
}

// wantRoom has the node look for room.
func (n *Node) wantRoom(bytes int64) {
	n.denied.Store(bytes)
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// vacate gives the room of an instance back that does not run any more. Preconditions: mu is held.
func (p *pool) vacate(i *instance) {
	p.n.capacity.give(p.account, i.yields)
	i.yields = false
	select {
	case p.n.kick <- struct{}{}: // somebody may wait for it
	default:
	}
}

// stays has an instance go on that was to make room for another function. Preconditions: mu is held.
func (p *pool) stays(i *instance) {
	if i.yields {
		i.yields = false
		p.n.capacity.kept(p.account)
	}
}

// relieve gives room to those who wait for it, in order of what they have, and has others make room for them. It reports whether somebody still
// waits.
func (n *Node) relieve(now time.Time) bool {
	waiting := n.capacity.hungry()
	for _, p := range waiting {
		p.feed()
	}
	if len(waiting) == 0 {
		return false
	}
	waiting = n.capacity.hungry()
	for owed := n.capacity.owed(); owed < len(waiting); owed++ {
		if !n.makeRoom(waiting[owed], now) {
			break
		}
	}
	return len(waiting) > 0
}

// feed has a pool look again whether there is room for what it wants.
func (p *pool) feed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return
	}
	before := p.without(forNamed)
	named := p.named
	p.named = nil
	for i := range named {
		p.serveWanted(i)
	}
	p.sated(before)
	p.grow()
	p.floor()
}

// makeRoom has one instance go for a pool that waits: the longest idle one of all functions, or one of the function that has more than its
// share. It reports whether one goes.
func (n *Node) makeRoom(p *pool, now time.Time) bool {
	var oldest *pool
	var since time.Time
	for _, q := range n.pools("") {
		if t, ok := q.idleSince(now); ok && (oldest == nil || t.Before(since)) {
			oldest, since = q, t
		}
	}
	if oldest != nil && now.Sub(since) >= idleEnough {
		n.capacity.claim(oldest.account)
		if oldest.yield(true) {
			return true
		}
	}
	if v := n.capacity.victim(p, now); v != nil {
		return v.yield(false)
	}
	return false
}

// yield has one instance make room for another function: an idle one, or else one that gets no further invocations meanwhile. The account
// counts it already. It reports whether there is one.
func (p *pool) yield(idle bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.instances.longestIdle()
	if i == nil && !idle && len(p.instances.free) > 0 {
		i = p.instances.free[0]
	}
	if p.draining || i == nil {
		p.n.capacity.kept(p.account)
		return false
	}
	i.yields = true
	p.instances.set(i, leaving)
	p.sayNow("yield", "gives instances up for a while: other functions have less of this node than their share")
	if i.inflight > 0 {
		return true
	}
	return p.depart(i)
}

// depart parks or ends an instance that is to make room and runs nothing, if that can be. Preconditions: mu is held, it is leaving.
func (p *pool) depart(i *instance) bool {
	switch {
	case p.canPark(i, time.Now()):
		p.startPark(i)
	case p.canEnd(i):
		p.end(i, p.grace(), "another function needs its room")
	default:
		p.instances.set(i, ready)
		p.stays(i)
		return false
	}
	return true
}

// settle waits until an instance has started for good, and ends its turn at that.
func (p *pool) settle(i *instance, g Guest) {
	if i.origin == FromSnapshot {
		<-g.Restored()
	}
	p.turnOver(i)
}

// turnOver ends an instance's turn at starting. It is for its own goroutine.
func (p *pool) turnOver(i *instance) {
	if i.turn != nil {
		i.turn()
		i.turn = nil
	}
}
