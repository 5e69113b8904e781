// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
)

// recorder takes an answer as a connection would, and ends the call when there is more than can be shown.
type recorder struct {
	header http.Header
	status int
	body   []byte
	size   int
	broken bool
	cancel context.CancelFunc
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		r.header = r.header.Clone()
	}
}

var errFull = errors.New("more than is shown")

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.size += len(p)
	r.body = append(r.body, p[:min(len(p), maxAnswer-len(r.body))]...)
	if r.size > maxAnswer {
		r.cancel()
		return 0, errFull
	}
	return len(p), nil
}

// Flush makes it one that streams can be written to.
func (r *recorder) Flush() {}

// serve has a handler answer. One that gives up in the middle says so by a panic, as net/http wants it.
func (r *recorder) serve(h http.Handler, req *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			r.broken = r.size <= maxAnswer
		}
		if r.status == 0 && !r.broken {
			r.WriteHeader(http.StatusOK)
		}
	}()
	h.ServeHTTP(r, req)
}

func sortedKeys(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

// indentJSON makes JSON easier to read; what is none stays as it is.
func indentJSON(s string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil || b.Len() > 2*maxAnswer {
		return s
	}
	return b.String()
}
