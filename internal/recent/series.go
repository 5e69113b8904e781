// SPDX-License-Identifier: Apache-2.0

package recent

import (
	"math"
	"slices"
	"time"
)

// Durations are counted in classes, each √2 as long as the one before: from firstBound to 3 hours.
const (
	firstBound = 50 * time.Microsecond
	classes    = 56
)

// step is what happened in StepLength.
type step struct {
	at      int64 // number of the step since 1970
	calls   uint32
	failed  uint32
	cold    uint32
	woken   uint32
	classes [classes]uint32
}

func stepOf(t time.Time) int64 { return t.UnixNano() / int64(StepLength) }

// step is the one of a time. Preconditions: mu is held.
func (h *history) step(t time.Time) *step {
	n := stepOf(t)
	at := &h.steps[n%Steps]
	if *at == nil || (*at).at < n {
		*at = &step{at: n}
	}
	return *at
}

func (s *step) add(c *Call) {
	s.calls++
	s.classes[class(c.Took)]++
	if c.Failed() {
		s.failed++
	}
	switch {
	case c.Timing.Cold:
		s.cold++
	case c.Timing.Origin != "":
		s.woken++
	}
}

func class(d time.Duration) int {
	if d <= firstBound {
		return 0
	}
	return min(int(math.Ceil(2*math.Log2(float64(d)/float64(firstBound)))), classes-1)
}

// bound is the longest duration of a class.
func bound(class int) time.Duration {
	return time.Duration(float64(firstBound) * math.Exp2(float64(class)/2))
}

// Step is what happened in one step of a series.
type Step struct {
	At     time.Time // its begin
	Calls  int
	Failed int
	Cold   int // waited for an instance to be made
	Woken  int // waited for a parked one
	// Latencies from arrival to the end of the answer, to within a class; 0 without calls.
	P50, P95, P99 time.Duration
}

// Series gives a function's last steps, the oldest first, the one that is under way last.
func (b *Book) Series(function string, now time.Time) []Step {
	s := make([]Step, Steps)
	last := stepOf(now)
	for n := range s {
		s[n].At = time.Unix(0, (last-Steps+1+int64(n))*int64(StepLength))
	}
	for _, f := range b.steps(function, last, Steps) {
		t := total{}
		t.add(&f)
		s[f.at-(last-Steps+1)] = t.sum(s[f.at-(last-Steps+1)].At)
	}
	return s
}

// Last sums up the last minute: the six steps before the one that is under way, and that one.
func (b *Book) Last(function string, now time.Time) Step {
	const minute = int64(time.Minute/StepLength) + 1
	t := total{}
	for _, f := range b.steps(function, stepOf(now), minute) {
		t.add(&f)
	}
	return t.sum(time.Unix(0, (stepOf(now)-minute+1)*int64(StepLength)))
}

// steps copies those of the last n that there are.
func (b *Book) steps(function string, last, n int64) (list []step) {
	h := b.history(function, false)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.steps {
		if f != nil && f.at > last-n && f.at <= last {
			list = append(list, *f)
		}
	}
	slices.SortFunc(list, func(a, b step) int { return int(a.at - b.at) })
	return list
}

// total is a sum of steps.
type total struct{ step }

func (t *total) add(s *step) {
	t.calls += s.calls
	t.failed += s.failed
	t.cold += s.cold
	t.woken += s.woken
	for n, c := range s.classes {
		t.classes[n] += c
	}
}

func (t *total) sum(at time.Time) Step {
	return Step{At: at, Calls: int(t.calls), Failed: int(t.failed), Cold: int(t.cold), Woken: int(t.woken),
		P50: t.quantile(0.5), P95: t.quantile(0.95), P99: t.quantile(0.99)}
}

// quantile takes calls to be spread evenly over their class.
func (t *total) quantile(q float64) time.Duration {
	if t.calls == 0 {
		return 0
	}
	rank := q * float64(t.calls)
	below := 0.0
	for n, c := range t.classes {
		if here := float64(c); below+here >= rank && here > 0 {
			from := time.Duration(0)
			if n > 0 {
				from = bound(n - 1)
			}
			return from + time.Duration((rank-below)/here*float64(bound(n)-from))
		}
		below += float64(t.classes[n])
	}
	return bound(classes - 1)
}
