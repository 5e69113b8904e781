// SPDX-License-Identifier: Apache-2.0

// Package bench measures unikernels against plain processes and containers on one machine, in one run, turn by turn, so
// that what drifts on the machine drifts for all of them. It judges nothing: it prints medians and ratios.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Systems that rows name.
const (
	KVM     = "unifaas-kvm"
	UProc   = "unifaas-process"
	Process = "process"
	Runc    = "runc"
	LinuxVM = "linuxvm"
)

// systems in the order of tables.
var systems = []string{KVM, UProc, Process, Runc, LinuxVM}

// why the systems that no suite of this version measures are skipped.
var never = map[string]string{
	UProc:   "the process monitor is not in this version",
	LinuxVM: "Linux virtual machines are not in this version",
}

// Row is one figure: what a case costs on a system.
type Row struct {
	Case    string
	System  string
	Metric  string
	Unit    string
	P50     float64
	P99     float64
	N       int
	Skipped string // why there is no figure
	Note    string // what the figure does not say
}

// MarshalJSON leaves the figures out of a row that has none.
func (r Row) MarshalJSON() ([]byte, error) {
	type head struct {
		Case    string `json:"case"`
		System  string `json:"system"`
		Metric  string `json:"metric"`
		Skipped string `json:"skipped,omitempty"`
	}
	type figures struct {
		Unit string  `json:"unit"`
		P50  float64 `json:"p50"`
		P99  float64 `json:"p99"`
		N    int     `json:"n"`
		Note string  `json:"note,omitempty"`
	}
	h := head{r.Case, r.System, r.Metric, r.Skipped}
	if r.Skipped != "" {
		return json.Marshal(h)
	}
	return json.Marshal(struct {
		head
		figures
	}{h, figures{r.Unit, round(r.P50), round(r.P99), r.N, r.Note}})
}

// Result is what a suite found.
type Result struct {
	Suite   string  `json:"suite"`
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// Options of a run.
type Options struct {
	Suite    string
	Exe      string   // the unifaas command, started for nodes and single runs
	Programs []string // folders to look for programs in
	Small    bool     // only to see that it works
	Libos    []byte
	Progress func(format string, args ...any)
}

// suite is one group of measurements.
type suite struct {
	about string
	run   func(ctx context.Context, o *Options) ([]Row, error)
}

func suites() map[string]suite {
	return map[string]suite{
		"start":     {"from a request at the gateway to the first byte of its answer, with no instance there", runStart},
		"warm":      {"latency and throughput of an instance that is there", runWarm},
		"syscall":   {"single system calls", runPrograms("syscall")},
		"proc":      {"processes and threads", runPrograms("proc")},
		"compute":   {"work that needs no system call", runPrograms("compute")},
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

// complete adds a skipped row for each system that a case has none of: never a missing row.
func complete(rows []Row) []Row {
	type key struct{ c, m string }
	have := map[key]map[string]bool{}
	var order []key
	for _, r := range rows {
		k := key{r.Case, r.Metric}
		if have[k] == nil {
			have[k] = map[string]bool{}
			order = append(order, k)
		}
		have[k][r.System] = true
	}
	for _, k := range order {
		for _, s := range systems {
			if !have[k][s] && never[s] != "" {
				rows = append(rows, Row{Case: k.c, Metric: k.m, System: s, Skipped: never[s]})
			}
		}
	}
	index := map[key]int{}
	for i, k := range order {
		index[k] = i
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		if d := index[key{a.Case, a.Metric}] - index[key{b.Case, b.Metric}]; d != 0 {
			return d
		}
		return slices.Index(systems, a.System) - slices.Index(systems, b.System)
	})
	return rows
}
