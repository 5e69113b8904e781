// SPDX-License-Identifier: Apache-2.0

// Package filestore keeps control-plane state in a folder: one JSON file a record, replaced as a whole and synced, so
// that a crash leaves the old or the new record and never a mixture. One process uses a folder at a time.
package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/control/store"
)

// Store is a store.Store over a folder.
type Store struct {
	dir  string
	lock *os.File

	mu       sync.Mutex // serialises changes
	watchers map[*watcher]struct{}
}

// record is what a file holds.
type record struct {
	Version uint64          `json:"version"`
	Value   json.RawMessage `json:"value"`
}

const suffix = ".json"

// Open opens a folder, made where it does not exist. A folder that another process has open is refused.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder %s: %w: choose another one with --data", dir, cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w: choose another one with --data", dir, cause(err))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data folder %s: in use by another unifaas up: stop that one or choose another folder with --data", dir)
		}
		return nil, fmt.Errorf("data folder %s: lock: %w", dir, err)
	}
	s := &Store{dir: dir, lock: lock, watchers: map[*watcher]struct{}{}}
	if err := s.probe(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// probe finds out now whether a record could be written, not at the first deploy.
func (s *Store) probe() error {
	f, err := os.CreateTemp(s.dir, ".probe-*")
	if err == nil {
		defer os.Remove(f.Name())
		defer f.Close()
		if _, err = f.Write(make([]byte, 4096)); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		return fmt.Errorf("data folder %s: %w: make room or choose another one with --data", s.dir, cause(err))
	}
	return nil
}

// Close lets go of the folder.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) path(k store.Key) string {
	return filepath.Join(s.dir, string(k.Kind), k.Name+suffix)
}

// checkKey refuses names that would leave the folder. Preconditions of callers make it impossible; this makes it harmless.
func checkKey(k store.Key) error {
	if k.Name == "" || strings.HasPrefix(k.Name, "/") || strings.ContainsAny(k.Name, "/\x00") || len(k.Name) > 200 {
		return fmt.Errorf("record name %q is not valid", k.Name)
	}
	return nil
}

// Get reads a record.
func (s *Store) Get(_ context.Context, k store.Key) (store.Entry, error) {
	if err := checkKey(k); err != nil {
		return store.Entry{}, err
	}
	return s.read(k)
}

func (s *Store) read(k store.Key) (store.Entry, error) {
	path := s.path(k)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return store.Entry{}, fmt.Errorf("%s: %w", k, store.ErrNotFound)
	}
	var r record
	if err == nil {
		if err = json.Unmarshal(text, &r); err == nil && (r.Version == 0 || len(r.Value) == 0) {
			err = errors.New("no version or value in it")
		}
	}
	if err != nil {
		return store.Entry{}, &store.DamagedError{Key: k, Where: path, Err: cause(err)}
	}
	return store.Entry{Key: k, Value: r.Value, Version: r.Version}, nil
}

// Put writes a record.
func (s *Store) Put(_ context.Context, k store.Key, value []byte, after uint64) (uint64, error) {
	if err := checkKey(k); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.read(k)
	var damaged *store.DamagedError
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound):
	case errors.As(err, &damaged) && after == 0:
	default:
		return 0, err
	}
	if old.Version != after {
		return 0, fmt.Errorf("%s: %w", k, store.ErrConflict)
	}
	text, err := json.MarshalIndent(record{Version: after + 1, Value: value}, "", "  ")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", k, err)
	}
	if err := writeFile(s.path(k), append(text, '\n')); err != nil {
		return 0, fmt.Errorf("data folder %s: cannot write %s: %w", s.dir, k, cause(err))
	}
	s.tell(store.Event{Entry: store.Entry{Key: k, Value: value, Version: after + 1}})
	return after + 1, nil
}

// Delete removes a record.
func (s *Store) Delete(_ context.Context, k store.Key) error {
	if err := checkKey(k); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.path(k)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", k, store.ErrNotFound)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("data folder %s: cannot remove %s: %w", s.dir, k, cause(err))
	}
	s.tell(store.Event{Entry: store.Entry{Key: k}, Deleted: true})
	return nil
}

// List reads all records of a kind.
func (s *Store) List(_ context.Context, kind store.Kind) ([]store.Entry, []error, error) {
	dir := filepath.Join(s.dir, string(kind))
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	var entries []store.Entry
	var damaged []error
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok || strings.HasPrefix(name, tmpPrefix) {
			continue // left by a crash in the middle of writeFile, or not ours
		}
		switch e, err := s.read(store.Key{Kind: kind, Name: name}); {
		case err == nil:
			entries = append(entries, e)
		case !errors.Is(err, store.ErrNotFound):
			damaged = append(damaged, err)
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	return entries, damaged, nil
}

const tmpPrefix = ".new~" // no record can be called so

// writeFile replaces a file so that a crash at any moment leaves the old or the new one.
func writeFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tmpPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// cause takes the path out of an error whose message names the folder already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}
