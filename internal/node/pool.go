// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/parked"
)

// pool is the instances of one revision, the tender that runs them and the invocations that wait for one.
type pool struct {
	spec Spec // all but Scale never changes
	n    *Node

	ctx    context.Context // ends when the pool is to be gone: boots give up
	cancel context.CancelFunc

	mu        sync.Mutex
	scale     Scale
	instances members
	queue     []*waiter   // oldest first
	draining  bool        // replaced or removed: no new invocations
	growAt    *time.Timer // looks at the queue again
	account   *account
	lacking   need                   // for what there was no room
	named     map[*instance]struct{} // parked ones that somebody waits for, and there was no room
	queued    int64                  // bytes of the bodies of who waits
	pace      pace
	aim       aim
	inflight  int // invocations that have an instance
	demand    demand
	weight    weight
	failures  int         // boots that failed in a row
	crashes   int         // instances that crashed in a row without having been invoked
	floorAt   *time.Timer // tries again to reach Scale.Min
	used      time.Time   // end of the last invocation
	stats     Stats
	saidFresh bool // that it cannot rewind

	tender tenderHolder
	snap   keeper
	parked *parked.Store  // nil: instances are not parked
	busy   sync.WaitGroup // goroutines of instances
}

// waiter is an invocation that waits. ready gets exactly one grant once the waiter has left the queue.
type waiter struct {
	since time.Time
	bytes int64 // of its body
	ready chan grant
	of    *instance // that it waits for; nil: any
}

type grant struct {
	inst *instance
	err  error
}

// Stats counts what a pool has done.
type Stats struct {
	Invocations int64 // over, well or not
	Cold        int64 // of these, ones that waited for an instance to be made
	Crashes     int64 // instances that ended by themselves
	Timeouts    int64
	Refused     int64 // queue full
	Rewinds     int64
	Parks       int64
	Wakes       int64 // invocations that waited for one
	RewindPages int64 // copied back in all of them
	RewindTime  time.Duration
}

func (s *Stats) add(o Stats) {
	s.Invocations += o.Invocations
	s.Cold += o.Cold
	s.Crashes += o.Crashes
	s.Timeouts += o.Timeouts
	s.Refused += o.Refused
	s.Rewinds += o.Rewinds
	s.Parks += o.Parks
	s.Wakes += o.Wakes
	s.RewindPages += o.RewindPages
	s.RewindTime += o.RewindTime
}

func newPool(n *Node, spec Spec) *pool {
	p := &pool{spec: spec, n: n, scale: spec.Scale, used: time.Now()}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.tender.pool, p.snap.pool = p, p
	p.account = n.capacity.open(p, spec.Scale.weight())
	if n.opts.Snapshots != nil {
		p.parked, _ = parked.New(math.MaxInt64) // it fails for nothing but a negative limit
	}
	p.mu.Lock()
	p.floor()
	p.mu.Unlock()
	return p
}

func newWaiter(since time.Time) *waiter { return &waiter{since: since, ready: make(chan grant, 1)} }

// acquire gives an instance to an invocation with so many bytes of body in memory, any or the one that is named; release gives it back.
func (p *pool) acquire(ctx context.Context, id string, bytes int64) (*instance, error) {
	p.mu.Lock()
	if p.draining {
		p.mu.Unlock()
		return nil, errReplaced
	}
	now := time.Now()
	p.arrives(now)
	if id != "" {
		w := newWaiter(now)
		err := ErrNoInstance
		if i := p.instances.all[id]; i != nil {
			err = p.join(i, w)
		}
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return p.wait(ctx, w)
	}
	if len(p.queue) == 0 {
		if i := p.instances.pick(p.spec.Concurrency); i != nil {
			p.give(i)
			p.another(i)
			p.mu.Unlock()
			return i, nil
		}
	}
	if err := p.enqueue(bytes); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	w := newWaiter(now)
	w.bytes = bytes
	p.queue = append(p.queue, w)
	p.grow()
	p.mu.Unlock()
	return p.wait(ctx, w)
}

// wait waits for what a waiter is granted.
func (p *pool) wait(ctx context.Context, w *waiter) (*instance, error) {
	return p.waitFor(ctx, w, p.n.opts.WaitLimit)
}

func (p *pool) waitFor(ctx context.Context, w *waiter, atMost time.Duration) (*instance, error) {
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	var err error
	select {
	case g := <-w.ready:
		return g.inst, g.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
		err = &BusyError{Why: fmt.Sprintf("no instance was free within %v", p.n.opts.WaitLimit), After: retryLeast, waited: true}
	}
	p.mu.Lock()
	if p.leave(w) {
		p.dequeued(w)
		if len(p.queue) == 0 {
			p.grow() // it needs no room any more
		}
		p.mu.Unlock()
		return nil, err
	}
	p.mu.Unlock()
	if g := <-w.ready; g.inst != nil {
		p.release(g.inst, outcome{})
	}
	return nil, err
}

// give counts an invocation in. Preconditions: mu is held, i is ready.
func (p *pool) give(i *instance) {
	p.inflight++
	p.instances.run(i, 1)
	if p.spec.Fresh {
		p.instances.set(i, retired) // nobody else gets it
	}
}

// another makes one more instance if an invocation has to wait for a rewind: then the next one finds one that is rewound already. Preconditions: mu
// is held.
func (p *pool) another(i *instance) {
	if i.rewindsSlowly() && p.instances.coming() == 0 && p.live() < p.limit() && p.room(0) {
		p.boot()
	}
}

// outcome is how an instance got on with an invocation.
type outcome struct {
	counts   bool // it was one: the request was not given to another instance instead
	answered bool // in full
	retire   bool // the instance is to get no further one
	tried    bool // something was sent to it, or may have been
}

// release counts an invocation out.
func (p *pool) release(i *instance, o outcome) {
	if p.spec.Rewind && o.tried && !o.retire {
		o.retire = p.outlived(i) || !p.rewind(i)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i.used = time.Now()
	p.inflight--
	p.instances.run(i, -1)
	if o.counts {
		i.invocations++
		p.stats.Invocations++
		p.pace.done(i.used)
	}
	if o.answered {
		i.answers++
	}
	p.used, p.crashes = i.used, 0
	if o.retire {
		p.instances.set(i, retired)
	}
	if i.state == retired {
		if i.inflight == 0 {
			p.end(i, p.lastGrace(o), "its last invocation is over")
		}
		p.floor()
	}
	if i.state == leaving && i.inflight == 0 {
		p.depart(i)
	}
	p.serveWanted(i)
	p.serve()
	p.grow()
}

// serve gives free instances to waiting invocations. Preconditions: mu is held.
func (p *pool) serve() {
	for len(p.queue) > 0 {
		i := p.instances.pick(p.spec.Concurrency)
		if i == nil {
			return
		}
		p.give(i)
		p.answer(grant{inst: i})
	}
}

// answer lets the oldest waiter go on. Preconditions: mu is held, the queue is not empty.
func (p *pool) answer(g grant) {
	w := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.dequeued(w)
	w.ready <- g
}

// count is the number of instances in a state. Preconditions: mu is held.
func (p *pool) count(s state) int { return p.instances.by[s] }

// live is the number of instances that count towards Scale.Max. Preconditions: mu is held.
func (p *pool) live() int {
	n := len(p.instances.all) - p.count(retired)
	if p.spec.Fresh {
		n += p.instances.last
	}
	return n
}

// kept is the number of instances that count towards Scale.Min: those that will be there for the next invocations. Preconditions: mu is held.
func (p *pool) kept() int { return len(p.instances.all) - p.count(retired) }

// running is the number of instances that need the tender. Preconditions: mu is held.
func (p *pool) running() int { return len(p.instances.all) - p.count(parkedState) }

// grow wakes or makes instances while more invocations wait than those being made will take. Preconditions: mu is held.
func (p *pool) grow() {
	defer p.sated(p.without(forQueue))
	for !p.draining {
		coming, serving := p.instances.coming(), p.count(ready)
		rested := p.instances.lastParked()
		if len(p.queue) > 0 && p.reclaim(p.instances.reclaim()) {
			p.serve()
			continue
		}
		if len(p.queue) <= coming*p.spec.Concurrency {
			return
		}
		if rested == nil && p.live() >= p.limit() {
			return
		}
		if serving > 0 {
			// A busy instance may be free again before another one could be ready.
			if left := scaleUpAfter - time.Since(p.queue[0].since); left > 0 {
				if p.growAt == nil {
					p.growAt = time.AfterFunc(left, p.growLater)
				}
				return
			}
		}
		if !p.room(forQueue) {
			return
		}
		if rested != nil {
			p.wake(rested)
		} else {
			p.boot()
			p.stride()
		}
	}
}

func (p *pool) growLater() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.growAt = nil
	p.grow()
}

// floor makes instances up to Scale.Min, slower when they do not start. Preconditions: mu is held.
func (p *pool) floor() {
	defer p.sated(p.without(forFloor))
	if !p.raise() {
		return
	}
	for p.belowFloor() {
		if bad := p.failures + p.crashes; bad > 0 {
			if p.floorAt == nil {
				wait := min(backoffFirst<<min(bad-1, 10), backoffMax)
				p.floorAt = time.AfterFunc(wait, p.floorLater)
			}
			return
		}
		if !p.room(forFloor) {
			return
		}
		p.boot()
	}
}

func (p *pool) belowFloor() bool {
	return !p.draining && p.kept() < p.least() && p.live() < p.limit() && p.count(booting) < floorAtOnce
}

func (p *pool) floorLater() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.floorAt = nil
	if p.belowFloor() && p.room(forFloor) {
		p.boot() // one; the others follow when it has started
	}
}

// boot starts to make one instance. Preconditions: mu is held, not draining; there is room.
func (p *pool) boot() {
	now, id := time.Now(), p.n.newID()
	for p.instances.all[id] != nil { // of tens of thousands two may get the same
		id = p.n.newID()
	}
	i := &instance{id: id, created: now, begun: now, left: make(chan struct{}), park: make(chan struct{}, 1), calls: p.newCalls()}
	p.instances.add(i)
	p.demand.note(now, p.count(booting)+p.count(waking))
	p.busy.Add(1)
	go p.run(i)
}

// run is an instance from its boot or wake until its guest is gone.
func (p *pool) run(i *instance) {
	defer p.busy.Done()
	err := p.lastWords(i, p.bootGuest(i))
	switch {
	case err == nil:
		p.booted(i)
		guest := i.guest
		p.settle(i, guest)
		if p.stay(i) {
			<-guest.Done()
			return
		}
		<-guest.Done()
		i.transport.CloseIdleConnections()
	case i.guest != nil:
		p.turnOver(i)
		i.guest.Kill("it did not start")
		<-i.guest.Done()
	default:
		p.turnOver(i)
		if p.unwoken(i, err) {
			return
		}
	}
	p.ended(i, err)
}

// bootGuest makes the guest and waits until its program listens. If the tender died under it, it tries once more.
func (p *pool) bootGuest(i *instance) error {
	for attempt := 1; ; attempt++ {
		t, err := p.bootOnce(i)
		if err == nil || t == nil || attempt == 2 || p.ctx.Err() != nil || !isGone(t) {
			return err
		}
	}
}

func (p *pool) bootOnce(i *instance) (*tenderInUse, error) {
	start := time.Now()
	t, err := p.tender.get(p.ctx)
	if err != nil {
		return nil, err
	}
	i.boot.Tender = time.Since(start)
	guest, err := p.startGuest(i, t)
	if err != nil {
		p.turnOver(i)
		return t, err
	}
	p.mu.Lock()
	i.guest = guest // from here on others may end it
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, p.startLimit())
	defer cancel()
	i.boot.BootTiming, err = guest.WaitListen(ctx)
	if err != nil {
		p.turnOver(i)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("program does not listen on port %d after %v: it has to serve HTTP on $PORT", p.spec.Port, p.startLimit())
		}
		return t, err
	}
	if i.taken != nil {
		i.taken.listens()
	}
	i.transport = p.newTransport(guest)
	if p.asksReadiness(i) {
		p.turnOver(i) // others can start meanwhile
		if i.taker {
			p.snapshotSettled(i) // it has no stream open then
		}
		if err := p.content(ctx, i); err != nil {
			return t, err
		}
	}
	i.boot.Total = time.Since(start)
	return t, nil
}

// newTransport chooses how requests reach a guest.
func (p *pool) newTransport(g Guest) transport {
	always := p.spec.Serving.Protocol == ProtocolH2C
	switch {
	case p.spec.Stdio:
		return &stdio{spawn: g.Spawn}
	case p.spec.Rewind:
		return newProtocols(newSpareTransport(g.Dial), g.Dial, -1, always)
	case p.spec.Fresh:
		return newProtocols(newTransport(g.Dial, -1), g.Dial, -1, always)
	}
	return newProtocols(newDirect(g.Dial, p.spec.Concurrency), g.Dial, p.spec.Concurrency, always)
}

// startGuest starts what the instance is made from, or boots it if that turns out to be of no use.
func (p *pool) startGuest(i *instance, t *tenderInUse) (Guest, error) {
	if i.taken != nil {
		i.taken.yield() // of a tender that has died
		i.taken = nil
	}
	origin, taker, err := t.turn(p.ctx)
	if err != nil {
		return nil, err
	}
	if taker {
		i.taken = t.lineage
	}
	if i.turn, err = p.n.turns.take(p.ctx, p, p.n.capacity.weightOf(p.account)); err != nil {
		return nil, err
	}
	s := Start{ID: i.id, Hostname: hostname(p.spec.Function, i.id)}
	if i.slot != nil {
		if i.gen != t.gen {
			return nil, fmt.Errorf("%w: the tender has another one than it was parked with", snapshot.ErrForeign)
		}
		origin, s.Parked, s.Off, s.Len = FromParked, i.slot.File(), i.slot.Off, i.slot.Len
	}
	s.Origin = origin
	i.lineage, i.origin, i.taker = t.lineage, origin, taker
	g, err := t.Start(p.ctx, s)
	if origin == FromSnapshot && (errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign)) {
		p.snap.refuse(t.lineage, err)
		i.origin, s.Origin = FromBoot, FromBoot
		g, err = t.Start(p.ctx, s)
	}
	return g, err
}

// isGone reports whether a tender is dead, or just about to be: its streams break first.
func isGone(t Tender) bool {
	select {
	case <-t.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// booted makes an instance available.
func (p *pool) booted(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.state == booting {
		p.failures = 0
	}
	p.letSlot(i)
	i.used = time.Now()
	if p.draining || i.state == retired {
		p.instances.set(i, retired)
		i.ending = false // whoever wanted that found no guest to end
		p.end(i, 0, "it is not wanted any more")
		return
	}
	p.instances.set(i, ready)
	if i.origin == FromBoot { // of others it is known when they have answered
		p.n.opts.Observer.Made(p.spec.Function, i.origin.short(), i.boot)
	}
	p.serveWanted(i)
	p.serve()
	if i.begun == i.created && !(p.spec.Fresh && i.origin == FromSnapshot) {
		p.n.line(p.spec.Function, i.id, fmt.Sprintf("%s in %v", i.origin, i.boot.Total.Round(100*time.Microsecond)))
	}
	p.floor()
	p.grow()
}

// ended takes an instance out whose guest is gone, or that never had one.
func (p *pool) ended(i *instance, bootErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letSlot(i)
	p.instances.remove(i)
	p.vacate(i)
	p.n.opts.Observer.Ended(p.spec.Function, i.endKind(bootErr))
	close(i.left)
	i.settle()
	p.serveWanted(i)
	if i.taken != nil {
		i.taken.yield()
		i.taken = nil
	}
	if !i.ending && !p.draining {
		p.stats.Crashes++
		p.report(i, bootErr)
	}
	switch {
	case bootErr != nil && !i.ending && !p.draining && i.origin != FromParked:
		p.failures++
		// Those who waited for this boot from its start learn why it failed, unless another instance serves them.
		for p.count(ready) == 0 && len(p.queue) > 0 && !p.queue[0].since.After(i.created) {
			p.answer(grant{err: &StartError{bootErr}})
		}
	case !i.ending:
		// A program that crashes by itself must not be started again and again for nothing but Scale.Min.
		if i.invocations+int64(i.inflight) == 0 {
			p.crashes++
		}
	}
	p.floor()
	p.grow()
}

// report writes the end of an instance to the function's log. Preconditions: mu is held.
func (p *pool) report(i *instance, bootErr error) {
	if i.guest == nil || bootErr != nil && !isExit(bootErr) {
		p.n.line(p.spec.Function, i.id, fmt.Sprintf("could not start: %v", bootErr))
		return
	}
	exit := i.guest.Exit()
	p.n.line(p.spec.Function, i.id, "ended: "+exit.Reason)
	p.n.lines(p.spec.Function, i.id, exit.Report)
}

// endKind says how an instance ended. Preconditions: its guest, if there was one, is gone.
func (i *instance) endKind(bootErr error) string {
	if i.guest == nil || bootErr != nil && !isExit(bootErr) {
		return EndStart
	}
	return i.guest.Exit().Kind
}

func isExit(err error) bool {
	var exit *ExitError
	return errors.As(err, &exit)
}
