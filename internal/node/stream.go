// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// stream is a connection to a program that knows whether what was sent has been read.
type stream struct {
	net.Conn
	shared bool         // HTTP/2: other requests are written to it meanwhile
	writes atomic.Int64 // that succeeded, ever
	reset  atomic.Bool
}

func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if n > 0 {
		s.writes.Add(1)
	}
	return n, err
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil && errors.Is(err, unix.ECONNRESET) {
		s.reset.Store(true)
	}
	return n, err
}

// attempt is a request on a stream.
type attempt struct {
	stream *stream
	before int64 // writes of earlier requests
}

// trace learns which stream the transport chooses, the last one if it tries several by itself.
func (a *attempt) trace(informed func(int, textproto.MIMEHeader) error) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{Got1xxResponse: informed, GotConn: func(c httptrace.GotConnInfo) {
		if s, ok := c.Conn.(*stream); ok {
			a.stream, a.before = s, s.writes.Load()
		}
	}}
}

// unseen reports whether no program can have seen the whole request. Preconditions: RoundTrip has failed.
//
// A socket whose other end goes away with bytes unread is reset rather than ended. With a single write that means that
// the end of the request was not read; with several, a program may have acted on the first ones.
func (a *attempt) unseen() bool {
	if a.stream == nil {
		return true // no stream, nothing sent
	}
	sent := a.stream.writes.Load() - a.before
	return sent == 0 || sent == 1 && !a.stream.shared && a.stream.reset.Load()
}
