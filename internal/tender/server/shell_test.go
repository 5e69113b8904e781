// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

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
	boot     monitor.Boot
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
	return &countedSandbox{m: m, boot: c.Boot}, nil
}

func (s *countedSandbox) SetBoot(b monitor.Boot) error { s.boot = b; return nil }
func (s *countedSandbox) Populate(n int64) error       { s.populate = n; return nil }
func (s *countedSandbox) Close() error                 { s.m.closed.Add(1); return nil }

func boot(host string) monitor.Config { return monitor.Config{Boot: monitor.Boot{Hostname: host}} }

// settle waits until no shell is being made.
func settle(s *shells) { s.wg.Wait() }

func TestShellIsGivenOnce(t *testing.T) {
	m := &countingMonitor{}
	s := newShells(m, boot("shell"))
	s.used(20 << 20)
	s.refill(0)
	s.refill(0) // one is enough
	settle(s)
	first, err := s.take(m, boot("a"))
	if err != nil || m.made.Load() != 1 {
		t.Fatalf("%v, %d made", err, m.made.Load())
	}
	if sb := first.(*countedSandbox); sb.boot.Hostname != "a" || sb.populate != 20<<20 {
		t.Errorf("%+v", sb)
	}
	if second, err := s.take(m, boot("b")); err != nil || second == first || m.made.Load() != 2 {
		t.Errorf("%v, %d made", err, m.made.Load())
	}
	s.refill(0)
	settle(s)
	s.close()
	if m.made.Load() != 3 || m.closed.Load() != 1 {
		t.Errorf("%d made, %d closed", m.made.Load(), m.closed.Load())
	}
	s.refill(0)
	settle(s)
	if m.made.Load() != 3 {
		t.Error("made one after close")
	}
}

func TestShellInTheMakingIsWaitedFor(t *testing.T) {
	m := &countingMonitor{gate: make(chan struct{})}
	s := newShells(m, boot("shell"))
	s.refill(0)
	for s.inTheMaking() == nil {
		time.Sleep(time.Millisecond)
	}
	taken := make(chan monitor.Sandbox)
	go func() {
		sb, _ := s.take(m, boot("a"))
		taken <- sb
	}()
	m.gate <- struct{}{} // one Create goes on; a second would wait for ever
	if sb := <-taken; sb == nil || m.made.Load() != 1 {
		t.Errorf("%v, %d made", sb, m.made.Load())
	}
	s.close()
}

func TestShellClosedWhileMade(t *testing.T) {
	m := &countingMonitor{gate: make(chan struct{})}
	s := newShells(m, boot("shell"))
	s.refill(0)
	for s.inTheMaking() == nil {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan struct{})
	go func() { s.close(); close(closed) }()
	m.gate <- struct{}{}
	<-closed
	if m.made.Load() != m.closed.Load() {
		t.Errorf("%d made, %d closed", m.made.Load(), m.closed.Load())
	}
}

func TestShellThatFails(t *testing.T) {
	m := &countingMonitor{fail: true}
	s := newShells(m, boot("shell"))
	s.refill(0)
	settle(s)
	if _, err := s.take(m, boot("a")); err == nil {
		t.Error("the start did not say that its sandbox could not be made")
	}
	s.close()
	var none *shells
	none.refill(0)
	none.used(1)
	none.close()
}

func (s *shells) inTheMaking() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.making
}
