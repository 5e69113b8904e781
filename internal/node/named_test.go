// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// ask calls one instance by its name.
func (g *rig) ask(ctx context.Context, instance string) (_ string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://f/", nil)
	if err != nil {
		return "", err
	}
	v := g.Invoke("f", time.Now())
	v.Instance = instance
	defer func() { v.End(err != nil) }()
	resp, err := v.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func (g *rig) ids() (ids []string) {
	for _, i := range g.Instances(context.Background(), "f", false) {
		ids = append(ids, i.ID)
	}
	return ids
}

// TestNamed: who asks for an instance gets that one, parked or not, busy or not, beside callers who take any.
func TestNamed(t *testing.T) {
	run := counting()
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		inner.ServeHTTP(w, r)
	})
	g := newRig(t, run, parkSoon())
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 8, Max: 8}; s.Concurrency = 1 }))
	g.allParked(8)
	ids := g.ids()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for n := range 40 {
				want := ids[(worker*3+n*5)%len(ids)]
				text, err := g.ask(t.Context(), want)
				if got, _, _ := strings.Cut(text, " "); err != nil || got != want {
					t.Errorf("asked for %s: %q, %v", want, text, err)
					return
				}
				if n%8 == 0 {
					if _, _, err := g.call("GET", "/", ""); err != nil {
						t.Error(err)
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	g.allParked(8)
	if got := g.ids(); fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Errorf("instances %v, before %v", got, ids)
	}
	if s := g.Function("f").Stats; s.Invocations != 8*40+8*5 || s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestNamedIsNotThere(t *testing.T) {
	run := counting()
	hold := make(chan struct{})
	inner := run.Handler
	run.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-hold
		inner.ServeHTTP(w, r)
	})
	var fail atomic.Bool
	run.OnRestore = func(s node.Start) error {
		if s.Origin == node.FromParked && fail.CompareAndSwap(true, false) {
			return errors.New("no memory")
		}
		return nil
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}, Park: time.Millisecond, Queue: 2})
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 1, Max: 1}; s.Concurrency = 1 }))
	eventually(t, "it is there", func() bool { return len(g.ids()) == 1 })
	id := g.ids()[0]
	if _, err := g.ask(t.Context(), "0"); !errors.Is(err, node.ErrNoInstance) {
		t.Errorf("%v", err)
	}
	first := make(chan error, 1)
	go func() { _, err := g.ask(t.Context(), id); first <- err }()
	busy := func() bool { l := g.Instances(t.Context(), "f", false); return len(l) == 1 && l[0].Inflight == 1 }
	eventually(t, "it is busy", busy)

	// Those behind it wait, as many as may; one leaves again.
	ctx, leave := context.WithCancel(t.Context())
	left, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := g.ask(ctx, id); left <- err }()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	go func() { _, err := g.ask(t.Context(), id); second <- err }()
	close(hold)
	for _, c := range []chan error{first, second} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}

	// One that cannot be woken says so, and is as before.
	eventually(t, "it is parked", func() bool { return g.parked() == 1 && run.Live.Load() == 0 })
	fail.Store(true)
	var start *node.StartError
	if _, err := g.ask(t.Context(), id); !errors.As(err, &start) {
		t.Errorf("%v", err)
	}
	if text, err := g.ask(t.Context(), id); err != nil || !strings.HasPrefix(text, id+" ") {
		t.Errorf("%q, %v", text, err)
	}

	// Its revision is replaced: it is not there any more.
	g.Apply(spec(func(s *node.Spec) { s.Revision = "f-2"; s.Concurrency = 1 }))
	eventually(t, "it is gone", func() bool { _, err := g.ask(t.Context(), id); return errors.Is(err, node.ErrNoInstance) })
}
