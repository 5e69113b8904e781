// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
	"unifaas.dev/internal/up"
)

// queue posts so many asynchronous requests and gives the ids of those that were accepted, which have to be all unless the node is killed when
// so many are.
func queue(t *testing.T, n *childnode.Node, function string, count, kill int, callback string) map[string]bool {
	t.Helper()
	const callers = 64
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer c.CloseIdleConnections()
	var mu sync.Mutex
	var bad string
	ids := map[string]bool{}
	todo := make(chan int)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range todo {
				req, err := http.NewRequest(http.MethodPost, "http://"+n.Addr+"/async-function/"+function+"/some/path?n="+fmt.Sprint(i), strings.NewReader(strings.Repeat("x", i%2000)))
				if err != nil {
					t.Error(err)
					return
				}
				if callback != "" {
					req.Header.Set("X-Callback-Url", callback)
				}
				resp, err := c.Do(req)
				text := fmt.Sprint(err)
				if err == nil {
					body, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					text = resp.Status + string(body)
				}
				mu.Lock()
				if err == nil && text == "202 Accepted" {
					ids[resp.Header.Get("X-Call-Id")] = true
					if len(ids) == kill {
						go n.Kill()
					}
				} else {
					bad = text
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		todo <- i
	}
	close(todo)
	all.Wait()
	if kill == 0 && (bad != "" || len(ids) != count) || len(ids) < kill || len(ids) == count && kill > 0 {
		t.Fatalf("%d of %d were accepted; %s", len(ids), count, bad)
	}
	return ids
}

// waitFor waits for a condition; what says how far it is.
func waitFor(t *testing.T, limit time.Duration, what func() string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what())
		}
	}
}

// TestAsyncKill kills the node while requests are accepted, and again in the middle of 10,000 that are queued: every one that was accepted is executed.
func TestAsyncKill(t *testing.T) {
	data, exe := t.TempDir(), testkit.Unifaas(t)
	program := testkit.Built(t, "build/e2e/misbehave", "e2e-programs")
	file := filepath.Join(t.TempDir(), "executed")
	start := func() *childnode.Node {
		n, err := childnode.Start(context.Background(), exe, data, "--runtime", up.RuntimePlain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Stop() })
		return n
	}
	n := start()
	q := api.DeployRequest{TimeoutMS: new(int64), Env: map[string]string{"HOLD": "1"}, Annotations: map[string]string{"unifaas.dev/async-retries": "100"}}
	*q.TimeoutMS = 2000
	deploy(t, n, "counted", program, q)
	const count = 10000
	began := time.Now()
	ids := queue(t, n, "counted", count, count/4, "")
	first := len(ids)
	n.Kill() // it has been; wait for it
	n = start()
	maps.Copy(ids, queue(t, n, "counted", count-first, 0, ""))
	t.Logf("%d accepted in %v, %d of them before the node was killed", len(ids), time.Since(began), first)

	q.Env = map[string]string{"NOTE": file}
	*q.TimeoutMS = 30000
	deploy(t, n, "counted", program, q)
	executed := func() map[string]bool {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for l := range strings.Lines(string(text)) {
			if l = strings.TrimSpace(l); ids[l] {
				seen[l] = true
			}
		}
		return seen
	}
	progress := func() string { return fmt.Sprintf("%d of %d were executed; %s", len(executed()), count, n.Stderr()) }
	began = time.Now()
	waitFor(t, 2*time.Minute, progress, func() bool { return len(executed()) > count/10 })
	n.Kill()
	before := len(executed())
	if before >= count {
		t.Fatal("all were executed before the node was killed")
	}
	n = start()
	waitFor(t, 5*time.Minute, progress, func() bool { return len(executed()) == count })
	t.Logf("%d of them before the kill, all within %v", before, time.Since(began))
	waitFor(t, time.Minute, progress, func() bool {
		a, err := n.Client.Async(t.Context(), "")
		return err == nil && len(a.Queues) == 0 && a.DeadTotal == 0
	})
}

// TestAsyncUnikernels: the same with unikernels, whose answers go to a callback; a crash of the function is tried again, and what never works becomes
// a dead letter.
func TestAsyncUnikernels(t *testing.T) {
	testkit.NeedKVM(t)
	var mu sync.Mutex
	seen := map[string]http.Header{}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("X-Call-Id")] = r.Header
	}))
	defer receiver.Close()
	got := func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
	data, exe := t.TempDir(), testkit.Unifaas(t)
	start := func() *childnode.Node {
		n, err := childnode.Start(context.Background(), exe, data, "--callback-allow", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Stop() })
		return n
	}
	n := start()
	retries := map[string]string{"unifaas.dev/async-retries": "1"}
	misbehave(t, n, api.DeployRequest{Annotations: retries})
	hello(t, n, api.DeployRequest{Annotations: retries})
	const count = 300
	ids := queue(t, n, "hello", count, 0, receiver.URL)
	waitFor(t, time.Minute, func() string { return fmt.Sprintf("%d callbacks", got()) }, func() bool { return got() > 5 })
	n.Kill()
	n = start()
	progress := func() string { return fmt.Sprintf("%d callbacks of %d; %s", got(), count, n.Stderr()) }
	waitFor(t, 2*time.Minute, progress, func() bool { return got() == count })
	mu.Lock()
	for id := range ids {
		if h := seen[id]; h.Get("X-Function-Status") != "200" || h.Get("X-Function-Name") != "hello" {
			t.Errorf("%s: %v", id, h)
		}
	}
	mu.Unlock()

	resp, err := http.Post("http://"+n.Addr+"/async-function/misbehave/crash", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status)
	}
	var a api.Async
	waitFor(t, time.Minute, func() string { return fmt.Sprintf("%+v", a) }, func() bool {
		a, err = n.Client.Async(t.Context(), "misbehave")
		return err != nil || len(a.Dead) > 0
	})
	if err != nil || a.Dead[0].Attempts != 2 || a.Dead[0].Status != http.StatusBadGateway || a.Dead[0].Path != "/crash" || a.Dead[0].CallID != resp.Header.Get("X-Call-Id") {
		t.Errorf("%+v %v", a, err)
	}
}
