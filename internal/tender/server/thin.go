// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"unifaas.dev/internal/monitor"
)

// thinAfter is how long an instance rests before it gives back what its snapshot has: what it uses next it has to fault in page by page, once. With a KVM that
// shadows page tables that is 40 ms for an interpreter: more than to be parked and woken, which is why nodes as they are by default do that sooner.
const thinAfter = 30 * time.Second

// resting is how long nothing was said between an instance and its tender.
type resting struct {
	said  uint64 // bytes on both rings, in all
	since int64  // when there were last more of them
	thin  bool   // memory was given back since
}

// rest gives memory back once it is time, and says how long that is still. Timers of the program that say nothing to anybody do not count as
// work. Preconditions: in.mu is held, the guest is not running.
func (in *instance) rest() (time.Duration, error) {
	im := in.host.states.get()
	sb, ok := in.sb.(monitor.Stateful)
	if im == nil || !ok {
		return forever, nil
	}
	r, now := &in.resting, in.host.clock.now()
	if said := in.link.rx.Index() + in.link.tx.Index(); said != r.said || r.since == 0 {
		*r = resting{said: said, since: now}
	}
	if r.thin {
		return forever, nil
	}
	if left := thinAfter - time.Duration(now-r.since); left > 0 {
		return left, nil
	}
	r.thin = true
	// A few milliseconds, in which others of the tender are served.
	in.link.shut = true
	in.mu.Unlock()
	_, err := im.Thin(sb)
	in.mu.Lock()
	in.link.shut = in.rewinds > 0
	if err == nil {
		_, err = in.push()
	}
	return 0, err
}
