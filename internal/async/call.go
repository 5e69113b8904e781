// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"unifaas.dev/internal/gateway/api"
)

// verdict is what an attempt came to.
type verdict int

const (
	done   verdict = iota
	again          // try again later; the number of attempts is limited
	crowd          // nobody is to blame: there is no room. Wait here and try again
	never          // trying again would change nothing
	broken         // the node stops: somebody else, or a later life, is to do it
)

// result is a verdict with its reason.
type result struct {
	verdict verdict
	reason  string
	after   time.Duration // for again and crowd: not before; 0 is for us to choose
	status  int           // of the last answer
}

// crashes is how often a node may end in the middle of one request before the request is held to be the reason.
const crashes = 50

// execute does one piece of work, and reports whether it needs no more attention.
func (q *Queue) execute(l *lane, m jetstream.Msg) (finished bool) {
	r, err := parseRecord(m.Headers())
	if err != nil {
		q.o.Warn(fmt.Sprintf("asynchronous invocation of %s: %v: it is thrown away", l.key.function, err))
		m.Term()
		return true
	}
	tries := 1
	if meta, err := m.Metadata(); err == nil {
		tries = int(meta.NumDelivered)
	}
	s, _ := q.o.Settings(r.Function)
	limit := s.Retries + 1
	stats := q.Stats(r.Function)
	var x result
	if tries > limit+crashes {
		x = result{verdict: never, reason: fmt.Sprintf("the node ended %d times in the middle of it", crashes)}
	} else {
		x = q.attempt(r, m.Data())
	}
	switch x.verdict {
	case done:
		q.forget(m, r)
		if r.Kind == kindCall {
			stats.Done.Add(1)
		} else {
			stats.Delivered.Add(1)
		}
		return true
	case broken:
		m.Nak()
		return false
	case again:
		if tries < limit {
			stats.Retried.Add(1)
			wait := max(q.backoff(tries), min(x.after, lastRetry))
			m.NakWithDelay(wait)
			q.mu.Lock()
			l.later(wait + 10*time.Millisecond)
			q.mu.Unlock()
			return false
		}
	}
	if err := q.bury(r, m.Data(), x, tries); err != nil {
		if q.ctx.Err() == nil {
			q.o.Warn(fmt.Sprintf("asynchronous invocation %s of %s cannot be put away: %v", r.ID, r.Function, err))
		}
		m.NakWithDelay(lastRetry)
		return false
	}
	stats.Dead.Add(1)
	m.Ack()
	return true
}

// forget takes a message that is done out of the queue. Its body goes only when it is certain that nobody will be given the message again.
func (q *Queue) forget(m jetstream.Msg, r *record) {
	if r.Object == "" {
		m.Ack()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), apiLimit)
	defer cancel()
	if m.DoubleAck(ctx) == nil {
		q.dropBody(r.Object)
	}
}

// attempt calls the function, or delivers its answer. While there is no room it waits.
func (q *Queue) attempt(r *record, inline []byte) result {
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	for n := 1; ; n++ {
		var x result
		switch {
		case r.Kind == kindCallback:
			x = q.deliver(r, inline)
		case r.Callback != "" && q.depth(laneKey{kindCallback, r.Function}) >= maxUndeliverd:
			x = result{verdict: crowd, reason: "too many answers of the function wait to be delivered"}
		default:
			x = q.call(r, inline)
		}
		if q.ctx.Err() != nil && x.verdict != done {
			return result{verdict: broken}
		}
		if x.verdict != crowd {
			return x
		}
		if time.Since(r.Accepted) > patience {
			x.verdict = never
			return x
		}
		wait.Reset(max(x.after, min(q.backoff(n), 10*time.Second)))
		select {
		case <-wait.C:
		case <-q.stop:
			return result{verdict: broken}
		}
	}
}

// call has the gateway call the function.
func (q *Queue) call(r *record, inline []byte) result {
	ctx, cancel := context.WithCancel(q.ctx)
	defer cancel()
	// With a server in it the proxy tells an answer that breaks off from a whole one.
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{})
	in, err := q.openBody(ctx, r, inline)
	if err != nil {
		return bodyFailed(err)
	}
	defer in.Close()
	req, err := request(ctx, r, in)
	if err != nil {
		return result{verdict: never, reason: err.Error()}
	}
	w := &answer{head: http.Header{}}
	back := &record{ID: NewID(), Kind: kindCallback, Function: r.Function, CallID: r.CallID, Callback: r.Callback, Accepted: time.Now().UTC()}
	var out *spool
	if r.Callback != "" {
		out = &spool{q: q, name: back.ID}
		w.body = out
	}
	start := time.Now()
	failed := serve(q.handle, w, req)
	took := time.Since(start)
	x := judge(w, failed)
	if out == nil {
		return x
	}
	if out.size > MaxBody && q.ctx.Err() == nil { // the gateway could not pass it on
		x = result{verdict: never, reason: fmt.Sprintf("the answer is longer than %d bytes: no callback takes it", MaxBody)}
	}
	if x.verdict != done {
		out.finish(errors.New(x.reason))
		return x
	}
	text, object, err := out.finish(nil)
	if err == nil {
		back.Object, back.Size = object, out.size
		back.Status, back.Took, back.Header = w.status, took, texts(endToEnd(w.head))
		if err = q.put(q.ctx, back, text); err != nil {
			q.dropBody(object)
		}
	}
	if err != nil {
		return result{verdict: again, reason: "the answer cannot be stored for the callback: " + err.Error()}
	}
	return x
}

func bodyFailed(err error) result {
	if errors.Is(err, errLost) {
		return result{verdict: never, reason: err.Error()}
	}
	return result{verdict: again, reason: err.Error()}
}

// request makes the request as it would have come over a connection.
func request(ctx context.Context, r *record, in *body) (*http.Request, error) {
	path := "/function/" + url.PathEscape(r.Function) + string(r.Path)
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	h := r.header()
	h.Set(api.HeaderCallID, string(r.CallID))
	h.Del(api.HeaderInstance) // it may not be there any more
	h.Del(api.HeaderTiming)
	req := &http.Request{
		Method: r.Method, URL: &url.URL{Path: plain, RawPath: path, RawQuery: string(r.Query)}, RequestURI: path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: in.reader(), ContentLength: in.size, Host: string(r.Host), RemoteAddr: r.Remote,
	}
	if in.size == 0 {
		req.Body = http.NoBody
	}
	return req.WithContext(ctx), nil
}

// serve reports whether the answer broke off. As under a server of net/http, a panic is one request's affair.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (failed bool) {
	defer func() { failed = recover() != nil }()
	h.ServeHTTP(w, r)
	return
}

// judge says what an answer means. What the function itself answers is its answer, whatever the status, unless it says that it is to be asked
// again later; what the gateway says in its place is a failure.
func judge(w *answer, failed bool) result {
	if failed {
		return result{verdict: again, reason: "the answer broke off", status: w.status}
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	after := retryAfter(w.head)
	x := result{verdict: done, after: after, status: w.status}
	if w.head.Get(api.HeaderInternal) == "" {
		if w.status == http.StatusTooManyRequests || w.status == http.StatusServiceUnavailable {
			x.verdict, x.reason = again, fmt.Sprintf("the function answered %d %s", w.status, http.StatusText(w.status))
		}
		return x
	}
	x.reason = strings.Join(strings.Fields(string(w.start)), " ")
	switch {
	case w.status == http.StatusTooManyRequests, w.status == http.StatusServiceUnavailable && w.head.Get("Retry-After") != "":
		x.verdict = crowd
	case w.status >= 500, w.status == http.StatusNotFound, w.status == http.StatusRequestTimeout:
		x.verdict = again
	default:
		x.verdict = never
	}
	return x
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

// answer takes what the gateway answers.
type answer struct {
	head   http.Header
	status int
	body   io.Writer // nil: nobody wants it
	start  []byte    // of the body, for messages
}

func (a *answer) Header() http.Header { return a.head }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
		a.head = a.head.Clone() // what comes later are trailers
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if n := 300 - len(a.start); n > 0 {
		a.start = append(a.start, p[:min(n, len(p))]...)
	}
	if a.body != nil {
		return a.body.Write(p)
	}
	return len(p), nil
}

// Flush has nothing to do.
func (a *answer) Flush() {}
