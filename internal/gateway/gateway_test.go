// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

func TestInvoke(t *testing.T) {
	g := start(t, show, node.Options{})
	g.deploy("hello", api.DeployRequest{})
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/function/hello", "GET / host="},
		{"POST", "/function/hello/", "POST / host="},
		{"PUT", "/function/hello/a//b/../c%2Fd?x=1;y=%zz", "PUT /a//b/../c%2Fd?x=1;y=%zz host="},
		{"PATCH", "/function/hello.default/x", "PATCH /x host="},
		{"DELETE", "/function/%68ello/ä?q", "DELETE /%C3%A4?q host="},
		{"OPTIONS", "/function/hello//", "OPTIONS // host="},
	} {
		resp, text := g.do(c.method, c.path, "data", "Te", "x", "X-Forwarded-For", "192.0.2.1", "Keep-Alive", "1")
		if resp.StatusCode != 207 || !strings.HasPrefix(text, c.want+strings.TrimPrefix(g.url, "http://")+` body="data"`) {
			t.Errorf("%s %s: %d %q", c.method, c.path, resp.StatusCode, text)
		}
		for _, want := range []string{"X-Call-Id: ", "X-Start-Time: ", "X-Forwarded-For: 192.0.2.1, 127.0.0.1", "X-Forwarded-Host: ", "X-Forwarded-Proto: http"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: function did not see %q: %s", c.path, want, text)
			}
		}
		for _, bad := range []string{"\nTe:", "Keep-Alive", "Expect"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: function saw %s", c.path, bad)
			}
		}
		h := resp.Header
		if h.Get("X-Function") != "yes" || h.Get("X-Hop") != "" || len(h.Get("X-Call-Id")) != 36 || h.Get("X-Served-By") != "unifaas/test" || h.Get("X-Unifaas-Instance") == "" {
			t.Errorf("answer's head: %v", h)
		}
		if ns, err := strconv.ParseInt(h.Get("X-Start-Time"), 10, 64); err != nil || time.Since(time.Unix(0, ns)) > time.Minute {
			t.Errorf("X-Start-Time %q", h.Get("X-Start-Time"))
		}
	}
	resp, text := g.do("GET", "/function/hello", "", "X-Call-Id", "mine")
	if resp.Header.Get("X-Call-Id") != "mine" || !strings.Contains(text, "X-Call-Id: mine") {
		t.Errorf("call id: %v %s", resp.Header, text)
	}
	if resp, text = g.do("HEAD", "/function/hello", ""); resp.StatusCode != 207 || text != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, text)
	}
	for path, want := range map[string]int{"/function/none": 404, "/function/": 404, "/function/hello2/x": 404, "/nothing": 404, "/": 404, "/async-function/hello": 405, "/async-function/none": 405, "/healthz": 200} {
		resp, text := g.do("GET", path, "")
		if resp.StatusCode != want || want != 200 && resp.Header.Get("X-Openfaas-Internal") != "proxy" {
			t.Errorf("%s: %d %v %q", path, resp.StatusCode, resp.Header, text)
		}
	}
	if resp, _ := g.do("TRACE", "/function/hello", ""); resp.StatusCode != 405 {
		t.Errorf("TRACE: %d", resp.StatusCode)
	}
}

func TestTimingHeader(t *testing.T) {
	g := start(t, show, node.Options{})
	g.deploy("f", api.DeployRequest{})
	g.cold("f")
	for n := range 2 {
		r, err := g.Invoke(context.Background(), client.Invocation{Function: "f", Method: "POST", Body: strings.NewReader("x"), Length: 1, Timing: true})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.Timing == nil || r.Timing.Cold != (n == 0) || r.Timing.Total <= 0 || n == 0 && r.Timing.VM != 1000 {
			t.Errorf("%+v", r.Timing)
		}
	}
	if resp, _ := g.do("GET", "/function/f", ""); resp.Header.Get("X-Unifaas-Timing") != "" {
		t.Error("timing without being asked")
	}
}

func TestFailures(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		self := nodetest.Self(r)
		switch r.URL.Path {
		case "/crash":
			self.End(node.Exit{Kind: node.ExitSignal, Status: 139, Reason: "signal 11 (SIGSEGV) at address 0x0", Report: "rip=0x1234"})
		case "/oom":
			self.End(node.Exit{Kind: node.ExitOOM, Reason: "memory limit 64 MiB"})
		case "/loop":
			<-self.Done()
		case "/half":
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			self.End(node.Exit{Kind: node.ExitSignal, Reason: "signal 6 (SIGABRT)"})
		case "/drip":
			for {
				if _, err := w.Write([]byte("drip\n")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		default:
			fmt.Fprint(w, "fine")
		}
	}, node.Options{})
	g.deploy("f", api.DeployRequest{TimeoutMS: ptr(int64(200))})
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"/crash", 502, "function f: signal 11 (SIGSEGV) at address 0x0"},
		{"/oom", 502, "function f: memory limit 64 MiB"},
		{"/loop", 504, "function f: time limit 200ms reached"},
	} {
		for _, method := range []string{"GET", "POST"} {
			start := time.Now()
			resp, text := g.do(method, "/function/f"+c.path, "")
			if resp.StatusCode != c.status || text != c.text+"\n" || resp.Header.Get("X-Openfaas-Internal") != "proxy" || resp.Header.Get("X-Call-Id") == "" {
				t.Errorf("%s: %d %q", c.path, resp.StatusCode, text)
			}
			if c.status == 504 && time.Since(start) > 2*time.Second {
				t.Errorf("%s after %v", c.path, time.Since(start))
			}
			if resp, text := g.do("GET", "/function/f/", ""); resp.StatusCode != 200 || text != "fine" {
				t.Errorf("after %s: %d %q", c.path, resp.StatusCode, text)
			}
		}
	}
	// What breaks off in the middle must not look whole.
	for _, path := range []string{"/half", "/drip"} {
		resp, err := http.Get(g.url + "/function/f" + path)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: whole answer %q", path, text)
		}
		resp.Body.Close()
	}
	var said []string
	g.Logs(context.Background(), client.LogQuery{Function: "f", Tail: -1}, func(l api.LogLine) error { said = append(said, l.Text); return nil })
	for _, want := range []string{"signal 11", "rip=0x1234", "memory limit 64 MiB", "time limit 200ms", "SIGABRT"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("log lacks %q: %q", want, said)
		}
	}
}

func TestBusy(t *testing.T) {
	hold := make(chan struct{})
	g := start(t, func(http.ResponseWriter, *http.Request) { <-hold }, node.Options{Queue: 2})
	g.deploy("f", api.DeployRequest{Concurrency: ptr(1), Max: ptr(1)})
	codes := make(chan int, 6)
	for range 6 {
		go func() {
			resp, err := http.Get(g.url + "/function/f")
			if err != nil {
				t.Error(err)
				codes <- 0
				return
			}
			resp.Body.Close()
			if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			codes <- resp.StatusCode
		}()
	}
	got := map[int]int{}
	for range 3 {
		got[<-codes]++
	}
	close(hold)
	for range 3 {
		got[<-codes]++
	}
	if got[429] != 3 && got[429] != 4 || got[200]+got[429] != 6 { // 4: one came before the instance was there
		t.Errorf("%v", got)
	}
}

// BenchmarkInvoke is one keep-alive caller; "direct" is the same program without a gateway.
func BenchmarkInvoke(b *testing.B) {
	handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	call := func(b *testing.B, url string) {
		resp, err := http.Post(url, "text/plain", strings.NewReader("hello"))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	b.Run("direct", func(b *testing.B) {
		backend := httptest.NewServer(http.HandlerFunc(handler))
		defer backend.Close()
		for b.Loop() {
			call(b, backend.URL)
		}
	})
	b.Run("gateway", func(b *testing.B) {
		g := start(b, handler, node.Options{})
		g.deploy("f", api.DeployRequest{})
		for b.Loop() {
			call(b, g.url+"/function/f")
		}
	})
}
