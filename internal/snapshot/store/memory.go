// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

// Ref is one use of an image in memory.
type Ref struct {
	File *os.File // sealed; the same memory for all users of the key. It stays open until Close
	Info snapshot.Info

	once  sync.Once
	close func()
}

// Close ends the use. Idempotent; the error is nil.
func (r *Ref) Close() error {
	r.once.Do(r.close)
	return nil
}

// cached is one image in memory. Store.mu guards all but what ready announces.
type cached struct {
	id    string
	size  int64
	users int
	timer *time.Timer // runs while there are no users
	since time.Time   // when the last user left
	gone  bool        // no longer in Store.cache

	ready chan struct{} // closed when file or err is there
	file  *os.File
	info  snapshot.Info
	err   error
}

// Get gives the image kept under a key; nil and no error if there is none. An error that wraps snapshot.ErrDamaged or
// snapshot.ErrForeign names the file that was damaged; it is removed, and there is none the next time.
func (s *Store) Get(k snapshot.Key) (*Ref, error) {
	id := k.ID()
	c, sn, err := s.enter(id)
	if c == nil {
		return nil, err
	}
	if sn != nil {
		s.fill(c, sn)
	}
	<-c.ready
	if c.err == errGone {
		s.leave(c)
		return nil, nil
	}
	if c.err != nil {
		s.leave(c)
		return nil, c.err
	}
	return &Ref{File: c.file, Info: c.info, close: func() { s.leave(c) }}, nil
}

// fill loads what enter has made a place for.
func (s *Store) fill(c *cached, sn *snap) {
	defer close(c.ready)
	c.file, c.info, c.err = s.load(sn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory += c.info.Bytes - c.size // huge pages take more than what is in them, and an error takes nothing
	c.size = c.info.Bytes
	if c.err != nil {
		s.forget(c)
	}
}

// enter finds or makes the cached image of a key and counts a user. sn is what the caller has to fill it with, if it is not nil.
func (s *Store) enter(id string) (_ *cached, sn *snap, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	if c := s.cache[id]; c != nil {
		c.users++
		if c.timer != nil {
			c.timer.Stop()
			c.timer = nil
		}
		s.touch(s.snaps[id])
		return c, nil, nil
	}
	sn = s.snaps[id]
	if sn == nil {
		return nil, nil, nil
	}
	c := &cached{id: id, size: int64(sn.pages) * pageSize, users: 1, ready: make(chan struct{})}
	if !s.room(c.size) {
		return nil, nil, fmt.Errorf("%w: %d MiB more than the %d of %d MiB used", ErrMemory, c.size>>20, s.memory>>20, s.o.MemoryLimit>>20)
	}
	s.memory += c.size
	s.cache[id] = c
	s.touch(sn)
	return c, sn, nil
}

// room drops images that nobody uses, oldest first, until there are size bytes. Preconditions: mu is held.
func (s *Store) room(size int64) bool {
	for size > s.o.MemoryLimit-s.memory {
		var oldest *cached
		for _, c := range s.cache {
			if c.timer != nil && (oldest == nil || c.since.Before(oldest.since)) {
				oldest = c
			}
		}
		if oldest == nil {
			return false
		}
		oldest.timer.Stop()
		s.forget(oldest)
	}
	return true
}

// leave ends one use.
func (s *Store) leave(c *cached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	if s.closed || s.o.Grace < 0 || c.gone {
		s.forget(c)
		return
	}
	s.idle(c)
}

// idle starts the time after which an image that nobody uses is dropped. Preconditions: mu is held.
func (s *Store) idle(c *cached) {
	c.since = time.Now()
	var t *time.Timer
	t = time.AfterFunc(s.o.Grace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.timer == t { // else someone came back, and perhaps left again
			s.forget(c)
		}
	})
	c.timer = t
}

// forget takes an image out of the cache, and frees its memory if nobody uses it; else its last user does. Preconditions: mu is held.
func (s *Store) forget(c *cached) {
	c.timer = nil
	if !c.gone {
		c.gone = true
		delete(s.cache, c.id)
	}
	if c.users == 0 {
		s.memory -= c.size
		c.size = 0
		if c.file != nil {
			c.file.Close()
		}
	}
}

// Trim drops the images in memory that nobody uses: memory is short.
func (s *Store) Trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cache {
		if c.timer != nil {
			c.timer.Stop()
			s.forget(c)
		}
	}
}

// keep puts an image that is in memory anyway into the cache. Without room, or where one is already, nothing happens.
func (s *Store) keep(id string, f *os.File, info snapshot.Info) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return // one copy more, the next time
	}
	own := os.NewFile(uintptr(fd), f.Name())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.o.Grace < 0 || s.cache[id] != nil || !s.room(info.Bytes) {
		own.Close()
		return
	}
	c := &cached{id: id, size: info.Bytes, ready: make(chan struct{}), file: own, info: info}
	close(c.ready)
	s.cache[id] = c
	s.memory += c.size
	s.idle(c)
}
