// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// protocols passes each request to a program in the protocol that suits both.
type protocols struct {
	transport      // HTTP/1.1
	always    bool // h2c, whatever can be
	make      func() *http.Transport

	once sync.Once
	h2   atomic.Pointer[http.Transport] // HTTP/2 without TLS; nil: not needed so far
}

// newProtocols adds HTTP/2 to a transport. conns as for newTransport.
func newProtocols(t transport, dial func(context.Context) (net.Conn, error), conns int, always bool) *protocols {
	return &protocols{transport: t, always: always, make: func() *http.Transport {
		h2 := newTransport(dial, conns)
		h2.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return &stream{Conn: c, shared: true}, nil
		}
		h2.Protocols = new(http.Protocols)
		h2.Protocols.SetUnencryptedHTTP2(true)
		h2.DisableKeepAlives = conns < 0
		return h2
	}}
}

func (t *protocols) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Upgrade") == "" && (t.always || isGRPC(req)) {
		t.once.Do(func() { t.h2.Store(t.make()) })
		return t.h2.Load().RoundTrip(req)
	}
	return t.transport.RoundTrip(req)
}

// isGRPC reports whether a request makes sense over HTTP/2 only.
func isGRPC(req *http.Request) bool {
	kind := req.Header.Get("Content-Type")
	return req.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;"))
}

func (t *protocols) CloseIdleConnections() {
	if h2 := t.h2.Load(); h2 != nil {
		h2.CloseIdleConnections()
	}
	t.transport.CloseIdleConnections()
}
