// SPDX-License-Identifier: Apache-2.0

package node

import (
	"container/heap"
	"container/list"
	"iter"
	"maps"
	"time"
)

// members are the instances of a pool, kept so that none of the pool's decisions has to look at each of them. All of it, and what it reads of
// instances, belongs to pool.mu.
type members struct {
	all  map[string]*instance // that have not ended, by id
	by   [states]int          // how many are in each state
	last int                  // retired ones in which an invocation still runs
	free freeHeap             // ready ones
	idle list.List            // ready ones without an invocation, the least recently used first
	rest list.List            // parked ones, in the order in which they were parked
	line list.List            // those that are to be parked and are as they were so far
	made uint64
}

// add takes a new instance in.
func (m *members) add(i *instance) {
	if m.all == nil {
		m.all = map[string]*instance{}
	}
	m.made++
	i.seq = m.made
	m.all[i.id] = i
	m.in(i)
}

// remove takes out one that has ended.
func (m *members) remove(i *instance) {
	m.set(i, gone)
	delete(m.all, i.id)
}

// each goes through all instances, in any order; it is for what is rare.
func (m *members) each() iter.Seq[*instance] { return maps.Values(m.all) }

// set changes the state of an instance, unless it is gone.
func (m *members) set(i *instance, s state) {
	if i.state == gone {
		return
	}
	m.out(i)
	i.state = s
	m.in(i)
}

// run counts invocations of an instance in, or out with -1.
func (m *members) run(i *instance, n int) {
	m.out(i)
	i.inflight += n
	m.in(i)
}

// rewind counts rewinds of an instance that are under way in, or out with -1.
func (m *members) rewind(i *instance, n int) {
	m.out(i)
	i.rewinding += n
	m.in(i)
}

// took notes how long a rewind of an instance took.
func (m *members) took(i *instance, d time.Duration) {
	m.out(i)
	if i.rewindTime == 0 {
		i.rewindTime = d
	}
	i.rewindTime = max((3*i.rewindTime+d)/4, 1)
	m.in(i)
}

// rewindsSlowly reports whether who gets the instance now has to wait for longer than to have another one costs: two that take turns displace each
// other's memory from the CPU's caches.
func (i *instance) rewindsSlowly() bool {
	return i.rewinding > 0 && (i.rewindTime == 0 || i.rewindTime > shortRewind)
}

func (m *members) in(i *instance) {
	if i.state == gone {
		return
	}
	m.by[i.state]++
	switch {
	case i.state == retired && i.inflight > 0:
		m.last++
	case i.state == ready:
		heap.Push(&m.free, i)
		if i.inflight == 0 {
			i.idle = m.idle.PushBack(i)
		}
	case i.state == parkedState:
		i.idle = m.rest.PushBack(i)
	case i.state == parking && !i.parkBegun && !i.yields:
		i.idle = m.line.PushBack(i)
	}
}

func (m *members) out(i *instance) {
	if i.state == gone {
		return
	}
	m.by[i.state]--
	switch {
	case i.state == retired && i.inflight > 0:
		m.last--
	case i.state == ready:
		heap.Remove(&m.free, i.at)
		if i.idle != nil {
			m.idle.Remove(i.idle)
			i.idle = nil
		}
	case i.state == parkedState:
		m.rest.Remove(i.idle)
		i.idle = nil
	case i.state == parking && !i.parkBegun && !i.yields:
		m.line.Remove(i.idle)
		i.idle = nil
	}
}

// pick chooses the ready instance with the fewest invocations, of equals one that is not in a long rewind, the oldest, so that surplus ones fall
// idle; nil if each has as many as it takes.
func (m *members) pick(concurrency int) *instance {
	if len(m.free) > 0 && m.free[0].inflight < concurrency {
		return m.free[0]
	}
	return nil
}

// longestIdle is the instance that nobody has needed for the longest time; nil if all run something.
func (m *members) longestIdle() *instance {
	if e := m.idle.Front(); e != nil {
		return e.Value.(*instance)
	}
	return nil
}

// beginPark says that an instance is not as it was any more.
func (m *members) beginPark(i *instance) {
	m.out(i)
	i.parkBegun = true
	m.in(i)
}

// coming is how many instances will be ready, or can be made ready, before long.
func (m *members) coming() int { return m.by[booting] + m.by[waking] + m.by[parking] - m.line.Len() }

// reclaim is an instance that is to be parked and need not be; nil if there is none.
func (m *members) reclaim() *instance {
	if e := m.line.Back(); e != nil {
		return e.Value.(*instance)
	}
	return nil
}

// longestParked is the instance that was parked first; nil if none is.
func (m *members) longestParked() *instance {
	if e := m.rest.Front(); e != nil {
		return e.Value.(*instance)
	}
	return nil
}

// lastParked is the one that was parked last: it is woken first, so that surplus ones are not needed any more some day; nil if none is.
func (m *members) lastParked() *instance {
	if e := m.rest.Back(); e != nil {
		return e.Value.(*instance)
	}
	return nil
}

// freeHeap is a heap.Interface: the first is the one to be used next.
type freeHeap []*instance

func (h freeHeap) Len() int { return len(h) }

func (h freeHeap) Less(a, b int) bool {
	if h[a].inflight != h[b].inflight {
		return h[a].inflight < h[b].inflight
	}
	if x, y := h[a].rewindsSlowly(), h[b].rewindsSlowly(); x != y {
		return y
	}
	return h[a].seq < h[b].seq
}

func (h freeHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].at, h[b].at = a, b
}

// Push is heap.Push's.
func (h *freeHeap) Push(x any) {
	i := x.(*instance)
	i.at = len(*h)
	*h = append(*h, i)
}

// Pop is heap.Remove's.
func (h *freeHeap) Pop() any {
	old := *h
	i := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return i
}
