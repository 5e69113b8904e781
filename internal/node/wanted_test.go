// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/node"
)

// TestNamedInstances: each of many instances is called by its id, parked, and called again; it is that very one, with its state.
func TestNamedInstances(t *testing.T) {
	const many = 200
	run := counting()
	o := parkSoon()
	o.Park = time.Hour // only when told to
	o.Idle = time.Hour
	g := newRig(t, run, o)
	ctx := context.Background()
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: many, Max: many} }))
	eventually(t, "all are there", func() bool { return g.Function("f").Ready == many })
	if running, err := g.Park(ctx, "f"); running != 0 || err != nil || g.parked() != many || run.Live.Load() != 0 {
		t.Fatalf("%d run, %d are parked, %v", running, g.parked(), err)
	}
	list := g.Instances(ctx, "f", false)
	for round := int64(1); round <= 3; round++ {
		var all sync.WaitGroup
		for part := range 8 {
			all.Go(func() {
				for n := part; n < many; n += 8 {
					text, _, err := g.callOf(ctx, list[n].ID, "POST", "/", "x")
					if want := fmt.Sprint(list[n].ID, " ", 100+round); err != nil || text != want {
						t.Errorf("%q, %v; want %q", text, err, want)
						return
					}
				}
			})
		}
		all.Wait()
		if running, err := g.Park(ctx, "f"); running != 0 || err != nil {
			t.Fatalf("%d run, %v", running, err)
		}
		if s := g.Function("f"); s.Parked != many || s.ParkedBytes != many*4096 {
			t.Errorf("%+v", s)
		}
	}
	if boots := run.Boots.Load() - run.Restores.Load(); boots != 1 {
		t.Errorf("%d booted", boots)
	}
	// Many at once for one that is parked.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := g.callOf(ctx, list[7].ID, "GET", "/", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if text, _, err := g.callOf(ctx, list[7].ID, "GET", "/", ""); err != nil || text != list[7].ID+" 124" {
		t.Errorf("%q, %v", text, err)
	}
	if _, _, err := g.callOf(ctx, "nosuch", "GET", "/", ""); !errors.Is(err, node.ErrNoInstance) {
		t.Error(err)
	}
	g.Scale("f", node.Scale{Min: 0, Max: many})
	if s := g.Function("f"); s.Parked != 0 || s.ParkedBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestNamedInstanceGoes: who waits for an instance hears when there will be none.
func TestNamedInstanceGoes(t *testing.T) {
	run := counting()
	run.IgnoreTerm = true
	g := newRig(t, run, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Concurrency = 1 }))
	id, _ := g.count()
	in := make(chan struct{})
	go func() {
		defer close(in)
		for {
			if _, _, err := g.callOf(context.Background(), id, "GET", "/", ""); err != nil {
				if !errors.Is(err, node.ErrNoInstance) && !errors.Is(err, node.ErrNoFunction) {
					t.Error(err)
				}
				return
			}
		}
	}()
	g.Remove("f", nil)
	<-in
}
