// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
)

// park parks a function's only instance.
func park(t *testing.T, n *childnode.Node, name string) {
	t.Helper()
	eventually(t, name+" is parked", func() bool {
		if _, err := n.Client.Park(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		d := describe(t, n, name)
		return d.Parked == 1 && d.Ready == 0
	})
}

// TestParked: an instance that slept for two seconds has all it had: memory, files, children, its name. Its clocks are right, a timer that fell due
// meanwhile fires. A connection to elsewhere on which nothing is awaited keeps nobody from being parked.
func TestParked(t *testing.T) {
	n := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	deploy(t, n, "connected", state(t), "reuse", map[string]string{"PEER": l.Addr().String()})
	snapshotted(t, n, "connected")
	park(t, n, "connected")
	if a := call(t, n, "connected", "/ids", ""); a.origin != "parked" {
		t.Errorf("made from %q, though nothing was awaited on its connection", a.origin)
	}
	deploy(t, n, "parked", state(t), "reuse", nil)
	snapshotted(t, n, "parked")
	call(t, n, "parked", "/fork", "")
	call(t, n, "parked", "/alloc?3", "")
	call(t, n, "parked", "/put", "kept over the night")
	due := call(t, n, "parked", "/arm?1000", "").number(t, "due")
	before := call(t, n, "parked", "/ids", "")
	clocks := call(t, n, "parked", "/clocks", "")
	for round := range 3 {
		park(t, n, "parked")
		if round == 0 {
			time.Sleep(2 * time.Second) // what is measured
		}
		from := time.Now()
		after := call(t, n, "parked", "/clocks", "")
		if at := time.Unix(0, after.number(t, "realtime")); at.Before(from.Add(-100*time.Millisecond)) || at.After(time.Now().Add(100*time.Millisecond)) {
			t.Errorf("time of day %v, it is %v", at, from)
		}
		if after.origin != "parked" || after.instance != before.instance {
			t.Errorf("answer of %s, made from %q; %s was parked", after.instance, after.origin, before.instance)
		}
		slept := after.number(t, "monotonic") - clocks.number(t, "monotonic")
		real := after.number(t, "realtime") - clocks.number(t, "realtime")
		if d := slept - real; slept <= 0 || d < -int64(200*time.Millisecond) || d > int64(200*time.Millisecond) {
			t.Errorf("monotonic time went on by %v, time of day by %v", time.Duration(slept), time.Duration(real))
		}
		if round == 0 {
			if e := call(t, n, "parked", "/expired", ""); e.number(t, "expired") != 1 || e.number(t, "monotonic") < due {
				t.Errorf("a timer due at %d: %q", due, e.text)
			}
		}
		ids := call(t, n, "parked", "/ids", "")
		for _, k := range []string{"pid", "host", "children", "files", "descriptors", "kept"} {
			if got, want := ids.lines(t)[k], before.lines(t)[k]; got != want {
				t.Errorf("%s is %s, was %s", k, got, want)
			}
		}
		if got, want := ids.number(t, "counter"), clocks.number(t, "counter"); got <= want {
			t.Errorf("counter %d, it was %d", got, want)
		}
		clocks = call(t, n, "parked", "/clocks", "")
	}
}

// TestParkUnderLoad: instances that are called and parked in any order lose nothing that they were told.
func TestParkUnderLoad(t *testing.T) {
	n := start(t)
	const instances, calls = 3, 30
	deploy(t, n, "load", state(t), "reuse", nil)
	snapshotted(t, n, "load")
	// Several instances: each holds its call until all have one.
	var ids []string
	for len(ids) < instances {
		found := map[string]bool{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 * instances {
			all.Go(func() {
				a, err := try(n, "load", "/alloc?4", "")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				found[a.instance] = true
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		ids = ids[:0]
		for id := range found {
			ids = append(ids, id)
		}
	}
	ids = ids[:instances]
	var done atomic.Bool
	var parker, all sync.WaitGroup
	parker.Go(func() {
		for !done.Load() {
			if _, err := n.Client.Park(t.Context(), "load"); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	})
	for _, id := range ids {
		all.Go(func() {
			first, err := tryAt(n, "load", id, "/ids", "")
			if err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			count, kept := first.number(t, "counter"), first.lines(t)["kept"]
			for i := range calls {
				path, text := "/ids", ""
				switch rand.IntN(4) {
				case 0:
					text = fmt.Sprint(id, " ", i)
					path, kept = "/put", text
				case 1:
					path = "/alloc?2"
				case 2:
					path = "/free"
				}
				a, err := tryAt(n, "load", id, path, text)
				if err != nil {
					t.Errorf("%s: call %d: %v", id, i, err)
					return
				}
				count++
				if l := a.lines(t); a.instance != id || l["counter"] != fmt.Sprint(count) || l["kept"] != kept {
					t.Errorf("%s: call %d: counter %s and %q from %s, want %d and %q", id, i, l["counter"], l["kept"], a.instance, count, kept)
					return
				}
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	done.Store(true)
	parker.Wait()
	if d := describe(t, n, "load"); d.Parks < instances || d.Wakes < instances {
		t.Errorf("%d parks, %d wakes: nothing was tried", d.Parks, d.Wakes)
	} else {
		t.Logf("%d parks, %d wakes", d.Parks, d.Wakes)
	}
}

// TestMemoryOfParked: one that is parked takes next to nothing.
func TestMemoryOfParked(t *testing.T) {
	n := start(t)
	deploy(t, n, "small", state(t), "reuse", nil)
	snapshotted(t, n, "small")
	call(t, n, "small", "/put", "x")
	park(t, n, "small")
	for _, i := range describe(t, n, "small").Instances {
		if i.Private <= 0 || i.Private > 1<<20 {
			t.Errorf("%s instance %s keeps %d bytes", i.State, i.ID, i.Private)
		} else {
			t.Logf("%d bytes", i.Private)
		}
	}
}
