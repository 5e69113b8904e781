// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"sync"
	"time"
)

// rate lets things begin so often, and a burst at once. Those who wait are served in order of their coming.
type rate struct {
	distance time.Duration
	burst    time.Duration

	mu   sync.Mutex
	next time.Time // when the next one would begin, had there been no burst
}

func newRate(perSecond, burst int) rate {
	d := time.Second / time.Duration(perSecond)
	return rate{distance: d, burst: d * time.Duration(burst)}
}

// take returns how long the next one has to wait.
func (r *rate) take(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if least := now.Add(-r.burst); r.next.Before(least) {
		r.next = least
	}
	r.next = r.next.Add(r.distance)
	return r.next.Sub(now)
}

// wait returns when it is the turn of the one who calls. There is no way out: who could leave early could begin any number.
func (r *rate) wait() {
	if d := r.take(time.Now()); d > 0 {
		time.Sleep(d)
	}
}
