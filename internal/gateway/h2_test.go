// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// h2 is a client that speaks HTTP/2 without TLS, and nothing else.
func h2(t *testing.T) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// both has a program speak HTTP/1.1 and HTTP/2, as the protocol of each connection's first bytes is.
func both(g *rig) {
	g.run.Protocols = new(http.Protocols)
	g.run.Protocols.SetHTTP1(true)
	g.run.Protocols.SetUnencryptedHTTP2(true)
}

// TestProtocols: what a caller speaks and what a function speaks have nothing to do with each other, but for gRPC.
func TestProtocols(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprintf(w, "%s %s %s te=%s", r.Proto, r.URL.Path, body, r.Header.Get("Te"))
		w.Header().Set("Grpc-Status", "0")
	}, node.Options{})
	both(g)
	g.deploy("plain", api.DeployRequest{})
	g.deploy("h2c", api.DeployRequest{Protocol: ptr("h2c")})
	g.deploy("http1", api.DeployRequest{Protocol: ptr("http1")})
	g.deploy("fresh", api.DeployRequest{Protocol: ptr("h2c"), Isolation: "fresh"})
	two := h2(t)
	for _, c := range []struct {
		client         *http.Client
		function, kind string
		want           string
	}{
		{http.DefaultClient, "plain", "text/plain", "HTTP/1.1"},
		{two, "plain", "text/plain", "HTTP/1.1"},
		{two, "plain", "application/grpc+proto", "HTTP/2.0"},
		{http.DefaultClient, "plain", "application/grpc+proto", "HTTP/1.1"},
		{http.DefaultClient, "h2c", "application/grpc-web", "HTTP/2.0"},
		{two, "h2c", "application/grpc", "HTTP/2.0"},
		{two, "http1", "application/json", "HTTP/1.1"},
		{two, "fresh", "text/plain", "HTTP/2.0"},
		{two, "fresh", "text/plain", "HTTP/2.0"},
	} {
		for _, body := range []string{"", "small", strings.Repeat("x", 200<<10)} {
			req, err := http.NewRequest("POST", g.url+"/function/"+c.function+"/a/b", io.MultiReader(strings.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			req.Header.Set("Te", "trailers")
			resp, err := c.client.Do(req)
			if err != nil {
				t.Errorf("%s %s: %v", c.function, c.kind, err)
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(text), c.want+" /a/b "+body+" te=trailers") || resp.ProtoMajor == 2 && resp.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("%s %s, %d bytes: %d %.100q %v %v", c.function, c.kind, len(body), resp.StatusCode, text, resp.Trailer, err)
			}
		}
	}
	resp, err := two.Get(g.url + "/unifaas/v1/functions")
	if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("management: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// TestH2Streams: both directions at once, and calls that end in the middle do not take others on the same connection with them.
func TestH2Streams(t *testing.T) {
	var seen atomic.Int64
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		switch r.URL.Path {
		case "/once":
			seen.Add(1)
			io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		case "/crash":
			nodetest.Self(r).End(node.Exit{Kind: node.ExitSignal, Status: 139, Reason: "signal 11"})
			return
		}
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			w.Write(bytes.ToUpper(b[:n]))
			rc.Flush()
			if err != nil {
				return
			}
		}
	}, node.Options{})
	both(g)
	g.deploy("f", api.DeployRequest{Protocol: ptr("h2c"), Max: ptr(1)})
	two := h2(t)
	open := func() (io.WriteCloser, *http.Response) {
		in, out := io.Pipe()
		req, err := http.NewRequestWithContext(context.Background(), "POST", g.url+"/function/f/echo", in)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(out, "a")
		resp, err := two.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return out, resp
	}
	says := func(r *http.Response, want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r.Body, b); err != nil || string(b) != want {
			t.Errorf("%q %v, want %q", b, err, want)
		}
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			out, resp := open()
			says(resp, "A")
			for range 10 {
				io.WriteString(out, "more")
				says(resp, "MORE")
			}
			out.Close()
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
			resp.Body.Close()
		})
	}
	all.Wait()
	out, resp := open()
	says(resp, "A")
	// Something was sent: not again.
	for n := range int64(3) {
		if r, err := two.Post(g.url+"/function/f/once", "text/plain", strings.NewReader("x")); err != nil || r.StatusCode != 502 || seen.Load() != n+1 {
			t.Errorf("%v %v, %d times", r, err, seen.Load())
		} else {
			r.Body.Close()
		}
	}
	io.WriteString(out, "still")
	says(resp, "STILL")
	out.Close()
	resp.Body.Close()
	if r, err := two.Post(g.url+"/function/f/crash", "text/plain", strings.NewReader("x")); err != nil || r.StatusCode != 502 {
		t.Errorf("%v %v", r, err)
	} else {
		r.Body.Close()
	}
	if r, err := two.Post(g.url+"/function/f/", "text/plain", strings.NewReader("x")); err != nil || r.StatusCode != 200 {
		t.Errorf("after a crash: %v %v", r, err)
	} else {
		says(r, "X")
		r.Body.Close()
	}
}

func TestHosts(t *testing.T) {
	g := start(t, show, node.Options{})
	g.deploy("f", api.DeployRequest{})
	for host, want := range map[string]int{
		"f.function.localhost": 207, "F.Function.Localhost:8080": 207, "f.function.localhost.": 207, "f.default.function.localhost": 207,
		"nosuch.function.localhost": 404, ".function.localhost": 307, "..function.localhost:1": 404,
		"f.functions.example": 207, "function.localhost": 307, "127.0.0.1": 307, "f.localhost": 307, // nothing else is at such a path
	} {
		req, err := http.NewRequest("GET", g.url+"/a//b?q=%zz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want == 207 && !strings.HasPrefix(string(text), "GET /a//b?q=%zz host="+host+" ") {
			t.Errorf("%s: %d %q", host, resp.StatusCode, text)
		}
	}
}

func TestForwarded(t *testing.T) {
	g := start(t, show, node.Options{})
	g.deploy("f", api.DeployRequest{})
	host := strings.TrimPrefix(g.url, "http://")
	own := `for=127.0.0.1;host="` + host + `";proto=http`
	if _, text := g.do("GET", "/function/f", ""); !strings.Contains(text, "Forwarded: "+own+"\r\n") {
		t.Error(text)
	}
	prior := `for="[2001:db8::1]";by=x`
	if _, text := g.do("GET", "/function/f", "", "Forwarded", prior); !strings.Contains(text, "Forwarded: "+prior+", "+own+"\r\n") {
		t.Error(text)
	}
	// A host that would end its own quotes.
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /function/f HTTP/1.1\r\nHost: a\";for=evil\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(c)
	if text := string(answer); !strings.HasPrefix(text, "HTTP/1.1 400 ") && !strings.Contains(text, `Forwarded: for=127.0.0.1;host="a\";for=evil";proto=http`) {
		t.Error(text)
	}
}
