// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/monitor"
)

// close: at every stage, twice.
func (s *suite) close(t *testing.T) {
	b := s.start(t, doExit, 0) // never ran
	s.closeTwice(t, b)
	b = s.start(t, doBells, 0) // idle
	b.expect(monitor.ExitQueue, 0)
	b.expect(monitor.ExitIdle, 0)
	s.closeTwice(t, b)
	b = s.start(t, doLoop, 0) // interrupted
	after(t, 5*time.Millisecond, b.Kick)
	b.expect(monitor.ExitKick, 0)
	s.closeTwice(t, b)
	b = s.start(t, doExit, 0) // ended
	b.expect(monitor.ExitDone, 0)
	s.closeTwice(t, b)
	b.Kick() // late ones are harmless
	b.Preempt()
	b.RefreshClock()
	_ = b.MemoryUsed()
}

func (s *suite) closeTwice(t *testing.T, b *box) {
	t.Helper()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := b.Run(); err == nil {
		t.Error("Run after Close")
	}
}

// parallel: sandboxes of one process do not disturb each other.
func (s *suite) parallel(t *testing.T) {
	var wg sync.WaitGroup
	for i := range uint32(6) {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for j := range uint32(5) {
				if err := s.once(i*16 + j); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// once is a whole life. Preconditions: the goroutine is locked to its thread.
func (s *suite) once(code uint32) error {
	sb, err := s.m.Create(s.config(doExit, code<<8))
	if err != nil {
		return err
	}
	e, err := sb.Run()
	if err == nil && (e.Kind != monitor.ExitDone || e.Value != code<<8) {
		err = fmt.Errorf("%+v, want status %d", e, code)
	}
	if cerr := sb.Close(); err == nil {
		err = cerr
	}
	return err
}

// leaks: a life leaves no descriptor, mapping or goroutine behind.
func (s *suite) leaks(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 3 { // what is made once per process
		if err := s.once(1); err != nil {
			t.Fatal(err)
		}
	}
	fds, maps, goroutines := count(t, "/proc/self/fd"), vmSize(t), runtime.NumGoroutine()
	for range 30 {
		if err := s.once(1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.m.Create(monitor.Config{Memory: testMemory, Libos: s.guest, Boot: monitor.Boot{Args: []string{"\x00"}}}); err == nil {
			t.Fatal("NUL in an argument was taken")
		}
	}
	if n := count(t, "/proc/self/fd"); n > fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	if n := vmSize(t); n > maps+testMemory {
		t.Errorf("%d MiB mapped, %d before", n>>20, maps>>20)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	e, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

// vmSize is the size of the address space.
func vmSize(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages int64
	if _, err := fmt.Sscan(string(b), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
