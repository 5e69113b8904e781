// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"slices"
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
	Steps   []Step // what it consists of, in the same unit
	Counts  []Step // what happened meanwhile

	all samples // where the figure is of several
}

// Step is a part of a figure: its name and median.
type Step struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50"`
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
		Unit  string  `json:"unit"`
		P50   float64 `json:"p50"`
		P99   float64 `json:"p99"`
		N     int     `json:"n"`
		Note  string  `json:"note,omitempty"`
		Steps []Step  `json:"steps,omitempty"`
		Count []Step  `json:"counts,omitempty"`
	}
	h := head{r.Case, r.System, r.Metric, r.Skipped}
	if r.Skipped != "" {
		return json.Marshal(h)
	}
	return json.Marshal(struct {
		head
		figures
	}{h, figures{r.Unit, round(r.P50), round(r.P99), r.N, r.Note, r.Steps, r.Counts}})
}

// single is a figure that does not vary.
func single(c, system, metric, unit string, v float64) Row {
	return Row{Case: c, System: system, Metric: metric, Unit: unit, P50: v, P99: v, N: 1}
}

func skipped(c, system, metric, why string) Row {
	return Row{Case: c, System: system, Metric: metric, Skipped: why}
}

// skippedAll is a skipped row for each of several metrics.
func skippedAll(c, system, why string, metrics ...string) (rows []Row) {
	for _, m := range metrics {
		rows = append(rows, skipped(c, system, m, why))
	}
	return rows
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
