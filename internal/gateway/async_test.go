// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

// startAsync is a rig with a queue. Callbacks may go to this machine's port.
func startAsync(t *testing.T, handler http.HandlerFunc, callbackPort string) (*rig, *async.Queue) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := egress.Parse([]string{"127.0.0.1:" + callbackPort})
	if err != nil {
		t.Fatal(err)
	}
	q, err := async.Open(t.Context(), async.Options{
		Engine: e, Settings: func(string) (async.Settings, bool) { return async.Settings{Retries: 1, Concurrency: 4}, true }, Callbacks: egress.NewGuard(rules), Retry: time.Millisecond, TempDir: t.TempDir(),
		Log: func(string, string) {}, Warn: func(text string) { t.Log(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	g := startWith(t, handler, node.Options{}, func(o *gateway.Options) { o.Async, o.BodyTimeout = q, 2*time.Second })
	q.Start(g.srv.Handler)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		q.Close(ctx)
		e.Close()
	})
	return g, q
}

// TestAsyncRoute: what is accepted, with which statuses, and what the function and the callback get of it.
func TestAsyncRoute(t *testing.T) {
	got := make(chan *http.Request, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		got <- r
	}))
	defer receiver.Close()
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())
	g, _ := startAsync(t, show, port)
	g.deploy("hello", api.DeployRequest{})
	done := receiver.URL + "/done"

	resp, text := g.do("POST", "/async-function/hello/a%2Fb?q=1", "some text", "X-Callback-Url", done, "X-Own", "1", "Content-Type", "text/plain")
	id := resp.Header.Get("X-Call-Id")
	if resp.StatusCode != 202 || text != "" || len(id) != 36 || resp.Header.Get("X-Start-Time") == "" || resp.Header.Get("X-Served-By") == "" {
		t.Errorf("%d %q %v", resp.StatusCode, text, resp.Header)
	}
	r := <-got
	b, _ := io.ReadAll(r.Body)
	host := strings.TrimPrefix(g.url, "http://")
	for _, want := range []string{"POST /a%2Fb?q=1 host=" + host + " body=\"some text\"", "X-Own: 1", "Content-Type: text/plain", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: " + host, "X-Call-Id: " + id} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the function saw %s\nwant %s", b, want)
		}
	}
	if r.Header.Get("X-Call-Id") != id || r.Header.Get("X-Function-Status") != "207" || r.Header.Get("X-Function-Name") != "hello" || r.Header.Get("X-Function") != "yes" || r.Header.Get("X-Hop") != "" {
		t.Errorf("callback: %v", r.Header)
	}

	resp, _ = g.do("POST", "/async-function/hello.default", "", "X-Call-Id", "mine", "X-Callback-Url", done)
	if resp.StatusCode != 202 || resp.Header.Get("X-Call-Id") != "mine" {
		t.Errorf("own id: %d %v", resp.StatusCode, resp.Header)
	}
	if r := <-got; r.Header.Get("X-Call-Id") != "mine" {
		t.Errorf("own id: %v", r.Header)
	}
	for _, c := range []struct {
		method, path, callback string
		status                 int
	}{
		{"GET", "/async-function/hello", "", 405},
		{"PUT", "/async-function/hello", "", 405},
		{"POST", "/async-function/none", "", 404},
		{"POST", "/async-function/", "", 404},
		{"POST", "/async-function/hello.other", "", 404},
		{"POST", "/async-function/hello", "not a url", 400},
		{"POST", "/async-function/hello", "ftp://example.com", 400},
		{"POST", "/async-function/hello", "http://127.0.0.1:1/", 400},
		{"POST", "/async-function/hello", "http://169.254.169.254/latest", 400},
		{"POST", "/async-function/hello", "http://[::1]:" + port + "/", 400},
	} {
		resp, text := g.do(c.method, c.path, "", "X-Callback-Url", c.callback)
		if resp.StatusCode != c.status || resp.Header.Get("X-Openfaas-Internal") != "proxy" || resp.Header.Get("X-Call-Id") == "" {
			t.Errorf("%+v: %d %q %v", c, resp.StatusCode, text, resp.Header)
		}
	}
}

// TestAsyncBodies: a body that is too large, or breaks off, is not accepted.
func TestAsyncBodies(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	g, q := startAsync(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(b))
	}, "1")
	g.deploy("hello", api.DeployRequest{})
	for _, chunked := range []bool{false, true} {
		req, _ := http.NewRequest("POST", g.url+"/async-function/hello", bytes.NewReader(make([]byte, async.MaxBody+1)))
		if chunked {
			req.ContentLength = -1
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			continue // it was told while the body was on its way
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("too large: %d", resp.StatusCode)
		}
	}
	for _, head := range []string{"Content-Length: 1000", "Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /async-function/hello HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n5\r\nhello\r\n", head)
		c.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(c)
		c.Close()
		if strings.Contains(string(text), " 202 ") {
			t.Errorf("%s, half of it: %s", head, text)
		}
	}
	// One that drips: it is told, and holds no connection for long.
	c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /async-function/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
	stop := make(chan struct{})
	var drip sync.WaitGroup
	drip.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				c.Write([]byte("x"))
			}
		}
	})
	line := make([]byte, 12)
	_, err = io.ReadFull(c, line)
	close(stop)
	drip.Wait()
	if string(line) != "HTTP/1.1 408" {
		t.Errorf("a body that drips: %q %v", line, err)
	}
	if resp, _ := g.do("POST", "/async-function/hello", strings.Repeat("x", 2<<20)); resp.StatusCode != 202 {
		t.Errorf("2 MiB: %d", resp.StatusCode)
	}
	for deadline := time.Now().Add(time.Minute); q.Depth("hello") > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not executed within a minute")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(sizes) != 1 || sizes[0] != 2<<20 {
		t.Errorf("executed with %v bytes", sizes)
	}
}

// TestAsyncManagement: dead letters over the management interface.
func TestAsyncManagement(t *testing.T) {
	g, q := startAsync(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/later" {
			w.WriteHeader(503)
		}
	}, "1")
	g.deploy("hello", api.DeployRequest{})
	ctx := context.Background()
	var ids []string
	for range 3 {
		resp, _ := g.do("POST", "/async-function/hello/later?x=y", "body")
		ids = append(ids, resp.Header.Get("X-Call-Id"))
	}
	var a api.Async
	wait := func(dead int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); len(a.Dead) != dead || q.Depth("hello") > 0; time.Sleep(5 * time.Millisecond) {
			var err error
			if a, err = g.Async(ctx, ""); err != nil || time.Now().After(deadline) {
				t.Fatalf("%+v %v", a, err)
			}
		}
	}
	wait(3)
	d, err := g.DeadLetter(ctx, ids[0])
	if err != nil || d.Path != "/later?x=y" || string(d.Body) != "body" || d.Status != 503 || d.Attempts != 2 || d.Truncated || d.Reason != "the function answered 503 Service Unavailable" {
		t.Errorf("%+v %v", d, err)
	}
	if err := g.DropDead(ctx, ids[0]); err != nil {
		t.Error(err)
	}
	if err := g.Replay(ctx, ids[1]); err != nil {
		t.Error(err)
	}
	wait(2)
	if n, err := g.ReplayAll(ctx, "hello"); n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	wait(2)
	if a, err := g.Async(ctx, "other"); err != nil || len(a.Dead) > 0 || a.DeadTotal > 0 {
		t.Errorf("%+v %v", a, err)
	}
	for path, want := range map[string]int{"/unifaas/v1/async?limit=0": 400, "/unifaas/v1/async?limit=x": 400, "/unifaas/v1/async?limit=1": 200, "/unifaas/v1/async/none": 404, "/unifaas/v1/async/%2E%2E": 404} {
		if resp, text := g.do("GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	for _, c := range []string{"POST /unifaas/v1/async/none/replay", "DELETE /unifaas/v1/async/*"} {
		method, path, _ := strings.Cut(c, " ")
		if resp, text := g.do(method, path, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %d %s", c, resp.StatusCode, text)
		}
	}
	bad := api.DeployRequest{Image: "img", Annotations: map[string]string{"unifaas.dev/async-retries": "many"}}
	if _, err := g.Deploy(ctx, "bad", bad); err == nil || !strings.Contains(err.Error(), "async-retries") {
		t.Errorf("%v", err)
	}
}
