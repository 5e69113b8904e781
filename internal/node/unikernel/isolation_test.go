// SPDX-License-Identifier: Apache-2.0

package unikernel_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"unifaas.dev/guest"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/unikernel"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/testkit"
)

// forgetful are snapshots that no later tender sees.
type forgetful struct{}

func (forgetful) Get(snapshot.Key) (*node.Snapshot, error) { return nil, nil }
func (forgetful) Save(snapshot.Key, *os.File) error        { return nil }
func (forgetful) Drop(snapshot.Key, error) error           { return nil }
func (forgetful) Keep(func(snapshot.Key) bool) error       { return nil }
func (forgetful) Usage() (disk, memory int64, n int)       { return }
func (forgetful) Trim()                                    {}

// TestIsolation: each invocation is the first one of its instance's life, and is answered, whatever callers and program do to each other.
func TestIsolation(t *testing.T) {
	for _, kind := range []string{"rewind", "fresh"} {
		t.Run(kind, func(t *testing.T) {
			g := start(t)
			g.Close(t.Context()) // that one takes no snapshots; what follows is closed in its place
			g.Node = node.New(&unikernel.Runtime{Monitor: "kvm", Libos: guest.Libos()}, g.images, g, node.Options{Snapshots: forgetful{}})
			g.deploy(t, filepath.Join(testkit.Root(t), "internal/node/unikernel/testdata/counter.c"), func(s *node.Spec) {
				s.Rewind, s.Fresh = kind == "rewind", kind == "fresh"
				s.Scale.Max, s.Concurrency = 3, 1
			})
			var all sync.WaitGroup
			for w := range 4 {
				all.Go(func() {
					for n := range 18 {
						g.rude(t, n+w)
					}
				})
			}
			all.Wait()
			if s := g.Function("f").Stats; s.Crashes != 0 || kind == "rewind" && s.Rewinds < 40 {
				t.Errorf("%+v", s)
			}
			if t.Failed() {
				t.Log(g.log())
			}
		})
	}
}

// rude is one invocation.
func (g *rig) rude(t *testing.T, n int) {
	const whole = 1 << 40
	large := func() io.Reader { return bytes.NewReader(make([]byte, 3<<20)) }
	c := []struct {
		method, path string
		body         io.Reader
		take         int64         // of the answer
		leave        time.Duration // 0: stays to the end
		broken       bool          // may get no answer
	}{
		{"POST", "/early", large(), whole, 0, true},
		{"GET", "/endless", nil, 2 << 20, 0, false},
		{"GET", "/after", nil, whole, 0, false},
		{"HEAD", "/", nil, whole, 0, false},
		{"POST", "/expect", large(), whole, 0, false},
		{"GET", "/", nil, whole, time.Duration(n) * 300 * time.Microsecond, true},
		{"GET", "/endless", nil, whole, 15 * time.Millisecond, true},
		{"POST", "/", large(), whole, 0, false},
		{"GET", "/", nil, whole, 0, false},
	}[n%9]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if c.leave > 0 {
		time.AfterFunc(c.leave, cancel)
	}
	r, err := http.NewRequestWithContext(ctx, c.method, "http://f"+c.path, c.body)
	if err != nil {
		t.Error(err)
		return
	}
	r.GetBody = nil // as it comes from a caller
	if c.path == "/expect" {
		r.Header.Set("Expect", "100-continue")
	}
	v := g.Invoke("f", time.Now())
	resp, err := v.RoundTrip(r)
	if err != nil {
		v.End(true)
		if !c.broken {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		return
	}
	if got := resp.Header.Get("X-Request"); got != "1" {
		t.Errorf("%s %s is request %s", c.method, c.path, got)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, c.take))
	resp.Body.Close()
	v.End(err != nil)
}
