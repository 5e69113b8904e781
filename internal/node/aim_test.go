// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// holding answers when hold is closed.
func holding() (run *nodetest.Runtime, hold chan struct{}) {
	hold = make(chan struct{})
	return &nodetest.Runtime{Snapshots: true, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })}, hold
}

// TestQueueDepth: what waits in a queue outside makes instances in one round, and none stays for it when it is empty.
func TestQueueDepth(t *testing.T) {
	run := slow(0)
	g := newRig(t, run, node.Options{Round: 5 * time.Millisecond, Park: 20 * time.Millisecond, Idle: time.Hour, Snapshots: &nodetest.Snapshots{}})
	g.Apply(named("f", func(s *node.Spec) { s.Concurrency, s.Scale.Max = 10, 6 }))
	g.Apply(named("other"))
	var depth atomic.Int64
	g.SetDepth(func(function string) int {
		if function == "f" {
			return int(depth.Load())
		}
		return 0
	})
	depth.Store(35)
	eventually(t, "four for 35", func() bool { return g.live("f") == 4 })
	depth.Store(3500)
	eventually(t, "as many as may be", func() bool { return g.live("f") == 6 && g.Function("f").Wanted == 6 })
	depth.Store(0)
	eventually(t, "all are parked", func() bool { return g.live("f") == 0 && g.Function("f").Parked == 6 })
	if n := g.live("other"); n != 0 {
		t.Errorf("%d of another function", n)
	}
}

// TestCapacity: instances are made before the ones that there are have all they take.
func TestCapacity(t *testing.T) {
	run, hold := holding()
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(named("f", func(s *node.Spec) {
		s.Concurrency, s.Scale = 100, node.Scale{Max: 8, Metric: node.MetricCapacity, Target: 5}
	}))
	var all sync.WaitGroup
	for range 18 {
		all.Go(func() { g.callFunction(context.Background(), "f", "") })
	}
	eventually(t, "four for 18", func() bool { return g.live("f") == 4 && g.Function("f").Running == 18 })
	close(hold)
	all.Wait()
}

// TestRate: invocations a second, and CPU, decide how many run.
func TestRate(t *testing.T) {
	run := slow(0)
	var cpu atomic.Int64
	start := time.Now()
	g := newRig(t, run, node.Options{Round: 20 * time.Millisecond, Snapshots: &nodetest.Snapshots{},
		TenderCPU: func(int) time.Duration { return time.Duration(cpu.Load()) * time.Since(start) / 1000 }})
	g.Apply(named("rate", func(s *node.Spec) {
		s.Concurrency, s.Scale = 100, node.Scale{Max: 3, Metric: node.MetricRPS, Target: 5}
	}))
	g.Apply(named("cpu", func(s *node.Spec) {
		s.Concurrency, s.Scale = 100, node.Scale{Max: 3, Metric: node.MetricCPU, Target: 500}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var served atomic.Int64
	g.hammer(ctx, &all, "rate", 1, &served)
	eventually(t, "three for many", func() bool { return g.live("rate") == 3 })
	if err := g.callFunction(ctx, "cpu", ""); err != nil {
		t.Fatal(err)
	}
	cpu.Store(900)
	eventually(t, "two for 900", func() bool { return g.live("cpu") >= 2 })
}

// TestToZero: with Zero those of Min end, too, when nobody needs them, and are there again with the first invocation.
func TestToZero(t *testing.T) {
	run := slow(0)
	g := newRig(t, run, node.Options{Park: -1, Idle: 100 * time.Millisecond})
	g.Apply(named("f", func(s *node.Spec) { s.Scale = node.Scale{Min: 3, Max: 3, Zero: true, Idle: 50 * time.Millisecond} }))
	eventually(t, "they end", func() bool { return run.Boots.Load() >= 3 && run.Live.Load() == 0 })
	if err := g.callFunction(context.Background(), "f", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three are there again", func() bool { return run.Boots.Load() >= 6 })
	eventually(t, "and end again", func() bool { return run.Live.Load() == 0 })
}

// TestLive: what is to be live is not parked, and is woken if it is.
func TestLive(t *testing.T) {
	run := slow(0)
	g := newRig(t, run, node.Options{Park: 20 * time.Millisecond, Idle: time.Hour, Snapshots: &nodetest.Snapshots{}})
	g.Apply(named("f", func(s *node.Spec) { s.Scale = node.Scale{Min: 5, Max: 5} }))
	eventually(t, "five are parked", func() bool { return g.Function("f").Parked == 5 })
	g.Scale("f", node.Scale{Min: 2, Max: 5, Live: true})
	eventually(t, "two are live", func() bool { s := g.Function("f"); return s.Ready == 2 && s.Parked == 0 })
	g.Scale("f", node.Scale{Min: 2, Max: 5})
	eventually(t, "two are parked", func() bool { return g.Function("f").Parked == 2 })
}

// TestFixedAndStep: factor 0 keeps the number, another one makes several at once.
func TestFixedAndStep(t *testing.T) {
	run, hold := holding()
	g := newRig(t, run, node.Options{})
	g.Apply(named("fixed", func(s *node.Spec) { s.Scale = node.Scale{Min: 2, Max: 10, Fixed: true} }))
	g.Apply(named("step", func(s *node.Spec) { s.Scale = node.Scale{Max: 10, Step: 35} }))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { g.callFunction(context.Background(), "fixed", "") })
	}
	all.Go(func() { g.callFunction(context.Background(), "step", "") })
	eventually(t, "four at once", func() bool { return g.live("step") == 4 })
	eventually(t, "six wait", func() bool { s := g.Function("fixed"); return s.Waiting == 6 && s.Ready == 2 })
	close(hold)
	all.Wait()
	if n := g.live("fixed"); n != 2 {
		t.Errorf("%d", n)
	}
}
