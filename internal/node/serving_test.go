// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// TestReadiness: nobody is sent to an instance that listens but is not ready.
func TestReadiness(t *testing.T) {
	var ready, early, asked atomic.Int64
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			if r.URL.RawQuery != "deep=1" || r.UserAgent() == "" {
				t.Errorf("asked %s by %q", r.URL, r.UserAgent())
			}
			if asked.Add(1); ready.Load() == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		early.Add(1 - ready.Load())
	})}, node.Options{})
	one := revision("f-1", func(s *node.Spec) { s.Serving.Readiness = "/ready?deep=1" })
	done := g.update(one, one)
	called := make(chan error, 1)
	go func() {
		_, _, err := g.call("GET", "/", "")
		called <- err
	}()
	eventually(t, "it is asked", func() bool { return asked.Load() >= 3 })
	ready.Store(1)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-called; err != nil || early.Load() != 0 {
		t.Errorf("%v, %d calls before it was ready", err, early.Load())
	}
}

// TestNeverReady: what the probe said last is why it failed, also where invocations meet the snapshot.
func TestNeverReady(t *testing.T) {
	for name, change := range map[string]func(*node.Spec){"reuse": func(*node.Spec) {}, "rewind": func(s *node.Spec) { s.Rewind = true }, "fresh": func(s *node.Spec) { s.Fresh = true }} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, &nodetest.Runtime{Snapshots: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusTeapot)
			})}, node.Options{Snapshots: &nodetest.Snapshots{}})
			one := revision("f-1", change, func(s *node.Spec) { s.Serving = node.Serving{Readiness: "/ready", Startup: 2 * time.Second} })
			if err := <-g.update(one, one); err == nil || !strings.Contains(err.Error(), "readiness probe GET /ready: status 418, for 2s") {
				t.Error(err)
			}
		})
	}
}

// TestProbedInstanceEnds: its end is told rather than that it did not answer.
func TestProbedInstanceEnds(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nodetest.Self(r).End(node.Exit{Kind: node.ExitNormal, Status: 4, Reason: "exit status 4"})
	})}, node.Options{})
	one := revision("f-1", func(s *node.Spec) { s.Serving.Readiness = "/" })
	if err := <-g.update(one, one); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Error(err)
	}
}

// TestLiveness: an instance that does not answer its probe is ended when its invocations are over, and another one takes its place.
func TestLiveness(t *testing.T) {
	var sick, passing atomic.Pointer[nodetest.Guest]
	var asked atomic.Int64
	hold, held := make(chan struct{}), make(chan struct{})
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		self := nodetest.Self(r)
		switch r.URL.Path {
		case "/live":
			asked.Add(1)
			if sick.Load() == self || passing.CompareAndSwap(self, nil) { // once is not enough
				w.WriteHeader(http.StatusInternalServerError)
			}
		case "/passing":
			passing.Store(self)
		case "/sick":
			sick.Store(self)
			close(held)
			<-hold
		}
		w.Write([]byte(self.ID))
	})}, node.Options{Liveness: 10 * time.Millisecond})
	g.Apply(spec(func(s *node.Spec) { s.Serving.Liveness, s.Scale = "/live", node.Scale{Min: 1, Max: 2} }))
	first, _, err := g.call("GET", "/passing", "")
	if err != nil {
		t.Fatal(err)
	}
	before := asked.Load()
	eventually(t, "it is asked again and again", func() bool { return asked.Load() > before+5 })
	if again, _, err := g.call("GET", "/", ""); err != nil || again != first {
		t.Errorf("%q %v: another one after one bad answer", again, err)
	}
	called := make(chan string, 1)
	go func() {
		got, _, err := g.callCtx(context.Background(), "GET", "/sick", "")
		if err != nil {
			t.Errorf("an invocation that runs: %v", err)
		}
		called <- got
	}()
	<-held
	eventually(t, "it gets nothing more", func() bool { return strings.Contains(g.log(), "liveness probe GET /live failed 3 times: status 500") })
	if other, _, err := g.call("GET", "/", ""); err != nil || other == first {
		t.Errorf("%q %v: the sick one", other, err)
	}
	close(hold)
	if got := <-called; got != first {
		t.Errorf("%q answered", got)
	}
	eventually(t, "it has ended", func() bool { return g.run.Live.Load() == 1 })
}

// TestGrace: an instance has the time that its revision says, and not longer.
func TestGrace(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo), IgnoreTerm: true}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Serving.Grace = 300 * time.Millisecond; s.Scale.Min = 1 }))
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	g.Apply(spec(func(s *node.Spec) { s.Revision = "f-2" }))
	eventually(t, "it has ended", func() bool { return g.run.Live.Load() == 0 })
	if took := time.Since(from); took < 250*time.Millisecond {
		t.Errorf("it had %v", took)
	}
}
