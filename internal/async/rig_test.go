// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/engine"
)

// rig is a queue whose functions are a handler.
type rig struct {
	testing.TB
	*Queue
	dir, url string // of the engine
	allow    []string
	settings Settings

	mu     sync.Mutex
	lines  []string
	engine *engine.Engine
}

func newRig(t testing.TB, allow ...string) *rig {
	g := &rig{TB: t, dir: t.TempDir(), allow: allow, settings: Settings{Retries: 3, Concurrency: 4}}
	g.open()
	t.Cleanup(g.close)
	return g
}

func (g *rig) open() {
	g.Helper()
	var err error
	if g.engine, err = engine.Open(context.Background(), engine.Options{Dir: g.dir, URL: g.url}); err != nil {
		g.Fatal(err)
	}
	rules, err := egress.Parse(g.allow)
	if err != nil {
		g.Fatal(err)
	}
	note := func(function, text string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.lines = append(g.lines, function+": "+text)
	}
	g.Queue, err = Open(context.Background(), Options{
		Engine: g.engine, Settings: func(string) (Settings, bool) { return g.settings, true }, Callbacks: egress.NewGuard(rules), Retry: time.Millisecond, TempDir: g.TempDir(),
		Log: note, Warn: func(text string) { note("warning", text) },
	})
	if err != nil {
		g.Fatal(err)
	}
}

func (g *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	g.Queue.Close(ctx)
	g.engine.Close()
}

func (g *rig) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.lines, "\n")
}

// serve starts the queue.
func (g *rig) serve(h http.HandlerFunc) { g.Start(h) }

// post queues a request.
func (g *rig) post(function, body string, header ...string) string {
	g.Helper()
	v := Request{Function: function, Method: http.MethodPost, Path: "/", Header: http.Header{}, CallID: NewID(), Host: "host", Remote: "192.0.2.1:1"}
	for i := 0; i+1 < len(header); i += 2 {
		v.Header.Add(header[i], header[i+1])
	}
	v.Callback = v.Header.Get(HeaderCallback)
	if err := g.Enqueue(context.Background(), v, strings.NewReader(body)); err != nil {
		g.Fatal(err)
	}
	return v.CallID
}

// until waits for a condition.
func (g *rig) until(what string, f func() bool) {
	g.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.Fatalf("%s: not within a minute; log: %s", what, g.log())
		}
	}
}

// dead waits for so many dead letters.
func (g *rig) waitDead(n int) []DeadLetter {
	g.Helper()
	var list []DeadLetter
	g.until("dead letters", func() bool {
		l, total, err := g.Dead(context.Background(), "", 1000)
		if err != nil || total != len(l) {
			g.Fatalf("%d of %d dead letters: %v", len(l), total, err)
		}
		list = l
		return len(l) == n
	})
	return list
}

// empty waits until nothing is queued, large bodies included.
func (g *rig) empty() {
	g.Helper()
	g.until("queue is empty", func() bool {
		q, err := g.queue.Info(context.Background())
		if err != nil {
			g.Fatal(err)
		}
		b, err := g.js.Stream(context.Background(), "OBJ_"+bucketBodies)
		if err != nil {
			g.Fatal(err)
		}
		return q.State.Msgs == 0 && b.CachedInfo().State.Msgs == 0
	})
}

// platform answers as the gateway itself does.
func platform(w http.ResponseWriter, status int, text string) {
	w.Header().Set("X-OpenFaaS-Internal", "proxy")
	http.Error(w, text, status)
}

// receiver is where callbacks go.
type receiver struct {
	*httptest.Server
	got chan delivery
}

type delivery struct {
	header http.Header
	body   string
}
