// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// Request is an invocation that is to be executed later.
type Request struct {
	Function string // as the node knows it
	Method   string
	Path     string // escaped, with a slash first
	Query    string
	Host     string
	Remote   string // address of the caller
	Header   http.Header
	CallID   string
	Callback string // URL; empty: nobody wants the answer
}

// Enqueue stores a request. When it returns nil the request is on the disk, and will be executed at least once.
func (q *Queue) Enqueue(ctx context.Context, v Request, body io.Reader) error {
	r := &record{
		ID: NewID(), Kind: kindCall, Function: v.Function, CallID: text(v.CallID), Callback: text(v.Callback), Accepted: time.Now().UTC(),
		Method: v.Method, Path: text(v.Path), Query: text(v.Query), Host: text(v.Host), Remote: v.Remote, Header: texts(endToEnd(v.Header)),
	}
	if validID(v.CallID) && v.Header.Get("X-Call-Id") == "" {
		r.ID = v.CallID // made by the gateway: one id is better than two
	}
	if err := q.o.Engine.Reached(); err != nil {
		return err
	}
	if err := q.o.Engine.Room(maxInline); err != nil {
		return err
	}
	inline, object, size, err := q.readBody(ctx, r.ID, body)
	if err != nil {
		return err
	}
	r.Object, r.Size = object, size
	if err := q.put(ctx, r, inline); err != nil {
		q.dropBody(object)
		return err
	}
	q.Stats(v.Function).Accepted.Add(1)
	return nil
}

// put stores a piece of work and has it begun.
func (q *Queue) put(ctx context.Context, r *record, inline []byte) error {
	m, err := r.message(r.subject(), inline)
	if err != nil {
		return err
	}
	if len(m.Header.Get(headerRecord)) > maxHead {
		return ErrHead
	}
	k := laneKey{r.Kind, r.Function}
	q.announce(k)
	err = q.commit.store(ctx, m)
	q.arrived(k, err)
	return err
}

// endToEnd are the headers that are not of one connection only.
func endToEnd(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for k, l := range h {
		out[k] = l
	}
	for _, l := range h["Connection"] {
		for name := range strings.SplitSeq(l, ",") {
			delete(out, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	for _, k := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Expect", "Content-Length"} {
		delete(out, k)
	}
	return out
}

// backoff is how long to wait after the nth attempt.
func (q *Queue) backoff(n int) time.Duration {
	return min(q.o.Retry<<min(max(0, n-1), 10), lastRetry)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}
