// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
)

// Groups gives tenders control groups; one made with package cgroup behind a small adapter.
type Groups interface {
	Place(name string, pid int, l GroupLimits) (Group, error)
}

// Group is what one tender may use. Set is for one goroutine at a time, Remove for when the process is gone.
type Group interface {
	Set(l GroupLimits) error
	Remove() error
}

// GroupLimits are those of a tender with all its instances.
type GroupLimits struct {
	Weight int
	CPU    int64 // thousandths of a CPU; 0: no bound
	Memory int64 // bytes; 0: no bound
}

// What a tender takes beside the memory of its guests: for itself, and for page tables and threads of each guest.
const (
	tenderOwn  = 128 << 20
	guestExtra = 16 << 20
	guestsMore = 3 // guests that may be there beside Scale.Max for a moment, shells that are being made among them
)

// limits are what a pool's tender may use. Preconditions: mu is held.
func (p *pool) limits() GroupLimits {
	l := GroupLimits{Weight: p.scale.weight()}
	if p.scale.CPU > 0 {
		l.CPU = p.scale.CPU * int64(max(p.running(), 1))
	}
	// A net, not the usual bound: guests have their memory and no more, and the node's budget is about all of them.
	each := p.spec.Memory + p.spec.Memory/16 + guestExtra
	if guests := int64(p.scale.Max + guestsMore); guests < (1<<50)/each {
		l.Memory = guests*each + tenderOwn
	}
	return l
}

// place puts a new tender into a group of its own. Preconditions: pool.mu is not held, h.mu is.
func (h *tenderHolder) place(t *tenderInUse) {
	p := h.pool
	if p.n.opts.Groups == nil || t.PID() == 0 {
		return
	}
	p.mu.Lock()
	l := p.limits()
	p.mu.Unlock()
	g, err := p.n.opts.Groups.Place(fmt.Sprintf("%s.%d", p.spec.Revision, t.PID()), t.PID(), l)
	if err != nil {
		p.mu.Lock()
		p.sayNow("group", "its tender has no control group: "+strings.Join(strings.Fields(err.Error()), " "))
		p.mu.Unlock()
		return
	}
	t.group = g
}

// tune has the tender's group follow what the pool may use now.
func (p *pool) tune() {
	h := &p.tender
	if p.n.opts.Groups == nil || !h.mu.TryLock() { // one is being started
		return
	}
	defer h.mu.Unlock()
	if h.tender == nil || h.tender.group == nil {
		return
	}
	p.mu.Lock()
	l := p.limits()
	p.mu.Unlock()
	if err := h.tender.group.Set(l); err != nil {
		p.mu.Lock()
		p.sayNow("group", "the limits of its tender's control group: "+strings.Join(strings.Fields(err.Error()), " "))
		p.mu.Unlock()
	}
}
