// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

// awaitLimit is how long a caller may be kept waiting for what becomes of a revision; then he asks again.
const awaitLimit = time.Minute

// rollback has an earlier revision served.
func (g *Gateway) rollback(w http.ResponseWriter, r *http.Request) {
	var q api.RollbackRequest
	if !read(w, r, &q) {
		return
	}
	name := g.key(r)
	before := 0
	if f, err := g.control.Get(name); err == nil {
		before = f.Wanted().Number
	}
	f, err := g.control.Rollback(r.Context(), name, q.To)
	if err != nil {
		failWith(w, name, err)
		return
	}
	reply(w, http.StatusOK, api.DeployReply{Changed: f.Wanted().Number != before, Function: g.function(f), Wanted: revision(f, *f.Wanted())})
}

// revision shows one revision. With ?wait=DURATION it waits so long for it not to be pending any more.
func (g *Gateway) revision(w http.ResponseWriter, r *http.Request) {
	name := g.key(r)
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		fail(w, http.StatusBadRequest, "revision %q is not a number", r.PathValue("number"))
		return
	}
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		if wait, err = units.ParseDuration(text); err != nil {
			fail(w, http.StatusBadRequest, "wait: %v", err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(max(wait, 0), awaitLimit))
	defer cancel()
	go func() {
		select {
		case <-g.opts.Closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	rev, err := g.control.Await(ctx, name, number)
	if err == nil {
		var f *control.Function
		if f, err = g.control.Get(name); err == nil {
			reply(w, http.StatusOK, revision(f, rev))
			return
		}
	} else if _, gone := g.control.Get(name); gone == nil {
		fail(w, http.StatusNotFound, "function %s has no revision %d", name, number)
		return
	}
	failWith(w, name, err)
}
