// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// named is the spec of a function of that name with one invocation an instance.
func named(name string, change ...func(*node.Spec)) node.Spec {
	return spec(append([]func(*node.Spec){func(s *node.Spec) {
		s.Function, s.Revision, s.Concurrency, s.Scale.Max = name, name+"-1", 1, 100
	}}, change...)...)
}

// callFunction invokes a function once.
func (g *rig) callFunction(ctx context.Context, name, body string) error {
	inv := g.Invoke(name, time.Now())
	failed := true
	defer func() { inv.End(failed) }()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://f/", strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := inv.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	failed = err != nil
	return err
}

// hammer calls a function from so many callers until ctx ends.
func (g *rig) hammer(ctx context.Context, all *sync.WaitGroup, name string, callers int, served *atomic.Int64) {
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := g.callFunction(ctx, name, ""); err == nil {
					served.Add(1)
				} else if ctx.Err() == nil {
					g.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// slow answers after a moment.
func slow(d time.Duration) *nodetest.Runtime {
	return &nodetest.Runtime{Snapshots: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(d)
	})}
}

// live is how many instances of a function run.
func (g *rig) live(name string) int {
	s := g.Function(name)
	return s.Ready + s.Booting
}

// TestNodeLimit: there are never more running instances than the node may have, whoever wants them, and all callers are served.
func TestNodeLimit(t *testing.T) {
	run := slow(2 * time.Millisecond)
	g := newRig(t, run, node.Options{Instances: 6, Snapshots: &nodetest.Snapshots{}})
	for n := range 3 {
		g.Apply(named(fmt.Sprintf("f%d", n)))
	}
	var all sync.WaitGroup
	for n := range 60 {
		all.Go(func() {
			for range 5 {
				if err := g.callFunction(context.Background(), fmt.Sprintf("f%d", n%3), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if p := run.Peak.Load(); p > 6+2 { // one that is being parked is there a little longer than its room
		t.Errorf("%d at once", p)
	}
}

// TestFairShare: who came first has to give room to who comes later, down to its share by weight.
func TestFairShare(t *testing.T) {
	g := newRig(t, slow(3*time.Millisecond), node.Options{Instances: 12, Snapshots: &nodetest.Snapshots{}})
	g.Apply(named("greedy"))
	g.Apply(named("late"))
	g.Apply(named("heavy", func(s *node.Spec) { s.Scale.Weight = 2 * node.DefaultWeight }))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var served [3]atomic.Int64
	g.hammer(ctx, &all, "greedy", 40, &served[0])
	eventually(t, "one has all", func() bool { return g.live("greedy") == 12 })
	g.hammer(ctx, &all, "late", 40, &served[1])
	eventually(t, "two have half", func() bool { return g.live("greedy") == 6 && g.live("late") == 6 })
	g.hammer(ctx, &all, "heavy", 40, &served[2])
	eventually(t, "each has its share", func() bool {
		return g.live("greedy") == 3 && g.live("late") == 3 && g.live("heavy") == 6
	})
	for n := range served {
		before := served[n].Load()
		eventually(t, "all are served", func() bool { return served[n].Load() > before+20 })
	}
	if !strings.Contains(g.log(), "greedy system gives instances up for a while") {
		t.Error(g.log())
	}
}

// TestTurns: where there are more functions than places they take turns, and none waits for ever.
func TestTurns(t *testing.T) {
	const functions = 8
	g := newRig(t, slow(time.Millisecond), node.Options{Instances: 2, Snapshots: &nodetest.Snapshots{}})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var served [functions]atomic.Int64
	for n := range functions {
		name := fmt.Sprintf("f%d", n)
		g.Apply(named(name))
		g.hammer(ctx, &all, name, 3, &served[n])
	}
	for n := range served {
		eventually(t, "each is served, again and again", func() bool { return served[n].Load() > 100 })
	}
}

// TestStarts: no more instances are started at once than the node starts, and those of one function do not hold up another's.
func TestStarts(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	run := slow(0)
	run.Snapshots = false
	run.OnBoot = func(ctx context.Context, _ *nodetest.Guest) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer now.Add(-1)
		select {
		case <-release:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		return nil
	}
	g := newRig(t, run, node.Options{Starts: 3})
	g.Apply(named("many", func(s *node.Spec) { s.Scale.Min = 30 }))
	g.Apply(named("one"))
	if err := g.callFunction(context.Background(), "one", ""); err != nil {
		t.Fatal(err)
	}
	if n := g.Function("many").Ready; n >= 30 {
		t.Errorf("the one had to wait for %d", n)
	}
	eventually(t, "all are there", func() bool { return g.Function("many").Ready == 30 })
	if m := most.Load(); m > 3 {
		t.Errorf("%d at once", m)
	}
	close(release)
}

// TestInflight: what the node cannot take is refused at once and tells when to try again, and what was refused is not counted for ever.
func TestInflight(t *testing.T) {
	hold := make(chan struct{})
	run := &nodetest.Runtime{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })}
	g := newRig(t, run, node.Options{Inflight: 4})
	g.Apply(named("f"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := g.callFunction(context.Background(), "f", ""); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "four run", func() bool { return run.Live.Load() == 4 && g.Function("f").Waiting == 0 })
	for range 10 {
		var busy *node.BusyError
		if err := g.callFunction(context.Background(), "f", ""); !errors.As(err, &busy) || busy.After < time.Second {
			t.Fatal(err)
		}
	}
	close(hold)
	all.Wait()
	if err := g.callFunction(context.Background(), "f", ""); err != nil {
		t.Fatal(err)
	}
}

// TestQueueBytes: bodies that wait are bounded, for one function and for all, and what has waited makes room again.
func TestQueueBytes(t *testing.T) {
	hold := make(chan struct{})
	run := &nodetest.Runtime{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })}
	g := newRig(t, run, node.Options{QueueBytes: 4000})
	g.Apply(named("f", func(s *node.Spec) { s.Scale.Max = 1 }))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	call := func(body string) { all.Go(func() { g.callFunction(ctx, "f", body) }) }
	call("")
	eventually(t, "one runs", func() bool { return run.Live.Load() == 1 && g.Function("f").Waiting == 0 })
	body := strings.Repeat("x", 400)
	call(body)
	call(body)
	eventually(t, "two wait", func() bool { return g.Function("f").Waiting == 2 })
	if err := g.callFunction(ctx, "f", body); !errors.Is(err, node.ErrBusy) {
		t.Error(err)
	}
	close(hold)
	eventually(t, "none waits", func() bool { return g.Function("f").Waiting == 0 })
	if err := g.callFunction(ctx, "f", body+body); err != nil {
		t.Error(err)
	}
}
