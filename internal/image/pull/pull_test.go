// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/image/shared"
	"unifaas.dev/internal/objects"
)

// rig is a store and a registry.
type rig struct {
	*Store
	t       *testing.T
	host    string
	program []byte
	asked   atomic.Int64           // requests that the registry got
	hold    atomic.Pointer[func()] // called for each
}

func start(t *testing.T) *rig {
	g := &rig{t: t}
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		if h := g.hold.Load(); h != nil {
			(*h)()
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	g.host = strings.TrimPrefix(srv.URL, "http://")
	s, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b, err := objects.Open(t.Context(), e, "images")
	if err != nil {
		t.Fatal(err)
	}
	g.Store = New(shared.New(s, b), build.Options{})
	t.Cleanup(g.Close)
	dir := t.TempDir()
	src := filepath.Join(dir, "a.c")
	if err := os.WriteFile(src, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-static", "-s", "-o", filepath.Join(dir, "a"), src).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if g.program, err = os.ReadFile(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	return g
}

// push gives the registry an image whose environment has V=text.
func (g *rig) push(ref, text string) (digest string) {
	g.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "a", Mode: 0o755, Size: int64(len(g.program)), Typeflag: tar.TypeReg})
	w.Write(g.program)
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		g.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		g.t.Fatal(err)
	}
	cf, _ := img.ConfigFile()
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", "amd64", v1.Config{Entrypoint: []string{"/a"}, Env: []string{"V=" + text}}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		g.t.Fatal(err)
	}
	r, err := name.ParseReference(ref)
	if err == nil {
		err = remote.Write(r, img)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	d, _ := img.Digest()
	return d.String()
}

// want pulls, and compares the image's environment; with "-" it wants to fail.
func (g *rig) want(ref, policy, text string) error {
	g.t.Helper()
	m, err := g.Pull(g.t.Context(), ref, policy)
	if text == "-" {
		if err == nil || strings.Contains(err.Error(), "\n") {
			g.t.Errorf("%s %s: %v %v", policy, ref, m, err)
		}
		return err
	}
	if err != nil || !strings.Contains(strings.Join(m.Env, " "), "V="+text) {
		g.t.Errorf("%s %s: %v %v, want %s", policy, ref, m.Env, err, text)
		return err
	}
	layers, _, err := g.Open(m.Digest)
	if err != nil {
		g.t.Error(err)
	}
	image.CloseLayers(layers)
	return nil
}

func TestPolicies(t *testing.T) {
	g := start(t)
	ref := g.host + "/team/f:v1"
	first := g.push(ref, "one")
	pinned := g.host + "/team/f@" + first
	g.want(ref, image.PullNever, "-")
	g.want(ref, image.PullAuto, "one")
	g.push(ref, "two")
	g.want(ref, image.PullMissing, "one")
	g.want(ref, image.PullNever, "one")
	g.want(ref, image.PullAuto, "two")
	g.want(pinned, image.PullAuto, "one")
	before := g.asked.Load()
	g.want(pinned, image.PullAuto, "one")
	if n := g.asked.Load(); n != before {
		t.Errorf("the registry was asked %d times about a digest that is here", n-before)
	}
	g.want(ref, image.PullAuto, "two")
	if n := g.asked.Load() - before; n > 3 {
		t.Errorf("the registry was asked %d times about what it has not changed", n)
	}
	// What was made here stands before what a registry has.
	m, err := g.Pull(t.Context(), pinned, image.PullAuto)
	if err != nil {
		t.Fatal(err)
	}
	own := g.host + "/team/own:v1"
	if _, err := g.AddImage(m, own); err != nil {
		t.Fatal(err)
	}
	g.push(own, "three")
	g.want(own, image.PullAuto, "one")
	g.want(own, image.PullAlways, "three")
	if _, err := g.Pull(t.Context(), m.Digest, image.PullAlways); err != nil {
		t.Errorf("by its digest here: %v", err)
	}

	if err := g.want(g.host+"/team/none:v1", image.PullAuto, "-"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("not in the registry: %v", err)
	}
	if err := g.want("plain", image.PullAuto, "-"); !errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), "docker.io/library/plain") {
		t.Errorf("a plain name: %v", err)
	}
	for _, bad := range []string{"../../etc/passwd", "/etc/passwd", "a b/c", "", "x/../y"} {
		g.want(bad, image.PullAuto, "-")
	}
	g.want(ref, "often", "-")
	dead := httptest.NewServer(nil)
	dead.Close()
	if err := g.want(strings.TrimPrefix(dead.URL, "http://")+"/a/b", image.PullAuto, "-"); errors.Is(err, image.ErrNotFound) {
		t.Errorf("no registry there: %v", err)
	}
}

// TestTogether: one pull for all who want an image, which goes on when they leave, and ends with the store.
func TestTogether(t *testing.T) {
	g := start(t)
	ref := g.host + "/f:v1"
	g.push(ref, "one")
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hold := func() { once.Do(func() { close(held) }); <-release }
	g.hold.Store(&hold)
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if _, err := g.Pull(ctx, ref, image.PullAuto); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
	}
	<-held
	leave()
	all.Wait()
	before := g.asked.Load()
	close(release)
	g.want(ref, image.PullAuto, "one")
	if n := g.asked.Load(); n > before+8 {
		t.Errorf("%d requests for one image", n)
	}
	g.push(g.host+"/g", "x")
	block := make(chan struct{})
	begun := make(chan struct{}, 100)
	stop := func() { begun <- struct{}{}; <-block }
	g.hold.Store(&stop)
	ended := make(chan error)
	go func() {
		_, err := g.Pull(t.Context(), g.host+"/g", image.PullAuto)
		ended <- err
	}()
	<-begun
	g.Close()
	if err := <-ended; err == nil {
		t.Error("pulled after the end")
	}
	close(block)
	if _, err := g.Pull(t.Context(), g.host+"/g", image.PullAuto); err == nil {
		t.Error("pulled after the end")
	}
}
