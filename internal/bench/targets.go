// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"
)

// target is what a unikernel's median is to reach: a factor of another median of the same run, or a value.
type target struct {
	suite, metric string
	cases         []string // none: all
	limit         float64
	of            string // system whose median the limit is a factor of; empty: limit is a value
	metricOf      string // of that system, if not the same
	least         bool   // the median is to be no less, not no more
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// targets is data: where a limit stands is here and nowhere else.
func targets() []target {
	c, golang, scripts := []string{"c-hello"}, []string{"go-hello"}, []string{"python-hello", "node-hello"}
	python := []string{"python-hello"}
	return []target{
		{suite: "start", metric: "boot", cases: c, limit: 0.1, of: Runc},
		{suite: "start", metric: "boot", cases: golang, limit: 0.25, of: Runc},
		{suite: "start", metric: "cold", cases: c, limit: 1, of: Process},
		{suite: "start", metric: "cold", cases: golang, limit: 0.5, of: Process},
		{suite: "start", metric: "cold", cases: scripts, limit: 0.1, of: Process},
		{suite: "start", metric: "cold_new_tender", limit: 3, of: KVM, metricOf: "cold"},
		{suite: "warm", metric: "latency", limit: 1.2, of: Process},
		{suite: "warm", metric: "throughput", limit: 0.8, of: Process, least: true},
		{suite: "rewind", metric: "added", cases: c, limit: 100},
		{suite: "rewind", metric: "added", cases: python, limit: 300},
		{suite: "rewind", metric: "throughput", limit: 50, of: Runc, least: true},
		{suite: "density", metric: "parked_bytes", cases: c, limit: 64 * kib},
		{suite: "density", metric: "parked_bytes", cases: python, limit: 300 * kib},
		{suite: "density", metric: "live_bytes", cases: c, limit: mib},
		{suite: "density", metric: "live_bytes", cases: python, limit: 4 * mib},
		{suite: "density", metric: "instances", cases: python, limit: 20000, least: true},
		{suite: "footprint", metric: "libos_bytes", limit: 256 * kib},
		{suite: "footprint", metric: "guest_overhead_bytes", limit: 512 * kib},
		{suite: "footprint", metric: "image_overhead", limit: 5},
		{suite: "syscall", metric: "latency", cases: []string{"getpid", "read", "clock_gettime"}, limit: 1, of: Process},
		{suite: "proc", metric: "latency", cases: []string{"fork"}, limit: 2, of: Process},
		{suite: "proc", metric: "latency", cases: []string{"thread_create", "context_switch"}, limit: 1, of: Process},
		{suite: "compute", metric: "latency", limit: 1.03, of: Process},
	}
}

// verdict compares a figure with its target.
type verdict struct {
	Target string // what was to be reached
	Value  string // what was
	Met    bool
}

// judge gives the verdict on a row; nil where there is no target, or nothing to compare with.
func (r *Result) judge(row Row) *verdict {
	if row.System != KVM || row.Skipped != "" {
		return nil
	}
	name, _, _ := strings.Cut(row.Case, "/") // behind it is how the case is run
	for _, t := range targets() {
		if t.suite != r.Suite || t.metric != row.Metric || len(t.cases) > 0 && !slices.Contains(t.cases, name) {
			continue
		}
		sign := "≤"
		if t.least {
			sign = "≥"
		}
		v := verdict{Target: sign + " " + figure(t.limit, row.Unit), Value: figure(row.P50, row.Unit), Met: row.P50 <= t.limit != t.least || row.P50 == t.limit}
		if t.of != "" {
			metric := t.metric
			if t.metricOf != "" {
				metric = t.metricOf
			}
			other, ok := r.row(row.Case, t.of, metric)
			if !ok || other.P50 == 0 {
				return nil
			}
			ratio := row.P50 / other.P50
			what := t.of
			if metric != t.metric {
				what = metric
			}
			v = verdict{fmt.Sprintf("%s %g × %s", sign, t.limit, what), fmt.Sprintf("%.3g ×", ratio), ratio <= t.limit != t.least || ratio == t.limit}
		}
		return &v
	}
	return nil
}

// row finds a figure.
func (r *Result) row(c, system, metric string) (Row, bool) {
	for _, row := range r.Rows {
		if row.Case == c && row.System == system && row.Metric == metric {
			return row, row.Skipped == ""
		}
	}
	return Row{}, false
}
