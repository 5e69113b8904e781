// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// directTransport passes requests whose bodies are at hand on in the goroutine of their caller. http.Transport has two others for each stream, and waking
// them costs more than everything else that happens to a small request; it stays for what comes while it is passed on, and for
// other protocols.
type directTransport struct {
	*http.Transport
	dial func(context.Context) (net.Conn, error)
	max  int // streams that are kept

	mu    sync.Mutex
	idle  []*directStream // the one used last at the end
	ends  *time.Timer     // closes those that nobody has used for idleConnLimit; nil: none is there
	close bool            // streams are not kept until the next request
}

// directStream is a stream with what reads and writes it.
type directStream struct {
	*stream
	in    *bufio.Reader
	out   *bufio.Writer
	left  int64 // bytes that may be read
	got   bool  // something was read since the last request
	since time.Time

	raw   syscall.RawConn
	look  func(fd uintptr) bool
	quiet bool // nothing came, at the last look
}

const (
	directBody = 64 << 10 // a body of at most so many bytes fits into what sockets hold: nobody has to read answers meanwhile
	directBuf  = 4 << 10
)

var (
	errLargeHead = fmt.Errorf("its head is larger than %d bytes", maxHeaderBytes)
	errSwitched  = errors.New("it switched protocols without being asked to")
)

// newDirect is for instances whose program accepts connections.
func newDirect(dial func(context.Context) (net.Conn, error), conns int) *directTransport {
	return &directTransport{Transport: newTransport(dial, conns), dial: dial, max: conns}
}

// suits reports whether all of a request is at hand and its answer is nothing special.
func (t *directTransport) suits(req *http.Request) bool {
	atHand := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil && req.ContentLength > 0 && req.ContentLength <= directBody
	return atHand && req.Method != http.MethodConnect && req.Header.Get("Upgrade") == "" && req.Header.Get("Expect") == "" && len(req.Trailer) == 0
}

// RoundTrip is http.RoundTripper's.
func (t *directTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.suits(req) {
		return t.Transport.RoundTrip(req)
	}
	for {
		s, reused, err := t.stream(req.Context())
		if err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.exchange(s, req)
		if err == nil {
			return resp, nil
		}
		// A kept stream may have ended just when the request came: what can be repeated is, on another one.
		if !reused || s.got || req.Context().Err() != nil || !repeatable(req) {
			return nil, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// repeatable reports whether doing what a request asks for twice is as good as once.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return len(req.Header["Idempotency-Key"]) > 0 || len(req.Header["X-Idempotency-Key"]) > 0
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// stream gives a kept stream on which nothing came, or a new one.
func (t *directTransport) stream(ctx context.Context) (s *directStream, reused bool, err error) {
	for {
		t.mu.Lock()
		t.close = false
		s = nil
		if n := len(t.idle); n > 0 {
			s = t.idle[n-1]
			t.idle[n-1] = nil
			t.idle = t.idle[:n-1]
		}
		t.mu.Unlock()
		if s == nil {
			break
		}
		if s.unheard() {
			return s, true, nil
		}
		s.Close() // it has ended, or says what nobody has asked for
	}
	c, err := t.dial(ctx)
	if err != nil {
		return nil, false, err
	}
	s = &directStream{stream: &stream{Conn: c}, out: bufio.NewWriterSize(nil, directBuf)}
	s.in = bufio.NewReaderSize(s, directBuf)
	s.out.Reset(s.stream)
	if sc, ok := c.(syscall.Conn); ok {
		s.raw, _ = sc.SyscallConn()
	}
	var b [1]byte
	s.look = func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		s.quiet = err == unix.EAGAIN
		return true
	}
	return s, false, nil
}

// unheard reports whether a kept stream is as it was left.
func (s *directStream) unheard() bool {
	s.quiet = false
	return s.raw != nil && s.raw.Read(s.look) == nil && s.quiet
}

// Read bounds what may come as the head of an answer.
func (s *directStream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, errLargeHead
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.stream.Read(p)
	s.left -= int64(n)
	s.got = s.got || n > 0
	return n, err
}

// exchange sends a request and reads the head of its answer. The stream is closed unless there is one.
func (t *directTransport) exchange(s *directStream, req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: s.stream})
	}
	s.left, s.got = maxHeaderBytes, false
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	err := req.Write(s.out)
	if err == nil {
		err = s.out.Flush()
	}
	var resp *http.Response
	for err == nil {
		if resp, err = http.ReadResponse(s.in, req); err != nil {
			break
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			err = errSwitched
			break
		}
		if resp.StatusCode < 100 || resp.StatusCode > 199 {
			break
		}
		if trace != nil && trace.Got1xxResponse != nil {
			err = trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header))
		}
	}
	if err != nil {
		stop()
		s.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	s.left = math.MaxInt64
	b := &directAnswer{ReadCloser: resp.Body, t: t, s: s, stop: stop, keep: !resp.Close && !req.Close}
	if resp.Body == http.NoBody {
		b.over(true)
		return resp, nil
	}
	resp.Body = b
	return resp, nil
}

// directAnswer is the body of an answer. Its end gives the stream back.
type directAnswer struct {
	io.ReadCloser
	t    *directTransport
	stop func() bool
	keep bool // the stream

	mu sync.Mutex
	s  *directStream // nil: it was given back
}

func (b *directAnswer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.over(err == io.EOF)
	}
	return n, err
}

// Buffered is how much of it is here already, and what follows it.
func (b *directAnswer) Buffered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s == nil {
		return 0
	}
	return b.s.in.Buffered()
}

// Close gives up what was not read.
func (b *directAnswer) Close() error {
	b.over(false)
	return nil
}

// over gives the stream back, if the answer was read to its end and is all that came.
func (b *directAnswer) over(whole bool) {
	b.mu.Lock()
	s := b.s
	b.s = nil
	b.mu.Unlock()
	if s == nil {
		return
	}
	if b.stop() && whole && b.keep && s.in.Buffered() == 0 && b.t.put(s) {
		return
	}
	s.Close()
}

// put keeps a stream for the next request, unless there are enough.
func (t *directTransport) put(s *directStream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.close || len(t.idle) >= t.max || s.raw == nil {
		return false
	}
	s.since = time.Now()
	t.idle = append(t.idle, s)
	if t.ends == nil {
		t.ends = time.AfterFunc(idleConnLimit, t.expire)
	}
	return true
}

// expire closes the streams that nobody has used for too long: the first ones, as the one used last is used first.
func (t *directTransport) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(t.idle) && now.Sub(t.idle[old].since) >= idleConnLimit {
		t.idle[old].Close()
		old++
	}
	rest := copy(t.idle, t.idle[old:])
	clear(t.idle[rest:])
	if t.idle = t.idle[:rest]; rest == 0 {
		t.ends = nil
		return
	}
	t.ends = time.AfterFunc(idleConnLimit-now.Sub(t.idle[0].since), t.expire)
}

// CloseIdleConnections closes all that are kept, and those in use when they are not any more.
func (t *directTransport) CloseIdleConnections() {
	t.mu.Lock()
	idle := t.idle
	t.idle, t.close = nil, true
	if t.ends != nil {
		t.ends.Stop()
		t.ends = nil
	}
	t.mu.Unlock()
	for _, s := range idle {
		s.Close()
	}
	t.Transport.CloseIdleConnections()
}
