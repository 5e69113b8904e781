// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
	"unifaas.dev/internal/pressure"
)

const mib = 1 << 20

// weighing are options under which each instance and each shell takes 10 MiB.
func weighing(run *nodetest.Runtime, budget int64) node.Options {
	return node.Options{Snapshots: &nodetest.Snapshots{}, Park: time.Hour, Idle: 2 * time.Hour, MemoryBudget: budget,
		TenderMemory: func(int) int64 { return (run.Live.Load() + shells(run)) * 10 * mib }}
}

func shells(run *nodetest.Runtime) (n int64) {
	for _, t := range run.Tenders() {
		n += int64(t.Shells())
	}
	return n
}

// TestBudget: there are never more instances than fit; invocations wait, and all are served.
func TestBudget(t *testing.T) {
	run := counting()
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		inner.ServeHTTP(w, r)
	})
	g := newRig(t, run, weighing(run, 100*mib))
	g.Apply(spec(func(s *node.Spec) { s.Concurrency, s.Scale.Max = 1, 50 }))
	g.count()
	eventually(t, "what an instance takes is known", func() bool { return g.Memory(context.Background()).Used > 10*mib })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 4 {
				if _, _, err := g.call("GET", "/", ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if p := run.Peak.Load(); p > 12 {
		t.Errorf("%d instances of 10 MiB in 100 MiB", p)
	}
	if !strings.Contains(g.log(), "waits for memory: the node's budget of 100M is used") {
		t.Error(g.log())
	}
	m := g.Memory(context.Background())
	if m.Budget != 100*mib || len(m.Tenders) != 1 || m.Tenders[0].Private < run.Live.Load()*10*mib || m.Tenders[0].Snapshot == 0 {
		t.Errorf("%+v", m)
	}
}

// TestBudgetParks: what is idle makes room for what is wanted, and keeps its state.
func TestBudgetParks(t *testing.T) {
	const many = 60
	run := counting()
	g := newRig(t, run, weighing(run, 100*mib))
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: many, Max: many} }))
	for deadline := time.Now().Add(time.Minute); g.Function("f").Ready+g.parked() < many; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v\n%s", g.Function("f"), g.log())
		}
	}
	if p := run.Peak.Load(); p > 20 {
		t.Errorf("%d of 10 MiB at once in 100 MiB", p)
	}
	if !strings.Contains(g.log(), "idle instances are parked before their time: the node's budget of 100M is used") {
		t.Error(g.log())
	}
	if s := g.Function("f").Stats; s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestPressure(t *testing.T) {
	run := counting()
	var sample atomic.Pointer[pressure.Sample]
	sample.Store(&pressure.Sample{Total: 1000 * mib, Available: 900 * mib})
	o := weighing(run, 0)
	store := &nodetest.Snapshots{}
	o.Snapshots = store
	o.Pressure = func() pressure.Sample { return *sample.Load() }
	g := newRig(t, run, o)
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 6, Max: 8} }))
	eventually(t, "six are ready", func() bool { return g.Function("f").Ready == 6 })
	ctx := context.Background()
	for _, i := range g.Instances(ctx, "f", false) {
		if _, _, err := g.callOf(ctx, i.ID, "GET", "/", ""); err != nil {
			t.Fatal(err)
		}
	}
	shells := func() int { return g.Memory(ctx).Tenders[0].Shells }
	eventually(t, "shells stand ready", func() bool { return shells() > 0 && run.Tenders()[0].Shells() == shells() })

	sample.Store(&pressure.Sample{Total: 1000 * mib, Available: 40 * mib})
	eventually(t, "shells go, and all that is idle is parked", func() bool {
		return shells() == 0 && run.Tenders()[0].Shells() == 0 && g.parked() == 6 && run.Live.Load() == 0
	})
	for _, want := range []string{"no shells are kept ready: the machine is short of memory", "idle instances are parked before their time: the machine is short of memory"} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("log lacks %q:\n%s", want, g.log())
		}
	}
	if !g.Memory(ctx).Short {
		t.Error("it does not say that memory is short")
	}
	if store.Trims.Load() == 0 {
		t.Error("snapshots that nobody uses stay in memory")
	}
	// Parked ones stay until there is no other way.
	if n := strings.Count(g.log(), "parked instances are ended"); n != 0 {
		t.Error(g.log())
	}
	g.Scale("f", node.Scale{Min: 0, Max: 8})
	eventually(t, "scaled to nothing", func() bool { return g.parked() == 0 })
	if _, n := g.count(); n != 101 {
		t.Errorf("counted to %d", n)
	}
	eventually(t, "the one is parked", func() bool { return g.parked() == 1 })
	sample.Store(&pressure.Sample{Total: 1000 * mib, Available: mib})
	eventually(t, "it goes", func() bool { return g.parked() == 0 })
	if !strings.Contains(g.log(), "1 parked instances are ended, the oldest ones: the machine is short of memory") {
		t.Error(g.log())
	}
}

// TestPressureWithoutSnapshots: what cannot be parked ends, down to what is to be kept.
func TestPressureWithoutSnapshots(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(echo)}
	var short atomic.Bool
	o := node.Options{TenderMemory: func(int) int64 { return run.Live.Load() * 10 * mib }, Pressure: func() pressure.Sample {
		if short.Load() {
			return pressure.Sample{Total: 1000 * mib, Available: 40 * mib}
		}
		return pressure.Sample{}
	}}
	g := newRig(t, run, o)
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 5, Max: 5} }))
	eventually(t, "five are ready", func() bool { return g.Function("f").Ready == 5 })
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 2, Max: 5} }))
	short.Store(true)
	eventually(t, "three end", func() bool { return run.Live.Load() == 2 })
	if !strings.Contains(g.log(), "idle instances are ended: the machine is short of memory") {
		t.Error(g.log())
	}
}
