// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/image/tree"
)

func layer(t *testing.T, s *Store, name, text string) LayerID {
	t.Helper()
	tr := tree.New(nil)
	if _, err := tr.Put(name, tree.Bytes(0o755, []byte(text))); err != nil {
		t.Fatal(err)
	}
	l, err := s.AddLayer(context.Background(), tr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func store(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func twoLayers(t *testing.T, s *Store, base LayerID, prog string) Manifest {
	t.Helper()
	m, err := s.AddImage(Manifest{Layers: []LayerID{base, layer(t, s, prog, prog)}, Program: "/" + prog, Args: []string{prog}, Cwd: "/"}, prog)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSharedLayer(t *testing.T) {
	s := store(t)
	base := layer(t, s, "base", "shared")
	one, two := twoLayers(t, s, base, "one"), twoLayers(t, s, base, "two")
	if one.Digest == two.Digest || one.Layers[0] != two.Layers[0] {
		t.Errorf("%+v and %+v", one, two)
	}
	layers, m, err := s.Open("one")
	if err != nil || len(layers) != 2 || layers[0].Digest != base.Digest || m.Size() != layers[0].Size+layers[1].Size {
		t.Fatalf("%+v %+v %v", layers, m, err)
	}
	CloseLayers(layers)
	if err := s.Remove(one.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenLayer(one.Layers[1].Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the layer of a removed image: %v", err)
	}
	if layers, _, err = s.Open("two"); err != nil {
		t.Fatalf("the image that shares a layer: %v", err)
	}
	CloseLayers(layers)
	if err := s.Remove(two.Digest); err != nil {
		t.Fatal(err)
	}
	if s.HasLayer(base.Digest) {
		t.Error("the base is there without any image")
	}
}

func TestSweep(t *testing.T) {
	s := store(t)
	lost, asked, used := layer(t, s, "a", "lost"), layer(t, s, "b", "asked for"), layer(t, s, "c", "used")
	twoLayers(t, s, used, "p")
	old := time.Now().Add(-2 * unusedFor)
	for _, l := range []LayerID{lost, asked, used} {
		if err := os.Chtimes(s.layerFile(l.Digest), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if !s.HasLayer(asked.Digest) {
		t.Error("not there")
	}
	twoLayers(t, s, used, "q")
	if s.HasLayer(lost.Digest) || !s.HasLayer(asked.Digest) || !s.HasLayer(used.Digest) {
		t.Error("the wrong layers were swept")
	}
}

func TestPutLayer(t *testing.T) {
	from, to := store(t), store(t)
	l := layer(t, from, "x", "contents")
	f, err := from.OpenLayer(l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	sum := func(b string) string {
		tmp, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer tmp.Close()
		tmp.WriteString(b)
		d, err := digest(ctx, tmp)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	junk := strings.Repeat("junk", 2048)
	for _, c := range []struct{ digest, data, want string }{
		{l.Digest, string(all[:len(all)-1]), "has digest"},
		{l.Digest, string(all) + "x", "has digest"},
		{"sha256:../../x", string(all), "not a digest"},
		{sum(junk), junk, "not an EROFS"},
		{sum(""), "", "not an EROFS"},
		{sum(string(all) + "x"), string(all) + "x", "in a file of"},
	} {
		if err := to.PutLayer(ctx, c.digest, strings.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if es, _ := os.ReadDir(to.blobs()); len(es) != 0 {
		t.Errorf("left behind: %v", es)
	}
	m := Manifest{Layers: []LayerID{l}, Program: "/x", Args: []string{"/x"}, Cwd: "/"}
	if _, err := to.AddImage(m, "x"); !errors.Is(err, ErrNoLayer) {
		t.Errorf("an image without its layer: %v", err)
	}
	if err := to.PutLayer(ctx, l.Digest, strings.NewReader(string(all))); err != nil {
		t.Fatal(err)
	}
	there, err := to.AddImage(m, "x")
	if err != nil {
		t.Fatal(err)
	}
	if here, err := from.AddImage(m, ""); err != nil || here.Digest != there.Digest {
		t.Errorf("%v, digests %s and %s", err, here.Digest, there.Digest)
	}
	m.Layers[0].Size += 4096
	if _, err := to.AddImage(m, "x"); err == nil {
		t.Error("a layer of another size was taken")
	}
}
