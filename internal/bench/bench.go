// SPDX-License-Identifier: Apache-2.0

// Package bench measures unikernels against plain processes and containers on one machine, in one run, turn by turn, so
// that what drifts on the machine drifts for all of them. It judges nothing: it prints medians and ratios.
package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Result is what a suite found.
type Result struct {
	Suite   string  `json:"suite"`
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// Options of a run.
type Options struct {
	Suite     string
	Exe       string   // the unifaas command, started for nodes and single runs
	Programs  []string // folders to look for programs in
	Small     bool     // only to see that it works
	Rounds    int      // 0: as many as the suite does by itself
	Instances int      // of suite density; 0: as many as fit
	Libos     []byte
	Progress  func(format string, args ...any)
}

// rounds is how often each thing is measured.
func (o *Options) rounds(normal, small int) int {
	switch {
	case o.Rounds > 0:
		return o.Rounds
	case o.Small:
		return small
	}
	return normal
}

// suite is one group of measurements.
type suite struct {
	about string
	run   func(ctx context.Context, o *Options) ([]Row, error)
}

func suites() map[string]suite {
	return map[string]suite{
		"start":     {"from a request at the gateway to the first byte of its answer, with no instance there", runStart},
		"gateway":   {"what a warm request costs gateway and node themselves: CPU, allocations", runGateway},
		"rewind":    {"instances that are put back to their snapshot after every invocation", runRewind},
		"warm":      {"latency and throughput of an instance that is there", runWarm},
		"syscall":   {"single system calls", runPrograms("syscall")},
		"proc":      {"processes and threads", runPrograms("proc")},
		"compute":   {"work that needs no system call", runPrograms("compute")},
		"density":   {"memory that instances keep, and how many fit", runDensity},
		"footprint": {"bytes: library OS, guest, image", runFootprint},
	}
}

// Suites lists the suites with a line about each.
func Suites() []string {
	var out []string
	for name, s := range suites() {
		out = append(out, fmt.Sprintf("%-10s %s", name, s.about))
	}
	slices.Sort(out)
	return out
}

// Names lists the suites.
func Names() []string {
	var out []string
	for name := range suites() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Known reports whether there is such a suite.
func Known(name string) bool { _, ok := suites()[name]; return ok }

// Run measures one suite.
func Run(ctx context.Context, o Options) (*Result, error) {
	s, ok := suites()[o.Suite]
	if !ok {
		return nil, fmt.Errorf("no suite %q: use one of %s", o.Suite, strings.Join(Names(), ", "))
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	rows, err := s.run(ctx, &o)
	if err != nil {
		return nil, err
	}
	return &Result{Suite: o.Suite, Machine: machine(), Rows: complete(rows)}, nil
}
