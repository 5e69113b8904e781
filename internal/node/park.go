// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/parked"
	"unifaas.dev/internal/units"
)

const (
	parkAgainFirst = time.Second // after the guest was busy without an invocation, doubled each time
	parkAgainMax   = 5 * time.Minute
)

// startPark has an idle instance parked in the background. Preconditions: mu is held, i is ready, runs nothing and can be parked.
func (p *pool) startPark(i *instance) {
	i.parkBegun = false
	p.instances.set(i, parking)
	select {
	case i.park <- struct{}{}:
	default: // it was told before, and taken back
	}
}

// canPark reports whether an instance can be parked now, as far as the node knows. Preconditions: mu is held.
func (p *pool) canPark(i *instance, now time.Time) bool {
	running := p.runs()
	if i.state == leaving {
		running++
	}
	return p.parked != nil && running > p.up() && i.lineage != nil && i.lineage.usable() && !i.parkAfter.After(now) && !i.watched && len(i.wanted) == 0
}

// stay waits until the guest is gone, and parks it when it is told to. It reports whether the instance is parked.
func (p *pool) stay(i *instance) bool {
	var alive <-chan time.Time // when it is to be asked
	failed := 0
	if p.spec.Serving.Liveness != "" && !p.untouched() {
		t := time.NewTicker(p.n.opts.Liveness)
		defer t.Stop()
		alive = t.C
	}
	for {
		select {
		case <-i.guest.Done():
			return false
		case <-alive:
			p.probeLiveness(i, &failed)
			continue
		case <-i.park:
		}
		p.n.parking <- struct{}{}
		parked := false
		if p.beginPark(i) {
			p.keepShells(time.Now()) // before: the virtual machine that it leaves can be one
			slot, err := p.parkGuest(i)
			parked = p.parkDone(i, slot, err)
		}
		<-p.n.parking
		if parked {
			return true
		}
	}
}

// beginPark reports whether an instance is still to be parked now that its turn has come.
func (p *pool) beginPark(i *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.state != parking {
		i.settle()
		return false
	}
	p.instances.beginPark(i)
	return true
}

// reclaim makes an instance ready that was to be parked, if there is one. Preconditions: mu is held.
func (p *pool) reclaim(i *instance) bool {
	if i == nil {
		return false
	}
	p.instances.set(i, ready)
	p.stays(i)
	i.settle()
	return true
}

// parkGuest makes a slot of a guest. An instance that is as its snapshot has none.
func (p *pool) parkGuest(i *instance) (*parked.Slot, error) {
	i.transport.CloseIdleConnections()
	if p.asSnapshot(i) {
		i.guest.Kill("parked")
		return nil, nil
	}
	fd, err := unix.MemfdCreate("unifaas-park", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	sink := os.NewFile(uintptr(fd), "unifaas-park")
	defer sink.Close()
	n, err := i.guest.Park(p.ctx, sink)
	if err != nil {
		return nil, err
	}
	if n > 2*p.spec.Memory+1<<20 { // the tender may say anything
		return nil, fmt.Errorf("its tender wrote %d bytes for %s of memory", n, units.HumanBytes(p.spec.Memory))
	}
	for {
		slot, err := p.parked.Put(sink, n)
		if err == nil || !errors.Is(err, parked.ErrFull) || !p.dropOldest("there is no room for more parked instances") {
			return slot, err
		}
	}
}

// asSnapshot reports whether an instance that runs nothing is the same as one that is started from the snapshot.
func (p *pool) asSnapshot(i *instance) bool {
	if p.spec.Rewind {
		return i.cannotRewind() == nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.invocations == 0 && i.origin == FromSnapshot
}

// parkDone files a parked instance, or lets it go on. It reports whether it is parked.
func (p *pool) parkDone(i *instance, slot *parked.Slot, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer i.settle()
	switch {
	case errors.Is(err, ErrBusyGuest):
		i.parkTries++
		i.parkAfter = time.Now().Add(min(parkAgainFirst<<min(i.parkTries-1, 10), parkAgainMax))
		if i.state != parking { // retired meanwhile
			i.guest.Kill("it is not wanted any more")
			return false
		}
		p.instances.set(i, ready)
		if i.yields && p.canEnd(i) {
			p.end(i, p.grace(), "another function needs its room")
			return false
		}
		p.stays(i)
		p.serveWanted(i)
		p.serve()
		return false
	case err != nil:
		if i.state == parking && !isClosed(i.guest.Done()) {
			p.n.line(p.spec.Function, i.id, fmt.Sprintf("ended: it could not be parked: %v", err))
			i.ending = true
		}
		i.guest.Kill("it could not be parked")
		return false
	case i.state != parking:
		if slot != nil {
			slot.Close()
		}
		i.ending = true
		return false
	}
	p.n.memory.Add(-p.each())
	if slot != nil {
		p.n.memory.Add(slot.Len)
	}
	i.gen = i.lineage.gen
	i.slot, i.guest, i.transport, i.calls, i.lineage, i.boot = slot, nil, nil, nil, nil, Parts{}
	i.parkTries, i.park = 0, nil
	close(i.left)
	i.left = nil
	p.instances.set(i, parkedState)
	p.vacate(i)
	p.stats.Parks++
	p.serveWanted(i)
	p.grow()
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// settle tells who waits for the end of parking.
func (i *instance) settle() {
	if i.settled != nil {
		close(i.settled)
		i.settled = nil
	}
}

// wake starts to make a parked instance run again. Preconditions: mu is held, not draining; there is room.
func (p *pool) wake(i *instance) {
	i.begun, i.claimed, i.calls = time.Now(), false, p.newCalls()
	i.left, i.park = make(chan struct{}), make(chan struct{}, 1)
	p.instances.set(i, waking)
	p.demand.note(i.begun, p.count(booting)+p.count(waking))
	p.busy.Add(1)
	go p.run(i)
}

// unwoken deals with an instance that could not be made again. It reports whether it is parked as before: that it cannot run now is no reason
// to lose its state.
func (p *pool) unwoken(i *instance, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.state != waking { // the pool is going
		return false
	}
	if i.slot != nil && (errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign)) {
		p.n.line(p.spec.Function, i.id, fmt.Sprintf("ended: what was kept of it while it was parked is of no use: %v", err))
		i.ending = true // another one is woken or made
		return false
	}
	p.n.line(p.spec.Function, i.id, fmt.Sprintf("could not be woken: %v", err))
	close(i.left)
	i.left, i.park, i.lineage = nil, nil, nil
	p.instances.set(i, parkedState)
	p.vacate(i)
	for len(i.wanted) > 0 {
		i.answer(grant{err: &StartError{err}})
	}
	for len(p.queue) > 0 && !p.queue[0].since.After(i.begun) {
		p.answer(grant{err: &StartError{err}})
	}
	p.grow()
	return true
}

// dropParked ends a parked instance. Preconditions: mu is held.
func (p *pool) dropParked(i *instance) {
	p.letSlot(i)
	p.instances.remove(i)
	p.n.opts.Observer.Ended(p.spec.Function, EndParked)
	p.serveWanted(i)
}

// letSlot gives back what was kept of an instance.
func (p *pool) letSlot(i *instance) {
	if i.slot != nil {
		if err := i.slot.Close(); err != nil {
			p.n.line(p.spec.Function, i.id, err.Error())
		}
		i.slot = nil
	}
}

// dropOldest ends the instance that has been parked for the longest time; false: there is none.
func (p *pool) dropOldest(why string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.instances.longestParked()
	if i == nil {
		return false
	}
	p.n.line(p.spec.Function, i.id, "ended while parked: "+why)
	p.dropParked(i)
	return true
}
