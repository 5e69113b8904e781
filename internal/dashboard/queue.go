// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"errors"
	"net/http"

	"unifaas.dev/internal/async"
)

const shownDead = 200 // dead letters; if there are more they are only counted

// queuePage is what waits, and what could not be done.
type queuePage struct {
	Kept   bool // this node keeps asynchronous invocations
	Queues []async.Status
	Dead   []async.DeadLetter
	Total  int
}

func (d *Dashboard) queue(w http.ResponseWriter, r *http.Request) {
	p := queuePage{Kept: d.opts.Async != nil}
	if p.Kept {
		p.Queues = d.opts.Async.Queues()
		var err error
		if p.Dead, p.Total, err = d.opts.Async.Dead(r.Context(), "", shownDead); err != nil {
			d.fail(w, r, http.StatusInternalServerError, err.Error())
			return
		}
	}
	d.render(w, r, http.StatusOK, "queue", page{Title: "Queue", Section: "queue", Body: p})
}

// judge does with dead letters what a button says.
func (d *Dashboard) judge(w http.ResponseWriter, r *http.Request) {
	if !d.readForm(w, r) {
		return
	}
	q := d.opts.Async
	if q == nil {
		d.fail(w, r, http.StatusNotImplemented, "This node keeps no asynchronous invocations.")
		return
	}
	var err error
	done := "replayed"
	switch form := r.PostForm; {
	case form.Get("all") != "":
		_, err = q.ReplayAll(r.Context(), "")
	case form.Get("replay") != "":
		err = q.Replay(r.Context(), form.Get("replay"))
	case form.Get("drop") != "":
		err, done = q.Drop(r.Context(), form.Get("drop")), "dropped"
	default:
		d.fail(w, r, http.StatusBadRequest, "There is no such action.")
		return
	}
	switch {
	case errors.Is(err, async.ErrNotFound):
		d.fail(w, r, http.StatusNotFound, "There is no such dead letter any more.")
	case err != nil:
		d.fail(w, r, http.StatusInternalServerError, err.Error())
	default:
		redirect(w, r, "/ui/queue?done="+done)
	}
}
