// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/logs"
)

// logs serves OpenFaaS's log query, which is also the node's own: one JSON object a line, flushed as they come.
func (g *Gateway) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	bad := func(what string) {
		fail(w, http.StatusUnprocessableEntity, "query %s=%q is not valid", what, query.Get(what))
	}
	name := query.Get("name")
	q := logs.Query{Instance: query.Get("instance"), Tail: -1}
	follow := false
	var err error
	if s := query.Get("tail"); s != "" {
		if q.Tail, err = strconv.Atoi(s); err != nil {
			bad("tail")
			return
		}
	}
	if s := query.Get("follow"); s != "" {
		if follow, err = strconv.ParseBool(s); err != nil {
			bad("follow")
			return
		}
	}
	if s := query.Get("since"); s != "" {
		if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
			bad("since")
			return
		}
	}
	if name == "" {
		bad("name")
		return
	}
	f, err := g.find(name, query.Get("namespace"))
	if err != nil {
		failWith(w, shown(name, query.Get("namespace")), err)
		return
	}
	short, namespace := g.control.SplitName(f.Name)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	emit := func(lines []logs.Line) error {
		rc.SetWriteDeadline(time.Now().Add(30 * time.Second)) // a reader that stopped reading
		for _, l := range lines {
			if err := enc.Encode(api.LogLine{Name: short, Namespace: namespace, Instance: l.Instance, Request: l.Request, Timestamp: l.Time, Text: l.Text, Stream: l.Stream}); err != nil {
				return err
			}
		}
		return rc.Flush()
	}
	if !follow {
		emit(g.control.Logs(f.Name, q))
	} else {
		rc.Flush() // the head, so that a caller knows that it is connected
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			select {
			case <-g.opts.Closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		g.control.FollowLogs(ctx, f.Name, q, emit)
	}
	rc.SetWriteDeadline(time.Time{})
}
