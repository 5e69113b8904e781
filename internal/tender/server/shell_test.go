// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// countingMonitor counts what it made and what was closed; made waits for gate if there is one.
type countingMonitor struct {
	monitor.Monitor
	made, closed atomic.Int64
	gate         chan struct{}
	fail         bool
}

type countedSandbox struct {
	monitor.Sandbox
	m        *countingMonitor
	area     *guestmem.Area
	layers   int
	populate int64
}

func (m *countingMonitor) Create(c monitor.Config) (monitor.Sandbox, error) {
	if m.gate != nil {
		<-m.gate
	}
	if m.fail {
		return nil, errors.New("no more")
	}
	m.made.Add(1)
	area, err := guestmem.New(abi.SharedGPA, abi.SharedSize)
	return &countedSandbox{m: m, area: area, layers: len(c.Layers)}, err
}

func (s *countedSandbox) Populate(n int64) error            { s.populate = n; return nil }
func (s *countedSandbox) Shared() *guestmem.Area            { return s.area }
func (s *countedSandbox) Close() error                      { s.m.closed.Add(1); return s.area.Close() }
func (s *countedSandbox) SetLayers(l []monitor.Layer) error { s.layers = len(l); return nil }

// take is a start that is only interested in the sandbox.
func (s *shells) take() (*shell, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.ready)
	if n == 0 {
		return nil, false
	}
	sh := s.ready[n-1]
	s.ready = s.ready[:n-1]
	return sh, true
}

func (s *shells) count() (ready, making int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready), s.making
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// drop ends a shell that a test has taken.
func drop(sh *shell) {
	sh.over.Store(true)
	sh.poke()
}

func TestShellsStandReady(t *testing.T) {
	m := &countingMonitor{}
	s := newShells(m, monitor.Config{})
	s.used(20 << 20)
	s.keep(2)
	until(t, "two shells are not made", func() bool { n, making := s.count(); return n == 2 && making == 0 })
	sh, _ := s.take()
	if n := sh.sb.(*countedSandbox).populate; n != 20<<20 {
		t.Errorf("%d bytes were made present", n)
	}
	s.refill(0)
	until(t, "the next is not made", func() bool { n, making := s.count(); return n == 2 && making == 0 })
	s.keep(0)
	drop(sh)
	until(t, "the shells that are too many are not ended", func() bool { return m.closed.Load() == 3 })
	s.close()
	s.refill(0)
	if n, making := s.count(); n+making != 0 || m.made.Load() != 3 {
		t.Errorf("%d ready, %d in the making after close, %d made", n, making, m.made.Load())
	}
}

func TestShellsGetAnImage(t *testing.T) {
	m := &countingMonitor{gate: make(chan struct{}, 8)}
	s := newShells(m, monitor.Config{Memory: 1})
	s.keep(1)
	m.gate <- struct{}{}
	until(t, "no shell is made", func() bool { n, _ := s.count(); return n == 1 })
	s.keep(2)
	until(t, "no second shell is begun", func() bool { _, making := s.count(); return making == 1 })
	s.configure(monitor.Config{Memory: 1, Layers: make([]monitor.Layer, 3)}) // one is ready, one half made
	m.gate <- struct{}{}
	until(t, "the second shell is not made", func() bool { n, _ := s.count(); return n == 2 })
	for range 2 {
		sh, _ := s.take()
		if n := sh.sb.(*countedSandbox).layers; n != 3 {
			t.Errorf("%d layers", n)
		}
		drop(sh)
	}
	if m.made.Load() != 2 {
		t.Errorf("%d made", m.made.Load())
	}
	s.keep(1)
	m.gate <- struct{}{}
	until(t, "no third shell is made", func() bool { n, _ := s.count(); return n == 1 })
	s.configure(monitor.Config{Memory: 2})
	until(t, "a shell of another size is not ended", func() bool { return m.closed.Load() == 3 })
	s.close()
}

func TestShellClosedWhileMade(t *testing.T) {
	m := &countingMonitor{gate: make(chan struct{})}
	s := newShells(m, monitor.Config{})
	s.keep(1)
	until(t, "no shell is begun", func() bool { _, making := s.count(); return making == 1 })
	closed := make(chan struct{})
	go func() { s.close(); close(closed) }()
	until(t, "close does not begin", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed })
	m.gate <- struct{}{}
	<-closed
	if m.made.Load() != m.closed.Load() {
		t.Errorf("%d made, %d closed", m.made.Load(), m.closed.Load())
	}
}

func TestShellThatFails(t *testing.T) {
	m := &countingMonitor{fail: true}
	s := newShells(m, monitor.Config{})
	s.keep(1)
	if f := s.kind(); f != "" {
		t.Errorf("features %q of no sandbox", f)
	}
	s.close()
}
