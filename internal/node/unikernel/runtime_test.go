// SPDX-License-Identifier: Apache-2.0

package unikernel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/guest"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/unikernel"
	"unifaas.dev/internal/testkit"
)

// rig is a node whose instances are real unikernels; what is tested is that the two sides agree.
type rig struct {
	*node.Node
	images *image.Store
	dir    string

	mu   sync.Mutex
	said strings.Builder
}

func (g *rig) Line(_, _, stream, text string, _ time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintln(&g.said, stream, text)
}

func (g *rig) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said.String()
}

func start(t *testing.T) *rig {
	t.Helper()
	testkit.NeedKVM(t)
	g := &rig{dir: t.TempDir()}
	var err error
	if g.images, err = image.OpenStore(filepath.Join(g.dir, "images")); err != nil {
		t.Fatal(err)
	}
	g.Node = node.New(&unikernel.Runtime{Monitor: "kvm", Libos: guest.Libos()}, g.images, g, node.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.Close(ctx)
	})
	return g
}

// deploy compiles a C program and serves it as f.
func (g *rig) deploy(t *testing.T, source string, change func(*node.Spec)) {
	t.Helper()
	program := filepath.Join(g.dir, "program")
	if out, err := exec.Command(testkit.NeedTool(t, "gcc"), "-static", "-O1", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m, err := g.images.Import(context.Background(), program, "f")
	if err != nil {
		t.Fatal(err)
	}
	s := node.Spec{Function: "f", Revision: "unikernel-test-1", Image: m.Digest, Memory: 32 << 20, Timeout: 10 * time.Second, Concurrency: 8, Port: 8080, Scale: node.Scale{Max: 3}}
	if change != nil {
		change(&s)
	}
	g.Apply(s)
}

func (g *rig) call(method, path, body string) (string, error) {
	return g.callOf("f", method, path, body)
}

func (g *rig) callOf(function, method, path, body string) (string, error) {
	inv := g.Invoke(function, time.Now())
	ok := false
	defer func() { inv.End(!ok) }()
	req, err := http.NewRequest(method, "http://"+function+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := inv.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ok = err == nil
	return string(text), err
}

func (g *rig) hello(t *testing.T) {
	t.Helper()
	if got, err := g.call("POST", "/", "x"); err != nil || !strings.Contains(got, "Hello") {
		t.Errorf("%q %v\nlog: %s", got, err, g.log())
	}
}

func TestManyCalls(t *testing.T) {
	g := start(t)
	g.deploy(t, filepath.Join(testkit.Root(t), "examples/c-hello/hello.c"), nil)
	for range 200 {
		g.hello(t)
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { g.hello(t) })
	}
	all.Wait()
	list := g.Instances(context.Background(), "f", true)
	if len(list) == 0 || list[0].Usage.Memory == 0 || list[0].Tender == 0 || list[0].Boot == 0 {
		t.Errorf("%+v", list)
	}
}

func TestTenderKilled(t *testing.T) {
	g := start(t)
	g.deploy(t, filepath.Join(testkit.Root(t), "examples/c-hello/hello.c"), nil)
	for range 5 {
		g.hello(t)
		pid := g.Instances(context.Background(), "f", false)[0].Tender
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		g.hello(t) // at once, while the process still dies
	}
}

func TestNoLibraryOS(t *testing.T) {
	g := start(t)
	g.Node.Close(context.Background())
	g.Node = node.New(&unikernel.Runtime{Monitor: "kvm", Libos: []byte("nonsense")}, g.images, g, node.Options{})
	g.deploy(t, filepath.Join(testkit.Root(t), "examples/c-hello/hello.c"), nil)
	var start *node.StartError
	if _, err := g.call("GET", "/", ""); !errors.As(err, &start) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	g.Node.Close(context.Background())
	g.Node = node.New(&unikernel.Runtime{Monitor: "kvm", Exe: "/nonexistent", Libos: guest.Libos()}, g.images, g, node.Options{})
	g.deploy(t, filepath.Join(testkit.Root(t), "examples/c-hello/hello.c"), nil)
	if _, err := g.call("GET", "/", ""); !errors.As(err, &start) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}
