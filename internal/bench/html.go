// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"html/template"
	"io"
)

const page = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>unifaas bench {{.Suite}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.bar { background: #9db8d9; height: .8rem; min-width: 1px } .unifaas-kvm .bar { background: #2a6fbb } .skipped { color: #777 }
</style>
<h1>unifaas bench {{.Suite}}</h1>
<p>{{.Machine.CPU}}, {{.Machine.Cores}} cores, Linux {{.Machine.Kernel}}, {{.Machine.KVM}} KVM, {{.Machine.Time.Format "2006-01-02 15:04 MST"}}.
Medians of one run on one machine, taken turn by turn; compare rows of this page only.</p>
{{range .Groups}}<h2>{{.Name}} <small>{{.Metric}}</small></h2>
<table><tr><th>system<th>median<th>p99<th>n<th style="width:40%">
{{range .Rows}}{{if .Skipped}}<tr class="skipped"><td>{{.System}}<td colspan="4">{{.Skipped}}
{{else}}<tr class="{{.System}}"><td>{{.System}}<td class="n">{{.P50}}<td class="n">{{.P99}}<td class="n">{{.N}}<td><div class="bar" style="width:{{.Width}}%"></div>
{{end}}{{end}}</table>
{{end}}</html>
`

type htmlRow struct {
	System, P50, P99, Skipped string
	N, Width                  int
}

type htmlGroup struct {
	Name, Metric string
	Rows         []htmlRow
}

// HTML writes the result as one page that needs nothing else.
func HTML(w io.Writer, r *Result) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	var gs []htmlGroup
	for _, g := range groups(r.Rows) {
		top := 0.0
		for _, row := range g.rows {
			top = max(top, row.P50)
		}
		h := htmlGroup{Name: g.name, Metric: g.metric}
		for _, s := range systems {
			row, ok := g.rows[s]
			switch {
			case !ok:
			case row.Skipped != "":
				h.Rows = append(h.Rows, htmlRow{System: s, Skipped: row.Skipped})
			default:
				hr := htmlRow{System: s, P50: figure(row.P50, row.Unit), P99: figure(row.P99, row.Unit), N: row.N}
				if top > 0 {
					hr.Width = int(100 * row.P50 / top)
				}
				h.Rows = append(h.Rows, hr)
			}
		}
		gs = append(gs, h)
	}
	return t.Execute(w, struct {
		*Result
		Groups []htmlGroup
	}{r, gs})
}
