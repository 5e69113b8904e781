// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/storetest"
	"unifaas.dev/internal/dashboard"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
	"unifaas.dev/internal/recent"
)

// images is a store in which everything is there that was named.
type images struct {
	mu   sync.Mutex
	seen map[string]string
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

func (s *images) Publish(context.Context, string) error { return nil }

func (s *images) List() (l []image.Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, d := range s.seen {
		l = append(l, image.Entry{Name: n, Created: time.Now(), Manifest: image.Manifest{Digest: d, Program: "/bin/" + n}})
	}
	return l, nil
}

// upload takes files that begin like programs.
func (s *images) upload(_ context.Context, file, name string) (image.Manifest, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return image.Manifest{}, err
	}
	if !strings.HasPrefix(string(b), "\x7fELF") {
		return image.Manifest{}, fmt.Errorf("%s: not a program", file)
	}
	m := image.Manifest{Digest: fmt.Sprintf("sha256:%064x", len(b)), Program: "/" + filepath.Base(file)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = m.Digest
	return m, nil
}

type lines struct{ *logs.Book }

func (l lines) Line(function, instance, stream, text string, at time.Time) {
	l.Append(function, logs.Line{Time: at, Instance: instance, Stream: stream, Text: text})
}

// rig is a node with a dashboard, but for the unikernels.
type rig struct {
	testing.TB
	url     string
	control *control.Control
	book    *logs.Book
	closing func()
}

func start(t testing.TB, program http.HandlerFunc) *rig {
	t.Helper()
	dir := t.TempDir()
	book, err := logs.Open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, dir)
	n := node.New(&nodetest.Runtime{Handler: program}, nodetest.Images{}, lines{book}, node.Options{Secret: func(context.Context, node.Secret) ([]byte, error) { return []byte("value"), nil }})
	store := &images{seen: map[string]string{"img": "sha256:" + strings.Repeat("1", 64)}}
	c, _, err := control.New(context.Background(), control.Parts{Store: s, Key: storetest.Key(t), Images: store, Node: n, Logs: book})
	if err != nil {
		t.Fatal(err)
	}
	calls := &recent.Book{}
	rules, err := egress.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	queue, err := async.Open(context.Background(), async.Options{Engine: s.Engine, Settings: func(string) (async.Settings, bool) { return async.Settings{Concurrency: 1}, true },
		Callbacks: egress.NewGuard(rules), Retry: time.Millisecond,
		Log: func(function, text string) { lines{book}.Line(function, "", logs.System, text, time.Now()) }, Warn: func(text string) { t.Log(text) }})
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	g := &rig{TB: t, control: c, book: book, closing: sync.OnceFunc(func() { close(closing) })}
	gw := gateway.New(c, nil, gateway.Options{Version: "test", TempDir: dir, Closing: closing, Observe: calls.Add, Async: queue, UI: func(gw http.Handler) http.Handler {
		return dashboard.New(dashboard.Options{Version: "test", Control: c, Images: store, Recent: calls, Async: queue, Gateway: gw, Upload: store.upload, TempDir: dir, Closing: closing,
			Doctor: func() []dashboard.Check {
				return []dashboard.Check{{Name: "kernel", Status: "ok", Detail: "Linux"}, {Name: "memory", Status: "warn", Detail: "little", Fix: "buy <b>more</b>"}}
			}})
	}})
	queue.Start(gw)
	srv := gateway.NewServer(gw)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	g.url = "http://" + l.Addr().String()
	t.Cleanup(func() {
		g.closing()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		queue.Stop()
		c.Close()
		n.Close(ctx)
		queue.Close(ctx)
		book.Close()
		s.Close()
	})
	return g
}

func (g *rig) deploy(name string) {
	g.Helper()
	if _, _, err := g.control.Deploy(context.Background(), control.Deployment{Name: name, Image: "img"}); err != nil {
		g.Fatal(err)
	}
	g.await(name, 1)
}

// await waits until it is known what becomes of a revision.
func (g *rig) await(name string, number int) control.Revision {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := g.control.Await(ctx, name, number)
	if err != nil || r.State == control.Pending {
		g.Fatalf("revision %d of %s: %v %v", number, name, r.State, err)
	}
	return r
}

func (g *rig) log(function, stream, text string) {
	g.book.Append(function, logs.Line{Time: time.Now(), Instance: "i1", Stream: stream, Text: text})
}

// do sends a request and gives the answer with its body read; redirects are not followed.
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

// post sends a form.
func (g *rig) post(path string, kv ...string) (*http.Response, string) {
	g.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return g.do("POST", path, v.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}
