// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"
)

// stack is the steps that figures of a case consist of, as bars to one linear scale.
type stack struct {
	Width, Height float64
	Bars          []bar
	Names         []stepName
	Table         [][]string
}

type stepName struct{ Name, Class string }

type bar struct {
	System, Metric, Value string
	Top, Mid              float64
	Parts                 []barPart
}

type barPart struct {
	stepName
	X, Width float64
	Value    string
}

// stacks is one, or none where no figure has steps.
func stacks(rows []Row) []stack {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return len(r.Steps) == 0 || r.Skipped != "" })
	longest := 0.0
	st := stack{Width: plotWidth, Height: 24 * float64(len(rows))}
	for _, r := range rows {
		sum := 0.0
		for _, p := range r.Steps {
			sum += p.P50
			if !slices.ContainsFunc(st.Names, func(n stepName) bool { return n.Name == title(p.Name) }) {
				st.Names = append(st.Names, stepName{Name: title(p.Name)})
			}
		}
		longest = max(longest, sum)
	}
	if longest == 0 {
		return nil
	}
	for i := range st.Names {
		st.Names[i].Class = "s" + string(rune('0'+min(i, 7)))
	}
	for i, r := range rows {
		b := bar{System: r.System, Metric: r.Metric, Top: 24*float64(i) + 4, Mid: 24*float64(i) + 12}
		cells := make([]string, 2+len(st.Names))
		cells[0], cells[1] = r.System, r.Metric
		x, sum := plotLeft, 0.0
		for _, p := range r.Steps {
			at := slices.IndexFunc(st.Names, func(n stepName) bool { return n.Name == title(p.Name) })
			w := (plotRight - plotLeft - 30) * p.P50 / longest
			b.Parts = append(b.Parts, barPart{st.Names[at], tenth(x), max(tenth(w), 0.5), figure(p.P50, r.Unit)})
			cells[2+at] = figure(p.P50, r.Unit)
			x, sum = x+w, sum+p.P50
		}
		b.Value = figure(sum, r.Unit)
		st.Bars = append(st.Bars, b)
		st.Table = append(st.Table, cells)
	}
	return []stack{st}
}

func title(step string) string { return strings.ReplaceAll(step, "_", " ") }

// grid is what was counted for figures of a case.
type grid struct {
	Names []string
	Lines [][]string
}

func counts(rows []Row) (out []grid) {
	var g grid
	for _, r := range rows {
		line := []string{r.System, r.Metric}
		for _, c := range r.Counts {
			at := slices.Index(g.Names, title(c.Name))
			if at < 0 {
				at = len(g.Names)
				g.Names = append(g.Names, title(c.Name))
			}
			for len(line) < at+3 {
				line = append(line, "")
			}
			line[at+2] = fmt.Sprintf("%.5g", c.P50)
		}
		if len(line) > 2 {
			g.Lines = append(g.Lines, line)
		}
	}
	if len(g.Lines) == 0 {
		return nil
	}
	return []grid{g}
}
