// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"unifaas.dev/internal/units"
)

// BusyError is an invocation that was refused, or waited in vain, because there is more to do than can be done.
type BusyError struct {
	Why   string
	After time.Duration // when it may be worth trying again

	waited bool
}

func (e *BusyError) Error() string { return e.Why }

// Is has it count as ErrBusy, and as ErrWait if it had to wait for that.
func (e *BusyError) Is(target error) bool { return target == ErrBusy || target == ErrWait && e.waited }

func refused(after time.Duration, format string, args ...any) error {
	return &BusyError{Why: fmt.Sprintf(format, args...), After: after}
}

const (
	retryLeast = time.Second
	retryMost  = 30 * time.Second
	paceFor    = 4 * time.Second // over which a pool's pace is told
)

// admission bounds what a node has taken on and not finished.
type admission struct {
	inflight atomic.Int64 // invocations
	bytes    atomic.Int64 // bodies of those that wait
}

// admit counts an invocation in, or refuses it.
func (n *Node) admit() error {
	if now := n.admission.inflight.Add(1); now > int64(n.opts.Inflight) {
		n.admission.inflight.Add(-1)
		n.refused.Add(1)
		return refused(retryLeast, "the node has %d invocations in flight, its limit", n.opts.Inflight)
	}
	return nil
}

// pace is how fast a pool gets through its invocations. It belongs to pool.mu.
type pace struct {
	turn time.Time
	now  int
	rate float64 // a second
}

// done counts one that is over.
func (p *pace) done(t time.Time) {
	if p.turn.IsZero() {
		p.turn = t
	}
	if gone := t.Sub(p.turn); gone >= paceFor {
		p.rate = float64(p.now) / gone.Seconds()
		p.turn, p.now = t, 0
	}
	p.now++
}

// perSecond is the rate of late.
func (p *pace) perSecond(t time.Time) float64 {
	gone := t.Sub(p.turn).Seconds()
	if p.turn.IsZero() || gone > 2*paceFor.Seconds() {
		return 0
	}
	if p.rate == 0 || gone > paceFor.Seconds()/2 {
		return float64(p.now) / max(gone, 0.5)
	}
	return p.rate
}

// retry is when a caller that is refused now may find the queue shorter. Preconditions: mu is held.
func (p *pool) retry(now time.Time) time.Duration {
	rate := p.pace.perSecond(now)
	if rate <= 0 {
		return retryLeast
	}
	wait := time.Duration(math.Min(float64(len(p.queue))/2/rate, retryMost.Seconds()) * float64(time.Second))
	return max(wait, retryLeast)
}

// enqueue says whether one more invocation with so many bytes of body may wait. Preconditions: mu is held.
func (p *pool) enqueue(bytes int64) error {
	n := p.n
	limit := n.opts.Queue
	if p.scale.Queue > 0 {
		limit = p.scale.Queue
	}
	switch {
	case len(p.queue) >= limit:
		p.stats.Refused++
		return refused(p.retry(time.Now()), "%d invocations are waiting, as many as may", len(p.queue))
	case p.queued+bytes > n.opts.QueueBytes/4: // so that one function leaves room for others
		p.stats.Refused++
		return refused(p.retry(time.Now()), "bodies of %s are waiting, as much as one function may have", units.HumanBytes(p.queued))
	case bytes > 0 && n.admission.bytes.Load()+bytes > n.opts.QueueBytes:
		p.stats.Refused++
		return refused(p.retry(time.Now()), "bodies of %s are waiting at this node, its limit", units.HumanBytes(n.opts.QueueBytes))
	}
	p.queued += bytes
	n.admission.bytes.Add(bytes)
	return nil
}

// dequeued is the end of a wait. Preconditions: mu is held.
func (p *pool) dequeued(w *waiter) {
	p.queued -= w.bytes
	p.n.admission.bytes.Add(-w.bytes)
	w.bytes = 0
}
