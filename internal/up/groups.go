// SPDX-License-Identifier: Apache-2.0

package up

import (
	"unifaas.dev/internal/cgroup"
	"unifaas.dev/internal/node"
)

// groups has the node's tenders be in control groups.
type groups struct{ *cgroup.Root }

func (g groups) Place(name string, pid int, l node.GroupLimits) (node.Group, error) {
	made, err := g.Make(name, pid, cgroup.Limits(l))
	if err != nil {
		return nil, err
	}
	return group{made}, nil
}

type group struct{ *cgroup.Group }

func (g group) Set(l node.GroupLimits) error { return g.Group.Set(cgroup.Limits(l)) }

// openGroups gives nil where there can be none, which is said once: the node does without.
func openGroups(warn func(string)) *cgroup.Root {
	r, err := cgroup.Open("/")
	if err != nil {
		warn("no control groups, so functions have no weights and no bounds of CPU time: " + err.Error())
		return nil
	}
	for _, c := range []string{"cpu", "memory"} {
		if !r.Has(c) {
			warn("control groups without " + c + ": what functions may use of that is not bounded by them")
		}
	}
	return r
}
