// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// spareAge is how long memory waits for a sandbox: the next one of a busy function is made some milliseconds after one has ended.
const spareAge = time.Second

// spares is memory of sandboxes that were closed, for the next ones: huge pages that are there already are cleared in a third of the time that
// new ones take. What was in them belongs to the same tenant, whose tender this is, and is cleared before a sandbox gets it.
type spares struct {
	age time.Duration // 0: spareAge

	mu   sync.Mutex
	max  int
	list []*memory
}

// take gives cleared memory for a sandbox with size bytes of RAM, or none.
func (p *spares) take(size uint64) *memory {
	p.mu.Lock()
	var m *memory
	for i, s := range p.list {
		if s.ram.Size() == size {
			m = s
			p.list = slices.Delete(p.list, i, i+1)
			break
		}
	}
	p.mu.Unlock()
	if m == nil {
		return &memory{}
	}
	if m.ram.Recycle(m.ready) != nil || m.shared.Recycle(m.shared.Size()) != nil {
		m.close()
		return &memory{}
	}
	return m
}

// put keeps the memory of a sandbox if there is room. Preconditions: nobody uses it any more; its virtual machine is closed.
func (p *spares) put(m *memory) error {
	if m.ram == nil || m.shared == nil {
		return m.close()
	}
	// Whoever still holds an area of the sandbox finds it closed.
	kept := &memory{ram: m.ram.Detach(), shared: m.shared.Detach(), ready: m.ready}
	p.mu.Lock()
	room := len(p.list) < p.max
	if room {
		p.list = append(p.list, kept)
		time.AfterFunc(cmp.Or(p.age, spareAge), func() { p.drop(kept) })
	}
	p.mu.Unlock()
	if !room {
		return kept.close()
	}
	return nil
}

// drop gives memory back that nobody has taken.
func (p *spares) drop(m *memory) {
	p.mu.Lock()
	i := slices.Index(p.list, m)
	if i >= 0 {
		p.list = slices.Delete(p.list, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		m.close()
	}
}

// setMax says how many are kept, and drops those beyond.
func (p *spares) setMax(n int) {
	p.mu.Lock()
	p.max = n
	var drop []*memory
	if len(p.list) > n {
		drop = append(drop, p.list[n:]...)
		p.list = slices.Delete(p.list, n, len(p.list))
	}
	p.mu.Unlock()
	for _, m := range drop {
		m.close()
	}
}
