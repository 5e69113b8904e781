// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
	"unifaas.dev/internal/snapshot"
)

// counting is a program that initialises itself to 100 and adds one with each request; the answer says which instance came to what.
func counting() *nodetest.Runtime {
	return &nodetest.Runtime{
		Snapshots: true,
		OnBoot:    func(_ context.Context, g *nodetest.Guest) error { g.Value.Store(100); return nil },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g := nodetest.Self(r)
			fmt.Fprintf(w, "%s %d", g.ID, g.Value.Add(1))
		}),
	}
}

// count invokes f, which is the program above.
func (g *rig) count() (id string, n int64) {
	g.Helper()
	text, _, err := g.call("GET", "/", "")
	if err != nil {
		g.Fatal(err)
	}
	fmt.Sscan(text, &id, &n)
	return id, n
}

func TestSnapshotOfTheFirst(t *testing.T) {
	store := &nodetest.Snapshots{}
	run := counting()
	g := newRig(t, run, node.Options{Snapshots: store})
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 5, Max: 8} }))
	eventually(t, "five are ready", func() bool { return g.Function("f").Ready == 5 })
	if b, r := run.Boots.Load(), run.Restores.Load(); b != 5 || r != 4 {
		t.Errorf("%d instances, %d of them from a snapshot; all but the first should be", b, r)
	}
	eventually(t, "it is stored", func() bool { _, _, n := store.Usage(); return n == 1 })
	if !strings.Contains(g.log(), "snapshot taken in ") || strings.Count(g.log(), "started from its snapshot in") != 4 {
		t.Error(g.log())
	}
	// A new tender gets what the first one took.
	run.Tenders()[0].Crash()
	if _, n := g.count(); n != 101 {
		t.Errorf("counted to %d from a snapshot of 100", n)
	}
	second := run.Tenders()[1]
	if second.Config.Snapshot.Image == nil || second.Config.Snapshot.Sink != nil {
		t.Error("the second tender was to use the first one's snapshot")
	}
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Cold {
		t.Errorf("%+v, %v", timing, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	g.Close(ctx)

	// So does the next node.
	again := counting()
	g = newRig(t, again, node.Options{Snapshots: store})
	g.Apply(spec())
	g.CollectSnapshots()
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Origin != "snapshot" {
		t.Errorf("%+v, %v", timing, err)
	}
	// What is not served has none.
	g.Remove("f", nil)
	eventually(t, "the snapshot goes with its revision", func() bool { _, _, n := store.Usage(); return n == 0 })
}

func TestCollectSnapshots(t *testing.T) {
	store := &nodetest.Snapshots{}
	g := newRig(t, counting(), node.Options{Snapshots: store})
	g.Apply(spec())
	g.count()
	eventually(t, "it is stored", func() bool { _, _, n := store.Usage(); return n == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	g.Close(ctx)
	g = newRig(t, counting(), node.Options{Snapshots: store})
	g.Apply(spec(func(s *node.Spec) { s.Revision = "f-2" }))
	g.CollectSnapshots()
	if _, _, n := store.Usage(); n != 0 {
		t.Error("a snapshot of a revision that is not served is still there")
	}
}

func TestSnapshotModes(t *testing.T) {
	for _, mode := range []string{node.SnapshotOff, node.SnapshotManual, node.SnapshotAuto} {
		t.Run(mode, func(t *testing.T) {
			run := counting()
			g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
			g.Apply(spec(func(s *node.Spec) { s.Env = map[string]string{node.EnvSnapshot: mode} }))
			g.count()
			use := run.Tenders()[0].Config.Snapshot
			if (use.Sink == nil) != (mode == node.SnapshotOff) || use.Manual != (mode == node.SnapshotManual) {
				t.Errorf("%+v", use)
			}
		})
	}
}

// TestSnapshotRefused: what does not fit is forgotten by name, and another one taken.
func TestSnapshotRefused(t *testing.T) {
	foreign := fmt.Errorf("%w: CPU features", snapshot.ErrForeign)
	take := func(t *testing.T) *nodetest.Snapshots {
		store := &nodetest.Snapshots{}
		g := newRig(t, counting(), node.Options{Snapshots: store})
		g.Apply(spec())
		g.count()
		eventually(t, "it is stored", func() bool { _, _, n := store.Usage(); return n == 1 })
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.Close(ctx)
		return store
	}
	for name, spoil := range map[string]func(*nodetest.Runtime, *nodetest.Snapshots){
		"by the tender at its start": func(r *nodetest.Runtime, _ *nodetest.Snapshots) { r.OnImage = func() error { return foreign } },
		"damaged":                    func(_ *nodetest.Runtime, s *nodetest.Snapshots) { s.Damage() },
		"at the start of an instance": func(r *nodetest.Runtime, _ *nodetest.Snapshots) {
			r.OnRestore = func(node.Start) error { return foreign }
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, run := take(t), counting()
			spoil(run, store)
			g := newRig(t, run, node.Options{Snapshots: store})
			g.Apply(spec())
			if _, n := g.count(); n != 101 {
				t.Errorf("counted to %d", n)
			}
			if !strings.Contains(g.log(), "the snapshot is not used, instances boot: snapshot is ") {
				t.Error(g.log())
			}
			if name != "at the start of an instance" {
				eventually(t, "another one is stored", func() bool { _, _, n := store.Usage(); return n == 1 })
			}
		})
	}
}

func TestSnapshotCannotBeTaken(t *testing.T) {
	run := counting()
	run.OnTake = func(*nodetest.Guest) error { return errors.New("a connection to 10.0.0.1:5432 is being opened") }
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec())
	g.count()
	if run.Restores.Load() != 0 || !strings.Contains(g.log(), "no snapshot could be taken: a connection to 10.0.0.1:5432 is being opened") {
		t.Error(g.log())
	}
	for n := range 5 {
		tenders := run.Tenders()
		if use := tenders[len(tenders)-1].Config.Snapshot; (use.Sink != nil) != (n < 3) {
			t.Errorf("tender %d: %+v", n, use)
		}
		tenders[len(tenders)-1].Crash()
		g.count()
		if len(run.Tenders()) != n+2 {
			t.Fatalf("%d tenders", len(run.Tenders()))
		}
	}
}

// TestSnapshotTakerDies: another instance takes its place.
func TestSnapshotTakerDies(t *testing.T) {
	run := counting()
	var boots atomic.Int64
	run.OnBoot = func(_ context.Context, g *nodetest.Guest) error {
		if boots.Add(1) == 1 {
			g.End(node.Exit{Kind: node.ExitNormal, Status: 1, Reason: "exit status 1"})
		}
		g.Value.Store(100)
		return nil
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 3, Max: 3} }))
	eventually(t, "three are ready", func() bool { return g.Function("f").Ready == 3 })
	if boots.Load() != 2 || run.Restores.Load() != 2 {
		t.Errorf("%d boots, %d from the snapshot", boots.Load(), run.Restores.Load())
	}
}

func TestRewind(t *testing.T) {
	run := counting()
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind, s.Scale.Max = true, 3 }))
	var all sync.WaitGroup
	ids := make(chan string, 400)
	for range 8 {
		all.Go(func() {
			for range 50 {
				text, _, err := g.call("POST", "/", "x")
				id, n, _ := strings.Cut(text, " ")
				if err != nil || n != "101" {
					t.Errorf("%q, %v: every invocation counts from 100", text, err)
					return
				}
				ids <- id
			}
		})
	}
	all.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) > 3 || run.Boots.Load() > 3 {
		t.Errorf("%d instances served, %d were made", len(seen), run.Boots.Load())
	}
	eventually(t, "all rewinds are counted", func() bool { return g.Function("f").Stats.Rewinds >= 400 })
	if s := g.Function("f").Stats; s.RewindPages != 3*s.Rewinds || s.RewindTime != 3*time.Duration(s.Rewinds)*time.Millisecond || s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRewindEndsWhatRuns: the time limit costs no instance.
func TestRewindEndsWhatRuns(t *testing.T) {
	run := counting()
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := nodetest.Self(r)
		if r.URL.Path == "/loop" {
			g.Value.Add(1)
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "%s %d", g.ID, g.Value.Add(1))
	})
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind, s.Timeout, s.Scale.Max = true, 100*time.Millisecond, 1 }))
	var timeout *node.TimeoutError
	if _, _, err := g.call("GET", "/loop", ""); !errors.As(err, &timeout) {
		t.Error(err)
	}
	if _, n := g.count(); n != 101 || run.Boots.Load() != 1 {
		t.Errorf("counted to %d, %d instances", n, run.Boots.Load())
	}
	if !strings.Contains(g.log(), "time limit 100ms reached: it is rewound") || g.Function("f").Stats.Timeouts != 1 {
		t.Error(g.log())
	}
}

func TestRewindFails(t *testing.T) {
	run := counting()
	var fail atomic.Bool
	run.OnRewind = func(*nodetest.Guest) error {
		if fail.CompareAndSwap(true, false) {
			return errors.New("page tables are out of reach")
		}
		return nil
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind = true }))
	first, _ := g.count()
	fail.Store(true)
	g.count()
	eventually(t, "the instance ends", func() bool {
		return strings.Contains(g.log(), "ended: it could not be rewound: page tables are out of reach")
	})
	if id, n := g.count(); id == first || n != 101 {
		t.Errorf("%s counted to %d", id, n)
	}
}

// TestParkedWhileRewound: an instance is parked before its rewind is over, which then fails with its guest; it wakes all the same.
func TestParkedWhileRewound(t *testing.T) {
	run := counting()
	told := make(chan struct{}, 1)
	run.OnRewind = func(g *nodetest.Guest) error {
		<-g.Done()
		<-told
		return &node.ExitError{Exit: g.Exit()}
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind = true }))
	for range 3 { // told before, while and after it is parked, as it comes
		first, _ := g.count()
		eventually(t, "it is parked", func() bool {
			_, err := g.Park(context.Background(), "f")
			return err == nil && g.parked() == 1
		})
		told <- struct{}{}
		eventually(t, "the guest is gone", func() bool { return run.Live.Load() == 0 })
		if id, n := g.count(); id != first || n != 101 {
			t.Errorf("%s was parked, %s counted to %d:\n%s", first, id, n, g.log())
		}
		told <- struct{}{}
		eventually(t, "it is parked again", func() bool {
			_, err := g.Park(context.Background(), "f")
			return err == nil && g.parked() == 1
		})
	}
}

// TestRemovedAsItListens: an instance that comes to listen when its function goes, goes too.
func TestRemovedAsItListens(t *testing.T) {
	run := counting()
	listens := make(chan struct{})
	run.OnListen = func(ctx context.Context) { close(listens); <-ctx.Done() }
	g := newRig(t, run, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Scale.Min, s.Timeout = 1, time.Hour }))
	<-listens
	gone := make(chan struct{})
	g.Remove("f", func() { close(gone) })
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the instance is left")
	}
}

// TestRewindWithoutSnapshot: state of one invocation never meets the next one, whatever that costs.
func TestRewindWithoutSnapshot(t *testing.T) {
	run := counting()
	run.OnTake = func(*nodetest.Guest) error { return errors.New("it never sleeps") }
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind = true }))
	seen := map[string]bool{}
	for range 5 {
		id, n := g.count()
		if n != 101 || seen[id] {
			t.Errorf("%s counted to %d", id, n)
		}
		seen[id] = true
	}
	if n := strings.Count(g.log(), "there is no snapshot to rewind to: it never sleeps: each instance ends after one invocation"); n != 1 {
		t.Errorf("said %d times:\n%s", n, g.log())
	}
}

func TestDismiss(t *testing.T) {
	hold, in := make(chan struct{}), make(chan struct{})
	run := counting()
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(in)
			<-hold
		}
		inner.ServeHTTP(w, r)
	})
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec())
	done := make(chan error)
	go func() { _, _, err := g.call("GET", "/hold", ""); done <- err }()
	<-in
	if gone, err := g.Dismiss(context.Background(), "f"); gone || err != nil {
		t.Errorf("with a busy instance: %v, %v", gone, err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if gone, err := g.Dismiss(context.Background(), "f"); !gone || err != nil || run.Live.Load() != 0 || run.Running.Load() != 0 {
		t.Errorf("%v, %v, %d instances, %d tenders", gone, err, run.Live.Load(), run.Running.Load())
	}
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Origin != "snapshot" || run.Started.Load() != 2 {
		t.Errorf("%+v, %v, %d tenders", timing, err, run.Started.Load())
	}
	if _, err := g.Dismiss(context.Background(), "nosuch"); !errors.Is(err, node.ErrNoFunction) {
		t.Error(err)
	}
}
