// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// programRig is a node with one function of contract stdio, and the variables that each run of it got.
func programRig(t *testing.T, program func(io.Reader, io.Writer) int) (*rig, func() []string) {
	var mu sync.Mutex
	var env []string
	g := newRig(t, &nodetest.Runtime{OnSpawn: func(_ context.Context, e []string) (node.Job, error) {
		mu.Lock()
		defer mu.Unlock()
		env = e
		return nodetest.Spawn(program)
	}}, node.Options{})
	g.Apply(spec(func(s *node.Spec) { s.Stdio = true }))
	return g, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(env)
	}
}

func (g *rig) do(req *http.Request) (*http.Response, string, error) {
	v := g.Invoke("f", time.Now())
	resp, err := v.RoundTrip(req)
	if err != nil {
		v.End(true)
		return nil, "", err
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	v.End(err != nil)
	return resp, string(text), err
}

func request(t *testing.T, header http.Header) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://f/a%20b?c=d", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return req
}

// TestVariables: no header field passes for another variable, and the same request gives the same variables in the same order.
func TestVariables(t *testing.T) {
	g, env := programRig(t, func(r io.Reader, w io.Writer) int { io.Copy(w, r); return 0 })
	header := http.Header{"Method": {"DELETE"}, "Path": {"/admin"}, "Query": {"x"}, "Host": {"h"}, "Contentlength": {"9"}, "Proxy": {"http://evil/"},
		"X-Real-User": {"alice"}, "X_real_user": {"mallory"}, "X-Real_user": {"eve"}, "Content-Type": {"text/a"}, "A": {"1", "2"}}
	var first []string
	for range 20 {
		if _, text, err := g.do(request(t, header)); text != "body" || err != nil {
			t.Fatalf("%q, %v", text, err)
		}
		if first == nil {
			first = env()
		} else if !slices.Equal(first, env()) {
			t.Fatalf("%q and then %q", first, env())
		}
	}
	seen := map[string]string{}
	for _, kv := range first {
		k, v, _ := strings.Cut(kv, "=")
		if _, twice := seen[k]; twice {
			t.Errorf("%s is there twice", k)
		}
		seen[k] = v
	}
	for k, want := range map[string]string{"Http_Method": "POST", "Http_Path": "/a%20b", "Http_Query": "c=d", "Http_Host": "f", "Http_ContentLength": "4",
		"Http_X_Real_User": "alice", "Http_Proxy": "", "Http_A": "1, 2", "CONTENT_TYPE": "text/a", "PATH_INFO": "/a b"} {
		if seen[k] != want {
			t.Errorf("%s is %q, not %q", k, seen[k], want)
		}
	}
}

// TestLongRequest: what a program has no room for is left out, the longest header fields first; a path that cannot be left out is refused.
func TestLongRequest(t *testing.T) {
	g, env := programRig(t, func(r io.Reader, w io.Writer) int { io.Copy(w, r); return 0 })
	for length, status := range map[int]int{20_000: 200, 40_000: 414, 900_000: 414} {
		long := strings.Repeat("h", 15<<10)
		req := request(t, http.Header{"A": {long}, "B": {long}, "C": {long}, "Z": {"short"}})
		req.URL.RawQuery = strings.Repeat("q", length)
		resp, text, err := g.do(req)
		if err != nil || resp.StatusCode != status || status == 200 && text != "body" {
			t.Errorf("%d: %v, %q, %v", length, resp, text, err)
		}
		if status != 200 {
			continue // it was not run
		}
		size := 0
		for _, kv := range env() {
			size += len(kv) + 1
		}
		if size > 60<<10 || !slices.Contains(env(), "Http_Z=short") {
			t.Errorf("%d: %d bytes of variables", length, size)
		}
	}
}

// TestBuffered: up to and with the limit the exit status decides; beyond, the answer has begun and breaks off.
func TestBuffered(t *testing.T) {
	for size, whole := range map[int]bool{0: true, 1<<20 - 1: true, 1 << 20: true, 1<<20 + 1: false} {
		g, _ := programRig(t, func(r io.Reader, w io.Writer) int {
			w.Write(bytes.Repeat([]byte("x"), size))
			return 3
		})
		resp, text, err := g.do(request(t, http.Header{}))
		switch {
		case whole && (err != nil || resp.StatusCode != 500 || resp.Header.Get(node.HeaderExitStatus) != "3" || size > 0 && len(text) != size):
			t.Errorf("%d bytes: %v, %d bytes, %v", size, resp, len(text), err)
		case !whole && err == nil:
			t.Errorf("%d bytes: a failed program's answer looks whole", size)
		}
	}
}

// TestScarce: that this process has no descriptors left is not the instance's fault, and costs no instance.
func TestScarce(t *testing.T) {
	for _, programs := range []bool{false, true} {
		var mu sync.Mutex
		short := true
		fail := func() error {
			mu.Lock()
			defer mu.Unlock()
			if short {
				return os.NewSyscallError("socketpair", unix.EMFILE)
			}
			return nil
		}
		run := &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }), OnDial: fail,
			OnSpawn: func(context.Context, []string) (node.Job, error) {
				if err := fail(); err != nil {
					return nil, err
				}
				return nodetest.Spawn(func(r io.Reader, w io.Writer) int { io.Copy(w, r); return 0 })
			}}
		g := newRig(t, run, node.Options{})
		g.Apply(spec(func(s *node.Spec) { s.Stdio = programs }))
		for range 3 {
			var scarce *node.ScarceError
			if _, _, err := g.do(request(t, http.Header{})); !errors.As(err, &scarce) || !errors.Is(err, unix.EMFILE) {
				t.Errorf("programs %v: %v", programs, err)
			}
		}
		mu.Lock()
		short = false
		mu.Unlock()
		if _, text, err := g.do(request(t, http.Header{})); text != "body" || err != nil {
			t.Errorf("programs %v: %q, %v", programs, text, err)
		}
		if n := run.Boots.Load(); n != 1 {
			t.Errorf("programs %v: %d instances were made", programs, n)
		}
	}
}
