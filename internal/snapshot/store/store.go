// SPDX-License-Identifier: Apache-2.0

// Package store keeps the images of snapshots: in memory files, one for all tenders that use the same, and on the node's disk, where
// pages that are equal exist once. docs/snapshots-on-disk.md draws the files.
//
// It takes images as they are: what is in them is the business of package snapshot, whose checks it asks. What stands in its folder is
// hostile, too: a file that is torn, damaged or foreign is refused by name and removed, never used and never the end of the node.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

// Errors of Get and Save, wrapped with what is wrong.
var (
	ErrMemory = errors.New("no memory for a snapshot")
	ErrDisk   = errors.New("no room for a snapshot on disk")
	errClosed = errors.New("snapshots: closed")
)

// Options of a store. The zero value has defaults.
type Options struct {
	MemoryLimit int64         // bytes of images in memory files; 0: an eighth of this machine's memory
	DiskLimit   int64         // bytes of the folder; 0: 10 GiB, at most a tenth of its file system
	Grace       time.Duration // how long an image stays in memory after its last user; 0: ten minutes, negative: not at all
	// Warn is told what was found damaged and removed, and what could not be removed. It may be called from any goroutine.
	Warn func(error)
}

// Store is a folder of snapshots and what is in memory of it. All methods may be called from many goroutines.
//
// Order of locks: saving, disk, mu.
type Store struct {
	dir  string
	o    Options
	lock *os.File

	saving sync.Mutex     // held while the folder changes
	disk   sync.RWMutex   // held for writing while what others may be reading goes away
	tasks  sync.WaitGroup // removals that a Get has found necessary

	mu     sync.Mutex
	closed bool
	snaps  map[string]*snap   // by Key.ID
	packs  map[packID]*pack   // all that snaps refer to
	cache  map[string]*cached // by Key.ID
	memory int64              // bytes of cache
}

// Open opens a folder, made where it does not exist, and removes what a crash has left in it. A folder that another process has open
// is refused.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("snapshots in %s: %w", dir, cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("snapshots in %s: %w", dir, cause(err))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("snapshots in %s: in use by another node: %w", dir, err)
	}
	s := &Store{dir: dir, o: o, lock: lock, snaps: map[string]*snap{}, packs: map[packID]*pack{}, cache: map[string]*cached{}}
	s.defaults()
	if err := s.scan(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) defaults() {
	if s.o.Grace == 0 {
		s.o.Grace = 10 * time.Minute // a load costs a cold start 10 to 15 ms; the limit bounds what it takes
	}
	if s.o.MemoryLimit == 0 {
		s.o.MemoryLimit = 1 << 30
		var si unix.Sysinfo_t
		if unix.Sysinfo(&si) == nil {
			s.o.MemoryLimit = int64(si.Totalram) * int64(si.Unit) / 8
		}
	}
	if s.o.DiskLimit == 0 {
		s.o.DiskLimit = 10 << 30
		var st unix.Statfs_t
		if unix.Statfs(s.dir, &st) == nil {
			s.o.DiskLimit = min(s.o.DiskLimit, int64(st.Blocks)*st.Bsize/10)
		}
	}
}

// Usage is the space that snapshots take on disk and in memory, and how many are on disk.
func (s *Store) Usage() (disk, memory int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.diskUsed(), s.memory, len(s.snaps)
}

// diskUsed: Preconditions: mu is held.
func (s *Store) diskUsed() (n int64) {
	for _, sn := range s.snaps {
		n += sn.bytes
	}
	for _, p := range s.packs {
		n += p.bytes
	}
	return n
}

// Close ends the use of the folder, after a Save in progress. What is in use in memory stays so until it is closed.
func (s *Store) Close() {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return
	}
	s.Trim()
	s.tasks.Wait()
	s.saving.Lock()
	defer s.saving.Unlock()
	s.disk.Lock()
	defer s.disk.Unlock()
	s.lock.Close()
}

func (s *Store) warn(err error) {
	if err != nil && s.o.Warn != nil {
		s.o.Warn(err)
	}
}

// matches reports what is different in the key of an image from the one it is kept under, which need not name the features.
func matches(got, want snapshot.Key) error {
	if want.Features == "" {
		got.Features = ""
	}
	if d := got.Differs(want); d != "" {
		return fmt.Errorf("%w: its %s is another", snapshot.ErrForeign, d)
	}
	return nil
}

// cause takes the path out of an error of package os; messages name it themselves.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
