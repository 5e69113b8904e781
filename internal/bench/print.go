// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// group is the rows of one case and metric.
type group struct {
	name, metric string
	rows         map[string]Row
}

func groups(rows []Row) []group {
	var gs []group
	for _, r := range rows {
		if len(gs) == 0 || gs[len(gs)-1].name != r.Case || gs[len(gs)-1].metric != r.Metric {
			gs = append(gs, group{r.Case, r.Metric, map[string]Row{}})
		}
		gs[len(gs)-1].rows[r.System] = r
	}
	return gs
}

// ratio is the unikernel's median over another system's, as a text; empty where one of them is missing.
func (g group) ratio(to string) string {
	a, okA := g.rows[KVM]
	b, okB := g.rows[to]
	if !okA || !okB || a.Skipped != "" || b.Skipped != "" || b.P50 == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g", a.P50/b.P50)
}

// empty is true where no system has a figure.
func (g group) empty() bool {
	for _, r := range g.rows {
		if r.Skipped == "" {
			return false
		}
	}
	return true
}

func (g group) cell(system string) string {
	r, ok := g.rows[system]
	if !ok || r.Skipped != "" {
		return "-"
	}
	return figure(r.P50, r.Unit)
}

// figure prints a value in a unit that people read well.
func figure(v float64, unit string) string {
	switch {
	case unit == "us" && v >= 1000:
		v, unit = v/1000, "ms"
	case unit == "ns" && v >= 10000:
		v, unit = v/1000, "us"
	case unit == "bytes" && v >= 1024:
		v, unit = v/1024, "KiB"
	}
	if v >= 100 {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}

// Print writes a table: medians, and the ratio of the unikernel's to the others'.
func Print(w io.Writer, r *Result) error {
	m := r.Machine
	fmt.Fprintf(w, "suite %s on %s, %d cores, Linux %s, %s KVM\n\n", r.Suite, m.CPU, m.Cores, m.Kernel, m.KVM)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join([]string{"CASE", "METRIC", KVM, "P99", Process, Runc, "OF PROCESS", "OF RUNC", "TARGET"}, "\t"))
	why := map[string][]string{}
	var order []string
	for _, g := range groups(r.Rows) {
		for _, s := range systems {
			if row := g.rows[s]; row.Skipped != "" {
				k := s + ": " + row.Skipped
				if why[k] == nil {
					order = append(order, k)
				}
				why[k] = append(why[k], g.name+" "+g.metric)
			}
		}
		if g.empty() {
			continue
		}
		p99 := "-"
		if k, ok := g.rows[KVM]; ok && k.Skipped == "" && k.N > 1 && k.Metric != "throughput" {
			p99 = figure(k.P99, k.Unit)
		}
		fmt.Fprintln(t, strings.Join([]string{g.name, g.metric, g.cell(KVM), p99, g.cell(Process), g.cell(Runc), dash(g.ratio(Process)), dash(g.ratio(Runc)), r.verdictOf(g)}, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nnot measured:")
	for _, k := range order {
		what := strings.Join(why[k], ", ")
		if len(why[k]) > 3 {
			what = fmt.Sprintf("%d figures", len(why[k]))
		}
		fmt.Fprintf(w, "  %s (%s)\n", k, what)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// verdictOf is a group's target, and whether it is met.
func (r *Result) verdictOf(g group) string {
	v := r.judge(g.rows[KVM])
	switch {
	case v == nil:
		return "-"
	case v.Met:
		return v.Target + ": met"
	}
	return v.Target + ": missed"
}
