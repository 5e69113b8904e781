// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
	"unifaas.dev/internal/snapshot"
)

// parkSoon are options with which idle instances are parked at once.
func parkSoon() node.Options {
	return node.Options{Snapshots: &nodetest.Snapshots{}, Park: time.Millisecond}
}

func (g *rig) parked() int { return g.Function("f").Parked }

// allParked waits until nothing runs but n instances are parked.
func (g *rig) allParked(n int) {
	g.Helper()
	eventually(g.T, "all are parked", func() bool { return g.parked() == n && g.run.Live.Load() == 0 })
}

func TestParkAndWake(t *testing.T) {
	run := counting()
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	first, n := g.count()
	for want := n + 1; want < n+6; want++ {
		g.allParked(1)
		if s := g.Function("f"); s.ParkedBytes == 0 || s.Ready != 0 {
			t.Errorf("%+v", s)
		}
		text, timing, err := g.call("GET", "/", "")
		if err != nil || text != fmt.Sprint(first, " ", want) {
			t.Fatalf("%q, %v; want %s to come to %d", text, err, first, want)
		}
		if timing.Cold || timing.Origin != "parked" {
			t.Errorf("%+v", timing)
		}
	}
	if s := g.Function("f").Stats; s.Wakes != 5 || s.Cold != 1 || s.Parks < 5 || s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
	g.allParked(1)
	if l := g.Instances(context.Background(), "f", true); len(l) != 1 || l[0].State != "parked" || l[0].Invocations != 6 || l[0].ID != first || l[0].Usage.Private == 0 {
		t.Errorf("%+v", l)
	}
	g.Scale("f", node.Scale{Min: 0, Max: 2})
	if s := g.Function("f"); s.Parked != 0 || s.ParkedBytes != 0 {
		t.Errorf("after scaling to nothing: %+v", s)
	}
}

// TestParkedBeforeCold: what is parked is woken, the last one first, before anything is made.
func TestParkedBeforeCold(t *testing.T) {
	run := counting()
	hold := make(chan struct{})
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-hold
		}
		inner.ServeHTTP(w, r)
	})
	o := parkSoon()
	g := newRig(t, run, o)
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 3, Max: 3}; s.Concurrency = 1 }))
	g.allParked(3)
	boots := run.Boots.Load() - run.Restores.Load()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, _, err := g.call("GET", "/hold", ""); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all three run", func() bool { return g.Function("f").Ready == 3 })
	close(hold)
	all.Wait()
	if got := run.Boots.Load() - run.Restores.Load(); got != boots {
		t.Errorf("%d more booted", got-boots)
	}
}

// TestParkUnderLoad: with instances parked and woken all the time, and sometimes busy when they are to be parked, each goes on counting
// where it was.
func TestParkUnderLoad(t *testing.T) {
	run := counting()
	run.OnPark = func(*nodetest.Guest) error {
		if rand.IntN(10) == 0 {
			return fmt.Errorf("%w: a stream is open", node.ErrBusyGuest)
		}
		return nil
	}
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		inner.ServeHTTP(w, r)
	})
	g := newRig(t, run, parkSoon())
	g.Apply(spec(func(s *node.Spec) { s.Scale.Max, s.Concurrency = 12, 1 }))
	var mu sync.Mutex
	top := map[string]int64{}
	served := map[string]int64{}
	var all sync.WaitGroup
	for worker := range 12 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(worker)))
			for range 60 {
				text, _, err := g.call("POST", "/", "x")
				var id string
				var n int64
				fmt.Sscan(text, &id, &n)
				mu.Lock()
				top[id] = max(top[id], n)
				served[id]++
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	total := int64(0)
	for id, n := range served {
		total += n
		if top[id] != 100+n {
			t.Errorf("instance %s counted to %d after %d invocations", id, top[id]-100, n)
		}
	}
	s := g.Function("f").Stats
	if total != 720 || s.Crashes != 0 || s.Parks == 0 || s.Wakes == 0 {
		t.Errorf("%d served, %+v", total, s)
	}
	t.Logf("%d instances, %d parked, %d woken for an invocation", len(served), s.Parks, s.Wakes)
}

func TestTenderDiesWhileParked(t *testing.T) {
	run := counting()
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	for n := range int64(5) {
		if _, got := g.count(); got != 101+n {
			t.Fatalf("counted to %d, want %d", got, 101+n)
		}
		g.allParked(1)
		tenders := run.Tenders()
		tenders[len(tenders)-1].Crash()
	}
	if run.Started.Load() != 5 {
		t.Errorf("%d tenders", run.Started.Load())
	}
}

// TestParkedFitsNothingElse: a delta is never put upon another snapshot than its own.
func TestParkedFitsNothingElse(t *testing.T) {
	run := counting()
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	first, _ := g.count()
	g.allParked(1)
	var once atomic.Bool
	run.OnImage = func() error {
		if once.CompareAndSwap(false, true) {
			return fmt.Errorf("%w: CPU features", snapshot.ErrForeign)
		}
		return nil
	}
	run.Tenders()[0].Crash()
	if id, n := g.count(); id == first || n != 101 {
		t.Errorf("%s counted to %d", id, n)
	}
	if !strings.Contains(g.log(), "what was kept of it while it was parked is of no use: snapshot is of another kind") {
		t.Error(g.log())
	}
}

func TestWakeFails(t *testing.T) {
	run := counting()
	var fail atomic.Pointer[error]
	run.OnRestore = func(s node.Start) error {
		if err := fail.Load(); err != nil && s.Origin == node.FromParked {
			fail.Store(nil)
			return *err
		}
		return nil
	}
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	first, _ := g.count()

	g.allParked(1)
	short := errors.New("no memory")
	fail.Store(&short)
	var start *node.StartError
	if _, _, err := g.call("GET", "/", ""); !errors.As(err, &start) || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("%v", err)
	}
	if id, n := g.count(); id != first || n != 102 {
		t.Errorf("%s counted to %d: it was to be parked as before", id, n)
	}

	g.allParked(1)
	bad := fmt.Errorf("%w: checksum", snapshot.ErrDamaged)
	fail.Store(&bad)
	if id, n := g.count(); id == first || n != 101 {
		t.Errorf("%s counted to %d: the damaged one was to be replaced", id, n)
	}
	if !strings.Contains(g.log(), "is of no use: snapshot is damaged: checksum") {
		t.Error(g.log())
	}
}

func TestParkFails(t *testing.T) {
	run := counting()
	run.OnPark = func(*nodetest.Guest) error { return errors.New("the disk of the moon is full") }
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	g.count()
	eventually(t, "the instance ends", func() bool { return run.Live.Load() == 0 })
	eventually(t, "that is said", func() bool {
		return strings.Contains(g.log(), "ended: it could not be parked: the disk of the moon is full")
	})
	if s := g.Function("f"); s.Stats.Crashes != 0 || s.Parked != 0 {
		t.Errorf("%+v", s)
	}
	if _, n := g.count(); n != 101 {
		t.Errorf("counted to %d", n)
	}
}

// TestBusyIsNotParked: a guest with work of its own goes on.
func TestBusyIsNotParked(t *testing.T) {
	run := counting()
	var tries atomic.Int64
	run.OnPark = func(*nodetest.Guest) error {
		tries.Add(1)
		return fmt.Errorf("%w: it computes", node.ErrBusyGuest)
	}
	g := newRig(t, run, parkSoon())
	g.Apply(spec())
	first, _ := g.count()
	eventually(t, "it was tried twice", func() bool { return tries.Load() >= 2 })
	if id, n := g.count(); id != first || n != 102 {
		t.Errorf("%s counted to %d", id, n)
	}
}

// TestRewoundNeedsNoRoom: what is as the snapshot is parked for nothing.
func TestRewoundNeedsNoRoom(t *testing.T) {
	run := counting()
	run.OnPark = func(g *nodetest.Guest) error { return errors.New("an instance that is rewound holds nothing") }
	g := newRig(t, run, parkSoon())
	g.Apply(spec(func(s *node.Spec) { s.Rewind, s.Scale = true, node.Scale{Min: 3, Max: 3} }))
	g.allParked(3)
	for range 10 {
		if _, n := g.count(); n != 101 {
			t.Errorf("counted to %d", n)
		}
	}
	g.allParked(3)
	if s := g.Function("f"); s.ParkedBytes != 0 {
		t.Errorf("%d bytes for three", s.ParkedBytes)
	}
}

// TestCloseInEveryState: nothing is left, whatever an instance was about to become.
func TestCloseInEveryState(t *testing.T) {
	for _, remove := range []bool{false, true} {
		for step := range 12 {
			t.Run(fmt.Sprint("remove=", remove, " step=", step), func(t *testing.T) {
				run := counting()
				slow := func() { time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) }
				run.OnPark = func(*nodetest.Guest) error { slow(); return nil }
				run.OnRestore = func(node.Start) error { slow(); return nil }
				g := newRig(t, run, parkSoon())
				g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 4, Max: 8}; s.Concurrency = 1 }))
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						for range 5 {
							if _, _, err := g.call("GET", "/", ""); err != nil && !errors.Is(err, node.ErrClosing) && !errors.Is(err, node.ErrNoFunction) {
								t.Error(err)
							}
							time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
						}
					})
				}
				time.Sleep(time.Duration(step*4) * time.Millisecond)
				if remove {
					g.Remove("f", nil)
				} else {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					g.Close(ctx)
				}
				all.Wait()
			})
		}
	}
}

func TestManyParked(t *testing.T) {
	const many = 20000
	run := counting()
	g := newRig(t, run, parkSoon())
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: many, Max: many} }))
	for deadline := time.Now().Add(2 * time.Minute); g.parked() != many || run.Live.Load() != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d parked, %d live", g.parked(), run.Live.Load())
		}
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
	each := (heap() - before) / many
	t.Logf("%d bytes for each parked instance", each)
	if each > 2048 {
		t.Errorf("%d bytes for each parked instance", each)
	}
	seen := map[string]bool{}
	start := time.Now()
	for range 100 {
		id, n := g.count()
		seen[id] = true
		if n < 101 {
			t.Errorf("counted to %d", n)
		}
	}
	t.Logf("100 invocations of %d instances in %v", len(seen), time.Since(start))
	if l := g.Instances(context.Background(), "f", true); len(l) != many {
		t.Errorf("%d are listed", len(l))
	}
}

// TestReclaim: what waits to be parked serves who comes before its turn.
func TestReclaim(t *testing.T) {
	const many = 20
	run := counting()
	hold := make(chan struct{})
	run.OnPark = func(*nodetest.Guest) error { <-hold; return nil }
	o := parkSoon()
	o.Park, o.Idle = time.Hour, time.Hour
	g := newRig(t, run, o)
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: many, Max: many}; s.Concurrency = 1 }))
	eventually(t, "all are ready", func() bool { return g.Function("f").Ready == many })
	ctx := context.Background()
	list := g.Instances(ctx, "f", false)
	for _, i := range list {
		if _, _, err := g.callOf(ctx, i.ID, "GET", "/", ""); err != nil {
			t.Fatal(err)
		}
	}
	parked := make(chan error)
	go func() { _, err := g.Park(ctx, "f"); parked <- err }()
	eventually(t, "none is ready", func() bool { return g.Function("f").Ready == 0 })
	for range 3 {
		if _, n := g.count(); n < 102 {
			t.Errorf("counted to %d", n)
		}
	}
	states := map[string]int{}
	for _, i := range g.Instances(ctx, "f", false) {
		states[i.State]++
	}
	if states["ready"] == 0 || states["parking"] == 0 || states["waking"]+states["booting"] > 0 {
		t.Errorf("%v", states)
	}
	release()
	if err := <-parked; err != nil {
		t.Error(err)
	}
	if s := g.Function("f"); s.Ready != states["ready"] || s.Parked != many-states["ready"] || s.Stats.Cold != 0 {
		t.Errorf("%+v", s)
	}
}

// TestParkedOutlastTheTender: it is dismissed when nothing runs in it, and there again when somebody is woken.
func TestParkedOutlastTheTender(t *testing.T) {
	run := counting()
	o := parkSoon()
	o.Idle = 50 * time.Millisecond
	g := newRig(t, run, o)
	g.Apply(spec(func(s *node.Spec) { s.Scale.Min = 1 }))
	first, _ := g.count()
	eventually(t, "the tender is dismissed", func() bool { return g.parked() == 1 && run.Running.Load() == 0 })
	if id, n := g.count(); id != first || n != 102 || run.Started.Load() < 2 {
		t.Errorf("%s counted to %d, %d tenders", id, n, run.Started.Load())
	}
	// Beyond Scale.Min what is idle for longer ends.
	g.Apply(spec())
	eventually(t, "it ends", func() bool { s := g.Function("f"); return s.Parked == 0 && s.ParkedBytes == 0 && run.Live.Load() == 0 })
}
