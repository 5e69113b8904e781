// SPDX-License-Identifier: Apache-2.0

package shared

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/objects"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/store"
)

const memory = 16 << 20

func key(n byte) snapshot.Key {
	return snapshot.Key{ABI: abi.Version, Memory: memory, Layers: [][32]byte{{1}, {n}}, Program: [32]byte{n}}
}

func memfd(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "image")
	t.Cleanup(func() { f.Close() })
	return f
}

// image is one with a few pages of memory.
func image(t testing.TB, k snapshot.Key) *os.File {
	t.Helper()
	f := memfd(t)
	k.Features = "kvm test"
	m := &snapshot.Meta{Key: k, CPU: []byte("cpu")}
	var sum snapshot.Sum
	page := make([]byte, 4096)
	r := rand.NewChaCha8([32]byte{k.Program[0]})
	for _, p := range []uint32{3, 4, 700, memory/4096 - 1} {
		r.Read(page)
		run := snapshot.Run{Page: p, Pages: 1}
		m.Data = append(m.Data, run)
		sum.AddRun(run)
		sum.Add(page)
		if _, err := f.WriteAt(page, int64(p)*4096); err != nil {
			t.Fatal(err)
		}
	}
	area := make([]byte, snapshot.SharedUsed)
	copy(area, "shared area")
	sum.Add(area)
	if _, err := f.WriteAt(area, memory); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Finish(f, m, sum); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Seal(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// rig is an engine, and stores of nodes.
type rig struct {
	*testing.T
	objects *objects.Bucket
	said    []string
}

func start(t *testing.T) *rig {
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b, err := objects.Open(t.Context(), e, "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, objects: b}
}

func (g *rig) store() (*Store, string) {
	g.Helper()
	dir := g.TempDir()
	local, err := store.Open(dir, store.Options{Grace: -1})
	if err != nil {
		g.Fatal(err)
	}
	s := New(local, g.objects, func(err error) { g.said = append(g.said, err.Error()) })
	g.Cleanup(s.Close)
	return s, dir
}

func (g *rig) has(s *Store, k snapshot.Key, want bool) {
	g.Helper()
	ref, err := s.Get(k)
	if err != nil || (ref != nil) != want {
		g.Fatalf("%v, %v, want %v; said: %v", ref, err, want, g.said)
	}
	if ref == nil {
		return
	}
	defer ref.Close()
	got, _, err := snapshot.Check(ref.File)
	if err != nil {
		g.Error(err)
	}
	if got.Features = ""; got.ID() != k.ID() {
		g.Errorf("%+v", got)
	}
}

func TestTwoNodes(t *testing.T) {
	g := start(t)
	a, _ := g.store()
	b, dir := g.store()
	g.has(b, key(1), false)
	if err := a.Save(key(1), image(t, key(1))); err != nil {
		t.Fatal(err)
	}
	if i, err := g.objects.Stat(t.Context(), key(1).ID()); err != nil || i.Size > 1<<20 {
		t.Fatalf("%+v %v: holes are sent", i, err)
	}
	g.has(b, key(1), true)
	// What is on the disk is damaged: the object is not.
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.Size() > 4096 {
			if err := os.WriteFile(f, bytes.Repeat([]byte{1}, int(st.Size())), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.has(b, key(1), true)
	if len(g.said) == 0 || !strings.Contains(g.said[0], "damaged") {
		t.Errorf("said: %q", g.said)
	}
	// One that does not fit here stays for others; one whose revision is gone goes.
	if err := b.Drop(key(1), snapshot.ErrForeign); err != nil {
		t.Error(err)
	}
	b.work.Wait()
	g.has(b, key(1), false)
	g.has(a, key(1), true)
	if err := a.Drop(key(1), nil); err != nil {
		t.Error(err)
	}
	a.work.Wait()
	if _, err := g.objects.Stat(t.Context(), key(1).ID()); !errors.Is(err, objects.ErrNotFound) {
		t.Error(err)
	}
	g.has(a, key(1), false)
	if err := a.Save(key(2), image(t, key(2))); err != nil {
		t.Fatal(err)
	}
	if err := a.Keep(func(snapshot.Key) bool { return false }); err != nil {
		t.Error(err)
	}
	g.has(a, key(2), true) // the object is young
}

// TestDamagedObject: nothing that comes from the engine is believed, and nothing of it breaks a start.
func TestDamagedObject(t *testing.T) {
	g := start(t)
	a, _ := g.store()
	if err := a.Save(key(1), image(t, key(1))); err != nil {
		t.Fatal(err)
	}
	var good bytes.Buffer
	if _, err := g.objects.Get(t.Context(), key(1).ID(), &good); err != nil {
		t.Fatal(err)
	}
	var other bytes.Buffer
	if err := encode(image(t, key(2)), &other); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good.Bytes())
	flipped[headSize+5] ^= 1
	var far bytes.Buffer
	head(&far, 1<<62, 1<<62)
	var endless bytes.Buffer
	head(&endless, 0, memory+abi.SharedSize+metaMax+1)
	var back bytes.Buffer
	head(&back, 4096, 1)
	back.WriteByte(1)
	head(&back, 0, 1)
	back.WriteByte(1)
	head(&back, 8192, 0)
	for what, b := range map[string][]byte{"nothing": nil, "cut": good.Bytes()[:good.Len()-20], "another's": other.Bytes(), "flipped": flipped,
		"far": far.Bytes(), "endless": endless.Bytes(), "backwards": back.Bytes(), "empty": make([]byte, headSize)} {
		if err := g.objects.Put(t.Context(), key(1).ID(), 0, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		g.said = nil
		s, _ := g.store()
		g.has(s, key(1), false)
		if len(g.said) != 1 || strings.Contains(g.said[0], "\n") {
			t.Errorf("%s: said %q", what, g.said)
		}
		g.has(s, key(1), false)
		if len(g.said) != 1 {
			t.Errorf("%s: asked for it again: %q", what, g.said)
		}
	}
}

func TestSparse(t *testing.T) {
	f := memfd(t)
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("first"), 0)
	f.WriteAt([]byte("middle"), 500<<20)
	f.WriteAt([]byte("x"), 1<<30-1)
	var b bytes.Buffer
	if err := encode(f, &b); err != nil || b.Len() > 1<<20 {
		t.Fatal(b.Len(), err)
	}
	got := memfd(t)
	if err := decode(got, &b, 1<<30); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]string{0: "first", 500 << 20: "middle", 1<<30 - 1: "x", 4 << 20: "\x00"} {
		buf := make([]byte, len(want))
		if _, err := got.ReadAt(buf, at); err != nil && err != io.EOF || string(buf) != want {
			t.Errorf("at %d: %q %v", at, buf, err)
		}
	}
	if fi, err := got.Stat(); err != nil || fi.Size() != 1<<30 {
		t.Error(err)
	}
}
