// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"unifaas.dev/internal/engine"
)

func open(t testing.TB) (*Bucket, *engine.Engine) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b, err := Open(t.Context(), e, "test")
	if err != nil {
		t.Fatal(err)
	}
	return b, e
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

func (b *Bucket) bytes(t testing.TB, name string) ([]byte, error) {
	var got bytes.Buffer
	n, err := b.Get(t.Context(), name, &got)
	if err == nil && n != int64(got.Len()) {
		t.Errorf("%s: said %d bytes, wrote %d", name, n, got.Len())
	}
	return got.Bytes(), err
}

// dribble gives a few bytes at a time, as a network does.
type dribble struct{ r io.Reader }

func (d dribble) Read(p []byte) (int, error) { return d.r.Read(p[:min(len(p), 10007)]) }

func TestObjects(t *testing.T) {
	b, _ := open(t)
	ctx := t.Context()
	for _, n := range []int{0, 1, chunk, chunk + 1, partSize - 1, partSize, partSize + 1, 2*partSize + 12345} {
		want := random(n)
		if err := b.Put(ctx, "o", int64(n), dribble{bytes.NewReader(want)}); err != nil {
			t.Fatal(n, err)
		}
		if i, err := b.Stat(ctx, "o"); err != nil || i.Size != int64(n) || i.Time.IsZero() {
			t.Errorf("%d bytes: %+v %v", n, i, err)
		}
		if got, err := b.bytes(t, "o"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
	list, err := b.all(ctx)
	if err != nil || len(list) != 4 { // itself and three parts: what was before is gone
		t.Errorf("%d objects, %v", len(list), err)
	}
	if list, err := b.List(ctx); err != nil || len(list) != 1 || list[0].Name != "o" {
		t.Errorf("%v %v", list, err)
	}
	if err := b.Delete(ctx, "o"); err != nil {
		t.Error(err)
	}
	if err := b.Delete(ctx, "o"); err != nil {
		t.Error(err)
	}
	if _, err := b.Stat(ctx, "o"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := b.bytes(t, "o"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if list, err := b.all(ctx); err != nil || len(list) != 0 {
		t.Errorf("%d objects left, %v", len(list), err)
	}
	if info, err := b.stream.Info(ctx); err != nil || info.State.Msgs != 0 {
		t.Errorf("%+v %v: something is left", info, err)
	}
	if err := b.Put(ctx, "a/b", 0, strings.NewReader("")); err == nil {
		t.Error("a name with a slash")
	}
}

type broken struct{ n int }

func (r *broken) Read(p []byte) (int, error) {
	if r.n -= len(p); r.n < 0 {
		return 0, errors.New("broken off")
	}
	return len(p), nil
}

func TestBrokenOff(t *testing.T) {
	b, _ := open(t)
	ctx := t.Context()
	if err := b.Put(ctx, "o", 3, strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(ctx, "o", 1, &broken{partSize + 1000}); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("%v", err)
	}
	if got, err := b.bytes(t, "o"); err != nil || string(got) != "old" {
		t.Errorf("%q %v", got, err)
	}
	if list, _ := b.all(ctx); len(list) != 2 {
		t.Errorf("%d objects", len(list))
	}
	failing := errors.New("disk full")
	if _, err := b.Get(ctx, "o", writer(func([]byte) (int, error) { return 0, failing })); !errors.Is(err, failing) {
		t.Errorf("%v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestDamaged(t *testing.T) {
	b, _ := open(t)
	ctx := t.Context()
	if err := b.Put(ctx, "o", 1, bytes.NewReader(random(partSize+5))); err != nil {
		t.Fatal(err)
	}
	list, err := b.all(ctx)
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for _, i := range list {
		if !strings.HasSuffix(i.Name, "/000001") {
			continue
		}
		for _, text := range []string{"12345", "1234", "123456"} { // as long as it was, shorter, longer
			if _, err := b.o.PutString(ctx, i.Name, text); err != nil {
				t.Fatal(err)
			}
			if _, err := b.bytes(t, "o"); !errors.Is(err, ErrDamaged) {
				t.Errorf("%q: %v", text, err)
			}
		}
		if err := b.o.Delete(ctx, i.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := b.bytes(t, "o"); err == nil {
			t.Error("a part is missing")
		}
	}
	if _, err := b.o.PutString(ctx, "foreign", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(ctx, "foreign"); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestSweep(t *testing.T) {
	b, _ := open(t)
	ctx := t.Context()
	for _, n := range []string{"a", "b", "c"} {
		if err := b.Put(ctx, n, 1, strings.NewReader(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.o.PutString(ctx, partName("d", "UPLOAD", 0), "left over"); err != nil {
		t.Fatal(err)
	}
	keep := func(i Info) bool { return i.Name == "b" }
	if err := b.Sweep(ctx, 1<<62, keep); err != nil {
		t.Fatal(err)
	}
	if list, _ := b.all(ctx); len(list) != 7 {
		t.Errorf("%d objects: what is young has to stay", len(list))
	}
	if err := b.Sweep(ctx, 0, keep); err != nil {
		t.Fatal(err)
	}
	if list, _ := b.all(ctx); len(list) != 2 {
		t.Errorf("%d objects", len(list))
	}
	if got, err := b.bytes(t, "b"); err != nil || string(got) != "b" {
		t.Errorf("%q %v", got, err)
	}
}
