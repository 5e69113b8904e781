// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"
)

const (
	demandWindow = 30 * time.Second
	maxShells    = 16 // of one tender
)

// demand is how many instances were being made at once, lately. It belongs to pool.mu.
type demand struct {
	turn      time.Time
	now, past int // the most in this window, and in the one before
}

// note says how many are being made.
func (d *demand) note(t time.Time, n int) {
	d.lately(t)
	d.now = max(d.now, n)
}

// lately is the most in the last one to two windows.
func (d *demand) lately(t time.Time) int {
	switch gone := t.Sub(d.turn); {
	case gone >= 2*demandWindow:
		d.turn, d.now, d.past = t, 0, 0
	case gone >= demandWindow:
		d.turn, d.now, d.past = d.turn.Add(demandWindow), 0, d.now
	}
	return max(d.now, d.past)
}

// shellsWanted is how many shells should stand ready: as many as were needed at once lately, one as long as the function is in use, none that
// could not be used, none when memory is short. Preconditions: mu is held.
func (p *pool) shellsWanted(t time.Time) int {
	lately := p.demand.lately(t)
	if p.draining || p.n.tight.Load() || lately == 0 && p.used.Before(t.Add(-min(p.idle(), tenderIdle))) {
		return 0
	}
	room := p.scale.Max
	if !p.spec.Fresh {
		room -= p.kept() - p.count(parkedState) - p.count(parking)
	}
	return max(min(max(lately, 1), room, maxShells), 0)
}

// keepShells tells the tender, if it is there and the number is another. Preconditions: mu is not held.
func (p *pool) keepShells(t time.Time) (before, now int) {
	p.mu.Lock()
	want := p.shellsWanted(t)
	p.mu.Unlock()
	return p.tender.keep(want), want
}

// keep gives the number that the tender held before.
func (h *tenderHolder) keep(want int) (before int) {
	if !h.mu.TryLock() { // one is being started
		return 0
	}
	defer h.mu.Unlock()
	if h.tender == nil {
		return 0
	}
	before = h.tender.shells
	if before != want {
		h.tender.shells = want
		h.tender.Keep(want)
		h.pidMu.Lock()
		h.kept = want
		h.pidMu.Unlock()
	}
	return max(before, 0)
}
