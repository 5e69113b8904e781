// SPDX-License-Identifier: Apache-2.0

// Package node runs the instances of one machine: it boots them through tenders, spreads invocations over them, makes
// more under load, ends idle, stuck and crashed ones, and says why when an invocation got no answer.
//
// It knows revisions only as far as it has to run them: what functions exist is the control plane's business, and what
// an answer looks like on the wire is the gateway's.
package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"unifaas.dev/internal/logs"
)

// Node serves functions.
type Node struct {
	runtime Runtime
	images  Images
	log     Log
	opts    Options
	keys    heldKeys
	parking chan struct{} // limits how many instances are parked at once
	proofs  chan struct{} // and how many revisions are proved

	capacity  capacity
	turns     turns
	admission admission
	refused   atomic.Int64 // invocations that the node itself refused
	depth     atomic.Pointer[func(function string) int]

	memory atomic.Int64  // bytes in use: at the last look, and what has changed since as far as it is known
	tight  atomic.Bool   // memory is short, or was just now
	denied atomic.Int64  // bytes that an instance would have needed that was not made
	kick   chan struct{} // asks for a look now

	mu        sync.RWMutex
	functions map[string]*served
	replaced  map[*pool]struct{} // draining
	closing   bool

	drains sync.WaitGroup
	stop   chan struct{}
	closed chan struct{}

	tightUntil time.Time // belongs to balance
	reaper     sync.WaitGroup
}

// served is a function: the pool of its current revision, that of the one which is to take over, and what earlier ones counted.
type served struct {
	pool    *pool
	next    *pool // nil: none
	proving *pool // pool, while it is found out whether it answers
	scale   Scale // that is wanted; the one of next differs
	past    Stats
}

// New makes a node without functions. Close ends it.
func New(in Runtime, images Images, log Log, opts Options) *Node {
	n := &Node{runtime: in, images: images, log: log, opts: opts.withDefaults(),
		functions: map[string]*served{}, replaced: map[*pool]struct{}{}, parking: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), proofs: make(chan struct{}, rolloutsAtOnce),
		kick: make(chan struct{}, 1), stop: make(chan struct{}), closed: make(chan struct{})}
	n.capacity.most, n.capacity.budget = n.opts.Instances, n.opts.MemoryBudget
	n.turns.most = n.opts.Starts
	n.reaper.Add(2)
	go n.reap()
	go n.balanceLoop()
	return n
}

// Runtime names what instances run in.
func (n *Node) Runtime() string { return n.runtime.Name() }

// Apply serves a revision from now on. The one before finishes what it runs.
func (n *Node) Apply(spec Spec) { n.Update(spec, nil, nil) }

// Scale changes the bounds of a function; idle instances beyond Min end at once.
func (n *Node) Scale(function string, s Scale) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.functions[function]; f != nil {
		f.scale = s
		f.pool.setScale(s, true)
	}
}

// Remove stops to serve a function. then, which may be nil, is called when its last instance is gone.
func (n *Node) Remove(function string, then func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.functions[function]; f != nil {
		delete(n.functions, function)
		n.abandon(f)
		n.retire(f.pool, func() {
			n.mu.RLock()
			if n.functions[function] == nil {
				n.opts.Observer.Forgotten(function)
			}
			n.mu.RUnlock()
			if then != nil {
				then()
			}
		})
	} else if then != nil {
		then()
	}
}

// retire drains a pool in the background. Preconditions: mu is held.
func (n *Node) retire(p *pool, then func()) {
	n.replaced[p] = struct{}{}
	n.drains.Add(1)
	go func() {
		defer n.drains.Done()
		ctx, cancel := context.WithTimeout(context.Background(), p.spec.Timeout+p.grace()+time.Second)
		defer cancel()
		p.drain(ctx, false)
		n.mu.Lock()
		delete(n.replaced, p)
		if f := n.functions[p.spec.Function]; f != nil {
			f.past.add(p.counted())
		}
		n.mu.Unlock()
		if then != nil {
			then()
		}
	}()
}

// Close finishes what runs, at most until ctx ends, and returns when no instance and no tender is left.
func (n *Node) Close(ctx context.Context) {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		<-n.closed
		return
	}
	defer close(n.closed)
	n.closing = true
	close(n.stop)
	var pools []*pool
	for _, f := range n.functions {
		pools = append(pools, f.pool)
		if f.next != nil {
			pools = append(pools, f.next)
		}
	}
	for p := range n.replaced {
		pools = append(pools, p)
	}
	n.mu.Unlock()
	n.reaper.Wait()
	var all sync.WaitGroup
	for _, p := range pools {
		all.Go(func() { p.drain(ctx, true) })
	}
	all.Wait()
	n.drains.Wait()
}

func (n *Node) pool(function string) (*pool, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closing {
		return nil, ErrClosing
	}
	f := n.functions[function]
	if f == nil {
		return nil, ErrNoFunction
	}
	return f.pool, nil
}

func (n *Node) reap() {
	defer n.reaper.Done()
	every := n.opts.Idle / 10
	if n.opts.Park > 0 {
		every = min(every, n.opts.Park/4)
	}
	tick := time.NewTicker(min(max(every, 10*time.Millisecond), 5*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case now := <-tick.C:
			n.mu.RLock()
			pools := make([]*pool, 0, len(n.functions))
			for _, f := range n.functions {
				pools = append(pools, f.pool)
			}
			n.mu.RUnlock()
			for _, p := range pools {
				p.reap(now)
			}
		}
	}
}

func (n *Node) newID() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Say writes a line of the platform's own to a function's log.
func (n *Node) Say(function, text string) { n.line(function, "", text) }

func (n *Node) line(function, instance, text string) {
	n.log.Line(function, instance, logs.System, text, time.Now())
}

func (n *Node) lines(function, instance, text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			n.line(function, instance, line)
		}
	}
}
