// SPDX-License-Identifier: Apache-2.0

package unikernel

import (
	"slices"
	"sync"
	"time"

	"unifaas.dev/internal/tender"
)

const (
	// blankMemory is what a sandbox made ahead has until functions were seen: the default of a deployment.
	blankMemory = 128 << 20
	// refillDelay keeps making the next blank tender out of the way of the function that took the last one.
	refillDelay = 100 * time.Millisecond
)

// blanks are tenders that stand ready for functions that have none yet.
type blanks struct {
	make func(memory int64) (*tender.Blank, error)
	want int

	mu     sync.Mutex
	ready  []*tender.Blank
	due    bool  // more will be made soon
	memory int64 // of the function that took the last one
	off    bool  // memory is short
	closed bool
	wg     sync.WaitGroup
}

// take gives one whose sandbox has this size, or any: process and monitor are there then. nil: none is ready.
func (b *blanks) take(memory int64) *tender.Blank {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.memory = memory
	b.fillLocked(refillDelay)
	b.purge()
	best := -1
	for i := range b.ready {
		if best < 0 || b.ready[i].Memory() == memory && b.ready[best].Memory() != memory {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	t := b.ready[best]
	b.ready = append(b.ready[:best], b.ready[best+1:]...)
	return t
}

// purge forgets those that were killed. Preconditions: mu is held.
func (b *blanks) purge() {
	b.ready = slices.DeleteFunc(b.ready, func(t *tender.Blank) bool {
		select {
		case <-t.Done():
			b.discard(t)
			return true
		default:
			return false
		}
	})
}

// fill makes what is missing, after delay.
func (b *blanks) fill(delay time.Duration) {
	b.mu.Lock()
	b.fillLocked(delay)
	b.mu.Unlock()
}

// fillLocked: Preconditions: mu is held.
func (b *blanks) fillLocked(delay time.Duration) {
	if b.closed || b.off || b.due || b.want == 0 {
		return
	}
	b.due = true
	b.wg.Add(1)
	time.AfterFunc(delay, b.refill)
}

func (b *blanks) refill() {
	defer b.wg.Done()
	for {
		b.mu.Lock()
		memory := b.memory
		b.purge()
		enough := b.closed || b.off || len(b.ready) >= b.want
		if enough {
			b.due = false
		}
		b.mu.Unlock()
		if enough {
			return
		}
		t, err := b.make(memory)
		if err == nil {
			<-t.Ready()
			select {
			case <-t.Done():
				t.Close()
				t = nil
			default:
			}
		}
		b.mu.Lock()
		switch {
		case t == nil || err != nil: // whoever starts a tender will hear why
			b.due = false
			b.mu.Unlock()
			return
		case b.closed, b.off:
			b.discard(t)
		default:
			b.ready = append(b.ready, t)
		}
		b.mu.Unlock()
	}
}

// pids are the processes that stand ready.
func (b *blanks) pids() (pids []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.ready {
		pids = append(pids, t.PID())
	}
	return pids
}

// hold has them made, or ended.
func (b *blanks) hold(hold bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off == !hold {
		return
	}
	if b.off = !hold; !b.off {
		b.fillLocked(refillDelay)
		return
	}
	for _, t := range b.ready {
		b.discard(t)
	}
	b.ready = nil
}

// discard ends one. Preconditions: mu is held.
func (b *blanks) discard(t *tender.Blank) {
	b.wg.Add(1)
	go func() {
		defer b.wg.Done()
		t.Close()
	}()
}

// close ends all; it returns when they are gone.
func (b *blanks) close() {
	b.mu.Lock()
	b.closed = true
	for _, t := range b.ready {
		b.discard(t)
	}
	b.ready = nil
	b.mu.Unlock()
	b.wg.Wait()
}
