// SPDX-License-Identifier: Apache-2.0

// Package parked keeps what is left of the parked instances of one function: for each, the bytes in which it differs from its snapshot.
// It never looks into them.
//
// All of a function's are in one memory file, because a descriptor each would be too many. A tender that wakes an instance gets a
// descriptor of that file and could read all of it, so a Store belongs to one function, never to two.
package parked

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrFull is why Put fails when the limit is reached: wake or end instances, or let this one end.
var ErrFull = errors.New("no room for parked instances")

// page is the unit in which memory files take and give back memory.
const page = 4096

// slotMax is more than any guest has.
const slotMax = 1 << 36

// Store holds the deltas of one function. All methods may be called from many goroutines.
type Store struct {
	limit int64

	mu     sync.Mutex
	cur    *arena // nil: nothing is parked
	used   int64  // bytes of whole pages
	slots  int
	closed bool
}

// arena is a memory file. Each slot starts on a page of its own and above all slots before it: no offset is used twice. The memory of a
// slot goes back to the host when it is freed, so nothing is lost by that, no order of parking and waking can fragment it, and a range
// that somebody still knows reads as zeros afterwards, not as the state of another instance.
type arena struct {
	rw, ro *os.File // the same file; ro is what tenders get
	end    int64
	slots  int // guarded by Store.mu
}

// Slot is one parked instance. File, Off and Len are good until Close.
type Slot struct {
	Off, Len int64

	store *Store
	arena *arena
	once  sync.Once
}

// New makes a store that holds at most limit bytes, in whole pages. It takes no memory and no descriptor before the first Put.
func New(limit int64) (*Store, error) {
	if limit < 0 {
		return nil, fmt.Errorf("parked instances: a limit of %d bytes makes no sense", limit)
	}
	return &Store{limit: limit}, nil
}

// Put copies the first n bytes of f. The error wraps ErrFull if they do not fit.
func (s *Store) Put(f *os.File, n int64) (*Slot, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keep a parked instance: %w", err)
	}
	if n <= 0 || n > slotMax || fi.Size() < n {
		return nil, fmt.Errorf("keep a parked instance of %d bytes: there are %d: %w", n, fi.Size(), io.ErrUnexpectedEOF)
	}
	sl, err := s.reserve(n)
	if err != nil {
		return nil, err
	}
	if err := fill(sl.arena.rw, sl.Off, f, n); err != nil {
		sl.Close()
		return nil, fmt.Errorf("keep a parked instance of %d KiB: %w", n>>10, err)
	}
	return sl, nil
}

func (s *Store) reserve(n int64) (*Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("parked instances: closed")
	}
	if whole(n) > s.limit-s.used {
		return nil, fmt.Errorf("%w: %d KiB more than the %d of %d KiB used by %d", ErrFull, whole(n)>>10, s.used>>10, s.limit>>10, s.slots)
	}
	if s.cur != nil && s.cur.end > 1<<62-slotMax {
		return nil, fmt.Errorf("%w: its file is at its end", ErrFull)
	}
	if s.cur == nil {
		a, err := newArena()
		if err != nil {
			return nil, err
		}
		s.cur = a
	}
	a := s.cur
	sl := &Slot{Off: a.end, Len: n, store: s, arena: a}
	a.end += whole(n)
	a.slots++
	s.slots++
	s.used += whole(n)
	return sl, nil
}

// File is what the slot is in, for reading only. It is closed with the last slot; a descriptor sent to a tender lives on.
func (sl *Slot) File() *os.File { return sl.arena.ro }

// Close forgets the instance and gives its memory back. Idempotent.
func (sl *Slot) Close() error {
	var err error
	sl.once.Do(func() { err = sl.store.free(sl) })
	return err
}

func (s *Store) free(sl *Slot) error {
	a := sl.arena
	// First, while the slot still counts: whoever frees the last one closes the file.
	err := unix.Fallocate(int(a.rw.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, sl.Off, whole(sl.Len))
	if err != nil {
		err = fmt.Errorf("give back the memory of a parked instance: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots--
	s.used -= whole(sl.Len)
	if a.slots--; a.slots == 0 {
		s.cur = nil // it was a: a file is left only when it is empty
		err = errors.Join(err, a.close())
	}
	return err
}

// Used is the memory that parked instances take, and how many there are.
func (s *Store) Used() (bytes int64, slots int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.slots
}

// Close refuses further instances. What is parked stays until its Slot is closed.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func newArena() (*arena, error) {
	fd, err := unix.MemfdCreate("unifaas-parked", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("parked instances: make a memory file: %w", err)
	}
	a := &arena{rw: os.NewFile(uintptr(fd), "unifaas-parked")}
	// Tenders must not write: they would change other instances, and take memory that nobody counts.
	if a.ro, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil {
		a.rw.Close()
		return nil, fmt.Errorf("parked instances: open a memory file for reading: %w: is /proc mounted?", err)
	}
	return a, nil
}

func (a *arena) close() error { return errors.Join(a.rw.Close(), a.ro.Close()) }

func whole(n int64) int64 { return (n + page - 1) &^ (page - 1) }
