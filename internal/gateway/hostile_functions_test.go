// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

// TestHostileFunctions: a program can answer what it likes. Its caller hears that it did, nobody else hears anything of it, and nothing of it is
// left for the next request.
func TestHostileFunctions(t *testing.T) {
	g := start(t, func(http.ResponseWriter, *http.Request) {}, node.Options{})
	var answer atomic.Pointer[func(net.Conn)]
	g.run.OnAccept = func(c net.Conn) bool {
		go func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if bytes.HasPrefix(buf[:n], []byte("GET /well")) {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")
					continue
				}
				if f := answer.Load(); f != nil {
					(*f)(c)
				}
			}
		}()
		return false
	}
	g.deploy("f", api.DeployRequest{TimeoutMS: ptr(int64(500)), Max: ptr(2)})
	says := func(text string) func(net.Conn) { return func(c net.Conn) { io.WriteString(c, text) } }
	ends := func(text string) func(net.Conn) { return func(c net.Conn) { io.WriteString(c, text); c.Close() } }
	on := func(text, again string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, text)
			for {
				if _, err := io.WriteString(c, again); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	poison := ok + "Content-Length: 6\r\n\r\npoison"
	for _, c := range []struct {
		name   string
		answer func(net.Conn)
		status int
		body   string // of a whole answer
		broken bool   // the answer breaks off
	}{
		{"garbage", ends("\x00\xff\x80 what \r\n\r\n"), 502, "", false},
		{"garbage and then silence", says("\x00\xff\x80 what\r\n"), 502, "", false},
		{"nothing", ends(""), 502, "", false},
		{"never", says(""), 504, "", false},
		{"half a head", ends(ok + "Content-Le"), 502, "", false},
		{"half a head and then silence", says(ok + "Content-Le"), 504, "", false},
		{"head without an end", on(ok, "X: y\r\n"), 504, "", false},
		{"head bomb", ends(ok + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), 502, "", false},
		{"status of no kind", says("HTTP/1.1 999999 X\r\nContent-Length: 0\r\n\r\n"), 502, "", false},
		{"status 0", says("HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"), 502, "", false},
		{"status 42", says("HTTP/1.1 042 X\r\nContent-Length: 0\r\n\r\n"), 502, "", false},
		{"status below 0", says("HTTP/1.1 -12 X\r\nContent-Length: 0\r\n\r\n"), 502, "", false},
		{"another protocol", says("SSH-2.0-OpenSSH\r\n"), 502, "", false},
		{"another version", says("HTTP/7.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 502, "", false},
		{"two lengths", says(ok + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nwhat?"), 502, "", false},
		{"length with sign", says(ok + "Content-Length: +4\r\n\r\nwhat"), 502, "", false},
		{"length below 0", says(ok + "Content-Length: -4\r\n\r\nwhat"), 502, "", false},
		{"unknown encoding", says(ok + "Transfer-Encoding: other\r\n\r\nwhat"), 502, "", false},
		{"length and chunks", says(ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\n0\r\n\r\n"), 200, "what", false},
		{"informed for ever", on("", "HTTP/1.1 102 Processing\r\n\r\n"), 504, "", false},
		{"continued for ever", on("", "HTTP/1.1 100 Continue\r\n\r\n"), 504, "", false},
		{"half a body", ends(ok + "Content-Length: 100\r\n\r\nhalf"), 200, "half", true},
		{"half a body and then silence", says(ok + "Content-Length: 100\r\n\r\nhalf"), 200, "half", true},
		{"half a chunk", ends(ok + "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf"), 200, "half", true},
		{"chunk without a size", says(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"), 200, "half", true},
		{"chunks without an end", ends(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), 200, "half", true},
		{"trailers without an end", says(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), 200, "half", true},
		{"body without an end", on(ok+"\r\n", "drop"), 200, "", true},
		{"more than said", says(ok + "Content-Length: 4\r\n\r\nwhat" + poison), 200, "what", false},
		{"two answers", says(ok + "Content-Length: 4\r\n\r\nwhat" + poison + poison), 200, "what", false},
		{"body where there is none", says("HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n" + poison), 204, "", false},
		{"body after 304", says("HTTP/1.1 304 Not Modified\r\n\r\n" + poison), 304, "", false},
		{"line feeds in a header", says(ok + "X: a\n b\r\nContent-Length: 4\r\n\r\nwhat"), 200, "what", false},
		{"hops", says(ok + "Connection: Content-Length, X-Call-Id\r\nX-Call-Id: mine\r\nX-Served-By: me\r\nContent-Length: 4\r\n\r\nwhat"), 200, "what", false},
	} {
		answer.Store(&c.answer)
		req, _ := http.NewRequest("POST", g.url+"/function/f", strings.NewReader("once")) // not sent again by itself
		req.Header.Set(api.HeaderCallID, "ours")
		start := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case resp.StatusCode != c.status:
			t.Errorf("%s: %s %.200q, want %d", c.name, resp.Status, body, c.status)
		case c.broken != (err != nil):
			t.Errorf("%s: the answer's end: %v", c.name, err)
		case c.status < 500 && c.body != "" && string(body) != c.body:
			t.Errorf("%s: %.200q", c.name, body)
		case c.status >= 500 && (resp.Header.Get(api.HeaderInternal) != "proxy" || bytes.Count(body, []byte("\n")) != 1 || len(body) > 500):
			t.Errorf("%s: %v %.600q", c.name, resp.Header, body)
		}
		if id := resp.Header.Values(api.HeaderCallID); len(id) != 1 || id[0] != "ours" || len(resp.Header.Values(api.HeaderServedBy)) != 1 {
			t.Errorf("%s: %v", c.name, resp.Header)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: took %v", c.name, took)
		}
		for range 3 { // whoever comes next gets an answer to what he asked
			if resp, text := g.do("GET", "/function/f/well", ""); resp.StatusCode != 200 || text != "well" {
				t.Fatalf("after %s: %s %q", c.name, resp.Status, text)
			}
		}
	}
}

// TestGigabytes: an answer that is larger than memory passes through, and takes none of it.
func TestGigabytes(t *testing.T) {
	const size = 1 << 30
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		part := make([]byte, 256<<10)
		for sent := 0; sent < size; sent += len(part) {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	resp, err := http.Get(g.url + "/function/f")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	total, buf := int64(0), make([]byte, 256<<10)
	for looks := 1; ; {
		n, err := resp.Body.Read(buf)
		if total += int64(n); err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if total > int64(looks)*size/8 {
			looks++
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.HeapInuse = max(peak.HeapInuse, now.HeapInuse)
		}
	}
	if total != size {
		t.Errorf("%d bytes", total)
	}
	if grown := int64(peak.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
}

// TestGigabytesIn: a body without an end is refused at its limit, and takes no memory before that.
func TestGigabytesIn(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	pr, pw := io.Pipe()
	sent := make(chan int, 1)
	go func() {
		part, n := make([]byte, 256<<10), 0
		for {
			if _, err := pw.Write(part); err != nil {
				sent <- n
				return
			}
			n += len(part)
		}
	}()
	resp, err := http.Post(g.url+"/function/f", "application/octet-stream", pr)
	pr.Close()
	if n := <-sent; n > 300<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s", resp.Status)
		}
	}
	if resp, _ := g.do("POST", "/function/f", "small"); resp.StatusCode != 200 {
		t.Errorf("afterwards %s", resp.Status)
	}
}
