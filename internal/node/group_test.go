// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// fakeGroups remembers what was asked for.
type fakeGroups struct {
	mu     sync.Mutex
	fail   error
	made   []string
	limits map[string]node.GroupLimits
}

type fakeGroup struct {
	of   *fakeGroups
	name string
}

func (f *fakeGroups) Place(name string, pid int, l node.GroupLimits) (node.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	f.made = append(f.made, name)
	f.limits[name] = l
	return fakeGroup{f, name}, nil
}

func (g fakeGroup) Set(l node.GroupLimits) error {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	g.of.limits[g.name] = l
	return nil
}

func (g fakeGroup) Remove() error {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	delete(g.of.limits, g.name)
	return nil
}

func (f *fakeGroups) get(name string) (l node.GroupLimits, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n, l := range f.limits {
		if strings.HasPrefix(n, name) {
			return l, true
		}
	}
	return l, false
}

// TestGroups: each tender has a group, whose limits follow its function, for as long as it is there.
func TestGroups(t *testing.T) {
	groups := &fakeGroups{limits: map[string]node.GroupLimits{}}
	run := slow(0)
	g := newRig(t, run, node.Options{Groups: groups, Round: 10 * time.Millisecond, Snapshots: &nodetest.Snapshots{}})
	g.Apply(named("f", func(s *node.Spec) { s.Scale = node.Scale{Min: 3, Max: 4, CPU: 200, Weight: 50} }))
	eventually(t, "three are bounded", func() bool {
		l, _ := groups.get("f-1.")
		return l.CPU == 600 && l.Weight == 50 && l.Memory > 4*(64<<20) && l.Memory < 1<<30
	})
	g.Scale("f", node.Scale{Min: 3, Max: 4})
	eventually(t, "the limits follow", func() bool {
		l, _ := groups.get("f-1.")
		return l.CPU == 0 && l.Weight == node.DefaultWeight
	})
	g.Remove("f", nil)
	eventually(t, "it goes", func() bool { _, ok := groups.get("f-1."); return !ok })

	groups.mu.Lock()
	groups.fail = errors.New("no\nroom")
	groups.mu.Unlock()
	g.Apply(named("g", func(s *node.Spec) { s.Scale.Min = 1 }))
	eventually(t, "it runs without", func() bool { return g.Function("g").Ready == 1 })
	if !strings.Contains(g.log(), "its tender has no control group: no room") {
		t.Error(g.log())
	}
}
