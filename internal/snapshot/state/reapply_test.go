// SPDX-License-Identifier: Apache-2.0

package state

import (
	"math/rand/v2"
	"testing"
)

// TestApplyAgain: a parked instance is woken in a sandbox in which anything has run.
func TestApplyAgain(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 5))
		f, im := captured(t, r)
		f.scribble(t, r, 200)
		l := link(f, r)
		sink := memfd(t)
		n, err := im.Delta(f, l, sink)
		if err != nil {
			t.Fatal(err)
		}
		g := newFake(t, testMemory)
		if err := im.Fill(g); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			g.scribble(t, r, 100)
			if _, err := im.Recycle(g); err != nil {
				t.Fatal(err)
			}
			forgot := g.forgot
			m, entries, err := im.ApplyAgain(g, sink, 0, n)
			if err != nil {
				t.Fatal(err)
			}
			g.store(t, entries)
			if m.Link.RxHead != l.RxHead {
				t.Errorf("meta %+v", m)
			}
			if len(entries) == 0 && g.forgot == forgot {
				t.Error("the tables of both cannot be the same")
			}
			same(t, "woken", f.state(t), g.state(t))
		}
	}
}
