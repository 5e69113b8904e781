// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"
	"time"

	"unifaas.dev/internal/monitor"
)

const (
	// shellDelay keeps making the next shell out of the way of the instance that took the last one, which has just begun to listen.
	shellDelay = 15 * time.Millisecond
	// What a shell has in memory before it is needed: the library OS with its tables, and what instances were seen to use.
	shellMin, shellMax = 8 << 20, 64 << 20
)

// shells keeps one sandbox that no instance has yet, so that a start need not wait for KVM and for huge pages to be cleared.
type shells struct {
	mon    monitor.Monitor
	config monitor.Config

	mu     sync.Mutex
	ready  monitor.Sandbox // nil: none
	due    bool            // one will be made soon
	making chan struct{}   // closed when the one in the making is done; nil: none is
	closed bool
	touch  int64 // bytes of RAM to make present
	wg     sync.WaitGroup
}

func newShells(mon monitor.Monitor, c monitor.Config) *shells {
	return &shells{mon: mon, config: c, touch: shellMin}
}

// take gives the shell to an instance, or makes a sandbox for it. A nil shells always makes one.
func (s *shells) take(mon monitor.Monitor, c monitor.Config) (monitor.Sandbox, error) {
	if s == nil {
		return mon.Create(c)
	}
	sb := s.get()
	if sb == nil {
		return mon.Create(c)
	}
	if err := sb.SetBoot(c.Boot); err != nil {
		sb.Close()
		return nil, err
	}
	return sb, nil
}

// get returns the shell, also one that is being made: that is ready sooner than another. nil: none.
func (s *shells) get() monitor.Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if making := s.making; s.ready == nil && making != nil {
		s.mu.Unlock()
		<-making
		s.mu.Lock()
	}
	sb := s.ready
	s.ready = nil
	return sb
}

// used tells what an instance had in memory when it began to listen.
func (s *shells) used(bytes int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch = min(max(bytes, shellMin), shellMax)
}

// refill makes a shell after delay, unless there is one.
func (s *shells) refill(delay time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready != nil || s.due || s.making != nil || s.closed {
		return
	}
	s.due = true
	s.wg.Add(1)
	time.AfterFunc(delay, s.make)
}

// make is the body of refill. That it fails is no matter here: the next start makes its own sandbox, and reports.
func (s *shells) make() {
	defer s.wg.Done()
	done := make(chan struct{})
	s.mu.Lock()
	s.due, s.making = false, done
	touch, closed := s.touch, s.closed
	s.mu.Unlock()
	var sb monitor.Sandbox
	if !closed {
		if made, err := s.mon.Create(s.config); err == nil {
			_ = made.Populate(touch) // else the guest does it by touching
			sb = made
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sb != nil && s.closed {
		sb.Close()
		sb = nil
	}
	s.ready, s.making = sb, nil
	close(done)
}

// close ends the shell and any that is being made.
func (s *shells) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	sb := s.ready
	s.ready = nil
	s.mu.Unlock()
	s.wg.Wait()
	if sb != nil {
		sb.Close()
	}
}
