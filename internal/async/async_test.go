// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/testkit"
)

// TestExecutes: a function sees the request as it came, whatever bytes it has and however large it is.
func TestExecutes(t *testing.T) {
	g := newRig(t)
	for _, size := range []int{0, 1, maxInline, maxInline + 1, 3 << 20} {
		body := strings.Repeat("\x00\xffab", size/4+1)[:size]
		v := Request{
			Function: "fn.space", Method: "POST", Path: "/a%2Fb/c%20d", Query: "q=\xe4&r=%2", Host: "example.com", Remote: "192.0.2.7:99", CallID: "my id",
			Header: http.Header{"X-Call-Id": {"my id"}, "X-Raw": {"caf\xe9 <&>", "two"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "Transfer-Encoding": {"chunked"}, "Authorization": {"Bearer x"}},
		}
		if err := g.Enqueue(t.Context(), v, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[int]string{}
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		text := fmt.Sprintf("%s %s %s %s %s %v %q %q %q %q %d %v", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, r.RemoteAddr, r.Header["X-Raw"], r.Header.Get("X-Hop"), r.Header.Get("Authorization"),
			r.Header.Get("X-Call-Id"), r.Header.Get("Transfer-Encoding"), int(r.ContentLength)-len(b), err)
		if want := strings.Repeat("\x00\xffab", len(b)/4+1)[:len(b)]; string(b) != want {
			text = "body differs"
		}
		mu.Lock()
		defer mu.Unlock()
		seen[len(b)] = text
	})
	g.until("five calls", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == 5 })
	want := "POST /function/fn.space/a%2Fb/c%20d q=\xe4&r=%2 example.com 192.0.2.7:99 [caf\xe9 <&> two] \"\" \"Bearer x\" \"my id\" \"\" 0 <nil>"
	for n, text := range seen {
		if text != want {
			t.Errorf("%d bytes: %s\nwant %s", n, text, want)
		}
	}
	g.empty()
	s := g.Stats("fn.space")
	g.until("all are counted", func() bool { return s.Accepted.Load() == 5 && s.Done.Load() == 5 && s.Dead.Load() == 0 })
	g.until("depth 0", func() bool { return g.Depth("fn.space") == 0 })
}

// TestRetries: failures of the platform, and a function that says "later", are tried again; what a function answers else is its answer.
func TestRetries(t *testing.T) {
	g := newRig(t)
	var mu sync.Mutex
	calls := map[string]int{}
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/function/")
		name = strings.TrimSuffix(name, "/")
		mu.Lock()
		calls[name]++
		n := calls[name]
		mu.Unlock()
		switch name {
		case "crash":
			if n < 3 {
				platform(w, 502, "the program crashed")
			}
		case "limit":
			if n < 3 {
				platform(w, 504, "time limit")
			}
		case "later":
			if n < 3 {
				w.WriteHeader(503)
			}
		case "breaks":
			if n < 3 {
				w.Write([]byte("half"))
				panic(http.ErrAbortHandler)
			}
		case "crowded": // more often than there are attempts
			if n < 8 {
				w.Header().Set("Retry-After", "0")
				platform(w, 429, "too many")
			}
		case "error":
			w.WriteHeader(500)
		case "missing":
			w.WriteHeader(404)
		}
	})
	want := map[string]int{"crash": 3, "limit": 3, "later": 3, "breaks": 3, "crowded": 8, "error": 1, "missing": 1}
	for name := range want {
		g.post(name, "x")
	}
	g.empty()
	mu.Lock()
	defer mu.Unlock()
	for name, n := range want {
		if calls[name] != n {
			t.Errorf("%s was called %d times, want %d", name, calls[name], n)
		}
	}
	if list := g.waitDead(0); len(list) > 0 {
		t.Errorf("dead letters: %v", list)
	}
}

// TestDeadLetters: what cannot be done is kept, shown, done again when asked, or thrown away.
func TestDeadLetters(t *testing.T) {
	g := newRig(t)
	var works atomic.Bool
	var bodies sync.Map
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "bad") {
			platform(w, 400, "no such thing")
			return
		}
		if !works.Load() {
			platform(w, 502, "the program\ncrashed")
			return
		}
		b, _ := io.ReadAll(r.Body)
		bodies.Store(r.Header.Get("X-Call-Id"), len(b))
	})
	small := g.post("one", "body", "Authorization", "Bearer secret", "Cookie", "c")
	large := g.post("two.ns", strings.Repeat("x", maxInline+5))
	bad := g.post("bad", "")
	list := g.waitDead(3)
	byCall := map[string]DeadLetter{}
	for _, d := range list {
		byCall[d.CallID] = d
	}
	if d := byCall[small]; d.Attempts != 4 || d.Reason != "the program crashed" || d.Function != "one" || d.Kind != "call" || d.Size != 4 || d.ID != small || d.Status != 502 {
		t.Errorf("%+v", d)
	}
	if d := byCall[bad]; d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
	if l, total, err := g.Dead(t.Context(), "two.ns", 10); err != nil || total != 1 || l[0].CallID != large {
		t.Errorf("of one function: %v %d %v", l, total, err)
	}
	if l, total, err := g.Dead(t.Context(), "", 2); err != nil || total != 3 || len(l) != 2 {
		t.Errorf("two of three: %v %d %v", l, total, err)
	}
	d, text, err := g.Show(t.Context(), small, 100)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != "body" || strings.Contains(fmt.Sprint(d.Header), "secret") {
		t.Errorf("%q %v", text, d.Header)
	}
	if _, text, err = g.Show(t.Context(), large, 1<<20); err != nil || len(text) != maxInline+5 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, text, err = g.Show(t.Context(), large, 7); err != nil || len(text) != 7 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for _, id := range []string{"", "*", ">", "no", NewID(), strings.Repeat("a", 36)} {
		if _, _, err := g.Show(t.Context(), id, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("show %q: %v", id, err)
		}
		if err := g.Replay(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("replay %q: %v", id, err)
		}
		if err := g.Drop(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("drop %q: %v", id, err)
		}
	}
	works.Store(true)
	if n, err := g.ReplayAll(t.Context(), "two.ns"); n != 1 || err != nil {
		t.Errorf("%d replayed, %v", n, err)
	}
	if err := g.Replay(t.Context(), small); err != nil {
		t.Error(err)
	}
	g.until("both are done", func() bool {
		a, _ := bodies.Load(small)
		b, _ := bodies.Load(large)
		return a == 4 && b == maxInline+5
	})
	if err := g.Drop(t.Context(), bad); err != nil {
		t.Error(err)
	}
	g.waitDead(0)
	g.empty()
	if !strings.Contains(g.log(), "one: asynchronous invocation "+small+" is a dead letter after 4 attempts: the program crashed") {
		t.Errorf("log: %s", g.log())
	}
}

// TestSlowFunction: a function that does not answer takes no other's turn, and has its own bound.
func TestSlowFunction(t *testing.T) {
	g := newRig(t)
	open := make(chan struct{})
	var slow, most, quick atomic.Int32
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "slow") {
			n := slow.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-open
			slow.Add(-1)
			return
		}
		quick.Add(1)
	})
	for range 20 {
		g.post("slow", "")
	}
	g.until("as many as may run", func() bool { return slow.Load() == 4 })
	for range 20 {
		g.post("quick", "")
	}
	g.until("the others are done", func() bool { return quick.Load() == 20 })
	if n := g.Depth("slow"); n != 20 {
		t.Errorf("depth %d, want 20", n)
	}
	queues := g.Queues()
	if len(queues) == 0 || queues[len(queues)-1].Function != "slow" || queues[len(queues)-1].Running != 4 {
		t.Errorf("%+v", queues)
	}
	close(open)
	g.empty()
	if most.Load() != 4 {
		t.Errorf("%d calls at once, want 4", most.Load())
	}
}

// TestRestart: what was accepted is executed by the next life of the node, also what was under way.
func TestRestart(t *testing.T) {
	g := newRig(t)
	block := make(chan struct{})
	var begun atomic.Int32
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		select {
		case <-block:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	})
	ids := map[string]bool{}
	for range 30 {
		ids[g.post("f", "")] = true
	}
	ids[g.post("f", strings.Repeat("x", maxInline+1))] = true
	g.until("some run", func() bool { return begun.Load() == 4 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no time to end
	g.Queue.Close(ctx)
	if err := g.Enqueue(t.Context(), Request{Function: "f", Method: "POST", Path: "/", CallID: "x"}, bytes.NewReader(nil)); !errors.Is(err, ErrClosing) {
		t.Errorf("after the end: %v", err)
	}
	g.engine.Close()
	g.open()
	var mu sync.Mutex
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		delete(ids, r.Header.Get("X-Call-Id"))
	})
	g.until("all are executed", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) == 0 })
	g.empty()
}

// TestFull: a function whose queue is full is told so, and nobody else is.
func TestFull(t *testing.T) {
	g := newRig(t)
	config := g.queue.CachedInfo().Config
	config.MaxMsgsPerSubject = 20
	if _, err := g.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var full, other atomic.Int32
	for n := range 60 {
		all.Go(func() {
			v := Request{Function: []string{"a", "a", "b"}[n%3], Method: "POST", Path: "/", CallID: NewID()}
			switch err := g.Enqueue(t.Context(), v, bytes.NewReader(nil)); {
			case errors.Is(err, ErrFull) && v.Function == "a":
				full.Add(1)
			case err != nil:
				other.Add(1)
				t.Error(err)
			}
		})
	}
	all.Wait()
	if full.Load() != 20 || other.Load() != 0 {
		t.Errorf("%d refused, want 20", full.Load())
	}
	var served atomic.Int32
	g.serve(func(http.ResponseWriter, *http.Request) { served.Add(1) })
	g.empty()
	if served.Load() != 40 {
		t.Errorf("%d executed, want 40", served.Load())
	}
}

func TestTooLarge(t *testing.T) {
	g := newRig(t)
	v := Request{Function: "f", Method: "POST", Path: "/", CallID: NewID()}
	if err := g.Enqueue(t.Context(), v, io.LimitReader(zeros{}, MaxBody+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	half := io.MultiReader(io.LimitReader(zeros{}, maxInline+10), failing{})
	if err := g.Enqueue(t.Context(), v, half); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	v.Header = http.Header{"X": {strings.Repeat("\xff", maxHead)}}
	if err := g.Enqueue(t.Context(), v, bytes.NewReader(nil)); !errors.Is(err, ErrHead) {
		t.Errorf("%v", err)
	}
	g.serve(func(http.ResponseWriter, *http.Request) { t.Error("called") })
	g.empty()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// TestDamagedRecord: a message that nobody can read stops nothing.
func TestDamagedRecord(t *testing.T) {
	g := newRig(t)
	if _, err := g.js.Publish(t.Context(), subjectQueue+".call.f.inline", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.js.Publish(t.Context(), subjectQueue+".odd.f.inline", []byte("x")); err != nil {
		t.Fatal(err)
	}
	var called atomic.Int32
	g.post("f", "")
	g.serve(func(http.ResponseWriter, *http.Request) { called.Add(1) })
	g.until("the good one is done, the bad one gone", func() bool {
		i, err := g.queue.Info(t.Context(), jetstream.WithSubjectFilter(subjectQueue+".call.>"))
		return err == nil && len(i.State.Subjects) == 0 && called.Load() == 1
	})
	if !strings.Contains(g.log(), "damaged record") {
		t.Errorf("log: %s", g.log())
	}
}

// TestOrphans: a body whose message was never stored goes, others stay.
func TestOrphans(t *testing.T) {
	g := newRig(t)
	needed := g.post("f", strings.Repeat("x", maxInline+1))
	if _, err := g.bodies.PutBytes(t.Context(), NewID(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.bodies.PutBytes(t.Context(), "odd name", []byte("x")); err != nil {
		t.Fatal(err)
	}
	g.orphans(0)
	list, err := g.bodies.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != needed {
		t.Errorf("%v %v", list, err)
	}
}

// TestAnswerRecorder: the recorder of answers takes informational statuses for what they are, and trailers for no headers.
func TestAnswerRecorder(t *testing.T) {
	w := &answer{head: http.Header{}}
	w.WriteHeader(103)
	w.Header().Set("A", "1")
	w.WriteHeader(207)
	w.Header().Set("B", "2")
	w.Write(bytes.Repeat([]byte("x"), 1000))
	if w.status != 207 || len(w.start) != 300 {
		t.Errorf("%d, %d bytes", w.status, len(w.start))
	}
}

// TestDiskFull: nothing new is accepted, what was accepted is executed, and room that is made counts at once.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		testkit.Missing(t, "mount of a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	g := &rig{TB: t, dir: filepath.Join(dir, "state"), settings: Settings{Retries: 3, Concurrency: 4}}
	g.open()
	t.Cleanup(g.close)
	for range 20 {
		g.post("f", strings.Repeat("x", 1000))
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, int64(st.Bavail)*st.Bsize-1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	v := Request{Function: "f", Method: "POST", Path: "/", CallID: NewID()}
	if err := g.Enqueue(t.Context(), v, bytes.NewReader(nil)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	var done atomic.Int32
	g.serve(func(http.ResponseWriter, *http.Request) { done.Add(1) })
	g.until("all are executed", func() bool { return done.Load() == 20 })
	g.empty()
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := g.Enqueue(t.Context(), v, bytes.NewReader(nil)); err != nil {
		t.Error(err)
	}
	g.until("the next one is executed", func() bool { return done.Load() == 21 })
}
