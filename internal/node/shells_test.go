// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"sync/atomic"
	"testing"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// TestShellForWhoLeaves: the tender of a function with all the instances that it may have holds no shell, but for one that an instance leaves behind.
func TestShellForWhoLeaves(t *testing.T) {
	run := counting()
	var seen atomic.Int64
	seen.Store(-1)
	run.OnPark = func(*nodetest.Guest) error {
		seen.Store(int64(run.Tenders()[0].Shells()))
		return nil
	}
	g := newRig(t, run, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.Apply(spec(func(s *node.Spec) { s.Scale.Max = 1 }))
	g.count()
	eventually(t, "the tender holds no shell", func() bool { return run.Tenders()[0].Shells() == 0 })
	if running, err := g.Park(t.Context(), "f"); err != nil || running != 0 {
		t.Fatalf("%d run, %v", running, err)
	}
	if n := seen.Load(); n != 1 {
		t.Errorf("%d shells are held while an instance is parked", n)
	}
}
