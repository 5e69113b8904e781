// SPDX-License-Identifier: Apache-2.0

package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var page string

// htmlRow is a line of a case's table.
type htmlRow struct {
	System, Metric, P50, P99, Spread, OfProcess, OfRunc string
	Note                                                string
	N                                                   int
	Verdict                                             *verdict
}

type htmlCase struct {
	Name    string
	Plots   []plot
	Bars    []stack
	Counts  []grid
	Rows    []htmlRow
	Skipped []htmlSkipped
}

// htmlSkipped is figures of one system that are not there for one reason.
type htmlSkipped struct{ System, Metrics, Why string }

func (c *htmlCase) skip(r Row) {
	for i, s := range c.Skipped {
		if s.System == r.System && s.Why == r.Skipped {
			c.Skipped[i].Metrics += ", " + r.Metric
			return
		}
	}
	c.Skipped = append(c.Skipped, htmlSkipped{r.System, r.Metric, r.Skipped})
}

type htmlVerdict struct {
	Case, Metric string
	verdict
}

// HTML writes the result as one page that needs nothing else.
func HTML(w io.Writer, r *Result) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	data := struct {
		*Result
		Plots    bool
		Verdicts []htmlVerdict
		Cases    []htmlCase
	}{Result: r}
	for _, rows := range byCase(r.Rows) {
		c := htmlCase{Name: rows[0].Case, Plots: plots(rows), Bars: stacks(rows), Counts: counts(rows)}
		data.Plots = data.Plots || len(c.Plots) > 0
		for _, row := range rows {
			if row.Skipped != "" {
				c.skip(row)
				continue
			}
			h := r.line(row)
			if h.Verdict != nil {
				data.Verdicts = append(data.Verdicts, htmlVerdict{row.Case, row.Metric, *h.Verdict})
			}
			c.Rows = append(c.Rows, h)
		}
		data.Cases = append(data.Cases, c)
	}
	return t.Execute(w, data)
}

// byCase splits rows where the case changes; the rows of one are together.
func byCase(rows []Row) (cases [][]Row) {
	for _, r := range rows {
		if n := len(cases); n > 0 && cases[n-1][0].Case == r.Case {
			cases[n-1] = append(cases[n-1], r)
		} else {
			cases = append(cases, []Row{r})
		}
	}
	return cases
}

// line makes a line of a row that has a figure.
func (r *Result) line(row Row) htmlRow {
	h := htmlRow{System: row.System, Metric: row.Metric, Note: row.Note, N: row.N, Verdict: r.judge(row), P50: figure(row.P50, row.Unit)}
	if row.N > 1 && row.P50 != 0 {
		h.P99, h.Spread = figure(row.P99, row.Unit), fmt.Sprintf("%.2g ×", row.P99/row.P50)
	}
	of := func(system string) string {
		if o, ok := r.row(row.Case, system, row.Metric); ok && o.P50 != 0 && row.System != system {
			return fmt.Sprintf("%.3g ×", row.P50/o.P50)
		}
		return ""
	}
	h.OfProcess, h.OfRunc = of(Process), of(Runc)
	return h
}
