// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/storetest"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/metrics"
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

func (s *images) Publish(context.Context, string) error { return nil }

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

// RequestLine is node.RequestLog's.
func (l lines) RequestLine(function, instance, request, stream, text string, at time.Time) {
	l.Append(function, logs.Line{Time: at, Instance: instance, Request: request, Stream: stream, Text: text})
}

// rig is a whole node but for the unikernels.
type rig struct {
	testing.TB
	*client.Client
	run     *nodetest.Runtime
	url     string
	control *control.Control
	srv     *http.Server
}

func start(t testing.TB, handler http.HandlerFunc, o node.Options) *rig {
	t.Helper()
	return startWith(t, handler, o, func(*gateway.Options) {})
}

func startWith(t testing.TB, handler http.HandlerFunc, o node.Options, adjust func(*gateway.Options)) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	g := &rig{TB: t, run: &nodetest.Runtime{Handler: handler}}
	book, err := logs.Open(filepath.Join(dir, "logs"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, dir)
	numbers := metrics.New("test", "test")
	o.Observer = numbers
	secrets := control.NewSecrets(s, storetest.Key(t))
	o.Secret = func(ctx context.Context, s node.Secret) ([]byte, error) {
		value, _, err := secrets.Get(ctx, s.Namespace, s.Name)
		return value, err
	}
	n := node.New(g.run, nodetest.Images{}, lines{book}, o)
	store := &images{seen: map[string]string{"img": "sha256:1"}, layers: map[string]string{}}
	if g.control, _, err = control.New(context.Background(), control.Parts{Store: s, Key: storetest.Key(t), Images: store, Node: n, Logs: book}); err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	opts := gateway.Options{Version: "test", Domains: []string{"functions.example"}, TempDir: dir, Closing: closing, Metrics: numbers}
	adjust(&opts)
	srv := gateway.NewServer(gateway.New(g.control, store, opts))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.srv = srv
	go srv.Serve(gateway.NewDoor(l, srv, 0))
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
	r, err := g.Deploy(context.Background(), name, q)
	if err == nil {
		_, err = g.Await(context.Background(), name, r.Wanted.Number)
	}
	if err != nil {
		g.Fatal(err)
	}
}

// cold ends what the deployment has started.
func (g *rig) cold(name string) {
	g.Helper()
	if err := g.Dismiss(context.Background(), name); err != nil {
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
