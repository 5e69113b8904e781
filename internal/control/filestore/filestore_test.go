// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unifaas.dev/internal/control/store"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func key(name string) store.Key { return store.Key{Kind: store.Functions, Name: name} }

func TestPutGetDeleteRestart(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	if _, err := s.Get(ctx, key("a")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	v, err := s.Put(ctx, key("a"), []byte(`{"x":1}`), 0)
	if err != nil || v != 1 {
		t.Fatal(v, err)
	}
	if _, err := s.Put(ctx, key("a"), []byte(`{}`), 0); !errors.Is(err, store.ErrConflict) {
		t.Errorf("second create: %v", err)
	}
	if v, err = s.Put(ctx, key("a"), []byte(`{"x":2}`), v); err != nil || v != 2 {
		t.Fatal(v, err)
	}
	if _, err := s.Put(ctx, key("a"), []byte(`{}`), 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("stale update: %v", err)
	}
	if _, err := s.Put(ctx, key("..b"), []byte(`{}`), 0); err != nil {
		t.Error(err)
	}
	if _, err := s.Put(ctx, key("../b"), []byte(`{}`), 0); err == nil {
		t.Error("a name left the folder")
	}
	s.Close()
	s = open(t, dir)
	e, err := s.Get(ctx, key("a"))
	if err != nil || e.Version != 2 || !strings.Contains(string(e.Value), `"x": 2`) {
		t.Errorf("after a restart: %+v %s, %v", e, e.Value, err)
	}
	list, damaged, err := s.List(ctx, store.Functions)
	if err != nil || len(damaged) != 0 || len(list) != 2 || list[0].Key.Name != "..b" {
		t.Errorf("List: %v %v %v", list, damaged, err)
	}
	if err := s.Delete(ctx, key("a")); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, key("a")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second Delete: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	for _, name := range []string{"good", "bad", "empty"} {
		if _, err := s.Put(ctx, key(name), []byte(`{}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(dir, "functions")
	os.WriteFile(filepath.Join(folder, "bad.json"), []byte("{\"version\": 1, \"va"), 0o600)
	os.WriteFile(filepath.Join(folder, "empty.json"), nil, 0o600)
	os.WriteFile(filepath.Join(folder, tmpPrefix+"123"), nil, 0o600)
	list, damaged, err := s.List(ctx, store.Functions)
	if err != nil || len(list) != 1 || len(damaged) != 2 || !strings.Contains(damaged[0].Error(), "bad.json is damaged") {
		t.Fatalf("%v %v %v", list, damaged, err)
	}
	var d *store.DamagedError
	if _, err := s.Get(ctx, key("bad")); !errors.As(err, &d) || d.Key != key("bad") {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.Put(ctx, key("bad"), []byte(`{}`), 1); err == nil {
		t.Error("update of a damaged record")
	}
	if _, err := s.Put(ctx, key("bad"), []byte(`{}`), 0); err != nil {
		t.Errorf("a damaged record is replaced: %v", err)
	}
	if err := s.Delete(ctx, key("empty")); err != nil {
		t.Errorf("a damaged record is removed: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "in use by another unifaas up") {
		t.Errorf("second open: %v", err)
	}
	s.Close()
	open(t, dir)
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Open(filepath.Join(file, "x")); err == nil || strings.Count(err.Error(), file) != 1 || !strings.Contains(err.Error(), "--data") {
		t.Errorf("below a file: %v", err)
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := open(t, t.TempDir())
	events := s.Watch(ctx, store.Functions)
	s.Put(ctx, key("a"), []byte(`{}`), 0)
	if e := <-events; e.Entry.Key != key("a") || e.Entry.Version != 1 || e.Deleted {
		t.Errorf("%+v", e)
	}
	for v := range uint64(100) {
		if _, err := s.Put(ctx, key("b"), []byte(`{}`), v); err != nil {
			t.Fatal(err)
		}
	}
	s.Delete(ctx, key("a"))
	last := map[string]store.Event{}
	for len(last) < 2 || last["b"].Entry.Version != 100 {
		e := <-events
		last[e.Entry.Key.Name] = e
	}
	if !last["a"].Deleted {
		t.Errorf("%+v", last["a"])
	}
	cancel()
	for range events {
	}
}
