// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// rig is a node over a fake runtime; everything has to be gone at the end of the test.
type rig struct {
	*testing.T
	*node.Node
	run *nodetest.Runtime

	mu   sync.Mutex
	said []string
}

func (g *rig) Line(function, instance, stream, text string, _ time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = append(g.said, function+" "+stream+" "+text)
}

func (g *rig) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.said, "\n")
}

func newRig(t *testing.T, run *nodetest.Runtime, o node.Options) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	g := &rig{T: t, run: run}
	g.Node = node.New(run, nodetest.Images{}, g, o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.Close(ctx)
		if n := run.Live.Load(); n != 0 {
			t.Errorf("%d instances left", n)
		}
		if n := run.Running.Load(); n != 0 {
			t.Errorf("%d tenders left", n)
		}
		eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	})
	return g
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func spec(change ...func(*node.Spec)) node.Spec {
	s := node.Spec{Function: "f", Revision: "f-1", Image: "sha256:0", Memory: 64 << 20, Timeout: 5 * time.Second, Concurrency: 4, Port: 8080,
		Scale: node.Scale{Min: 0, Max: 2}}
	for _, c := range change {
		c(&s)
	}
	return s
}

// call invokes f once and gives the answer's body.
func (g *rig) call(method, path, body string) (string, node.Timing, error) {
	return g.callCtx(context.Background(), method, path, body)
}

func (g *rig) callCtx(ctx context.Context, method, path, body string) (_ string, _ node.Timing, err error) {
	return g.callOf(ctx, "", method, path, body)
}

// callOf invokes one instance of f.
func (g *rig) callOf(ctx context.Context, id, method, path, body string) (_ string, _ node.Timing, err error) {
	inv := g.Invoke("f", time.Now())
	inv.Instance = id
	defer func() { inv.End(err != nil) }()
	req, err := http.NewRequestWithContext(ctx, method, "http://f"+path, strings.NewReader(body))
	if err != nil {
		return "", node.Timing{}, err
	}
	resp, err := inv.RoundTrip(req)
	if err != nil {
		return "", node.Timing{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), inv.Timing(), err
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}

func TestColdThenWarm(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo)}, node.Options{})
	g.Apply(spec())
	for n := range 50 {
		got, timing, err := g.call("POST", "/x", "hello")
		if err != nil || got != "POST /x hello" {
			t.Fatalf("call %d: %q, %v", n, got, err)
		}
		if timing.Cold != (n == 0) || timing.Instance == "" {
			t.Errorf("call %d: timing %+v", n, timing)
		}
		if n == 0 && (timing.VM != 1000 || timing.Libos != 2000 || timing.Program != 3000) {
			t.Errorf("boot timing %+v", timing)
		}
	}
	if g.run.Boots.Load() != 1 || g.run.Started.Load() != 1 {
		t.Errorf("%d boots, %d tenders", g.run.Boots.Load(), g.run.Started.Load())
	}
	if s := g.Function("f"); s.Ready != 1 || s.Stats.Invocations != 50 || s.Stats.Cold != 1 {
		t.Errorf("status %+v", s)
	}
	if _, _, err := g.callCtx(context.Background(), "GET", "/", ""); err != nil {
		t.Error(err)
	}
	inv := g.Invoke("other", time.Now())
	if _, err := inv.RoundTrip(httptest.NewRequest("GET", "/", nil)); !errors.Is(err, node.ErrNoFunction) {
		t.Errorf("unknown function: %v", err)
	}
}

func TestConcurrentWithinBounds(t *testing.T) {
	var now, peak atomic.Int64
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > peak.Load() {
			peak.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(5 * time.Millisecond)
		echo(w, r)
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Concurrency, s.Scale.Max = 8, 3 }))
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			want := fmt.Sprintf("POST /%d body%d", n, n)
			if got, _, err := g.call("POST", fmt.Sprintf("/%d", n), fmt.Sprintf("body%d", n)); err != nil || got != want {
				t.Errorf("call %d: %q, %v", n, got, err)
			}
		})
	}
	all.Wait()
	if p := peak.Load(); p > 24 {
		t.Errorf("%d invocations at once, limit is 24", p)
	}
	if p := g.run.Peak.Load(); p > 3 || p < 2 {
		t.Errorf("%d instances at once, want 2 or 3", p)
	}
}

func TestQueueIsBounded(t *testing.T) {
	hold := make(chan struct{})
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })},
		node.Options{Queue: 3, WaitLimit: 300 * time.Millisecond})
	g.Apply(spec(func(s *node.Spec) { s.Concurrency, s.Scale.Max = 1, 1 }))
	results := make(chan error, 10)
	for n := range 10 {
		go func() { _, _, err := g.call("GET", "/", ""); results <- err }()
		if n == 0 {
			eventually(t, "first runs", func() bool {
				return len(g.Instances(context.Background(), "f", false)) == 1 && g.Function("f").Ready == 1
			})
			eventually(t, "first is in", func() bool { return g.Instances(context.Background(), "f", false)[0].Inflight == 1 })
		}
	}
	var busy, wait int
	for range 9 {
		switch err := <-results; {
		case errors.Is(err, node.ErrWait):
			wait++
		case errors.Is(err, node.ErrBusy):
			busy++
		default:
			t.Errorf("unexpected: %v", err)
		}
	}
	if busy != 6 || wait != 3 {
		t.Errorf("%d refused, %d gave up waiting; want 6 and 3", busy, wait)
	}
	close(hold)
	if err := <-results; err != nil {
		t.Error(err)
	}
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTimeoutEndsInstance(t *testing.T) {
	var ended atomic.Int64
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/loop" {
			<-nodetest.Self(r).Done()
			ended.Add(1)
			return
		}
		echo(w, r)
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Timeout = 100 * time.Millisecond }))
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, _, err := g.call("GET", "/loop", "")
	var timeout *node.TimeoutError
	if took := time.Since(start); !errors.As(err, &timeout) || took < 100*time.Millisecond || took > time.Second {
		t.Errorf("%v after %v", err, took)
	}
	eventually(t, "the stuck instance ends", func() bool { return ended.Load() == 1 })
	if _, timing, err := g.call("GET", "/", ""); err != nil || !timing.Cold {
		t.Errorf("next call: %+v, %v", timing, err)
	}
	if s := g.Function("f"); s.Stats.Timeouts != 1 || s.Stats.Crashes != 0 {
		t.Errorf("%+v", s.Stats)
	}
	if !strings.Contains(g.log(), "time limit 100ms reached") {
		t.Errorf("log: %s", g.log())
	}
}

func TestTimeoutSparesOthers(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/loop" {
			<-nodetest.Self(r).Done()
			return
		}
		time.Sleep(150 * time.Millisecond)
		echo(w, r)
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Timeout = 200 * time.Millisecond }))
	var all sync.WaitGroup
	all.Go(func() {
		if _, _, err := g.call("GET", "/loop", ""); err == nil {
			t.Error("no timeout")
		}
	})
	time.Sleep(100 * time.Millisecond)
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Errorf("beside a stuck one: %v", err)
	}
	all.Wait()
	eventually(t, "instance ends", func() bool { return g.run.Live.Load() == 0 })
}

func TestCrash(t *testing.T) {
	exit := node.Exit{Kind: node.ExitSignal, Status: 139, Reason: "signal 11 (SIGSEGV) at address 0x10", Report: "rip 0x400123\nrsp 0x7fff0000"}
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/crash":
			nodetest.Self(r).End(exit)
		case "/half":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			nodetest.Self(r).End(exit)
		case "/oom":
			nodetest.Self(r).End(node.Exit{Kind: node.ExitOOM, Reason: "memory limit 64 MiB"})
		default:
			echo(w, r)
		}
	})}, node.Options{})
	g.Apply(spec())
	for n := range 5 {
		var crash *node.CrashError
		if _, _, err := g.call("POST", "/crash", "x"); !errors.As(err, &crash) || crash.Exit.Reason != exit.Reason {
			t.Fatalf("crash %d: %v", n, err)
		}
		if got, _, err := g.call("POST", "/", "x"); err != nil || got != "POST / x" {
			t.Fatalf("after crash %d: %q, %v", n, got, err)
		}
		if got, _, err := g.call("GET", "/half", ""); err == nil || got != "half" {
			t.Fatalf("half an answer: %q, %v", got, err)
		}
		if _, _, err := g.call("GET", "/oom", ""); !errors.As(err, &crash) || crash.Exit.Kind != node.ExitOOM {
			t.Fatalf("oom %d: %v", n, err)
		}
	}
	for _, want := range []string{"signal 11 (SIGSEGV) at address 0x10", "rip 0x400123", "memory limit 64 MiB"} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("log lacks %q", want)
		}
	}
	eventually(t, "15 crashes counted", func() bool { return g.Function("f").Stats.Crashes == 15 })
	if s := g.Function("f"); s.Stats.Invocations != 20 {
		t.Errorf("%+v", s.Stats)
	}
}

func TestTenderDies(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo)}, node.Options{})
	g.Apply(spec())
	for n := range 20 {
		if got, _, err := g.call("POST", "/", "x"); err != nil || got != "POST / x" {
			t.Fatalf("call %d: %q, %v", n, got, err)
		}
		tenders := g.run.Tenders()
		tenders[len(tenders)-1].Crash()
	}
	if n := g.run.Started.Load(); n != 20 {
		t.Errorf("%d tenders", n)
	}
}

func TestTenderDiesInBoot(t *testing.T) {
	var once sync.Once
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo), OnBoot: func(_ context.Context, g *nodetest.Guest) error {
		once.Do(g.Tender().Crash)
		return nil
	}}, node.Options{})
	g.Apply(spec())
	if got, _, err := g.call("POST", "/", "x"); err != nil || got != "POST / x" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestStartFails(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(echo)}
	var bad atomic.Bool
	bad.Store(true)
	run.OnBoot = func(_ context.Context, g *nodetest.Guest) error {
		if bad.Load() {
			g.End(node.Exit{Kind: node.ExitNormal, Status: 3, Reason: "exit status 3"})
		}
		return nil
	}
	g := newRig(t, run, node.Options{})
	g.Apply(spec())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, _, err := g.call("GET", "/", "")
			var start *node.StartError
			if !errors.As(err, &start) || !strings.Contains(err.Error(), "exit status 3") {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	bad.Store(false)
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	run.OnStart = func(node.TenderConfig) error { return errors.New("no /dev/kvm") }
	g.Apply(spec(func(s *node.Spec) { s.Revision = "f-2" }))
	if _, _, err := g.call("GET", "/", ""); err == nil || !strings.Contains(err.Error(), "no /dev/kvm") {
		t.Errorf("no tender: %v", err)
	}
	run.OnStart = nil
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Errorf("tender again: %v", err)
	}
}

func TestNeverListens(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo), OnBoot: func(ctx context.Context, _ *nodetest.Guest) error {
		<-ctx.Done()
		return ctx.Err()
	}}, node.Options{StartLimit: 50 * time.Millisecond})
	g.Apply(spec())
	if _, _, err := g.call("GET", "/", ""); err == nil || !strings.Contains(err.Error(), "does not listen on port 8080") {
		t.Error(err)
	}
	eventually(t, "instance ends", func() bool { return g.run.Live.Load() == 0 })
}

func TestMinMaxIdle(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		echo(w, r)
	})}, node.Options{Idle: 100 * time.Millisecond})
	g.Apply(spec(func(s *node.Spec) { s.Scale = node.Scale{Min: 2, Max: 4}; s.Concurrency = 1 }))
	eventually(t, "min instances", func() bool { return g.Function("f").Ready == 2 })
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if _, _, err := g.call("GET", "/", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p := g.run.Peak.Load(); p != 4 {
		t.Errorf("%d instances under load", p)
	}
	eventually(t, "surplus ends", func() bool { return g.run.Live.Load() == 2 })
	g.Scale("f", node.Scale{Min: 4, Max: 4})
	eventually(t, "scaled up", func() bool { return g.Function("f").Ready == 4 })
	g.Scale("f", node.Scale{Min: 0, Max: 4})
	eventually(t, "scaled to nothing", func() bool { return g.run.Live.Load() == 0 })
	eventually(t, "tender dismissed", func() bool { return g.run.Running.Load() == 0 })
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Errorf("from nothing: %v", err)
	}
}

func TestFresh(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		fmt.Fprint(w, nodetest.Self(r).ID)
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Fresh = true; s.Scale = node.Scale{Min: 1, Max: 3} }))
	var mu sync.Mutex
	seen := map[string]bool{}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			id, _, err := g.call("GET", "/", "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[id] {
				t.Errorf("instance %q again, or %v", id, err)
			}
			seen[id] = true
		})
	}
	all.Wait()
	if len(seen) != 40 {
		t.Errorf("%d instances for 40 invocations", len(seen))
	}
	eventually(t, "one spare", func() bool { return g.Function("f").Ready == 1 && g.run.Live.Load() == 1 })
}

func TestReplaceWhileBusy(t *testing.T) {
	started, hold := make(chan struct{}), make(chan struct{})
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(started)
			<-hold
		}
		fmt.Fprint(w, r.Header.Get("Rev"), nodetest.Self(r).Tender().Config.Env)
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Env = map[string]string{"V": "1"} }))
	old := make(chan string)
	go func() {
		got, _, err := g.call("GET", "/hold", "")
		if err != nil {
			t.Error(err)
		}
		old <- got
	}()
	<-started
	g.Apply(spec(func(s *node.Spec) { s.Revision, s.Env = "f-2", map[string]string{"V": "2"} }))
	if got, _, err := g.call("GET", "/", ""); err != nil || !strings.Contains(got, "V=2") || !strings.Contains(got, "K_REVISION=f-2") || !strings.Contains(got, "PORT=8080") {
		t.Errorf("new revision: %q, %v", got, err)
	}
	close(hold)
	if got := <-old; !strings.Contains(got, "V=1") {
		t.Errorf("old revision: %q", got)
	}
	eventually(t, "old one is gone", func() bool { return g.run.Live.Load() == 1 && g.run.Running.Load() == 1 })
	eventually(t, "invocations counted over both revisions", func() bool { return g.Function("f").Stats.Invocations == 2 })
	gone := make(chan struct{})
	g.Remove("f", func() { close(gone) })
	if _, _, err := g.call("GET", "/", ""); !errors.Is(err, node.ErrNoFunction) {
		t.Errorf("after removal: %v", err)
	}
	<-gone
	if g.run.Live.Load() != 0 {
		t.Error("instances left after removal")
	}
}

func TestReplaceUnderLoad(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(echo)}, node.Options{})
	g.Apply(spec())
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := g.call("POST", "/", "x"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 10 {
		time.Sleep(10 * time.Millisecond)
		g.Apply(spec(func(s *node.Spec) { s.Revision = fmt.Sprintf("f-%d", n) }))
	}
	close(stop)
	all.Wait()
}

func TestCallerLeaves(t *testing.T) {
	cancelled := make(chan struct{})
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			close(cancelled)
			return
		}
		echo(w, r)
	})}, node.Options{})
	g.Apply(spec())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := g.callCtx(ctx, "GET", "/slow", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	<-cancelled
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Cold {
		t.Errorf("the instance goes on: %+v, %v", timing, err)
	}
}

func TestAbandonedLoopEnds(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for self := nodetest.Self(r); ; time.Sleep(5 * time.Millisecond) {
			select {
			case <-self.Done():
				return
			default:
				self.CPU.Add(int64(6 * time.Millisecond))
			}
		}
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Timeout = 300 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := g.callCtx(ctx, "GET", "/", ""); err == nil {
		t.Error("no error")
	}
	eventually(t, "the loop ends", func() bool { return g.run.Live.Load() == 0 })
	if !strings.Contains(g.log(), "caller that left") {
		t.Errorf("log: %s", g.log())
	}
}

// TestAbandonedTwice: one who left harmlessly, with others answered after, hides nobody who left a loop behind.
func TestAbandonedTwice(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch self := nodetest.Self(r); r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/loop":
			for ; ; time.Sleep(5 * time.Millisecond) {
				select {
				case <-self.Done():
					return
				default:
					self.CPU.Add(int64(6 * time.Millisecond))
				}
			}
		default:
			echo(w, r)
		}
	})}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Timeout = 300 * time.Millisecond }))
	leave := func(path string) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if _, _, err := g.callCtx(ctx, "GET", path, ""); err == nil {
			t.Error("no error")
		}
	}
	leave("/slow")
	if _, _, err := g.call("GET", "/", ""); err != nil {
		t.Error(err)
	}
	leave("/loop")
	eventually(t, "the loop ends", func() bool { return g.run.Live.Load() == 0 })
}

// TestClosedKeepAlive: a program that closes every stream after one answer, without saying so, costs no invocation.
func TestClosedKeepAlive(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		conn.Close()
	})}, node.Options{})
	g.Apply(spec())
	for n := range 300 {
		if got, _, err := g.call("GET", "/", ""); err != nil || got != "ok" {
			t.Fatalf("call %d: %q, %v", n, got, err)
		}
	}
}

// TestUnreadRequest: streams that are closed before anything was read from them cost no invocation, not even a POST.
func TestUnreadRequest(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(echo)}
	var n atomic.Int64
	run.OnAccept = func(c net.Conn) bool {
		if n.Add(1)%3 == 0 {
			return true
		}
		time.Sleep(5 * time.Millisecond) // the request is there by now
		c.Close()
		return false
	}
	g := newRig(t, run, node.Options{})
	g.Apply(spec())
	if got, _, err := g.call("POST", "/", "x"); err != nil || got != "POST / x" {
		t.Fatalf("%q, %v", got, err)
	}
	if run.Boots.Load() != 1 {
		t.Errorf("%d boots", run.Boots.Load())
	}
}

func TestBadAnswers(t *testing.T) {
	g := newRig(t, &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		switch r.URL.Path {
		case "/nothing":
		case "/garbage":
			conn.Write([]byte("I am no HTTP server\r\n\r\n"))
		case "/head":
			conn.Write(append([]byte("HTTP/1.1 200 OK\r\nX: "), bytes.Repeat([]byte("x"), 1<<20)...))
		}
	})}, node.Options{})
	g.Apply(spec())
	for _, path := range []string{"/nothing", "/garbage", "/head"} {
		var bad *node.GuestError
		if got, _, err := g.call("GET", path, ""); !errors.As(err, &bad) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if g.run.Boots.Load() != 1 {
		t.Errorf("%d boots: a bad answer is no reason to end an instance", g.run.Boots.Load())
	}
}

func TestCloseFinishesWhatRuns(t *testing.T) {
	started := make(chan struct{})
	run := &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		time.Sleep(100 * time.Millisecond)
		echo(w, r)
	}), IgnoreTerm: true}
	g := newRig(t, run, node.Options{})
	g.Apply(spec())
	result := make(chan error)
	go func() { _, _, err := g.call("GET", "/", ""); result <- err }()
	<-started
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.Close(ctx)
	}()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if _, _, err := g.call("GET", "/", ""); !errors.Is(err, node.ErrClosing) {
		t.Errorf("after close: %v", err)
	}
}

func TestCloseGivesUpInTime(t *testing.T) {
	started := make(chan struct{})
	run := &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-nodetest.Self(r).Done()
	})}
	g := newRig(t, run, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Timeout = time.Minute }))
	result := make(chan error)
	go func() { _, _, err := g.call("GET", "/", ""); result <- err }()
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	g.Close(ctx)
	if run.Live.Load() != 0 || run.Running.Load() != 0 {
		t.Error("something is left")
	}
	if err := <-result; err == nil {
		t.Error("no error")
	}
}

func TestCrashLoopIsSlow(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(echo)}
	run.OnBoot = func(_ context.Context, g *nodetest.Guest) error {
		g.End(node.Exit{Kind: node.ExitNormal, Status: 1, Reason: "exit status 1"})
		return nil
	}
	g := newRig(t, run, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Scale.Min = 2 }))
	time.Sleep(400 * time.Millisecond)
	if n := run.Boots.Load(); n < 1 || n > 3 {
		t.Errorf("%d boots in 400 ms of a program that does not start", n)
	}
}
