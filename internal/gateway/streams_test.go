// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

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
