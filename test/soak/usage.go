// SPDX-License-Identifier: Apache-2.0

// Package soak runs a node for a long time with functions of every kind, good and bad, and watches whether anything grows.
// Its test takes SOAK_SECONDS (60); scripts/soak.sh runs it for half an hour.
package soak

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unifaas.dev/internal/childnode"
)

// usage is what a node and its tenders hold of the machine, and its instances of their guests' memory.
type usage map[string]int64

// allowed is how much each figure may grow over the first measurement: what allocators and garbage collectors keep, an idle
// connection, a thread that Go's scheduler made. What leaks with every request or every instance comes past it.
func allowed(what string, first int64) int64 {
	const mib = 1 << 20
	switch {
	case strings.HasPrefix(what, "guest node"):
		return 48 * mib // V8 lets its heap grow before it looks through all of it
	case strings.HasPrefix(what, "guest go"):
		return 12 * mib // Go takes memory in steps, and collects when it has doubled
	case strings.HasPrefix(what, "guest "):
		return first/10 + 2*mib
	case strings.HasPrefix(what, "libos "):
		return first/10 + 256<<10
	case what == "node memory":
		return first/2 + 24*mib
	case what == "tenders memory":
		return first/4 + 96*mib // with what the guests may grow by
	case strings.HasSuffix(what, "descriptors"):
		return 12
	}
	return first/2 + 12 // threads
}

// measure looks at a node that is at rest.
func measure(ctx context.Context, n *childnode.Node) (usage, error) {
	u := usage{}
	is, err := n.Client.Instances(ctx, "")
	if err != nil {
		return nil, err
	}
	tenders := map[int]bool{}
	for _, i := range is {
		tenders[i.TenderPID] = true
		u["instances"]++
		u["guest "+i.Function] += i.Guest
		u["libos "+i.Function] += i.Libos
	}
	for pid := range tenders {
		if err := u.process("tenders", pid); err != nil {
			return nil, err
		}
	}
	u["tenders"] = int64(len(tenders))
	return u, u.process("node", n.PID())
}

// process adds what a process holds.
func (u usage) process(who string, pid int) error {
	dir := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return err
	}
	threads, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		return err
	}
	pss, err := field(filepath.Join(dir, "smaps_rollup"), "Pss:")
	if err != nil {
		return err
	}
	u[who+" descriptors"] += int64(len(fds))
	u[who+" threads"] += int64(len(threads))
	u[who+" memory"] += pss << 10
	return nil
}

// field is a number of a file of lines like "Pss: 12 kB".
func field(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// grown names what is larger than it may be.
func (u usage) grown(first usage) (out []string) {
	for _, what := range slices.Sorted(maps.Keys(u)) {
		if u[what] > first[what]+allowed(what, first[what]) {
			out = append(out, fmt.Sprintf("%s from %d to %d", what, first[what], u[what]))
		}
	}
	return out
}

// String has memory in MiB.
func (u usage) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(u)) {
		if u[what] >= 1<<14 {
			fmt.Fprintf(&b, "%s %.1f MiB, ", what, float64(u[what])/(1<<20))
		} else {
			fmt.Fprintf(&b, "%s %d, ", what, u[what])
		}
	}
	return strings.TrimSuffix(b.String(), ", ")
}
