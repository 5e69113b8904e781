// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

// shownParked is how many parked instances are listed; if there are more they are only counted.
const shownParked = 100

// function is what there is to say about one.
type function struct {
	*control.Function
	Revision  *control.Revision
	Revisions []revision
	State     string
	Status    node.FunctionStatus
	Instances []node.InstanceStatus
	Hidden    int // parked ones that are not listed
	Last      recent.Step
	Latency   latencyChart
	Calls     callsChart
	Starts    startsChart
	Recent    []stat
	Egress    []string
	Queued    int       // asynchronous invocations
	Next      *revision // is to take over
	Failed    *revision // the newest one, if it gave no answer
}

// revision is one in the list.
type revision struct {
	control.Revision
	Name    string
	Current bool // it is served
	Back    bool // it can be served again
}

// Word is in a word how a revision does.
func (r revision) Word() string {
	if r.Current && r.State == control.Ready {
		return "served"
	}
	return r.State
}

// get finds the function of a path; it has answered when there is none.
func (d *Dashboard) get(w http.ResponseWriter, r *http.Request) *control.Function {
	name := r.PathValue("name")
	f, err := d.opts.Control.Get(name)
	if err != nil {
		d.failWith(w, r, name, err)
		return nil
	}
	return f
}

func (d *Dashboard) function(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil {
		return
	}
	at := now()
	s := d.opts.Control.Status(f.Name)
	series := d.opts.Recent.Series(f.Name, at)
	b := function{Function: f, Revision: f.Current(), State: stateOf(s), Status: s,
		Instances: d.opts.Control.SomeInstances(r.Context(), f.Name, true, shownParked),
		Last:      d.opts.Recent.Last(f.Name, at), Latency: newLatencyChart(series), Calls: newCallsChart(series),
		Starts: newStartsChart(d.opts.Recent.Starts(f.Name)), Recent: stats(d.opts.Recent.Calls(f.Name)), Egress: f.Current().Egress}
	if len(b.Egress) == 0 {
		b.Egress = []string{"public"}
	}
	if d.opts.Async != nil {
		b.Queued = d.opts.Async.Depth(f.Name)
	}
	listed := 0
	for _, i := range b.Instances {
		if i.State == "parked" {
			listed++
		}
	}
	b.Hidden = max(0, s.Parked-listed)
	current, wanted := f.Current().Number, f.Wanted().Number
	for n, rev := range slices.Backward(f.Revisions) {
		v := revision{rev, control.RevisionName(f.Name, rev.Number), rev.Number == current, rev.Number != wanted && rev.State != control.Pending}
		b.Revisions = append(b.Revisions, v)
		switch {
		case rev.Number == wanted && rev.State == control.Pending:
			b.Next = &v
		case n == len(f.Revisions)-1 && rev.State == control.Failed:
			b.Failed = &v
		}
	}
	d.render(w, r, http.StatusOK, "function", page{Title: f.Name, Section: "functions", Tab: "overview", Name: f.Name, Body: b})
}

// PerRewind is what one rewind took.
func (f function) PerRewind() time.Duration {
	if f.Status.Stats.Rewinds == 0 {
		return 0
	}
	return f.Status.Stats.RewindTime / time.Duration(f.Status.Stats.Rewinds)
}

// Unlimited is what a concurrency without limit is stored as.
func (f function) Unlimited() int { return control.Unlimited }
