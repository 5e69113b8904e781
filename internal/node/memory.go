// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"unifaas.dev/internal/pressure"
	"unifaas.dev/internal/units"
)

const (
	roomAgain = 20 * time.Millisecond // between two looks whether there is room for who waits for it
	sayAgain  = time.Minute           // between two lines that say the same of one function
	tightFor  = 5 * time.Second       // how long nothing is kept in reserve after memory was short
	guessEach = 8 << 20               // what an instance takes, before one was seen
)

// weight is what a pool was seen to take.
type weight struct {
	tender int64 // private memory of its tender: instances, shells, and what it needs itself
	each   int64 // of that for one instance
	said   map[string]time.Time
}

// measure looks at what a pool takes.
func (p *pool) measure() (bytes int64) {
	pid := p.tender.currentPID()
	var tender int64
	if pid != 0 {
		tender = p.n.opts.TenderMemory(pid)
	}
	shells := p.tender.heldShells()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weight.tender = tender
	// What is being made has not taken its memory yet: it says nothing of what one takes, and keeps the room that it was promised.
	making := p.count(booting) + p.count(waking)
	if n := p.running() - making; n > 0 && tender > 0 && making*4 <= n {
		p.weight.each = tender / int64(n+shells)
		p.n.capacity.note(p.account, p.each(), p.scale.weight())
	}
	return tender + p.parkedBytes() + p.snap.memory() + int64(making)*p.each()
}

// each is what one more instance is expected to take. Preconditions: mu is held.
func (p *pool) each() int64 { return cmp.Or(p.weight.each, guessEach) }

func (p *pool) parkedBytes() int64 {
	if p.parked == nil {
		return 0
	}
	bytes, _ := p.parked.Used()
	return bytes
}

// sayNow writes a line to the function's log, unless it was written just now. Preconditions: mu is held.
func (p *pool) sayNow(what, text string) {
	if last, ok := p.weight.said[what]; ok && time.Since(last) < sayAgain {
		return
	}
	if p.weight.said == nil {
		p.weight.said = map[string]time.Time{}
	}
	p.weight.said[what] = time.Now()
	p.n.line(p.spec.Function, "", text)
}

// balanceLoop keeps the node within its budget and out of the way when the machine is short of memory.
func (n *Node) balanceLoop() {
	defer n.reaper.Done()
	tick := time.NewTicker(n.opts.Round)
	defer tick.Stop()
	var last time.Time
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
		case <-n.kick:
		case <-again.C:
		}
		now := time.Now()
		if now.Sub(last) >= n.opts.Round/5 { // measuring costs something for each tender, which is not to be spent all the time when there is much to do
			n.balance(now)
			n.aim(now)
			last = time.Now()
		}
		if n.relieve(now) {
			again.Reset(roomAgain)
		}
	}
}

// balance measures, and has memory given back where it is short: unused snapshots and shells first, then idle instances are parked, or end if they cannot be, and
// only what is still too much then is taken from parked ones, the oldest first. Nothing of it goes without a line in the function's log.
func (n *Node) balance(now time.Time) {
	pools := n.pools("")
	used := int64(0)
	for _, p := range pools {
		used += p.measure()
	}
	reserve, _ := n.runtime.(Reserve)
	if reserve != nil {
		for _, pid := range reserve.Reserved() {
			used += n.opts.TenderMemory(pid)
		}
	}
	n.memory.Store(used)
	var sample pressure.Sample
	if n.opts.Pressure != nil {
		sample = n.opts.Pressure()
	}
	need, why := int64(0), ""
	denied := n.denied.Swap(0)
	switch budget := n.opts.MemoryBudget; {
	case budget > 0 && used+denied > budget-budget/20: // what is wanted next should find some room
		need, why = max(used+denied-(budget-budget/10), 1), fmt.Sprintf("the node's budget of %s is used", units.HumanBytes(budget))
	case sample.Short():
		need, why = sample.Missing(), "the machine is short of memory"
	}
	if need > 0 {
		n.tightUntil = now.Add(tightFor)
		if n.opts.Snapshots != nil {
			n.opts.Snapshots.Trim() // not counted: nobody uses them
		}
	}
	n.tight.Store(now.Before(n.tightUntil))
	if reserve != nil {
		reserve.Hold(!n.tight.Load())
	}
	for _, p := range pools {
		if before, _ := p.keepShells(now); need > 0 && before > 0 {
			p.mu.Lock()
			need -= int64(before) * p.each()
			p.sayNow("shells", fmt.Sprintf("no shells are kept ready: %s", why))
			p.mu.Unlock()
		}
	}
	if need > 0 {
		need -= n.parkMore(pools, now, need, why)
	}
	if need > 0 && (used > n.opts.MemoryBudget && n.opts.MemoryBudget > 0 || sample.Dire()) {
		n.dropMore(pools, need, why)
	}
}

// parkMore parks idle instances, the longest idle of all functions first, or ends those that cannot be parked, and says how much that frees.
func (n *Node) parkMore(pools []*pool, now time.Time, need int64, why string) (freed int64) {
	type change struct{ parked, ended int }
	done := map[*pool]*change{}
	for _, p := range pools {
		p.mu.Lock()
		freed += int64(p.count(parking)) * p.each() // is on its way
		p.mu.Unlock()
	}
	for freed < need {
		var oldest *pool
		var since time.Time
		for _, p := range pools {
			if t, ok := p.idleSince(now); ok && (oldest == nil || t.Before(since)) {
				oldest, since = p, t
			}
		}
		if oldest == nil {
			break
		}
		p := oldest
		c := done[p]
		if c == nil {
			c = &change{}
			done[p] = c
		}
		p.mu.Lock()
		freed += p.each()
		if p.parkIdle(now, now, 1) > 0 {
			c.parked++
		} else if i := p.endIdle(now); i != nil {
			c.ended++
		} else {
			need = 0 // it has changed meanwhile: the next look will see
		}
		p.mu.Unlock()
	}
	for p, c := range done {
		p.mu.Lock()
		if c.parked > 0 {
			p.sayNow("park", fmt.Sprintf("%d idle instances are parked before their time: %s", c.parked, why))
		}
		if c.ended > 0 {
			p.n.line(p.spec.Function, "", fmt.Sprintf("%d idle instances are ended: %s", c.ended, why))
		}
		p.mu.Unlock()
	}
	return freed
}

// idleSince is since when an instance has been idle that can be parked or ended.
func (p *pool) idleSince(now time.Time) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return time.Time{}, false
	}
	for e := p.instances.idle.Front(); e != nil; e = e.Next() {
		if i := e.Value.(*instance); i.used.Before(now) && (p.canPark(i, now) || p.canEnd(i)) {
			return i.used, true
		}
	}
	return time.Time{}, false
}

// canEnd reports whether nobody relies on an idle instance. Preconditions: mu is held.
func (p *pool) canEnd(i *instance) bool {
	return p.kept() > max(p.least(), p.up()) && len(i.wanted) == 0
}

// endIdle ends the instance that has been idle for the longest time. Preconditions: mu is held.
func (p *pool) endIdle(now time.Time) *instance {
	i := p.instances.longestIdle()
	if i == nil || !i.used.Before(now) || !p.canEnd(i) {
		return nil
	}
	p.end(i, p.grace(), "memory is short")
	return i
}

// dropMore ends parked instances, the longest parked of all functions first.
func (n *Node) dropMore(pools []*pool, need int64, why string) {
	dropped := map[*pool]int{}
	for need > 0 {
		var oldest *pool
		var since time.Time
		for _, p := range pools {
			p.mu.Lock()
			if i := p.instances.longestParked(); i != nil && i.slot != nil && (oldest == nil || i.used.Before(since)) {
				oldest, since = p, i.used
			}
			p.mu.Unlock()
		}
		if oldest == nil {
			break
		}
		oldest.mu.Lock()
		if i := oldest.instances.longestParked(); i != nil && i.slot != nil {
			need -= i.slot.Len
			oldest.dropParked(i)
			dropped[oldest]++
		}
		oldest.mu.Unlock()
	}
	for p, count := range dropped {
		n.line(p.spec.Function, "", fmt.Sprintf("%d parked instances are ended, the oldest ones: %s", count, why))
	}
}

// MemoryStatus is what the node's instances take.
type MemoryStatus struct {
	Budget  int64 // 0: none
	Used    int64
	Short   bool // something is being given back
	Disk    int64
	Stored  int // snapshots on disk
	Tenders []TenderStatus
}

// TenderStatus is what one revision takes.
type TenderStatus struct {
	Function     string
	Revision     string
	PID          int   // 0: there is none
	Proportional int64 // memory of the tender, with its part of what it shares
	Private      int64 // that only it has
	Running      int   // instances in it
	Instances    int64 // private memory of these
	Shells       int
	Parked       int
	ParkedBytes  int64
	Snapshot     int64
}

// Memory says what instances, shells, snapshots and parked instances take, by revision.
func (n *Node) Memory(ctx context.Context) MemoryStatus {
	s := MemoryStatus{Budget: max(n.opts.MemoryBudget, 0), Short: n.tight.Load()}
	if n.opts.Snapshots != nil {
		s.Disk, _, s.Stored = n.opts.Snapshots.Usage()
	}
	private := map[string]int64{}
	for _, i := range n.SomeInstances(ctx, "", true, 0) {
		private[i.Revision] += i.Usage.Private
	}
	for _, p := range n.pools("") {
		t := TenderStatus{Function: p.spec.Function, Revision: p.spec.Revision, PID: p.tender.currentPID(), Shells: p.tender.heldShells(),
			ParkedBytes: p.parkedBytes(), Snapshot: p.snap.memory(), Instances: private[p.spec.Revision]}
		if t.PID != 0 {
			t.Private, t.Proportional = n.opts.TenderMemory(t.PID), pressure.Proportional(t.PID)
		}
		p.mu.Lock()
		t.Running, t.Parked = p.running(), p.count(parkedState)
		p.mu.Unlock()
		s.Used += t.Private + t.ParkedBytes + t.Snapshot
		s.Tenders = append(s.Tenders, t)
	}
	slices.SortFunc(s.Tenders, func(a, b TenderStatus) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(a.Revision, b.Revision))
	})
	return s
}
