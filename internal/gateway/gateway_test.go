// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/filestore"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// images takes anything as an image.
type images struct {
	mu     sync.Mutex
	seen   map[string]string
	layers map[string]string
	puts   int
}

func (s *images) Manifest(ref string) (image.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.seen[ref]; d != "" {
		return image.Manifest{Digest: d}, nil
	}
	if strings.HasPrefix(ref, "sha256:") {
		return image.Manifest{Digest: ref}, nil
	}
	return image.Manifest{}, fmt.Errorf("image %q: %w", ref, image.ErrNotFound)
}

func (s *images) Import(_ context.Context, src, name string) (image.Manifest, error) {
	text, err := os.ReadFile(src)
	if err != nil || !bytes.HasPrefix(text, []byte("\x7fELF")) {
		return image.Manifest{}, fmt.Errorf("%s: not an ELF file", src)
	}
	m := image.Manifest{Digest: fmt.Sprintf("sha256:%064x", len(text)), Layers: []image.LayerID{{Size: 4096}}, Program: "/" + filepath.Base(src)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = m.Digest
	return m, nil
}

func (s *images) HasLayer(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.layers[digest] != ""
}

func (s *images) PutLayer(_ context.Context, digest string, r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if string(text) == "bad" {
		return fmt.Errorf("layer %s: what came has another digest", digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layers[digest] = string(text)
	s.puts++
	return nil
}

func (s *images) AddImage(m image.Manifest, name string) (image.Manifest, error) {
	for _, l := range m.Layers {
		if !s.HasLayer(l.Digest) {
			return m, fmt.Errorf("layer %s: %w", l.Digest, image.ErrNoLayer)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = m.Digest
	return m, nil
}

func (s *images) List() ([]image.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []image.Entry
	for n, d := range s.seen {
		l = append(l, image.Entry{Name: n, Manifest: image.Manifest{Digest: d}})
	}
	return l, nil
}

type lines struct{ *logs.Book }

func (l lines) Line(function, instance, stream, text string, at time.Time) {
	l.Append(function, logs.Line{Time: at, Instance: instance, Stream: stream, Text: text})
}

// rig is a whole node but for the unikernels.
type rig struct {
	testing.TB
	*client.Client
	run     *nodetest.Runtime
	url     string
	control *control.Control
}

func start(t testing.TB, handler http.HandlerFunc, o node.Options) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	g := &rig{TB: t, run: &nodetest.Runtime{Handler: handler}}
	book, err := logs.Open(filepath.Join(dir, "logs"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(g.run, nodetest.Images{}, lines{book}, o)
	store := &images{seen: map[string]string{"img": "sha256:1"}, layers: map[string]string{}}
	if g.control, _, err = control.New(context.Background(), s, store, n, book); err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	srv := gateway.NewServer(gateway.New(g.control, store, gateway.Options{Version: "test", TempDir: dir, Closing: closing}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	g.url = "http://" + l.Addr().String()
	if g.Client, err = client.New(g.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(closing)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		g.control.Close()
		n.Close(ctx)
		book.Close()
		s.Close()
		if g.run.Live.Load() != 0 || g.run.Running.Load() != 0 {
			t.Error("instances or tenders are left")
		}
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+4; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<16)
				t.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
				break
			}
		}
	})
	return g
}

func (g *rig) deploy(name string, q api.DeployRequest) {
	g.Helper()
	if q.Image == "" {
		q.Image = "img"
	}
	if _, err := g.Deploy(context.Background(), name, q); err != nil {
		g.Fatal(err)
	}
}

// do sends a request and gives the answer with its body read.
func (g *rig) do(method, path, body string, header ...string) (*http.Response, string) {
	g.Helper()
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Errorf("%s %s: body: %v", method, path, err)
	}
	return resp, string(text)
}

func ptr[T any](v T) *T { return &v }

func show(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Header.Del("Accept-Encoding")
	w.Header().Set("X-Function", "yes")
	w.Header().Set("Connection", "X-Hop")
	w.Header().Set("X-Hop", "1")
	w.WriteHeader(207)
	fmt.Fprintf(w, "%s %s host=%s body=%q\n", r.Method, r.RequestURI, r.Host, body)
	r.Header.WriteSubset(w, nil)
}

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
	for path, want := range map[string]int{"/function/none": 404, "/function/": 404, "/function/hello2/x": 404, "/nothing": 404, "/": 404, "/async-function/hello": 501, "/healthz": 200} {
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

func TestStreaming(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(w, strings.ToUpper(line))
			rc.Flush()
		}
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	read, write := io.Pipe()
	resp, err := http.Post(g.url+"/function/f", "text/plain", io.MultiReader(strings.NewReader("first\n"), read))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for _, word := range []string{"first", "second", "third"} {
		if word != "first" {
			fmt.Fprintln(write, word)
		}
		if got, err := answers.ReadString('\n'); err != nil || got != strings.ToUpper(word)+"\n" {
			t.Fatalf("%q %v", got, err)
		}
	}
	write.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Errorf("%q %v", rest, err)
	}
}

// TestUnreadBody: what a function leaves of a body is never taken for the caller's next request.
func TestUnreadBody(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }, node.Options{})
	g.deploy("f", api.DeployRequest{})
	smuggled := "GET /function/f/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, size := range []int{1000, 70000, 300000, 5 << 20} {
		for _, chunked := range []bool{false, true} {
			body := strings.Repeat(smuggled, size/len(smuggled))
			head := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
			if chunked {
				head, body = "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			var sent sync.WaitGroup
			sent.Go(func() { // one who writes all of it, whatever comes back, and then asks again
				io.WriteString(conn, "POST /function/f/first HTTP/1.1\r\nHost: x\r\n"+head+body+"GET /function/f/second HTTP/1.1\r\nHost: x\r\n\r\n")
			})
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			in := bufio.NewReader(conn)
			for _, want := range []string{"/first", "/second"} {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Errorf("%d bytes, chunked %v, %s: %v", size, chunked, want, err)
					break
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && string(got) != want {
					t.Errorf("%d bytes, chunked %v: answer %d %q, want %s or to be told that the connection ends", size, chunked, resp.StatusCode, got, want)
				}
				if resp.Close {
					break
				}
			}
			conn.Close()
			sent.Wait()
		}
	}
}

func TestLargeBodies(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 8 << 20} {
		body := make([]byte, size)
		rand.Read(body)
		for _, chunked := range []bool{false, true} {
			var from io.Reader = bytes.NewReader(body)
			if chunked {
				from = io.MultiReader(from)
			}
			resp, err := http.Post(g.url+"/function/f", "application/octet-stream", from)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes, chunked %v: %d back, %v", size, chunked, len(got), err)
			}
		}
	}
	req, _ := http.NewRequest("POST", g.url+"/function/f", strings.NewReader("x"))
	req.ContentLength = 1 << 40
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /function/f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 413 {
		t.Errorf("%v %v", resp, err)
	}
}

// TestStalledCaller: a caller that sends half a body costs its own invocation, not the instance, and is told in time.
func TestStalledCaller(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) { n, _ := io.Copy(io.Discard, r.Body); fmt.Fprint(w, n) }, node.Options{})
	g.deploy("f", api.DeployRequest{TimeoutMS: ptr(int64(300))})
	for _, head := range []string{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 1000000\r\n\r\nhello"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /function/f HTTP/1.1\r\nHost: x\r\n%s", head)
		start := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 504 || time.Since(start) > 2*time.Second {
			t.Errorf("%q: %v %v after %v", head, resp, err, time.Since(start))
		}
		conn.Close()
	}
	if resp, text := g.do("POST", "/function/f", "abc"); resp.StatusCode != 200 || text != "3" {
		t.Errorf("afterwards: %d %q", resp.StatusCode, text)
	}
}

// TestSlowReader: a caller that does not take the answer is cut off at the time limit.
func TestSlowReader(t *testing.T) {
	ended := make(chan struct{})
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}, node.Options{})
	g.deploy("f", api.DeployRequest{TimeoutMS: ptr(int64(200))})
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /function/f/flood HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
		t.Fatal("still writing")
	}
	if resp, _ := g.do("GET", "/function/f", ""); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// TestRequestTrailers: what a caller sends after its body reaches the function.
func TestRequestTrailers(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer.Get("X-Sum"))
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	req, err := http.NewRequest("POST", g.url+"/function/f", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Sum": {"42"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "42" {
		t.Errorf("got %q", text)
	}
}

// TestUnaskedUpgrade: that a function switches protocols on its own is its fault, not the gateway's.
func TestUnaskedUpgrade(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		conn.Close()
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	if resp, text := g.do("GET", "/function/f", ""); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("got %s: %s", resp.Status, text)
	}
}

// TestScarce: a node without descriptors says so, and that it is worth another try.
func TestScarce(t *testing.T) {
	g := start(t, func(http.ResponseWriter, *http.Request) {}, node.Options{})
	g.run.OnDial = func() error { return os.NewSyscallError("socketpair", syscall.EMFILE) }
	g.deploy("f", api.DeployRequest{})
	resp, text := g.do("GET", "/function/f", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "too many open files") {
		t.Errorf("got %s: %s", resp.Status, text)
	}
}

func TestUpgrade(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, buf)
	}, node.Options{})
	g.deploy("f", api.DeployRequest{TimeoutMS: ptr(int64(500))})
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /function/f HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	fmt.Fprint(conn, "ping\n")
	if line, err := in.ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("%q %v", line, err)
	}
	conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the time limit: %v", err)
	}
}

func TestManyInvocations(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, node.Options{})
	g.deploy("f", api.DeployRequest{})
	for n := range 1000 {
		if resp, text := g.do("POST", "/function/f", fmt.Sprint(n)); resp.StatusCode != 200 || text != fmt.Sprint(n) {
			t.Fatalf("%d: %d %q", n, resp.StatusCode, text)
		}
	}
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			if resp, text := g.do("POST", "/function/f", fmt.Sprint(n)); resp.StatusCode != 200 || text != fmt.Sprint(n) {
				t.Errorf("%d: %d %q", n, resp.StatusCode, text)
			}
		})
	}
	all.Wait()
}

func TestOwnManagement(t *testing.T) {
	ctx := context.Background()
	g := start(t, show, node.Options{})
	if l, err := g.Functions(ctx); err != nil || l == nil || len(l) != 0 {
		t.Errorf("%v %v", l, err)
	}
	if i, err := g.Upload(ctx, "prog", "hello", strings.NewReader("\x7fELF....")); err != nil || i.Program != "/hello" {
		t.Fatal(i, err)
	}
	for _, program := range []string{"../../etc/passwd", "", "..", "a/b"} {
		if i, err := g.Upload(ctx, "", program, strings.NewReader("\x7fELF....")); err != nil || strings.Count(i.Program, "/") != 1 {
			t.Errorf("%q: %v %v", program, i, err)
		}
	}
	var status *client.StatusError
	if _, err := g.Upload(ctx, "prog", "text", strings.NewReader("hello")); !errors.As(err, &status) || status.Status != 400 || status.Text != "text: not an ELF file" {
		t.Errorf("%v", err)
	}
	r, err := g.Deploy(ctx, "f", api.DeployRequest{Image: "prog", Memory: ptr(int64(64 << 20)), Env: map[string]string{"A": "1"}, Min: ptr(1)})
	if err != nil || !r.Created || !r.Changed || r.Function.Revision.Memory != 64<<20 || r.Function.URL != "/function/f" {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = g.Deploy(ctx, "f", api.DeployRequest{TimeoutMS: ptr(int64(1500))}); err != nil || r.Created || !r.Changed || r.Function.Revision.TimeoutMS != 1500 {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = g.Deploy(ctx, "f", api.DeployRequest{}); err != nil || r.Changed {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err = g.Deploy(ctx, "f", api.DeployRequest{TimeoutMS: ptr(int64(1) << 62)}); !errors.As(err, &status) || status.Status != 400 {
		t.Errorf("endless timeout: %v", err)
	}
	d, err := g.Describe(ctx, "f")
	if err != nil || len(d.Revisions) != 2 || d.Revisions[0].Number != 2 {
		t.Fatalf("%+v %v", d, err)
	}
	f, err := g.Scale(ctx, "f", 3)
	if err != nil || f.Min != 3 {
		t.Fatalf("%+v %v", f, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := g.Instances(ctx, "f")
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, i := range l {
			if i.State == "ready" && i.Memory > 0 && i.TenderPID > 0 {
				ready++
			}
		}
		if ready == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l)
		}
	}
	if err := g.Remove(ctx, "f"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"remove": g.Remove(ctx, "f"), "describe": errOf(g.Describe(ctx, "f")), "scale": errOf(g.Scale(ctx, "f", 1)),
		"instances": errOf(g.Instances(ctx, "f")), "logs": g.Logs(ctx, client.LogQuery{Function: "f"}, nil)} {
		if !errors.As(err, &status) || status.Status != 404 || status.Text != "function f is not deployed" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if resp, _ := g.do("PUT", "/unifaas/v1/functions/x", "{", "Content-Type", "application/json"); resp.StatusCode != 400 {
		t.Errorf("bad JSON: %d", resp.StatusCode)
	}
	if resp, _ := g.do("PUT", "/unifaas/v1/functions/x", `{"image":"img"}`, "Origin", "http://evil.example"); resp.StatusCode != 403 {
		t.Errorf("foreign page: %d", resp.StatusCode)
	}
	for host, status := range map[string]int{"evil.example": 403, "evil.example:80": 403, "localhost:1": 200, "127.0.0.1": 200, "[::1]:8080": 200} {
		req, err := http.NewRequest("GET", g.url+"/unifaas/v1/functions", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("as %s: %d", host, resp.StatusCode)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestOpenFaaS(t *testing.T) {
	g := start(t, show, node.Options{})
	want := func(status int, method, path, body string) string {
		t.Helper()
		resp, text := g.do(method, path, body, "Content-Type", "application/json")
		if resp.StatusCode != status {
			t.Errorf("%s %s %s: %d %s, want %d", method, path, body, resp.StatusCode, text, status)
		}
		return text
	}
	if text := want(200, "GET", "/system/functions", ""); strings.TrimSpace(text) != "[]" {
		t.Errorf("empty list is %q", text)
	}
	full := `{"service":"f","image":"img","namespace":"default","envVars":{"A":"1"},"envProcess":"node x","labels":{"com.openfaas.scale.min":"1","com.openfaas.scale.max":"3"},
		"annotations":{"unifaas.dev/timeout":"5s","unifaas.dev/concurrency":"2"},"limits":{"memory":"128Mi","cpu":"100m"}}`
	want(404, "PUT", "/system/functions", full)
	want(202, "POST", "/system/functions", full)
	want(202, "PUT", "/system/functions", full)
	var s struct {
		Name, Image     string
		EnvVars, Labels map[string]string
		Limits          struct{ Memory string }
		InvocationCount float64
		CreatedAt       time.Time
		Usage           *struct{ TotalMemoryBytes float64 }
		Replicas        *int
	}
	if err := json.Unmarshal([]byte(want(200, "GET", "/system/function/f?usage=1", "")), &s); err != nil || s.Name != "f" || s.Image != "img" ||
		s.EnvVars["fprocess"] != "node x" || s.Limits.Memory != "128M" || s.CreatedAt.IsZero() || s.Usage == nil || s.Replicas == nil {
		t.Errorf("%+v %v", s, err)
	}
	f, err := g.control.Get("f")
	if err != nil || f.Scale != (node.Scale{Min: 1, Max: 3}) || f.Current().Timeout != 5*time.Second || f.Current().Concurrency != 2 {
		t.Errorf("%+v %v", f, err)
	}
	for _, bad := range []string{`{"service":"f"}`, `{"service":"a/b","image":"img"}`, `{"service":"f","image":"none"}`, `{"service":"f","image":"img","secrets":["s"]}`,
		`{"service":"f","image":"img","constraints":["c"]}`, `{"service":"f","image":"img","readOnlyRootFilesystem":true}`, `{"service":"f","image":"img","limits":{"memory":"lots"}}`,
		`{"service":"f","image":"img","namespace":"other"}`, `{"service":"f","image":"img","labels":{"com.openfaas.scale.min":"x"}}`, `nothing`} {
		want(400, "POST", "/system/functions", bad)
	}
	want(202, "POST", "/system/scale-function/f", `{"serviceName":"f","replicas":0}`)
	want(400, "POST", "/system/scale-function/f", `{"serviceName":"f","replicas":-1}`)
	want(400, "POST", "/system/scale-function/f", `{"serviceName":"f"}`)
	want(404, "POST", "/system/scale-function/g", `{"serviceName":"g","replicas":1}`)
	want(404, "GET", "/system/function/g", "")
	want(400, "GET", "/system/functions?namespace=x", "")
	want(501, "POST", "/system/secrets", `{"name":"x"}`)
	if text := want(200, "GET", "/system/info", ""); !strings.Contains(text, `"provider":"unifaas"`) || !strings.Contains(text, `"arch":"x86_64"`) {
		t.Errorf("info %s", text)
	}
	want(422, "GET", "/system/logs?name=f&tail=x", "")
	want(422, "GET", "/system/logs?tail=1", "")
	want(404, "GET", "/system/logs?name=g", "")
	want(200, "GET", "/system/logs?name=f&tail=5&since=2020-01-01T00:00:00Z", "")
	want(404, "DELETE", "/system/functions", `{"functionName":"g"}`)
	want(202, "DELETE", "/system/functions", `{"functionName":"f","namespace":""}`)
	want(404, "DELETE", "/system/functions", `{"functionName":"f"}`)
}

func TestFollowLogs(t *testing.T) {
	g := start(t, func(_ http.ResponseWriter, r *http.Request) { nodetest.Self(r).Print("saw " + r.URL.Path) }, node.Options{})
	g.deploy("f", api.DeployRequest{})
	g.do("GET", "/function/f/one", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan api.LogLine, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- g.Logs(ctx, client.LogQuery{Function: "f", Tail: -1, Follow: true}, func(l api.LogLine) error {
			if l.Stream == "stdout" {
				got <- l
			}
			return nil
		})
	}()
	if l := <-got; l.Text != "saw /one" || l.Instance == "" || l.Name != "f" {
		t.Errorf("%+v", l)
	}
	g.do("GET", "/function/f/two", "")
	if l := <-got; l.Text != "saw /two" {
		t.Errorf("%+v", l)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// One more follower stays: the shutdown at the end of the test must end it.
	go g.Logs(context.Background(), client.LogQuery{Function: "f", Tail: 0, Follow: true}, func(api.LogLine) error { return nil })
	time.Sleep(20 * time.Millisecond)
}

func TestSlowHead(t *testing.T) {
	srv := gateway.NewServer(nil)
	if srv.ReadHeaderTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 || srv.ReadHeaderTimeout > time.Minute {
		t.Errorf("%+v", srv)
	}
	for addr, want := range map[string]bool{"127.0.0.1:80": true, "localhost:1": true, "[::1]:1": true, ":80": false, "0.0.0.0:80": false, "10.0.0.1:1": false, "x": false} {
		if gateway.IsLoopback(addr) != want {
			t.Errorf("IsLoopback(%q) is not %v", addr, want)
		}
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
