// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How often running guests are looked at, and how long one keeps the CPU from its other threads.
const (
	tickShort = time.Millisecond
	tickLong  = 4 * time.Millisecond
	tickLeast = 100 * time.Microsecond
	timeSlice = 10 * time.Millisecond
)

// ticker looks at guests that run for long: it moves their bytes and preempts them. A guest that runs for less than a tick,
// as for most requests, never meets it, and while no guest runs it sleeps.
//
// It waits on a timerfd rather than a Go timer because arming it must not wake a thread: that is on the way of a request. It
// waits in the runtime's poller rather than in read because a thread that blocks in a system call keeps the runtime's
// monitor thread busy, which costs more than the looks.
type ticker struct {
	fd     int
	file   *os.File
	asleep atomic.Bool
	done   chan struct{} // closed when the loop has ended

	mu        sync.Mutex
	instances []*instance
	stopping  bool
}

func newTicker() (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	t := &ticker{fd: fd, file: os.NewFile(uintptr(fd), "timer"), done: make(chan struct{})}
	t.asleep.Store(true)
	go t.loop()
	return t, nil
}

func (t *ticker) set(d time.Duration) { timerSet(t.fd, d) }

// arm makes sure that a look comes. The vCPU thread calls it on every entry.
func (t *ticker) arm() {
	if t.asleep.Load() && t.asleep.CompareAndSwap(true, false) {
		t.set(tickShort)
	}
}

func (t *ticker) add(in *instance) {
	t.mu.Lock()
	t.instances = append(t.instances, in)
	t.mu.Unlock()
}

func (t *ticker) remove(in *instance) {
	t.mu.Lock()
	for i, other := range t.instances {
		if other == in {
			last := len(t.instances) - 1
			t.instances[i], t.instances[last] = t.instances[last], nil
			t.instances = t.instances[:last]
			break
		}
	}
	t.mu.Unlock()
}

// stop ends the loop.
func (t *ticker) stop() {
	t.mu.Lock()
	t.stopping = true
	t.mu.Unlock()
	t.asleep.Store(false)
	t.set(1)
	<-t.done
	t.file.Close()
}

func (t *ticker) loop() {
	defer close(t.done)
	conn, err := t.file.SyscallConn()
	if err != nil {
		return
	}
	for {
		if err := conn.Read(timerExpired); err != nil {
			return
		}
		next, active, stopping := t.pass()
		if stopping {
			return
		}
		if active {
			t.set(next)
		}
	}
}

// pass looks at every guest, and says when to look again.
func (t *ticker) pass() (next time.Duration, active, stopping bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping {
		return 0, false, true
	}
	for _, in := range t.instances {
		if d, ok := in.tick(); ok && (!active || d < next) {
			next, active = d, true
		}
	}
	if !active {
		t.asleep.Store(true)
		// A guest may have been entered after its look and before the line above.
		for _, in := range t.instances {
			if in.running.Load() && t.asleep.CompareAndSwap(true, false) {
				next, active = tickShort, true
			}
		}
	}
	return next, active, false
}
