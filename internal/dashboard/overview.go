// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

const perPage = 100 // functions

// overview is the first page: what there is, and how it does.
type overview struct {
	Functions, Live, Starting, Parked, Waiting int // all functions; instances of all; invocations that wait
	Calls, Failed                              int // in the last minute
	Used, Budget                               int64
	Query                                      string
	Rows                                       []row
	Found                                      int
	Page, Pages                                int
}

// row is a function in the list.
type row struct {
	Name, Image, State string
	Revision           int
	Status             node.FunctionStatus
	Min                int
	Last               recent.Step
	Spark              string
}

// stateOf is in a word what a function's instances do.
func stateOf(s node.FunctionStatus) string {
	switch {
	case s.Ready > 0:
		return "live"
	case s.Booting > 0:
		return "starting"
	case s.Parked > 0:
		return "parked"
	}
	return "cold"
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request) {
	at := now()
	o := overview{Query: strings.TrimSpace(r.URL.Query().Get("q")), Page: 1}
	var found []*control.Function
	statuses := map[string]node.FunctionStatus{}
	for _, f := range d.opts.Control.List() {
		s := d.opts.Control.Status(f.Name)
		statuses[f.Name] = s
		o.Functions++
		o.Live += s.Ready
		o.Starting += s.Booting
		o.Parked += s.Parked
		o.Waiting += s.Waiting
		l := d.opts.Recent.Last(f.Name, at)
		o.Calls += l.Calls
		o.Failed += l.Failed
		if o.Query == "" || strings.Contains(strings.ToLower(f.Name), strings.ToLower(o.Query)) {
			found = append(found, f)
		}
	}
	o.Found, o.Pages = len(found), max(1, (len(found)+perPage-1)/perPage)
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		o.Page = max(1, min(n, o.Pages))
	}
	for _, f := range found[(o.Page-1)*perPage : min(o.Page*perPage, len(found))] {
		rev := f.Current()
		s := statuses[f.Name]
		o.Rows = append(o.Rows, row{Name: f.Name, Image: rev.ImageName, State: stateOf(s), Revision: rev.Number, Status: s, Min: f.Scale.Min,
			Last: d.opts.Recent.Last(f.Name, at), Spark: spark(d.opts.Recent.Series(f.Name, at))})
	}
	o.Used, o.Budget = d.opts.Control.MemoryUsed()
	d.render(w, r, http.StatusOK, "overview", page{Title: "Functions", Section: "functions", Body: o})
}

// spark is the line of a small chart of calls, as points of a polyline; empty without calls.
func spark(s []recent.Step) string {
	most := 0
	for _, p := range s {
		most = max(most, p.Calls)
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	for n := 0; n+2 < len(s); n += 3 { // half a minute each
		c := s[n].Calls + s[n+1].Calls + s[n+2].Calls
		b.WriteString(number(float64(n)/float64(len(s)-3)*88+1) + "," + number(19-18*min(1, float64(c)/float64(3*most))) + " ")
	}
	return b.String()
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// stat is one invocation in a list.
type stat struct {
	recent.Call
	Word string // its status
}

func stats(calls []recent.Call) (l []stat) {
	for _, c := range calls {
		w := strconv.Itoa(c.Status)
		switch c.Status {
		case 0:
			w = "broke off"
		case 499:
			w = "caller left"
		}
		l = append(l, stat{c, w})
	}
	return l
}

func seconds(d time.Duration) float64 { return d.Seconds() }
