// SPDX-License-Identifier: Apache-2.0

package node

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestMembers compares what members say with a look at each instance, after random changes.
func TestMembers(t *testing.T) {
	const concurrency = 3
	var m members
	rnd := rand.New(rand.NewPCG(1, 2))
	var order []*instance // by age
	var idle []*instance  // by when they became idle
	drop := func(l []*instance, i *instance) []*instance {
		for at, o := range l {
			if o == i {
				return append(l[:at:at], l[at+1:]...)
			}
		}
		return l
	}
	for step := range 20000 {
		var i *instance
		if len(order) > 0 {
			i = order[rnd.IntN(len(order))]
		}
		switch op := rnd.IntN(10); {
		case i == nil || op == 0 && len(order) < 50:
			i = &instance{id: strconv.Itoa(step)}
			m.add(i)
			order = append(order, i)
		case op == 1:
			m.remove(i)
			order, idle = drop(order, i), drop(idle, i)
			m.set(i, ready) // who still holds it changes nothing
			m.run(i, 1)
			m.run(i, -1)
		case op < 4:
			s := state(rnd.IntN(int(gone)))
			m.set(i, s)
			idle = drop(idle, i)
			if s == ready && i.inflight == 0 {
				idle = append(idle, i)
			}
		case op < 7 && i.inflight < concurrency:
			m.run(i, 1)
			idle = drop(idle, i)
		case i.inflight > 0:
			m.run(i, -1)
			if i.inflight == 0 && i.state == ready {
				idle = append(idle, i)
			}
		}
		var by [states]int
		last := 0
		var best *instance
		for _, i := range order {
			by[i.state]++
			if i.state == retired && i.inflight > 0 {
				last++
			}
			if i.state == ready && i.inflight < concurrency && (best == nil || i.inflight < best.inflight) {
				best = i
			}
		}
		if by != m.by || last != m.last || len(order) != len(m.all) {
			t.Fatalf("step %d: %v, %d last, %d in all; want %v, %d, %d", step, m.by, m.last, len(m.all), by, last, len(order))
		}
		if got := m.pick(concurrency); got != best {
			t.Fatalf("step %d: picked %+v, want %+v", step, got, best)
		}
		var first *instance
		if len(idle) > 0 {
			first = idle[0]
		}
		if got := m.longestIdle(); got != first || m.idle.Len() != len(idle) {
			t.Fatalf("step %d: longest idle %+v of %d, want %+v of %d", step, got, m.idle.Len(), first, len(idle))
		}
	}
}
