// SPDX-License-Identifier: Apache-2.0

package shared

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
	"unifaas.dev/internal/objects"
)

// rig is an engine, and stores of several nodes.
type rig struct {
	*testing.T
	objects *objects.Bucket
}

func start(t *testing.T) *rig {
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b, err := objects.Open(t.Context(), e, "images")
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, b}
}

func (g *rig) store() (*Store, string) {
	g.Helper()
	dir := g.TempDir()
	s, err := image.OpenStore(dir)
	if err != nil {
		g.Fatal(err)
	}
	return New(s, g.objects), dir
}

// make makes an image with a text in it, here only.
func (g *rig) make(s *Store, text, name string) image.Manifest {
	g.Helper()
	t := tree.New(nil)
	if err := image.Skeleton(t); err != nil {
		g.Fatal(err)
	}
	if _, err := t.Put("p", tree.Bytes(0o755, []byte(text))); err != nil {
		g.Fatal(err)
	}
	l, err := s.AddLayer(g.Context(), t)
	if err != nil {
		g.Fatal(err)
	}
	m, err := s.Store.AddImage(image.Manifest{Layers: []image.LayerID{l}, Program: "/p", Args: []string{"/p"}, Cwd: "/", Env: image.DefaultEnv()}, name)
	if err != nil {
		g.Fatal(err)
	}
	return m
}

func (g *rig) opens(s *Store, ref, want string) {
	g.Helper()
	layers, m, err := s.Open(ref)
	if err != nil {
		g.Errorf("%s: %v", ref, err)
		return
	}
	defer image.CloseLayers(layers)
	text, err := io.ReadAll(io.NewSectionReader(layers[0].File, 0, layers[0].Size))
	if err != nil || !bytes.Contains(text, []byte(want)) || m.Program != "/p" {
		g.Errorf("%s: not the image with %q, %v", ref, want, err)
	}
}

func TestTwoNodes(t *testing.T) {
	g := start(t)
	a, _ := g.store()
	b, dir := g.store()
	ctx := t.Context()
	m := g.make(a, "first text", "")
	if _, err := b.Manifest(m.Digest); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("before it was published: %v", err)
	}
	if err := a.Publish(ctx, m.Digest); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Manifest(m.Digest); err != nil || got.Digest != m.Digest {
		t.Errorf("%+v %v", got, err)
	}
	if !b.HasLayer(m.Layers[0].Digest) || b.HasLayer("sha256:"+strings.Repeat("0", 64)) || b.HasLayer("nonsense") {
		t.Error("HasLayer")
	}
	g.opens(b, m.Digest, "first text")

	// A name said on one node is known on the other, and the last word counts.
	if _, err := a.AddImage(m, "team/f:v1"); err != nil {
		t.Fatal(err)
	}
	g.opens(b, "team/f:v1", "first text")
	if list, err := b.List(); err != nil || len(list) != 1 || list[0].Name != "team/f:v1" {
		t.Errorf("%+v %v", list, err)
	}
	m2 := g.make(b, "second text", "")
	then := time.Now()
	if _, err := b.AddImage(m2, "team/f:v1"); err != nil {
		t.Fatal(err)
	}
	if then.Truncate(time.Second).Equal(time.Now().Truncate(time.Second)) { // names have whole seconds
		time.Sleep(time.Until(then.Truncate(time.Second).Add(time.Second)))
		if err := b.announce(ctx, m2, "team/f:v1", "from somewhere"); err != nil {
			t.Fatal(err)
		}
	}
	g.opens(a, "team/f:v1", "second text")
	list, err := a.List()
	if err != nil || len(list) != 2 || list[0].Name != "" || list[0].Manifest.Digest != m.Digest || list[1].Manifest.Digest != m2.Digest {
		t.Errorf("%+v %v", list, err)
	}

	// The folder of a node is lost.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	b = New(s, g.objects)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { g.opens(b, m2.Digest, "second text") })
	}
	all.Wait()
	// A layer that was cut is fetched again.
	layers, err := filepath.Glob(filepath.Join(dir, "sha256", "*.erofs"))
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	os.Chmod(layers[0], 0o644)
	if err := os.Truncate(layers[0], 100); err != nil {
		t.Fatal(err)
	}
	g.opens(b, m2.Digest, "second text")
}

// TestDamagedObject: what comes from the engine is not believed.
func TestDamagedObject(t *testing.T) {
	g := start(t)
	a, _ := g.store()
	b, dir := g.store()
	ctx := t.Context()
	m := g.make(a, "text", "")
	if err := a.Publish(ctx, m.Digest); err != nil {
		t.Fatal(err)
	}
	other := g.make(a, "another text", "")
	f, err := a.OpenLayer(other.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := g.objects.Put(ctx, layerObject(m.Layers[0].Digest), 0, f); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(m.Digest); err == nil || !strings.Contains(err.Error(), "what came has digest") {
		t.Errorf("another layer: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "sha256", "*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	for _, text := range []string{"{", "{}", strings.Repeat(" ", image.MaxManifest+1)} {
		if err := g.objects.Put(ctx, manifestObject(m.Digest), 0, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Open(m.Digest); err == nil || len(err.Error()) > 500 {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if err := g.objects.Put(ctx, nameObject("x"), 0, strings.NewReader(`{"digest":"../../etc/passwd"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Manifest("x"); err == nil {
		t.Error("a name that stands for nonsense")
	}
}

func TestSweep(t *testing.T) {
	g := start(t)
	a, _ := g.store()
	ctx := t.Context()
	m := g.make(a, "text", "")
	if _, err := a.AddImage(m, "n"); err != nil {
		t.Fatal(err)
	}
	if err := g.objects.Put(ctx, layerObject("sha256:"+strings.Repeat("1", 64)), 0, strings.NewReader("of no image")); err != nil {
		t.Fatal(err)
	}
	before, _ := g.objects.List(ctx)
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if after, _ := g.objects.List(ctx); len(after) != len(before) || len(after) != 4 {
		t.Errorf("%v, before %v: what is young stays", after, before)
	}
	if err := a.sweep(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if after, _ := g.objects.List(ctx); len(after) != 3 {
		t.Errorf("%v", after)
	}
	b, _ := g.store()
	g.opens(b, "n", "text")
}

func TestFull(t *testing.T) {
	g := start(t)
	a, dir := g.store()
	r := &roomy{r: bytes.NewReader(make([]byte, 10<<20)), room: func(int64) error { return engine.ErrFull }}
	if err := a.Store.PutLayer(context.Background(), "sha256:"+strings.Repeat("0", 64), r); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "sha256", ".*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
