// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"math"
	"time"
)

// What Scale.Target can be of.
const (
	MetricCapacity = "capacity" // invocations at once
	MetricRPS      = "rps"      // invocations a second
	MetricCPU      = "cpu"      // thousandths of a CPU
	MetricQueue    = "queue"    // asynchronous invocations that wait
)

// aimLower is for how many rounds a load has to have been lower before fewer instances are aimed at: what comes in waves would have to be woken
// each time.
const aimLower = 10

// aim is how many instances of a pool are to run by what is measured, whether an invocation waits for them or not. It belongs to pool.mu.
type aim struct {
	wanted int
	at     time.Time     // when it was last as much as that
	cpu    time.Duration // that the tender had used
	cpuAt  time.Time
	milli  float64 // thousandths of a CPU of late
}

// SetDepth tells the node of a queue of asynchronous invocations outside of it: how many wait for a function. It must not block.
func (n *Node) SetDepth(depth func(function string) int) { n.depth.Store(&depth) }

func (n *Node) depthOf(function string) int {
	if f := n.depth.Load(); f != nil {
		return (*f)(function)
	}
	return 0
}

// aim looks at what functions have to do and has instances made or woken before invocations wait for them. This is a scheduling round.
func (n *Node) aim(now time.Time) {
	for _, p := range n.pools("") {
		depth := n.depthOf(p.spec.Function)
		pid := 0
		p.mu.Lock()
		if p.scale.Metric == MetricCPU {
			pid = p.tender.currentPID()
		}
		p.mu.Unlock()
		var used time.Duration
		if pid != 0 {
			used = n.opts.TenderCPU(pid)
		}
		p.mu.Lock()
		if p.aims(now, depth, used) {
			p.floor()
		}
		p.mu.Unlock()
		p.tune()
	}
}

// aims reckons how many instances are wanted, and reports whether that is more than before. Preconditions: mu is held.
func (p *pool) aims(now time.Time, depth int, used time.Duration) bool {
	a := &p.aim
	if p.scale.Metric == MetricCPU {
		if took := now.Sub(a.cpuAt); !a.cpuAt.IsZero() && took > 0 && used >= a.cpu {
			a.milli = 1000 * float64(used-a.cpu) / float64(took)
		}
		a.cpu, a.cpuAt = used, now
	}
	load := 0.0
	switch p.scale.Metric {
	case MetricCapacity:
		load = float64(p.inflight + len(p.queue))
	case MetricRPS:
		load = p.pace.perSecond(now)
	case MetricCPU:
		load = a.milli
	case MetricQueue:
		load = float64(depth)
	}
	wanted := 0
	if load > 0 && p.scale.Target > 0 {
		wanted = int(math.Ceil(min(load/p.scale.Target, float64(p.scale.Max))))
	}
	if depth > 0 && p.scale.Metric != MetricQueue { // they will come as fast as they are taken
		wanted = max(wanted, (depth+p.spec.Concurrency-1)/p.spec.Concurrency)
	}
	wanted = min(wanted, p.limit())
	more := wanted > a.wanted
	if wanted >= a.wanted || now.Sub(a.at) >= aimLower*p.n.opts.Round {
		a.wanted, a.at = wanted, now
	}
	return more
}

// arrives notes an invocation before it looks for an instance. Preconditions: mu is held.
func (p *pool) arrives(now time.Time) {
	if p.scale.Zero {
		rested := p.rests(now)
		if p.used = now; rested {
			p.floor()
		}
	}
	if p.scale.Metric == MetricCapacity && float64(p.inflight+len(p.queue)+1) > float64(p.aim.wanted)*p.scale.Target {
		if p.aims(now, 0, 0) {
			p.floor()
		}
	}
}

// idle is how long instances beyond what is kept may be idle.
func (p *pool) idle() time.Duration { return cmp.Or(p.scale.Idle, p.n.opts.Idle) }

// rests reports whether nobody has needed a pool for as long as that. Preconditions: mu is held.
func (p *pool) rests(now time.Time) bool {
	return p.inflight+len(p.queue) == 0 && p.used.Before(now.Add(-p.idle()))
}

// limit is how many instances there may be. Preconditions: mu is held.
func (p *pool) limit() int {
	if p.scale.Fixed {
		return min(max(p.scale.Min, 1), p.scale.Max)
	}
	return p.scale.Max
}

// least is how many are kept, parked or not. Preconditions: mu is held.
func (p *pool) least() int {
	if p.scale.Zero && p.rests(time.Now()) {
		return 0
	}
	return p.scale.Min
}

// up is how many are to run, parked ones not counted. Preconditions: mu is held.
func (p *pool) up() int {
	up := p.aim.wanted
	if p.scale.Live {
		up = max(up, p.scale.Min, 1)
	}
	return min(up, p.limit())
}

// runs is how many do, or will before long. Preconditions: mu is held.
func (p *pool) runs() int { return p.count(ready) + p.count(booting) + p.count(waking) }

// stride makes what Scale.Step wants made beside the instance that is needed. Preconditions: mu is held.
func (p *pool) stride() {
	for n := (p.scale.Max*p.scale.Step+99)/100 - 1; n > 0 && p.live() < p.limit(); n-- {
		if !p.room(0) {
			return
		}
		p.boot()
	}
}

// raise wakes or makes instances up to what is to run. It reports false if there was no room. Preconditions: mu is held.
func (p *pool) raise() bool {
	for !p.draining && p.failures+p.crashes == 0 && p.runs() < p.up() && p.count(booting)+p.count(waking) < floorAtOnce {
		rested := p.instances.lastParked()
		if rested == nil && p.live() >= p.limit() {
			return true
		}
		if !p.room(forFloor) {
			return false
		}
		if rested != nil {
			p.wake(rested)
		} else {
			p.boot()
		}
	}
	return true
}
