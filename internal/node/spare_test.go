// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// TestRewindHidden: who comes while the only instance is rewound waits for that, and has another one made; whoever follows finds one that is
// rewound.
func TestRewindHidden(t *testing.T) {
	run := counting()
	hold := make(chan struct{})
	var held atomic.Int64
	run.OnRewind = func(*nodetest.Guest) error {
		held.Add(1)
		<-hold
		return nil
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind, s.Scale.Max = true, 2 }))
	first, n := g.count()
	if n != 101 {
		t.Fatalf("counted to %d", n)
	}
	done := make(chan string, 1)
	go func() {
		text, _, err := g.call("GET", "/", "")
		if err != nil {
			t.Error(err)
		}
		done <- text
	}()
	eventually(t, "another one is made", func() bool { return g.Function("f").Ready == 2 })
	second, n := g.count() // while the first is still being rewound
	if second == first || n != 101 {
		t.Errorf("%s, then %s, which counted to %d", first, second, n)
	}
	close(hold)
	if text := <-done; text != first+" 101" {
		t.Errorf("%q, not of %s", text, first)
	}
}

// TestSpareStream: a rewound instance has a stream before its next invocation, which uses it; one that nobody uses is rewound away.
func TestSpareStream(t *testing.T) {
	run := counting()
	var dials atomic.Int64
	run.OnDial = func() error { dials.Add(1); return nil }
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Rewind, s.Scale.Max = true, 1 }))
	for n := int64(1); n <= 3; n++ {
		if _, count := g.count(); count != 101 {
			t.Fatalf("counted to %d", count)
		}
		eventually(t, "there is a stream for the next", func() bool { return dials.Load() > n })
	}
	before := g.Function("f").Stats.Rewinds
	eventually(t, "the last one is rewound away", func() bool { return g.Function("f").Stats.Rewinds == before+1 })
	if n := dials.Load(); n != 4 {
		t.Errorf("%d streams for three invocations", n)
	}
	if _, count := g.count(); count != 101 {
		t.Errorf("counted to %d", count)
	}
	if strings.Contains(g.log(), "ended") {
		t.Error(g.log())
	}
}
