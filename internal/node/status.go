// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// InstanceStatus is one instance in a listing.
type InstanceStatus struct {
	ID          string
	Function    string
	Revision    string
	State       string // booting, waking, ready, parking, parked, ending
	Inflight    int
	Invocations int64
	Created     time.Time
	Boot        time.Duration // or its last wake
	Tender      int           // process id
	Usage       Usage         // of a parked one: what is kept of it
}

// Instances lists the instances of a function, or of all with an empty name, the oldest first. usage asks each for what
// it uses, which takes a moment.
func (n *Node) Instances(ctx context.Context, function string, usage bool) []InstanceStatus {
	return n.SomeInstances(ctx, function, usage, math.MaxInt)
}

// SomeInstances leaves out parked ones of revisions that have more than so many of them.
func (n *Node) SomeInstances(ctx context.Context, function string, usage bool, parked int) []InstanceStatus {
	var list []InstanceStatus
	var guests []Guest
	for _, p := range n.pools(function) {
		pid := p.tender.currentPID()
		p.mu.Lock()
		few := p.count(parkedState) <= parked
		for i := range p.instances.each() {
			if i.state == parkedState && !few {
				continue
			}
			s := InstanceStatus{ID: i.id, Function: p.spec.Function, Revision: p.spec.Revision, State: i.state.String(),
				Inflight: i.inflight, Invocations: i.invocations, Created: i.created, Tender: pid}
			if i.state == ready {
				s.Boot = i.boot.Total // written before the instance was ready
			}
			if i.slot != nil {
				s.Usage.Private, s.Usage.Memory = i.slot.Len, i.slot.Len
			}
			list = append(list, s)
			guests = append(guests, i.guest)
		}
		p.mu.Unlock()
	}
	if usage {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var all sync.WaitGroup
		for at, g := range guests {
			if g != nil {
				all.Go(func() { list[at].Usage, _ = g.Usage(ctx) })
			}
		}
		all.Wait()
	}
	slices.SortStableFunc(list, func(a, b InstanceStatus) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), a.Created.Compare(b.Created))
	})
	return list
}

func (n *Node) pools(function string) []*pool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var pools []*pool
	for name, f := range n.functions {
		if function == "" || name == function {
			pools = append(pools, f.pool)
			if f.next != nil {
				pools = append(pools, f.next)
			}
		}
	}
	for p := range n.replaced {
		if function == "" || p.spec.Function == function {
			pools = append(pools, p)
		}
	}
	return pools
}

// FunctionStatus is how a function does on this node.
type FunctionStatus struct {
	Ready   int // instances that can take an invocation or run one
	Leaving int // of these, ones that make room for another function
	Booting int // or being woken
	Parked  int
	Waiting int // invocations without an instance
	Running int // invocations with one
	Wanted  int // instances that are to run by what is measured
	Stats   Stats

	Snapshot    int64 // bytes of memory that the revision's snapshot takes
	ParkedBytes int64 // and what is kept of parked instances
}

// Function says how a function does.
func (n *Node) Function(function string) FunctionStatus {
	n.mu.RLock()
	f := n.functions[function]
	if f == nil {
		n.mu.RUnlock()
		return FunctionStatus{}
	}
	p, past := f.pool, f.past
	for old := range n.replaced {
		if old.spec.Function == function {
			past.add(old.counted())
		}
	}
	n.mu.RUnlock()
	p.mu.Lock()
	s := FunctionStatus{Ready: p.count(ready) + p.count(leaving), Leaving: p.count(leaving), Running: p.inflight, Wanted: p.up(), Booting: p.count(booting) + p.count(waking), Parked: p.count(parking) + p.count(parkedState),
		Waiting: len(p.queue), Stats: p.stats}
	if p.parked != nil {
		s.ParkedBytes, _ = p.parked.Used()
	}
	p.mu.Unlock()
	s.Stats.add(past)
	s.Snapshot = p.snap.memory()
	return s
}

func (p *pool) counted() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}
