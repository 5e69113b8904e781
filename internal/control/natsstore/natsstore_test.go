// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/engine"
)

func open(t testing.TB, dir string) (*Store, *engine.Engine) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Dir: dir, Warn: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s, err := Open(t.Context(), e, store.Functions, store.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, e
}

func key(name string) store.Key { return store.Key{Kind: store.Functions, Name: name} }

func TestPutGetDeleteRestart(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s, e := open(t, dir)
	if _, err := s.Get(ctx, key("a")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	first, err := s.Put(ctx, key("a"), []byte(`{"x":1}`), 0)
	if err != nil || first == 0 {
		t.Fatal(first, err)
	}
	if _, err := s.Put(ctx, key("a"), []byte(`{}`), 0); !errors.Is(err, store.ErrConflict) {
		t.Errorf("second create: %v", err)
	}
	second, err := s.Put(ctx, key("a"), []byte(`{"x":2}`), first)
	if err != nil || second <= first {
		t.Fatal(second, err)
	}
	if _, err := s.Put(ctx, key("a"), []byte(`{}`), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("stale update: %v", err)
	}
	if _, err := s.Put(ctx, key("missing"), []byte(`{}`), 7); !errors.Is(err, store.ErrConflict) {
		t.Errorf("update of nothing: %v", err)
	}
	for _, name := range []string{"..b", "x.y.z", "../b", "a b*>", "=2E", strings.Repeat("ü", 250)} {
		if _, err := s.Put(ctx, key(name), []byte(name), 0); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
		if _, err := s.Put(ctx, key(name), nil, 0); err == nil {
			t.Errorf("name of %d bytes", len(name))
		}
	}
	if _, err := s.Put(ctx, key("big"), make([]byte, e.MaxValue()), 0); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	if _, err := s.Put(ctx, key("big"), make([]byte, e.MaxValue()+1), 0); err == nil || !strings.Contains(err.Error(), "takes at most") {
		t.Errorf("too large a record: %v", err)
	}
	s.Close()
	e.Close()

	s, _ = open(t, dir)
	got, err := s.Get(ctx, key("a"))
	if err != nil || got.Version != second || string(got.Value) != `{"x":2}` {
		t.Errorf("after a restart: %+v %s, %v", got, got.Value, err)
	}
	list, damaged, err := s.List(ctx, store.Functions)
	if err != nil || len(damaged) != 0 || len(list) != 8 || list[0].Key.Name != "../b" || string(list[0].Value) != "../b" || list[1].Key.Name != "..b" {
		t.Errorf("List: %v %v %v", list, damaged, err)
	}
	if list, _, err = s.List(ctx, store.Secrets); err != nil || len(list) != 0 {
		t.Errorf("List of another kind: %v %v", list, err)
	}
	if err := s.Delete(ctx, key("a")); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, key("a")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second Delete: %v", err)
	}
	if _, err := s.Get(ctx, key("a")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of what was deleted: %v", err)
	}
	if list, _, err = s.List(ctx, store.Functions); err != nil || len(list) != 7 {
		t.Errorf("List after Delete: %v %v", list, err)
	}
	third, err := s.Put(ctx, key("a"), []byte(`{}`), 0)
	if err != nil || third <= second {
		t.Errorf("made again: %v %v", third, err)
	}
	if _, err := s.Get(ctx, store.Key{Kind: "others", Name: "x"}); err == nil {
		t.Error("a kind that is not there")
	}
}

// TestForeignKey: what somebody else has put into a bucket is named, and hides nothing.
func TestForeignKey(t *testing.T) {
	s, e := open(t, t.TempDir())
	kv, err := e.JS.KeyValue(t.Context(), "unifaas-functions")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"a.b", "a=2", "a=6Fb", "a/b"} {
		if _, err := kv.PutString(t.Context(), k, "{}"); err != nil {
			t.Fatal(err)
		}
	}
	s.Put(t.Context(), key("mine"), []byte("{}"), 0)
	list, damaged, err := s.List(t.Context(), store.Functions)
	if err != nil || len(list) != 1 || len(damaged) != 4 {
		t.Fatalf("%v %v %v", list, damaged, err)
	}
	var d *store.DamagedError
	if !errors.As(damaged[0], &d) || !strings.Contains(d.Error(), "not one of ours") {
		t.Error(damaged[0])
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, _ := open(t, t.TempDir())
	s.Put(ctx, key("before"), []byte(`{}`), 0)
	events := s.Watch(ctx, store.Functions)
	v, err := s.Put(ctx, key("x.a"), []byte(`{}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Entry.Key != key("x.a") || e.Entry.Version != v || e.Deleted {
		t.Errorf("%+v", e)
	}
	v = 0
	for range 50 {
		if v, err = s.Put(ctx, key("b"), []byte(`{}`), v); err != nil {
			t.Fatal(err)
		}
	}
	s.Put(ctx, store.Key{Kind: store.Secrets, Name: "other"}, nil, 0)
	s.Delete(ctx, key("x.a"))
	last := map[string]store.Event{}
	for len(last) < 2 || !last["x.a"].Deleted {
		e := <-events
		last[e.Entry.Key.Name] = e
	}
	if last["b"].Entry.Version != v {
		t.Errorf("%+v, want version %d", last["b"], v)
	}
	cancel()
	for range events {
	}
}

// TestSlowReader: a watcher whose reader has gone to sleep ends all the same.
func TestSlowReader(t *testing.T) {
	s, e := open(t, t.TempDir())
	events := s.Watch(t.Context(), store.Functions)
	kv, err := e.JS.KeyValue(t.Context(), "unifaas-functions")
	if err != nil {
		t.Fatal(err)
	}
	for range 400 { // more than fit in between
		if _, err := kv.PutString(t.Context(), "k", "{}"); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	for range events {
	}
}

// TestLostWatcher: the server's side of a watcher goes away, as when a server restarts; changes made meanwhile are seen.
func TestLostWatcher(t *testing.T) {
	t.Parallel() // it takes two missed heartbeats, of 5 s each
	s, e := open(t, t.TempDir())
	events := s.Watch(t.Context(), store.Functions)
	stream, err := e.JS.Stream(t.Context(), "KV_unifaas-functions")
	if err != nil {
		t.Fatal(err)
	}
	consumers := stream.ConsumerNames(t.Context())
	gone := 0
	for name := range consumers.Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		gone++
	}
	if consumers.Err() != nil || gone != 1 {
		t.Fatal(gone, consumers.Err())
	}
	if _, err := s.Put(t.Context(), key("a"), []byte(`{}`), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case ev := <-events:
		if ev.Entry.Key != key("a") {
			t.Errorf("%+v", ev)
		}
	case <-time.After(time.Minute):
		t.Error("the change was never told")
	}
}

var _ store.Store = (*Store)(nil)

func BenchmarkPut(b *testing.B) {
	s, _ := open(b, b.TempDir())
	value := make([]byte, 1000)
	var v uint64
	var err error
	for b.Loop() {
		if v, err = s.Put(b.Context(), key("a"), value, v); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDamagedFile: bytes of the engine's files change while nobody looks. What is lost is named, what is not is served.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s, e := open(t, dir)
	for n := range 10 {
		if _, err := s.Put(t.Context(), key(fmt.Sprint("f", n)), bytes.Repeat([]byte{'a' + byte(n)}, 1000), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	e.Close()
	var file string
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(path, "KV_unifaas-functions") && strings.HasSuffix(path, ".blk") {
			file = path
		}
		return nil
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("ffffff"))
	text[at+100] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir)
	list, damaged, err := s.List(t.Context(), store.Functions)
	var d *store.DamagedError
	if err != nil || len(list) != 9 || len(damaged) != 1 || !errors.As(damaged[0], &d) || d.Key != key("f5") {
		t.Fatalf("%d %v %v", len(list), damaged, err)
	}
	for what, err := range map[string]error{"put": errOf(s.Put(t.Context(), key("f5"), nil, 0)), "delete": s.Delete(t.Context(), key("f5"))} {
		if !errors.As(err, &d) || !strings.Contains(err.Error(), "bring them back from a copy") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Put(t.Context(), key("g"), []byte("another"), 0); err != nil {
		t.Errorf("the others: %v", err)
	}
}

func errOf[T any](_ T, err error) error { return err }
