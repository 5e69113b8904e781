// SPDX-License-Identifier: Apache-2.0

// Package load has a test that keeps a node with mixed functions at saturation: no call fails but by 429, and memory does not grow.
package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/pressure"
	"unifaas.dev/internal/testkit"
)

// callersEach is how many callers each function has: more than the node has places, so that queues are full and refuse.
const callersEach = 48

// function is one of the mix.
type function struct {
	name, source string
	q            api.DeployRequest

	served, refused, failed atomic.Int64
	mu                      sync.Mutex
	said                    []string // the first failures
}

func (f *function) fail(format string, args ...any) {
	f.failed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.said) < 5 {
		f.said = append(f.said, f.name+": "+fmt.Sprintf(format, args...))
	}
}

// TestLoad takes LOAD_SECONDS, or one minute.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	testkit.NeedKVM(t)
	length := time.Minute
	if s := os.Getenv("LOAD_SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 10 {
			t.Fatalf("LOAD_SECONDS is %q, want a number from 10", s)
		}
		length = time.Duration(n) * time.Second
	}
	n, err := childnode.Start(t.Context(), testkit.Unifaas(t), t.TempDir(), "--max-instances", "16", "--memory-budget", "2G", "--park-after", "2s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.Died() == nil {
			n.Stop()
		}
	})
	mix := deploy(t, n)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(mix) * callersEach}, Timeout: 3 * time.Minute}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for _, f := range mix {
		for range callersEach {
			all.Go(func() { f.hammer(ctx, client, n.URL(f.name)) })
		}
	}
	warm, most := int64(0), int64(0)
	var samples []int64
	began := time.Now()
	for tick := time.NewTicker(length / 20); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
		}
		if ctx.Err() != nil {
			break
		}
		used, err := memory(n)
		if err != nil {
			t.Error(err)
		}
		samples = append(samples, used>>20)
		if time.Since(began) < length/2 {
			warm = max(warm, used)
		} else {
			most = max(most, used)
		}
	}
	all.Wait()
	for _, f := range mix {
		t.Logf("%-12s %8d served, %8d refused, %d failed", f.name, f.served.Load(), f.refused.Load(), f.failed.Load())
		for _, text := range f.said {
			t.Error(text)
		}
		if f.served.Load() == 0 {
			t.Errorf("%s was never served", f.name)
		}
	}
	t.Logf("memory of the node and its tenders: %d MiB in the first half, %d MiB afterwards: %d", warm>>20, most>>20, samples)
	if most > warm+warm/4+64<<20 {
		t.Errorf("memory grew from %d MiB to %d MiB", warm>>20, most>>20)
	}
	if err := n.Died(); err != nil {
		t.Error(err)
	}
}

// deploy makes the mix: fast and slow starters, all kinds of isolation, one that is called once for each request.
func deploy(t *testing.T, n *childnode.Node) []*function {
	t.Helper()
	root := testkit.Root(t)
	memory, one, few, queue := int64(64<<20), 1, 8, 24
	with := func(change func(q *api.DeployRequest)) api.DeployRequest {
		q := api.DeployRequest{Memory: &memory, Max: &few, Queue: &queue}
		if change != nil {
			change(&q)
		}
		return q
	}
	large := int64(128 << 20)
	heavy := 200
	mix := []*function{
		{name: "c", source: testkit.Built(t, "build/examples/c-hello", "examples"), q: with(nil)},
		{name: "go", source: testkit.Built(t, "build/examples/go-hello", "examples"), q: with(func(q *api.DeployRequest) { q.Memory, q.Weight = &large, &heavy })},
		{name: "c-rewind", source: testkit.Built(t, "build/examples/c-hello", "examples"), q: with(func(q *api.DeployRequest) { q.Isolation = "rewind" })},
		{name: "c-fresh", source: testkit.Built(t, "build/examples/c-hello", "examples"), q: with(func(q *api.DeployRequest) { q.Isolation = "fresh" })},
		{name: "python", source: filepath.Join(root, "examples/python-hello"), q: with(func(q *api.DeployRequest) { q.Memory, q.Concurrency = &large, &one })},
		{name: "shell", source: filepath.Join(root, "examples/shell"), q: with(func(q *api.DeployRequest) { q.Memory = &large })},
	}
	for _, f := range mix {
		if err := n.Deploy(t.Context(), f.name, f.source, f.q); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
	}
	return mix
}

// hammer calls a function until ctx ends. Who is refused waits a little, less than it is told to: the queue is to stay full.
func (f *function) hammer(ctx context.Context, client *http.Client, url string) {
	for ctx.Err() == nil {
		resp, err := client.Post(url, "text/plain", strings.NewReader("one two three"))
		if err != nil {
			f.fail("%v", err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			f.fail("the answer breaks off: %v", err)
		case resp.StatusCode == http.StatusOK:
			f.served.Add(1)
		case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
			f.refused.Add(1)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		default:
			f.fail("status %d: %.200s", resp.StatusCode, text)
		}
	}
}

// memory is what the node and its tenders have for themselves.
func memory(n *childnode.Node) (int64, error) {
	m, err := n.Client.Memory(context.Background())
	if err != nil {
		return 0, err
	}
	used := pressure.Private(n.PID())
	for _, t := range m.Tenders {
		used += t.Private + t.ParkedMemory
	}
	return used, nil
}
