// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/gateway/api"
)

const (
	asyncPrefix = "/async-function/"

	maxCallID   = 128
	shownBody   = 64 << 10 // of a dead letter
	deadDefault = 1000     // in a listing
	deadMost    = 10000
	leastRate   = 16 << 10 // bytes a second of a body, on the whole
)

// enqueue takes an invocation for whose answer nobody waits: 202 says that it is stored, and will be executed.
func (g *Gateway) enqueue(w http.ResponseWriter, r *http.Request) {
	v := async.Request{
		Method: r.Method, Query: r.URL.RawQuery, Host: r.Host, Remote: r.RemoteAddr, Header: r.Header, CallID: r.Header.Get(api.HeaderCallID), Callback: r.Header.Get(async.HeaderCallback),
	}
	if v.CallID == "" || len(v.CallID) > maxCallID {
		v.CallID = async.NewID()
		v.Header = r.Header.Clone()
		v.Header.Del(api.HeaderCallID)
	}
	h := w.Header()
	h.Set(api.HeaderCallID, v.CallID)
	h.Set(api.HeaderStart, strconv.FormatInt(time.Now().UnixNano(), 10))
	h.Set(api.HeaderServedBy, g.served)
	if r.Method != http.MethodPost {
		h.Set("Allow", http.MethodPost)
		failText(w, http.StatusMethodNotAllowed, "method %s: asynchronous invocations are made with POST", r.Method)
		return
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), asyncPrefix), "/")
	v.Path = "/" + rest
	function, err := url.PathUnescape(name)
	if err == nil {
		if f, e := g.control.Resolve(function); e == nil {
			v.Function = f.Name
		} else {
			err = e
		}
	}
	q := g.opts.Async
	switch {
	case err != nil:
		failText(w, http.StatusNotFound, "function %.80q is not deployed", function)
		return
	case q == nil:
		failText(w, http.StatusNotImplemented, "this node keeps no asynchronous invocations: use /function/%s", v.Function)
		return
	case r.ContentLength > async.MaxBody:
		h.Set("Connection", "close")
		failText(w, http.StatusRequestEntityTooLarge, "%v", async.ErrTooLarge)
		return
	}
	if v.Callback != "" {
		if err := q.CheckCallback(v.Callback); err != nil {
			failText(w, http.StatusBadRequest, "%v", err)
			return
		}
	}
	in := &steady{r: r.Body, c: http.NewResponseController(w), until: time.Now().Add(g.opts.BodyTimeout)}
	if err := q.Enqueue(r.Context(), v, in); err != nil {
		h.Set("Connection", "close") // some of the body may be left
		failEnqueue(w, v.Function, err)
		return
	}
	in.c.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusAccepted)
}

// steady is a body that has to come at leastRate, after the time that any body has.
type steady struct {
	r     io.Reader
	c     *http.ResponseController
	until time.Time
}

func (s *steady) Read(b []byte) (int, error) {
	s.c.SetReadDeadline(s.until)
	n, err := s.r.Read(b)
	s.until = s.until.Add(time.Duration(n) * time.Second / leastRate)
	return n, err
}

// failEnqueue says why a request was not taken.
func failEnqueue(w http.ResponseWriter, function string, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // nobody is there to be told
	case errors.Is(err, async.ErrFull):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "10")
	case errors.Is(err, async.ErrClosing), errors.Is(err, engine.ErrUnreachable):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	case errors.Is(err, async.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, async.ErrHead):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, unix.ENOSPC):
		status = http.StatusInsufficientStorage
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusRequestTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		status = http.StatusBadRequest
	}
	failText(w, status, "function %s: %v", function, err)
}

// failText writes an error of the gateway's own as one line of text, as callers of functions get it.
func failText(w http.ResponseWriter, status int, format string, args ...any) {
	h := w.Header()
	h.Set(api.HeaderInternal, "proxy")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")+"\n")
}

// routeAsync is the management of what is queued and what could not be done.
func (g *Gateway) routeAsync() {
	with := func(f func(*async.Queue, http.ResponseWriter, *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if g.opts.Async == nil {
				fail(w, http.StatusNotImplemented, "this node keeps no asynchronous invocations")
				return
			}
			f(g.opts.Async, w, r)
		}
	}
	g.system.HandleFunc("GET /unifaas/v1/async", with(g.listAsync))
	g.system.HandleFunc("GET /unifaas/v1/async/{id}", with(showDead))
	g.system.HandleFunc("POST /unifaas/v1/async/{id}/replay", with(func(q *async.Queue, w http.ResponseWriter, r *http.Request) {
		answerDead(w, r, q.Replay(r.Context(), r.PathValue("id")))
	}))
	g.system.HandleFunc("POST /unifaas/v1/async/replay", with(g.replayAll))
	g.system.HandleFunc("DELETE /unifaas/v1/async/{id}", with(func(q *async.Queue, w http.ResponseWriter, r *http.Request) {
		answerDead(w, r, q.Drop(r.Context(), r.PathValue("id")))
	}))
}

// asyncFunction is the key of the function that a listing is about; it may not be deployed any more.
func (g *Gateway) asyncFunction(r *http.Request) string {
	name := r.URL.Query().Get("function")
	if f, err := g.control.Resolve(name); err == nil {
		return f.Name
	}
	return name
}

func (g *Gateway) listAsync(q *async.Queue, w http.ResponseWriter, r *http.Request) {
	limit := deadDefault
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > deadMost {
			fail(w, http.StatusBadRequest, "limit %.40q: choose from 1 to %d", s, deadMost)
			return
		}
		limit = n
	}
	function := g.asyncFunction(r)
	list := api.Async{Queues: []api.AsyncQueue{}, Dead: []api.DeadLetter{}}
	for _, s := range q.Queues() {
		if function == "" || function == s.Function {
			list.Queues = append(list.Queues, api.AsyncQueue(s))
		}
	}
	dead, total, err := q.Dead(r.Context(), function, limit)
	if err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	list.DeadTotal = total
	for _, d := range dead {
		list.Dead = append(list.Dead, deadLetter(d))
	}
	reply(w, http.StatusOK, list)
}

func deadLetter(d async.DeadLetter) api.DeadLetter {
	return api.DeadLetter{
		ID: d.ID, Kind: d.Kind, Function: d.Function, CallID: d.CallID, Callback: d.Callback, Reason: d.Reason, Attempts: d.Attempts, Status: d.Status,
		Accepted: d.Accepted, Died: d.Died, Method: d.Method, Path: d.Path, Size: d.Size, Header: d.Header,
	}
}

func showDead(q *async.Queue, w http.ResponseWriter, r *http.Request) {
	d, start, err := q.Show(r.Context(), r.PathValue("id"), shownBody)
	if err != nil {
		answerDead(w, r, err)
		return
	}
	l := deadLetter(d)
	l.Body = start
	l.Truncated = int64(len(l.Body)) < d.Size
	reply(w, http.StatusOK, l)
}

func (g *Gateway) replayAll(q *async.Queue, w http.ResponseWriter, r *http.Request) {
	n, err := q.ReplayAll(r.Context(), g.asyncFunction(r))
	if err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	reply(w, http.StatusOK, api.Replayed{Replayed: n})
}

func answerDead(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err == nil:
		reply(w, http.StatusOK, struct{}{})
	case errors.Is(err, async.ErrNotFound):
		fail(w, http.StatusNotFound, "there is no dead letter %.80q", r.PathValue("id"))
	case errors.Is(err, async.ErrFull):
		fail(w, http.StatusTooManyRequests, "%v", err)
	default:
		fail(w, http.StatusInternalServerError, "%v", err)
	}
}
