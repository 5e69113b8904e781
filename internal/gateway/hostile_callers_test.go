// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

// raw sends bytes over a connection of their own and gives the status of each answer until the connection ends.
func (g *rig) raw(text string) (statuses []int) {
	g.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	var sent sync.WaitGroup
	sent.Go(func() {
		io.WriteString(conn, text)
		if !strings.Contains(text, "Connection: ") { // which says that nothing else comes
			conn.(*net.TCPConn).CloseWrite()
		}
	})
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if statuses = append(statuses, resp.StatusCode); resp.Close {
			break
		}
	}
	conn.Close()
	sent.Wait()
	return statuses
}

// TestHostileRequests: shapes by which callers try to have gateway and function disagree about where a request ends, or to make the gateway
// hold what nobody needs. Each is refused or means the same to both; none reaches a function as another request, and all leave the gateway as it was.
func TestHostileRequests(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	g := startWith(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %s %q %q", r.Method, r.URL.Path, body, r.TransferEncoding))
		if r.Header.Get("X-Call-Id") == "" || r.Header.Get("X-Forwarded-For") == "" || r.Header.Get("X-Start-Time") == "" {
			seen = append(seen, "no headers of the platform")
		}
		for k, v := range r.Header {
			if strings.ContainsAny(k+strings.Join(v, ""), "\r\n\x00") {
				seen = append(seen, fmt.Sprintf("header %q: %q", k, v))
			}
		}
		mu.Unlock()
	}, node.Options{}, func(o *gateway.Options) { o.BodyTimeout = time.Second })
	g.deploy("f", api.DeployRequest{Labels: nil})

	const last = "Connection: close\r\n"
	const post, get = "POST /function/f/x HTTP/1.1\r\nHost: h\r\n", "GET /function/f/x HTTP/1.1\r\nHost: h\r\n"
	const smuggled = "GET /function/f/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	bodies := func(body string) string { return fmt.Sprintf("POST /x %q", body) }
	for _, c := range []struct {
		name, text string
		first      int    // status; 0: the connection ends without one
		called     string // what the function may see, beside nothing
	}{
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, ""},
		{"length with sign", post + "Content-Length: +5\r\n\r\nhello", 400, ""},
		{"length below 0", post + "Content-Length: -5\r\n\r\nhello", 400, ""},
		{"list of lengths", post + "Content-Length: 5, 5\r\n\r\nhello", 400, ""},
		{"hexadecimal length", post + "Content-Length: 0x5\r\n\r\nhello", 400, ""},
		{"huge length", post + "Content-Length: 99999999999999999999999\r\n\r\n", 400, ""},
		{"length and chunks", post + last + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("hello") + "0\r\n\r\n", 200, bodies("hello")},
		{"two encodings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 501, ""},
		{"unknown encoding", post + "Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 501, ""},
		{"encoding beside chunked", post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + smuggled, 501, ""},
		{"encoding with control character", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, 400, ""},
		{"space before colon", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, ""},
		{"chunk without a size", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 400, ""},
		{"chunk larger than numbers", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400, ""},
		{"chunk with sign", post + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", 400, ""},
		{"chunk without an end", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloGET", 400, ""},
		{"long chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 1<<20) + "\r\nhello\r\n0\r\n\r\n", 400, ""},
		{"long trailers", post + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 400, ""},
		{"line feeds alone", "POST /function/f/x HTTP/1.1\nHost: h\nConnection: close\nContent-Length: 5\n\nhello", 200, bodies("hello")},
		{"no host", "GET /function/f/x HTTP/1.1\r\n\r\n", 400, ""},
		{"two hosts", get + "Host: other\r\n\r\n", 400, ""},
		{"host with a path", "GET /function/f/x HTTP/1.1\r\nHost: h/../x y\r\n\r\n", 400, ""},
		{"space in a header's name", get + "X Y: 1\r\n\r\n", 400, ""},
		{"zero in a header", get + "X: a\x00b\r\n\r\n", 400, ""},
		{"carriage return in a header", get + "X: a\rX-Injected: b\r\n\r\n", 400, ""},
		{"header without a colon", get + "what\r\n\r\n", 400, ""},
		{"header bomb", get + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431, ""},
		{"many headers", get + strings.Repeat("X: y\r\n", 200000) + "\r\n", 431, ""},
		{"address bomb", "GET /function/f/" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: h\r\n\r\n", 431, ""},
		{"unknown version", "GET /function/f/x HTTP/3.0\r\nHost: h\r\n\r\n", 505, ""},
		{"no version", "GET /function/f/x\r\n\r\n", 400, ""},
		{"another method", "BREW /function/f/x HTTP/1.1\r\nHost: h\r\n\r\n", 405, ""},
		{"a tunnel", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 403, ""},
		{"unknown expectation", get + "Expect: everything\r\n\r\n", 417, ""},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		{"headers of the platform as hops", get + "Connection: X-Call-Id, X-Forwarded-For, X-Start-Time, close\r\nX-Call-Id: 1\r\n\r\n", 200, `GET /x ""`},
		{"name with dots", "GET /function/../system/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, ""},
		{"name with escaped dots", "GET /function/%2e%2e%2fsystem HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, ""},
		{"name of nothing", "GET /function/%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, ""},
		{"long name", "GET /function/" + strings.Repeat("n", 10000) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, ""},
		{"body shorter than said", post + "Content-Length: 50\r\n\r\nhello", 400, ""},
		{"body larger than allowed", post + "Content-Length: 1099511627776\r\n\r\nhello", 413, ""},
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		statuses := g.raw(c.text)
		mu.Lock()
		for _, s := range seen {
			if c.called == "" || !strings.HasPrefix(s, c.called) {
				// A body that turns out to be broken may have been on its way to the function: it never sees the end of it.
				if !(strings.Contains(c.text, "Transfer-Encoding") && strings.HasPrefix(s, "POST /x")) {
					t.Errorf("%s: the function got %s", c.name, s)
				}
			}
		}
		if c.called != "" && len(seen) != 1 {
			t.Errorf("%s: the function got %q", c.name, seen)
		}
		mu.Unlock()
		if len(statuses) != 1 || statuses[0] != c.first {
			t.Errorf("%s: answers %v, want %d and the end", c.name, statuses, c.first)
		}
		if resp, _ := g.do("GET", "/function/f/well", ""); resp.StatusCode != 200 {
			t.Fatalf("%s: afterwards %s", c.name, resp.Status)
		}
	}
}

// TestHostileManagement: what is not JSON, or not the JSON that is wanted, is refused in one line.
func TestHostileManagement(t *testing.T) {
	g := start(t, func(http.ResponseWriter, *http.Request) {}, node.Options{})
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/system/functions", `{"service":`, 400},
		{"POST", "/system/functions", `[]`, 400},
		{"POST", "/system/functions", `{"service": 7}`, 400},
		{"POST", "/system/functions", "", 400},
		{"POST", "/system/functions", strings.Repeat("[", 1<<19), 400},
		{"POST", "/system/functions", `{"service":"` + strings.Repeat("x", 2<<20) + `"}`, 400},
		{"POST", "/system/functions", `{"service":"../../etc","image":"img"}`, 400},
		{"POST", "/system/functions", `{"service":"` + strings.Repeat("n", 10000) + `","image":"img"}`, 400},
		{"POST", "/system/functions", `{"service":"a\u0000b","image":"img"}`, 400},
		{"PUT", "/unifaas/v1/functions/f", `{"image":"img","memory":1e999}`, 400},
		{"PUT", "/unifaas/v1/functions/%2e%2e", `{"image":"img"}`, 400},
		{"DELETE", "/system/functions", `{"functionName":"../f"}`, 404},
		{"GET", "/system/function/" + strings.Repeat("n", 10000), "", 404},
		{"GET", "/system/logs?name=..%2f..%2fetc%2fpasswd", "", 404},
		{"GET", "/system/logs?name=f&tail=99999999999999999999", "", 422},
		{"GET", "/unifaas/v1/instances?parked=1e9", "", 400},
	} {
		resp, text := g.do(c.method, c.path, c.body)
		if resp.StatusCode != c.want || len(text) > 1000 || strings.Count(strings.TrimSpace(text), "\n") > 0 {
			t.Errorf("%s %.60s %.60s: %s: %.200s", c.method, c.path, c.body, resp.Status, text)
		}
	}
	if l, err := g.Functions(t.Context()); err != nil || len(l) != 0 {
		t.Errorf("%v %v", l, err)
	}
}

// TestSlowCallers: who sends slowly has a time for it, and costs nobody else anything.
func TestSlowCallers(t *testing.T) {
	g := startWith(t, func(http.ResponseWriter, *http.Request) {}, node.Options{}, func(o *gateway.Options) { o.BodyTimeout = 100 * time.Millisecond })
	g.deploy("f", api.DeployRequest{})
	srv := gateway.NewServer(g.srv.Handler) // one of its own: the other serves already
	srv.ReadHeaderTimeout = 200 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(gateway.NewDoor(l, srv, 0))
	t.Cleanup(func() { srv.Close() })
	g.url = "http://" + l.Addr().String()
	g.do("GET", "/healthz", "")
	drip := func(text string) (net.Conn, chan struct{}) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for at := 0; ; at = (at + 1) % len(text) {
				if _, err := conn.Write([]byte{text[at]}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		return conn, over
	}
	var conns []net.Conn
	var over []chan struct{}
	for range 20 {
		c, o := drip("X-A: b\r\n") // never the end of a head
		conns, over = append(conns, c), append(over, o)
	}
	if resp, _ := g.do("GET", "/function/f", ""); resp.StatusCode != 200 {
		t.Errorf("beside them: %s", resp.Status)
	}
	for i, o := range over {
		select {
		case <-o:
		case <-time.After(30 * time.Second):
			t.Fatal("a caller that never ends the head of its request keeps its connection")
		}
		conns[i].Close()
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello")
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 408 || !resp.Close {
		t.Errorf("half a small body: %v %v", resp, err)
	}
}

// TestDoor: connections that ask for nothing keep nobody out, and who takes no answers is cut off.
func TestDoor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	release, running := make(chan struct{}), make(chan struct{})
	broken := make(chan error, 1)
	srv := gateway.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			running <- struct{}{}
			<-release
		case "/flood":
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					broken <- err
					return
				}
			}
		}
	}))
	const most = 8
	door := gateway.NewDoor(l, srv, most)
	gateway.SetStall(door, 200*time.Millisecond)
	go srv.Serve(door)
	defer srv.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(30 * time.Second))
		return c
	}
	ask := func(c net.Conn, path string) error {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	var idle []net.Conn
	for range 10 * most { // they say nothing at all
		idle = append(idle, dial())
	}
	used := dial()
	if err := ask(used, "/"); err != nil {
		t.Errorf("beside silent connections: %v", err)
	}
	if n, err := idle[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the first silent one is still there: %d %v", n, err)
	}
	for range 10 * most { // others come, one kept-alive connection after the other goes
		if err := ask(dial(), "/"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(used, "/"); err == nil {
		t.Error("a connection that was not used for longest is still there")
	}
	var held sync.WaitGroup
	for range most {
		c := dial()
		fmt.Fprint(c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
		held.Go(func() {
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Errorf("a request that runs was cut off: %v", err)
			}
		})
		<-running
	}
	if err := ask(dial(), "/"); err == nil {
		t.Error("more connections than there may be")
	}
	close(release)
	held.Wait()
	fmt.Fprint(dial(), "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n") // and takes nothing
	select {
	case <-broken:
	case <-time.After(30 * time.Second):
		t.Error("a caller that takes no answer is waited for")
	}
}
