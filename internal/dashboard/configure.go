// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"unifaas.dev/internal/control"
)

// configurePage is the form that changes a function.
type configurePage struct{ fields }

func (d *Dashboard) configureForm(w http.ResponseWriter, r *http.Request) {
	if f := d.get(w, r); f != nil {
		d.showConfigure(w, r, http.StatusOK, fieldsFrom(f), "")
	}
}

func (d *Dashboard) showConfigure(w http.ResponseWriter, r *http.Request, status int, f fields, problem string) {
	name := r.PathValue("name")
	d.render(w, r, status, "configure", page{Title: "Configure " + name, Section: "functions", Tab: "configure", Name: name, Error: problem, Body: configurePage{fields: f}})
}

func (d *Dashboard) configure(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil || !d.readForm(w, r) {
		return
	}
	typed := fieldsOf(r.PostForm)
	typed.Name = f.Name
	before := fieldsFrom(f)
	if typed.Image == before.Image {
		typed.Image = "" // stays the very image that it is, whatever its name stands for now
	}
	q, err := typed.deployment()
	if err == nil {
		if typed.Image != "" { // with another image everything is as it is said here
			q.Image = typed.Image
			keep(&q, f)
		}
		if q.Egress == nil {
			q.Egress = []string{"public"}
		}
		if len(f.Wanted().Egress) == 0 && slices.Equal(q.Egress, []string{"public"}) {
			q.Egress = nil // as it is, in other words
		}
		if _, _, err = d.opts.Control.Deploy(r.Context(), q); err != nil {
			typed.Image = before.Or(typed.Image, before.Image)
			d.showConfigure(w, r, statusOf(err), typed, err.Error())
			return
		}
	}
	if err != nil {
		typed.Image = before.Or(typed.Image, before.Image)
		d.showConfigure(w, r, http.StatusBadRequest, typed, sentence(err.Error()))
		return
	}
	redirect(w, r, functionPath(f.Name)+"?done=changed")
}

// keep is what the form does not show.
func keep(q *control.Deployment, f *control.Function) {
	s := f.Wanted().Serving
	q.Labels, q.Annotations, q.Requests, q.Constraints, q.Idle = f.Labels, f.Annotations, f.Requests, f.Constraints, &f.Scale.Idle
	q.Serving = control.ServingOptions{Protocol: &s.Protocol, Readiness: &s.Readiness, Liveness: &s.Liveness, Startup: &s.Startup, Grace: &s.Grace}
}

func functionPath(name string) string { return "/ui/functions/" + url.PathEscape(name) }

// act does what a button says.
func (d *Dashboard) act(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil || !d.readForm(w, r) {
		return
	}
	switch r.PostForm.Get("do") {
	case "park":
		if _, err := d.opts.Control.Park(r.Context(), f.Name); err != nil {
			d.failWith(w, r, f.Name, err)
			return
		}
		redirect(w, r, functionPath(f.Name)+"?done=parked")
	case "rollback":
		to, err := strconv.Atoi(r.PostForm.Get("to"))
		if err != nil || to < 1 {
			d.fail(w, r, http.StatusBadRequest, "There is no such revision.")
			return
		}
		if _, err := d.opts.Control.Rollback(r.Context(), f.Name, to); err != nil {
			d.failWith(w, r, f.Name, err)
			return
		}
		redirect(w, r, functionPath(f.Name)+"?done=rolledback")
	case "remove":
		if err := d.opts.Control.Remove(r.Context(), f.Name); err != nil {
			d.failWith(w, r, f.Name, err)
			return
		}
		d.opts.Recent.Forget(f.Name)
		redirect(w, r, "/ui/?done=removed")
	default:
		d.fail(w, r, http.StatusBadRequest, "There is no such action.")
	}
}
