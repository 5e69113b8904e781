// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/lambda"
	"unifaas.dev/internal/lambda/sigv4"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

// Paths of the Lambda Invoke API.
const (
	lambdaPrefix       = "/2015-03-31/functions/"
	lambdaStreamPrefix = "/2021-11-15/functions/"

	maxClientContext = 3583 // bytes of base64, as in AWS
)

// isSigned are calls that SDKs of AWS sign rather than send a password: newLambdaCall looks at that, when it has the body.
func isSigned(r *http.Request) bool {
	return r.Method == http.MethodPost && sigv4.Claimed(r) && (strings.HasPrefix(r.URL.Path, lambdaPrefix) || strings.HasPrefix(r.URL.Path, lambdaStreamPrefix))
}

func (g *Gateway) routeLambda() {
	g.system.HandleFunc("POST "+lambdaPrefix+"{name}/invocations", g.lambdaInvoke)
	g.system.HandleFunc("POST "+lambdaStreamPrefix+"{name}/response-streaming-invocations", g.lambdaStream)
}

// lambdaCall is one call of the Lambda Invoke API.
type lambdaCall struct {
	g        *Gateway
	w        http.ResponseWriter
	r        *http.Request
	id       string
	arrived  time.Time
	function *control.Function
	body     []byte
	tail     bool
	context  string // the client's, JSON
	inv      *node.Invocation
	status   int
}

// lambdaFail answers with an error as AWS's SDKs understand it.
func (c *lambdaCall) fail(status int, kind, format string, args ...any) {
	h := c.w.Header()
	h.Set("X-Amzn-Errortype", kind)
	h.Set(api.HeaderInternal, "proxy")
	c.status = status
	by := "User"
	if status >= 500 {
		by = "Service"
	}
	reply(c.w, status, map[string]string{"Type": by, "Message": fmt.Sprintf(format, args...)})
}

// newLambdaCall reads a call and who makes it; nil: it has answered.
func (g *Gateway) newLambdaCall(w http.ResponseWriter, r *http.Request) *lambdaCall {
	c := &lambdaCall{g: g, w: w, r: r, id: r.Header.Get(api.HeaderCallID), arrived: time.Now()}
	if !lambda.ValidID(c.id) {
		c.id = newCallID()
	}
	w.Header().Set("X-Amzn-Requestid", c.id)
	w.Header().Set(api.HeaderCallID, c.id)
	var signature *sigv4.Signature
	if g.opts.Auth != nil && !g.opts.Auth.Valid(r) {
		var ok bool
		if signature, ok = sigv4.Parse(r, c.arrived); !ok {
			c.fail(http.StatusForbidden, "UnrecognizedClientException", "sign with the node's user name as access key and its password as secret key, and look at the clock")
			return nil
		}
	}
	if !c.readBody() {
		return nil
	}
	if signature != nil && !signature.Valid(r, c.body, g.opts.Auth.User, g.opts.Auth.Password) {
		c.fail(http.StatusForbidden, "InvalidSignatureException", "the signature does not fit the node's user name and password")
		return nil
	}
	if !c.find(r.PathValue("name"), r.URL.Query().Get("Qualifier")) || !c.readHeaders() {
		return nil
	}
	if len(bytes.TrimSpace(c.body)) == 0 {
		c.body = []byte("{}")
	}
	if !json.Valid(c.body) {
		c.fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return nil
	}
	return c
}

func (c *lambdaCall) readBody() bool {
	rc := http.NewResponseController(c.w)
	rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, lambda.MaxPayload)); err == nil {
		rc.SetReadDeadline(time.Time{})
		return true
	}
	c.w.Header().Set("Connection", "close")
	var large *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &large):
		c.fail(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "the payload is larger than %d bytes", large.Limit)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.fail(http.StatusRequestTimeout, "RequestTimeoutException", "the payload did not come in %v", bodyTimeout)
	default:
		c.fail(http.StatusBadRequest, "InvalidRequestContentException", "payload: %v", err)
	}
	return false
}

// find looks the function up that a name, an ARN or a part of one means.
func (c *lambdaCall) find(ref, qualifier string) bool {
	name, suffix, ok := lambda.ParseName(ref)
	if qualifier == "" {
		qualifier = suffix
	} else if suffix != "" && suffix != qualifier {
		c.fail(http.StatusBadRequest, "InvalidParameterValueException", "the qualifiers %.80q and %.80q contradict each other", suffix, qualifier)
		return false
	}
	if !ok {
		c.fail(http.StatusBadRequest, "ValidationException", "%.200q is no name of a function and no ARN of one", ref)
		return false
	}
	f, err := c.g.control.Resolve(name)
	if err != nil {
		c.g.metrics.Unknown()
		c.fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", lambda.ARN(name))
		return false
	}
	if now := f.Current().Number; qualifier != "" && qualifier != lambda.Latest && qualifier != strconv.Itoa(now) && qualifier != control.RevisionName(f.Name, now) {
		c.fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s:%s: only %s and revision %d are served", lambda.ARN(f.Name), qualifier, lambda.Latest, now)
		return false
	}
	c.function = f
	return true
}

func (c *lambdaCall) readHeaders() bool {
	switch t := c.r.Header.Get("X-Amz-Log-Type"); t {
	case "", "None":
	case "Tail":
		c.tail = true
	default:
		c.fail(http.StatusBadRequest, "InvalidParameterValueException", "log type %.40q: None or Tail", t)
		return false
	}
	text := c.r.Header.Get("X-Amz-Client-Context")
	if text == "" {
		return true
	}
	b, err := base64.StdEncoding.DecodeString(text)
	var compact bytes.Buffer
	if err == nil {
		err = json.Compact(&compact, b)
	}
	if err != nil || len(text) > maxClientContext || bytes.ContainsFunc(compact.Bytes(), func(r rune) bool { return r < ' ' || r == 127 }) {
		c.fail(http.StatusBadRequest, "InvalidRequestContentException", "the client context is no JSON in base64 of at most %d bytes", maxClientContext)
		return false
	}
	c.context = compact.String()
	return true
}

// lambdaInvoke is Invoke of the Lambda API.
func (g *Gateway) lambdaInvoke(w http.ResponseWriter, r *http.Request) {
	c := g.newLambdaCall(w, r)
	if c == nil {
		return
	}
	switch t := r.Header.Get("X-Amz-Invocation-Type"); t {
	case "", "RequestResponse":
		c.invoke()
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		c.later()
	default:
		c.fail(http.StatusBadRequest, "InvalidParameterValueException", "invocation type %.40q: RequestResponse, Event or DryRun", t)
	}
}

// later has the event executed without anybody waiting for the answer: 202 says that it is stored.
func (c *lambdaCall) later() {
	q := c.g.opts.Async
	if q == nil {
		c.fail(http.StatusNotImplemented, "ServiceException", "this node keeps no asynchronous invocations: use invocation type RequestResponse")
		return
	}
	context := "-"
	if c.context != "" {
		context = base64.StdEncoding.EncodeToString([]byte(c.context))
	}
	v := async.Request{
		Function: c.function.Name, Method: http.MethodPost, Path: "/", Host: c.r.Host, Remote: c.r.RemoteAddr, CallID: c.id,
		Header: http.Header{"Content-Type": {"application/json"}, api.HeaderEvent: {context}},
	}
	if trace := c.r.Header.Get("X-Amzn-Trace-Id"); trace != "" {
		v.Header.Set("X-Amzn-Trace-Id", trace)
	}
	switch err := q.Enqueue(c.r.Context(), v, bytes.NewReader(c.body)); {
	case err == nil:
		c.w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, async.ErrFull):
		c.w.Header().Set("Retry-After", "10")
		c.fail(http.StatusTooManyRequests, "TooManyRequestsException", "function %s: %v", c.function.Name, err)
	case errors.Is(err, unix.ENOSPC):
		c.fail(http.StatusInsufficientStorage, "ServiceException", "function %s: %v", c.function.Name, err)
	default:
		c.fail(http.StatusServiceUnavailable, "ServiceException", "function %s: %v", c.function.Name, err)
	}
}

// queuedEvent is what later has stored.
func queuedEvent(id, context string) *node.Event {
	e := &node.Event{ID: id}
	if text, err := base64.StdEncoding.DecodeString(context); err == nil {
		e.ClientContext = string(text)
	}
	return e
}

// outcome is what an invocation came to.
type outcome struct {
	payload []byte
	failed  bool // the function did
}

// invoke is an invocation for whose answer the caller waits.
func (c *lambdaCall) invoke() {
	defer c.count()()
	resp, err := c.send(nil)
	var o outcome
	if err == nil {
		o, err = c.collect(resp)
	}
	if err != nil {
		var ok bool
		if o, ok = c.failure(err); !ok {
			return
		}
	}
	c.inv.End(err != nil) // whoever is slow to take the answer holds no instance
	h := c.w.Header()
	h.Set("X-Amz-Executed-Version", lambda.Latest)
	if o.failed {
		h.Set(lambda.HeaderFunctionError, lambda.Unhandled)
	}
	if c.tail {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(c.log(err == nil)))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(o.payload)))
	c.status = http.StatusOK
	http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(bodyTimeout + c.function.Current().Timeout))
	c.w.Write(o.payload)
}

// count has the call counted and told of, when what it returns is called.
func (c *lambdaCall) count() func() {
	f := c.g.metrics.Function(c.function.Name)
	f.Begin()
	return func() {
		f.End(c.status, time.Since(c.arrived))
		if c.g.opts.Observe != nil && c.inv != nil {
			c.g.opts.Observe(recent.Call{Function: c.function.Name, ID: c.id, Method: http.MethodPost, At: c.arrived, Took: time.Since(c.arrived), Status: c.status, Timing: c.inv.Timing()})
		}
	}
}

// send gives the event to an instance. c.inv has to be ended afterwards, unless there is an error.
func (c *lambdaCall) send(onLimit func()) (*http.Response, error) {
	req, err := http.NewRequestWithContext(c.r.Context(), http.MethodPost, "http://instance/", bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(api.HeaderCallID, c.id)
	req.Header.Set(api.HeaderStart, strconv.FormatInt(c.arrived.UnixNano(), 10))
	if trace := c.r.Header.Get("X-Amzn-Trace-Id"); trace != "" {
		req.Header.Set("X-Amzn-Trace-Id", trace)
	}
	c.inv = c.g.control.Invoke(c.function.Name, c.arrived)
	c.inv.OnLimit = onLimit
	c.inv.Event = &node.Event{ID: c.id, ClientContext: c.context, Tail: c.tail}
	return c.inv.RoundTrip(req)
}

// collect reads an answer whole.
func (c *lambdaCall) collect(resp *http.Response) (outcome, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, lambda.MaxPayload+1))
	if err != nil {
		return outcome{}, err
	}
	if len(text) > lambda.MaxPayload {
		return outcome{lambda.TooLarge().JSON(), true}, nil
	}
	if kind := resp.Trailer.Get(lambda.HeaderErrorType); kind != "" {
		return outcome{lambda.TrailerError(kind, resp.Trailer.Get(lambda.HeaderErrorBody)), true}, nil
	}
	if resp.Header.Get(lambda.HeaderFunctionError) != "" {
		return outcome{text, true}, nil
	}
	if c.function.Current().Contract != control.ContractLambda && resp.StatusCode >= 400 {
		return outcome{lambda.Error{Message: string(text), Type: "HTTP." + strconv.Itoa(resp.StatusCode)}.JSON(), true}, nil
	}
	return outcome{text, false}, nil
}

// failure turns what went wrong into the error of a function, or into one of the API: then it has answered.
func (c *lambdaCall) failure(err error) (outcome, bool) {
	var (
		timeout *node.TimeoutError
		start   *node.StartError
		crash   *node.CrashError
		exit    *node.ExitError
		busy    *node.BusyError
		scarce  *node.ScarceError
	)
	defer func() {
		if c.inv != nil && c.status != 0 {
			c.inv.End(true)
		}
	}()
	name := c.function.Name
	switch {
	case errors.Is(err, context.Canceled):
		c.status = statusLeft
		c.inv.End(true)
		panic(http.ErrAbortHandler) // nobody is there to be told
	case errors.As(err, &timeout):
		return outcome{lambda.TimedOut(c.id, timeout.Limit).JSON(), true}, true
	case errors.As(err, &start) && errors.As(err, &exit):
		return outcome{lambda.InitFailure(c.id, exit.Exit.Last, exit.Exit.Reason), true}, true
	case errors.As(err, &crash):
		return outcome{lambda.Exited(c.id, crash.Exit.Reason).JSON(), true}, true
	case errors.Is(err, node.ErrNoFunction):
		c.fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", lambda.ARN(name))
	case errors.Is(err, node.ErrBusy):
		after := time.Second
		if errors.As(err, &busy) {
			after = busy.After
		}
		c.w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
		c.fail(http.StatusTooManyRequests, "TooManyRequestsException", "function %s: %v", name, err)
	case errors.Is(err, node.ErrClosing), errors.As(err, &scarce):
		c.w.Header().Set("Retry-After", "1")
		c.fail(http.StatusServiceUnavailable, "ServiceException", "function %s: %v", name, err)
	default:
		c.fail(http.StatusBadGateway, "InvalidRuntimeException", "function %s: %v", name, err)
	}
	return outcome{}, false
}
