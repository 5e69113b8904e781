// SPDX-License-Identifier: Apache-2.0

// Package tendertest has a monitor whose guests are Go functions that speak the rings of a real one: for tests of the
// tender, honest guests and hostile ones.
package tendertest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// Program is a guest. It returns its wait status.
type Program func(*Guest) uint32

// Monitor makes fake sandboxes; Boot.Program picks the program.
type Monitor struct{ Programs map[string]Program }

// Name implements monitor.Monitor.
func (Monitor) Name() string { return "fake" }

// Probe implements monitor.Monitor.
func (Monitor) Probe() error { return nil }

// Create implements monitor.Monitor.
func (m Monitor) Create(c monitor.Config) (monitor.Sandbox, error) {
	p := m.Programs[c.Boot.Program]
	if p == nil {
		return nil, fmt.Errorf("no program %q", c.Boot.Program)
	}
	area, err := guestmem.New(abi.SharedGPA, abi.SharedSize)
	if err != nil {
		return nil, err
	}
	ram, err := newRAM(c)
	if err != nil {
		area.Close()
		return nil, err
	}
	s := &sandbox{area: area, ram: ram, program: p, exits: make(chan monitor.Exit), resume: make(chan struct{}), kicked: make(chan struct{}, 1)}
	s.guest = &Guest{Config: c, sb: s, area: area}
	return s, nil
}

type sandbox struct {
	area    *guestmem.Area
	ram     *guestmem.Area
	program Program
	guest   *Guest
	exits   chan monitor.Exit
	resume  chan struct{}
	kicked  chan struct{}
	started bool
	inExit  bool // the guest waits for resume
	dead    atomic.Bool
	preempt atomic.Int64
	once    sync.Once
	filesMu sync.Mutex
	files   map[uint64]*os.File // by offset
	ended   sync.WaitGroup
}

// stopped unwinds a guest whose sandbox is closed.
type stopped struct{}

func (s *sandbox) Run() (monitor.Exit, error) {
	switch {
	case !s.started:
		s.started = true
		s.ended.Add(1)
		go s.life()
	case s.inExit:
		s.inExit = false
		s.resume <- struct{}{}
	}
	select {
	case e := <-s.exits:
		s.inExit = true
		return e, nil
	case <-s.kicked:
		return monitor.Exit{Kind: monitor.ExitKick}, nil
	}
}

func (s *sandbox) life() {
	defer s.ended.Done()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stopped); !ok {
				panic(r)
			}
		}
	}()
	status := s.program(s.guest)
	s.exit(monitor.Exit{Kind: monitor.ExitDone, Value: status})
}

// exit is the guest's side of a Run that returns.
func (s *sandbox) exit(e monitor.Exit) {
	for {
		if s.dead.Load() {
			panic(stopped{})
		}
		select {
		case s.exits <- e:
			if _, ok := <-s.resume; !ok {
				panic(stopped{})
			}
			return
		default:
			runtime.Gosched()
		}
	}
}

func (s *sandbox) Kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

func (s *sandbox) Preempt() { s.preempt.Add(1) }

// SetBoot implements monitor.Sandbox.
func (s *sandbox) SetBoot(b monitor.Boot) error {
	s.guest.Config.Boot = b
	return nil
}

// MapFile implements monitor.Sandbox.
func (s *sandbox) MapFile(off uint64, f *os.File, size int64) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	if s.files == nil {
		s.files = map[uint64]*os.File{}
	}
	if s.files[off] != nil {
		panic("two files in one place")
	}
	s.files[off] = os.NewFile(uintptr(fd), "mapped")
	return nil
}

// UnmapFile implements monitor.Sandbox.
func (s *sandbox) UnmapFile(off uint64, _ int64) error {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	s.files[off].Close()
	delete(s.files, off)
	return nil
}

// Populate implements monitor.Sandbox.
func (s *sandbox) Populate(int64) error { return nil }

func (s *sandbox) Shared() *guestmem.Area { return s.area }
func (s *sandbox) RefreshClock()          {}
func (s *sandbox) MemoryUsed() int64      { return 1 << 20 }

func (s *sandbox) Close() error {
	s.once.Do(func() {
		s.dead.Store(true)
		close(s.resume)
		s.ended.Wait()
		s.area.Close()
		s.ram.Close()
		for _, f := range s.files {
			f.Close()
		}
	})
	return nil
}
