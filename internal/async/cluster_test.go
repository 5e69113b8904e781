// SPDX-License-Identifier: Apache-2.0

package async

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestTwoNodes: nodes on one engine share the work, and each request is executed once.
func TestTwoNodes(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	var mu sync.Mutex
	calls, by := map[string]int{}, map[string]int{}
	node := func() *rig {
		g := &rig{TB: t, url: s.ClientURL(), settings: Settings{Retries: 3, Concurrency: 4}}
		g.open()
		t.Cleanup(g.close)
		return g
	}
	work := func(name string) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			calls[r.Header.Get("X-Call-Id")]++
			by[name]++
		}
	}
	a, b := node(), node()
	const count = 200
	for range count {
		a.post("f", "")
	}
	b.serve(work("b"))
	a.until("the other node has executed all", func() bool { mu.Lock(); defer mu.Unlock(); return by["b"] == count })
	a.serve(work("a"))
	for range count {
		a.post("f", "")
	}
	a.empty()
	mu.Lock()
	if len(calls) != 2*count || by["a"]+by["b"] != 2*count {
		t.Errorf("%d requests were executed %v times, want %d once each", len(calls), by, 2*count)
	}
	mu.Unlock()
	s.Shutdown()
	s.WaitForShutdown()
	a.until("the engine is missed", func() bool { return a.engine.Reached() != nil })
	if err := a.Enqueue(t.Context(), Request{Function: "f", Method: "POST", Path: "/", CallID: "x"}, strings.NewReader("")); err == nil {
		t.Error("accepted without an engine")
	}
}

// TestMetrics: the numbers are there, under names that Prometheus takes.
func TestMetrics(t *testing.T) {
	g := newRig(t)
	block := make(chan struct{})
	g.serve(func(http.ResponseWriter, *http.Request) { <-block })
	for range 6 {
		g.post("f.ns", "")
	}
	g.until("four run", func() bool { l := g.Queues(); return len(l) == 1 && l[0].Running == 4 })
	want := `
# HELP unifaas_async_queued Asynchronous invocations that are accepted and not done, those that run included.
# TYPE unifaas_async_queued gauge
unifaas_async_queued{function="f.ns"} 6
# HELP unifaas_async_running Asynchronous invocations that this node executes.
# TYPE unifaas_async_running gauge
unifaas_async_running{function="f.ns"} 4
# HELP unifaas_async_accepted_total Asynchronous invocations that were accepted.
# TYPE unifaas_async_accepted_total counter
unifaas_async_accepted_total{function="f.ns"} 6
`
	if err := testutil.CollectAndCompare(g.Collector(), strings.NewReader(want), "unifaas_async_queued", "unifaas_async_running", "unifaas_async_accepted_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(g.Collector()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	close(block)
	g.empty()
	g.forgetStats()
	if s := g.Stats("f.ns"); s.Accepted.Load() != 6 {
		t.Errorf("counters of a function that is deployed were dropped")
	}
}
