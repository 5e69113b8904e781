// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

// call is one invocation as the gateway sees it.
type call struct {
	g        *Gateway
	w        http.ResponseWriter
	r        *http.Request
	function string
	path     string // escaped, as the function is to see it
	id       string
	ours     [3]string // values of our headers: the id, the arrival in unix ns, who serves
	inv      *node.Invocation
	streamed *streamed // the body, if it comes while the function runs
	answered bool      // the head of an answer came
	late     atomic.Bool
	status   int  // of the answer; 0: none yet
	whole    bool // it was passed on to its end

	informing sync.Mutex
	over      bool // the answer is there, or there is none
}

// invoke passes a request to the function that a name means. path is what the function is to see, escaped.
func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, name, path string) {
	arrived := time.Now()
	c := &call{g: g, w: w, r: r, id: r.Header.Get(api.HeaderCallID)}
	if c.id == "" || len(c.id) > 128 {
		c.id = newCallID()
	}
	c.ours = [3]string{c.id, strconv.FormatInt(arrived.UnixNano(), 10), g.served}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		c.fail(http.StatusMethodNotAllowed, "method "+r.Method+" is not supported")
		return
	}
	c.path = path
	var err error
	if c.function, err = url.PathUnescape(name); err == nil {
		var f *control.Function
		if f, err = g.control.Resolve(c.function); err == nil {
			c.function = f.Name
		}
	}
	if err != nil {
		g.metrics.Unknown()
		c.fail(http.StatusNotFound, fmt.Sprintf("function %.200q is not deployed", c.function))
		return
	}
	defer c.count(arrived)()
	if !c.readBody() {
		return
	}
	c.inv = g.control.Invoke(c.function, arrived)
	c.inv.ID, c.inv.OnLimit = c.id, c.limit
	c.inv.Instance = r.Header.Get(api.HeaderInstance)
	if v := r.Header.Get(api.HeaderEvent); v != "" {
		c.inv.Event = queuedEvent(c.id, v)
	}
	done := false
	defer func() {
		c.inv.End(!done) // after a panic of the proxy: the answer broke off
		if done && c.late.Load() {
			http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the connection may have another request
		}
		c.observe(arrived)
	}()
	c.forward()
	done, c.whole = true, true
}

// count has the request counted: now, and when what it returns is called.
func (c *call) count(arrived time.Time) func() {
	f := c.g.metrics.Function(c.function)
	f.Begin()
	return func() { f.End(c.outcome(), time.Since(arrived)) }
}

// outcome is the status that the caller got; 0: not the whole answer.
func (c *call) outcome() int {
	switch {
	case c.whole:
		return c.status
	case c.r.Context().Err() != nil:
		return statusLeft
	}
	return 0
}

// statusLeft is noted where the caller left before the end of the answer.
const statusLeft = 499

// observe tells what became of an invocation.
func (c *call) observe(arrived time.Time) {
	if c.g.opts.Observe == nil || c.status == http.StatusNotFound && !c.answered {
		return // nothing was called
	}
	c.g.opts.Observe(recent.Call{Function: c.function, ID: c.id, Method: c.r.Method, At: arrived, Took: time.Since(arrived), Status: c.outcome(), Timing: c.inv.Timing()})
}

var errStatus = errors.New("no proper answer: its status or version is none of HTTP's")

var silent = log.New(io.Discard, "", 0)

// readBody takes a small body off the connection before an instance is asked for. It has answered when it returns false.
func (c *call) readBody() bool {
	switch n := c.r.ContentLength; {
	case n > maxBody:
		c.hangUp(c.w.Header())
		c.fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("request body of %d bytes, at most %d", n, maxBody))
		return false
	case n == 0:
		c.r.Body = http.NoBody
	case n > 0 && n <= smallBody:
		rc := http.NewResponseController(c.w)
		rc.SetReadDeadline(time.Now().Add(c.g.opts.BodyTimeout))
		body := make([]byte, n)
		if _, err := io.ReadFull(c.r.Body, body); err != nil {
			c.hangUp(c.w.Header())
			status := http.StatusBadRequest
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				status = http.StatusRequestTimeout
			}
			c.fail(status, fmt.Sprintf("request body: %v", err))
			return false
		}
		rc.SetReadDeadline(time.Time{})
		c.r.Body = io.NopCloser(bytes.NewReader(body))
		c.r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	default:
		// In a copy: net/http looks at the body of its own request to see whether some of it is left on the connection, and
		// would take the rest for the caller's next request.
		c.r = c.r.WithContext(c.r.Context())
		c.streamed = &streamed{ReadCloser: http.MaxBytesReader(c.w, c.r.Body, maxBody)}
		c.r.Body = c.streamed
		http.NewResponseController(c.w).EnableFullDuplex()
	}
	return true
}

// streamed is a body that knows whether all of it has been read.
type streamed struct {
	io.ReadCloser
	whole atomic.Bool
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err == io.EOF {
		s.whole.Store(true)
	}
	return n, err
}

// limit interrupts what hangs on the caller when the time limit passes: a body that does not come, an answer not taken.
func (c *call) limit() {
	c.late.Store(true)
	rc := http.NewResponseController(c.w)
	if c.streamed != nil {
		rc.SetReadDeadline(time.Now())
	}
	rc.SetWriteDeadline(time.Now().Add(time.Second))
}

// rewrite makes the request that the function sees.
func (c *call) rewrite(p *httputil.ProxyRequest) {
	out := p.Out
	out.URL.Scheme, out.URL.Host = "http", "instance"
	out.URL.RawPath = c.path
	out.URL.Path, _ = url.PathUnescape(c.path)
	out.URL.RawQuery = p.In.URL.RawQuery // also what net/url would not parse
	out.GetBody = c.r.GetBody
	out.Trailer = p.In.Trailer // not a copy: the trailers come with the end of the body
	h := out.Header
	h.Del("Expect") // the gateway has answered it
	if prior := p.In.Header["X-Forwarded-For"]; len(prior) > 0 {
		h["X-Forwarded-For"] = prior
	}
	p.SetXForwarded()
	h[api.HeaderCallID], h[api.HeaderStart] = c.ours[:1:1], c.ours[1:2:2]
	h.Set("Forwarded", forwarded(p.In))
}

// answer completes the head of the function's answer.
func (c *call) answer(resp *http.Response) error {
	c.answered, c.status = true, resp.StatusCode
	if resp.StatusCode < 100 || resp.StatusCode > 999 || resp.ProtoMajor < 1 || resp.ProtoMajor > 2 {
		return errStatus
	}
	c.head(resp.Header)
	if c.streamed != nil && !c.streamed.whole.Load() && resp.StatusCode != http.StatusSwitchingProtocols {
		c.hangUp(resp.Header) // what is left may be too much to be read only to be forgotten: the caller should know
	}
	t := c.inv.Timing()
	resp.Header.Set(api.HeaderInstance, t.Instance)
	if c.r.Header.Get(api.HeaderTiming) != "" {
		text, err := json.Marshal(api.Timing(t))
		if err != nil {
			return err
		}
		resp.Header.Set(api.HeaderTiming, string(text))
	}
	return nil
}

// hangUp has the connection closed after the answer. Streams of HTTP/2 end one by one.
func (c *call) hangUp(h http.Header) {
	if c.r.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
}

func (c *call) head(h http.Header) {
	h[api.HeaderCallID], h[api.HeaderStart], h[api.HeaderServedBy] = c.ours[:1:1], c.ours[1:2:2], c.ours[2:3:3]
}

// failed turns what went wrong into a status.
func (c *call) failed(w http.ResponseWriter, r *http.Request, err error) {
	var (
		timeout *node.TimeoutError
		start   *node.StartError
		crash   *node.CrashError
		guest   *node.GuestError
		exit    *node.ExitError
		body    *node.RequestError
		scarce  *node.ScarceError
		large   *http.MaxBytesError
	)
	if c.streamed != nil {
		// Nothing more is read from the caller. Closing the body waits for a read that is under way.
		http.NewResponseController(w).SetReadDeadline(time.Now())
		c.hangUp(w.Header())
	}
	status, retry := http.StatusInternalServerError, false
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // nobody is there to be told
	case errors.Is(err, node.ErrNoFunction):
		status, text = http.StatusNotFound, "is not deployed"
	case errors.Is(err, node.ErrNoInstance):
		status, text = http.StatusNotFound, "there is no instance "+c.inv.Instance
	case errors.Is(err, node.ErrBusy):
		status, retry = http.StatusTooManyRequests, true
	case errors.Is(err, node.ErrClosing), errors.As(err, &scarce):
		status, retry = http.StatusServiceUnavailable, true
	case errors.As(err, &timeout):
		status = http.StatusGatewayTimeout
	case errors.As(err, &start):
		status = http.StatusServiceUnavailable
		if errors.As(err, &exit) {
			status = http.StatusBadGateway
		}
	case errors.As(err, &crash), errors.As(err, &guest):
		status = http.StatusBadGateway
	case errors.As(err, &large):
		status, text = http.StatusRequestEntityTooLarge, fmt.Sprintf("request body is larger than %d bytes", large.Limit)
	case errors.As(err, &body):
		status = http.StatusBadRequest
	case errors.Is(err, errStatus):
		status = http.StatusBadGateway
	case c.answered: // with a switch of protocols that nobody asked for
		status = http.StatusBadGateway
	}
	if retry {
		after := time.Second
		var busy *node.BusyError
		if errors.As(err, &busy) {
			after = busy.After
		}
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	c.fail(status, "function "+c.function+": "+text)
}

// fail writes an error of the gateway's own as one line of text: callers of functions are people and scripts.
func (c *call) fail(status int, text string) {
	c.status = status
	h := c.w.Header()
	c.head(h)
	h.Set(api.HeaderInternal, "proxy")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	text = strings.Join(strings.Fields(text), " ") + "\n"
	h.Set("Content-Length", strconv.Itoa(len(text)))
	c.status, c.whole = status, true
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		io.WriteString(c.w, text)
	}
}

// newCallID makes a random UUID.
func newCallID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var text [36]byte
	at := 0
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			text[at] = '-'
			at++
		}
		hex.Encode(text[at:], b[:n])
		at += 2 * n
		copy(b[:], b[n:])
	}
	return string(text[:])
}
