// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/lambda"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/units"
)

// Event is what an invocation is that is no HTTP request.
type Event struct {
	ID            string // of the request; empty: one is made
	ClientContext string // JSON
	Tail          bool   // a line "END RequestId: …" in the log marks its end
}

const (
	headerCallID  = "X-Call-Id"
	headerTraceID = "X-Amzn-Trace-Id"
	maxLastWords  = 16 << 10
)

// send passes the request on, in the form that the revision's contract asks for.
func (v *Invocation) send(req *http.Request) (*http.Response, error) {
	t := v.inst.transport
	if !v.pool.spec.Lambda {
		return t.RoundTrip(req)
	}
	if v.Event != nil {
		body, err := readPayload(req)
		if err != nil {
			return nil, err
		}
		if body == nil {
			return tooLarge(req), nil
		}
		return v.event(t, req, v.Event.ID, body)
	}
	id := req.Header.Get(headerCallID)
	if !lambda.ValidID(id) {
		id = newRequestID()
	}
	body, err := readPayload(req)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return tooLarge(req), nil
	}
	if body, err = lambda.HTTPEvent(req, body, v.pool.spec.Function, id, v.arrived); err != nil {
		return nil, err
	}
	if len(body) > lambda.MaxPayload {
		return tooLarge(req), nil
	}
	resp, err := v.event(t, req, id, body)
	if err != nil {
		return nil, err
	}
	return httpAnswer(req, resp)
}

// readPayload reads a body whole; nil: it is too large.
func readPayload(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return []byte{}, nil
	}
	defer req.Body.Close()
	body, err := io.ReadAll(io.LimitReader(req.Body, lambda.MaxPayload+1))
	if err != nil {
		return nil, err
	}
	if len(body) > lambda.MaxPayload {
		return nil, nil
	}
	return body, nil
}

// event gives the bridge an event, and the answer as the runtime gave it.
func (v *Invocation) event(t transport, req *http.Request, id string, body []byte) (*http.Response, error) {
	if !lambda.ValidID(id) {
		id = newRequestID()
	}
	out, err := http.NewRequestWithContext(req.Context(), http.MethodPost, "http://instance/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := out.Header
	h.Set(lambda.HeaderRequestID, id)
	h.Set(lambda.HeaderDeadline, strconv.FormatInt(v.deadline.UnixMilli(), 10))
	h.Set(lambda.HeaderARN, lambda.ARN(v.pool.spec.Function))
	if trace := req.Header.Get(headerTraceID); trace != "" && len(trace) < 1024 {
		h.Set(lambda.HeaderTrace, trace)
	}
	if v.Event != nil {
		if v.Event.ClientContext != "" {
			h.Set(lambda.HeaderClientContext, v.Event.ClientContext)
		}
		if v.Event.Tail {
			h.Set(lambda.HeaderTail, "1")
		}
	}
	resp, err := v.await(t, out)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		drain(resp.Body) // it is short: the event is over
		if resp.Header.Get(lambda.HeaderUnseen) != "" {
			return nil, errUnseen
		}
		return nil, fmt.Errorf("the bridge to its Lambda runtime answered %s", resp.Status)
	}
	resp.Request = req
	return resp, nil
}

// errUnseen is why an event was not executed: its runtime had ended before.
var errUnseen = errors.New("the Lambda runtime has ended")

// staysBusy reports whether an instance is not free when the caller leaves: its runtime goes on with the event, and takes no other one meanwhile.
// A rewind ends whatever it does.
func (s *Spec) staysBusy() bool { return s.Lambda && !s.Rewind && !s.Fresh }

// await is RoundTrip, but for a caller that leaves: then the invocation is an orphan, until the runtime is done with it.
func (v *Invocation) await(t transport, req *http.Request) (*http.Response, error) {
	if !v.pool.spec.staysBusy() {
		return t.RoundTrip(req)
	}
	type answer struct {
		resp *http.Response
		err  error
	}
	came := make(chan answer, 1)
	go func() {
		resp, err := t.RoundTrip(req)
		came <- answer{resp, err}
	}()
	select {
	case a := <-came:
		if a.err == nil {
			a.resp.Body = &eventBody{ReadCloser: a.resp.Body, v: v}
		}
		return a.resp, a.err
	case <-v.caller.Done():
		over := make(chan struct{})
		v.orphan = over
		go func() {
			defer close(over)
			if a := <-came; a.err == nil {
				drain(a.resp.Body)
			}
		}()
		return nil, v.caller.Err()
	}
}

func drain(body io.ReadCloser) {
	io.Copy(io.Discard, body)
	body.Close()
}

// eventBody is an answer. If nobody wants the rest of it, the invocation is an orphan until that has come.
type eventBody struct {
	io.ReadCloser
	v     *Invocation
	ended bool
}

func (b *eventBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

func (b *eventBody) Close() error {
	if b.ended {
		return b.ReadCloser.Close()
	}
	b.ended = true
	over := make(chan struct{})
	b.v.orphan = over
	go func() {
		defer close(over)
		drain(b.ReadCloser)
	}()
	return nil
}

// letGoLater is letGo for an orphan.
func (v *Invocation) letGoLater(counts bool) {
	v.untell()
	p, i, over, deadline, cancel, retire := v.pool, v.inst, v.orphan, v.deadline, v.cancel, v.retire
	v.inst, v.orphan = nil, nil
	p.busy.Add(1)
	go func() {
		defer p.busy.Done()
		<-over
		late := !time.Now().Before(deadline)
		if late && !retire {
			p.timedOut(i)
		}
		cancel()
		p.release(i, outcome{counts: counts, answered: !late, retire: retire || late, tried: true})
	}()
}

// httpAnswer makes an HTTP answer of what a function returned.
func httpAnswer(req *http.Request, resp *http.Response) (*http.Response, error) {
	kind, failed := resp.Header.Get("Content-Type"), resp.Header.Get(lambda.HeaderFunctionError)
	if resp.Header.Get(lambda.HeaderMode) != "" {
		return streamedAnswer(resp, kind)
	}
	defer resp.Body.Close()
	result, err := io.ReadAll(io.LimitReader(resp.Body, lambda.MaxPayload+1))
	if err != nil {
		return nil, err
	}
	if failed != "" {
		return functionError(req, failed), nil
	}
	head, body, err := lambda.HTTPAnswer(result)
	if err != nil {
		return nil, err
	}
	if head.Status == http.StatusNoContent || head.Status == http.StatusNotModified {
		body = nil
	}
	return answerOf(req, head.Status, head.Header, body), nil
}

// functionError is what callers hear of a function that failed: the log says more, and is not for everybody.
func functionError(req *http.Request, kind string) *http.Response {
	return answerOf(req, http.StatusBadGateway, http.Header{"Content-Type": {"application/json"}, lambda.HeaderFunctionError: {kind}},
		[]byte(`{"message":"Internal Server Error"}`+"\n"))
}

func tooLarge(req *http.Request) *http.Response {
	return answerOf(req, http.StatusRequestEntityTooLarge, http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		fmt.Appendf(nil, "the event is larger than %d bytes\n", lambda.MaxPayload))
}

func answerOf(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: req}
}

// streamedAnswer passes a streamed answer on as it comes. Its status and headers may be at its start.
func streamedAnswer(resp *http.Response, kind string) (*http.Response, error) {
	h := http.Header{"Content-Type": {kind}}
	body := &streamedBody{ReadCloser: resp.Body, resp: resp}
	out := &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: -1, Body: body,
		Request: resp.Request}
	if kind != lambda.PreludeType {
		return out, nil
	}
	start := make([]byte, 0, 4096)
	for {
		head, rest, err := lambda.Prelude(start)
		if err == nil && rest > 0 {
			out.StatusCode, out.Header = head.Status, head.Header
			out.Status = fmt.Sprintf("%d %s", head.Status, http.StatusText(head.Status))
			body.start = start[rest:]
			return out, nil
		}
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if len(start) == cap(start) {
			start = append(start, make([]byte, len(start))...)[:len(start)]
		}
		n, err := body.Read(start[len(start):min(cap(start), len(start)+lambda.MaxPrelude)])
		start = start[:len(start)+n]
		if err != nil && n == 0 {
			resp.Body.Close()
			if err == io.EOF {
				err = errors.New("the function's streamed answer ended before its head")
			}
			return nil, err
		}
	}
}

// streamedBody breaks off where the function failed.
type streamedBody struct {
	io.ReadCloser
	resp  *http.Response
	start []byte // what was read before, without the head
}

func (b *streamedBody) Read(p []byte) (int, error) {
	if len(b.start) > 0 {
		n := copy(p, b.start)
		b.start = b.start[n:]
		return n, nil
	}
	n, err := b.ReadCloser.Read(p)
	if kind := b.resp.Trailer.Get(lambda.HeaderErrorType); err == io.EOF && kind != "" {
		err = fmt.Errorf("the function failed amid its answer: %.80s", kind)
	}
	return n, err
}

// lambdaEnv is what functions of AWS find in their environment, beside what the bridge adds.
func lambdaEnv(vars map[string]string, spec Spec) {
	for k, v := range map[string]string{"AWS_REGION": lambda.Region, "AWS_DEFAULT_REGION": lambda.Region} {
		if vars[k] == "" {
			vars[k] = v
		}
	}
	vars["AWS_LAMBDA_FUNCTION_NAME"] = spec.Function
	vars["AWS_LAMBDA_FUNCTION_VERSION"] = lambda.Latest
	vars["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = strconv.FormatInt(spec.Memory/units.MiB, 10)
	vars["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/" + spec.Function
	vars["AWS_LAMBDA_LOG_STREAM_NAME"] = spec.Revision
	vars["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
	if spec.Concurrency > 1 {
		vars["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(spec.Concurrency)
	}
}

// onLine takes what instances print. The last words of one that starts may be the reason why it cannot.
func (p *pool) onLine() func(instance, stream, text string, at time.Time) {
	out := p.output
	if !p.spec.Lambda {
		return out
	}
	return func(instance, stream, text string, at time.Time) {
		out(instance, stream, text, at)
		if stream != logs.Stderr {
			return
		}
		p.mu.Lock()
		if i := p.instances.all[instance]; i != nil && i.state == booting && len(text) <= maxLastWords {
			i.said = text
		}
		p.mu.Unlock()
	}
}

// lastWords completes the error of an instance that did not start.
func (p *pool) lastWords(i *instance, err error) error {
	var exit *ExitError
	if !p.spec.Lambda || !errors.As(err, &exit) {
		return err
	}
	p.mu.Lock()
	exit.Exit.Last = i.said
	p.mu.Unlock()
	if e, ok := lambda.ParseError(exit.Exit.Last); ok {
		exit.Exit.Reason += ": " + strings.Join(strings.Fields(e.Type+": "+e.Message), " ")
	}
	return err
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
