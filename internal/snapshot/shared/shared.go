// SPDX-License-Identifier: Apache-2.0

// Package shared keeps snapshots as objects in the engine, too: another node of the same engine starts a revision from the
// snapshot that the first one took, and so does one that has lost its folder. The store on disk is the cache.
package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/objects"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/store"
)

const (
	fetchLimit = 20 * time.Second // somebody waits, and booting takes less
	saveLimit  = 5 * time.Minute
	sweepAge   = 24 * time.Hour
	metaMax    = 128 << 20 // of what is in an image beside memory
)

// Store is a store on disk and a bucket. What it adds stands here.
type Store struct {
	*store.Store
	objects *objects.Bucket
	warn    func(error)

	mu     sync.Mutex
	refuse map[string]bool // by Key.ID: the object is of no use here
	closed bool
	work   sync.WaitGroup
	ctx    context.Context
	stop   context.CancelFunc
}

// New makes a store of a cache and a bucket. warn is told what was found damaged, and what could not be kept.
func New(local *store.Store, b *objects.Bucket, warn func(error)) *Store {
	s := &Store{Store: local, objects: b, warn: warn, refuse: map[string]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends what is done in the background, and the cache.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	s.Store.Close()
}

// later does something in the background, unless the store is closed.
func (s *Store) later(work func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(work)
	}
}

// Get gives the snapshot of a key; nil if there is none, here or elsewhere.
func (s *Store) Get(k snapshot.Key) (*store.Ref, error) {
	ref, err := s.Store.Get(k)
	if errors.Is(err, snapshot.ErrDamaged) { // here; the object need not be
		s.warn(err)
		ref, err = nil, s.Store.Drop(k, nil)
	}
	if ref != nil || err != nil {
		return ref, err
	}
	id := k.ID()
	s.mu.Lock()
	no := s.refuse[id]
	s.mu.Unlock()
	if no {
		return nil, nil
	}
	switch err := s.fetch(k, id); {
	case errors.Is(err, objects.ErrNotFound):
		return nil, nil
	case err != nil:
		s.warn(fmt.Errorf("the snapshot that another node took is not used: %w", err))
		if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign) || errors.Is(err, objects.ErrDamaged) {
			s.mu.Lock()
			s.refuse[id] = true
			s.mu.Unlock()
		}
		return nil, nil
	}
	return s.Store.Get(k)
}

// fetch brings an object into the cache, which checks it.
func (s *Store) fetch(k snapshot.Key, id string) error {
	ctx, cancel := context.WithTimeout(s.ctx, fetchLimit)
	defer cancel()
	if _, err := s.objects.Stat(ctx, id); err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("unifaas-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "unifaas-snapshot")
	defer f.Close()
	r, w := io.Pipe()
	got := make(chan error, 1)
	go func() {
		_, err := s.objects.Get(ctx, id, w)
		w.CloseWithError(err)
		got <- err
	}()
	err = decode(f, r, k.Memory+abi.SharedSize+metaMax)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // to its end: only then it is known to be whole
	}
	r.CloseWithError(errors.New("not wanted any more"))
	if getErr := <-got; err == nil || errors.Is(getErr, objects.ErrNotFound) {
		err = getErr
	}
	if err != nil {
		return err
	}
	if err := snapshot.Seal(f); err != nil {
		return err
	}
	return s.Store.Save(k, f)
}

// Save keeps an image under a key, here and for others. One that is there already stays.
func (s *Store) Save(k snapshot.Key, f *os.File) error {
	if err := s.Store.Save(k, f); err != nil {
		return err
	}
	note, err := store.EncodeKey(k)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, saveLimit)
	defer cancel()
	if _, err := s.objects.Stat(ctx, k.ID()); !errors.Is(err, objects.ErrNotFound) && !errors.Is(err, objects.ErrDamaged) {
		return err
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(encode(f, w))
	}()
	err = s.objects.PutNoted(ctx, k.ID(), string(note), 0, r)
	r.CloseWithError(errors.New("not wanted any more"))
	<-done
	if err != nil {
		s.warn(fmt.Errorf("a snapshot is kept on this node only: %w", err))
	}
	return nil
}

// Drop forgets a snapshot. The object goes with its revision, or when it is damaged; one that only does not fit here may fit elsewhere.
func (s *Store) Drop(k snapshot.Key, why error) error {
	id := k.ID()
	if why != nil {
		s.mu.Lock()
		s.refuse[id] = true
		s.mu.Unlock()
	}
	if why == nil || errors.Is(why, snapshot.ErrDamaged) {
		s.later(func() {
			if err := s.objects.Delete(s.ctx, id); err != nil && s.ctx.Err() == nil {
				s.warn(fmt.Errorf("a snapshot could not be removed: %w", err)) // Keep tries again
			}
		})
	}
	return s.Store.Drop(k, why)
}

// Keep drops what is not wanted. Objects get a day: other nodes may be of another version.
func (s *Store) Keep(want func(k snapshot.Key) bool) error {
	err := s.objects.Sweep(s.ctx, sweepAge, func(i objects.Info) bool {
		k, err := store.DecodeKey([]byte(i.Note))
		return err == nil && want(k)
	})
	return errors.Join(s.Store.Keep(want), err)
}
