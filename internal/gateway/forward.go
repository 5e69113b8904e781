// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// forward passes the request on and its answer back. httputil.ReverseProxy, which it does the same as, makes half as many things again of each request;
// it is left what switches protocols.
func (c *call) forward() {
	if c.r.Header.Get("Upgrade") != "" {
		proxy := httputil.ReverseProxy{
			Rewrite:        c.rewrite,
			Transport:      c.inv,
			ModifyResponse: c.answer,
			ErrorHandler:   c.failed,
			FlushInterval:  -1, // an answer is passed on as it comes
			BufferPool:     buffers,
			ErrorLog:       silent,
		}
		proxy.ServeHTTP(c.w, c.r)
		return
	}
	out := c.r.WithContext(c.r.Context())
	url := *c.r.URL
	out.URL, out.Header, out.Close = &url, endToEnd(c.r.Header), false
	if te := c.r.Header["Te"]; len(te) > 0 && named(te, "trailers") { // gRPC asks for them
		out.Header["Te"] = []string{"trailers"}
	}
	for _, k := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		delete(out.Header, k)
	}
	if c.r.ContentLength == 0 {
		out.Body = nil
	}
	if out.Body != nil {
		defer out.Body.Close() // nobody reads it when the caller's request is over
	}
	c.rewrite(&httputil.ProxyRequest{In: c.r, Out: out})
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or it would be net/http's
	}
	c.inv.OnInformed = c.informed
	resp, err := c.inv.RoundTrip(out)
	c.informing.Lock()
	c.over = true
	c.informing.Unlock()
	if err != nil {
		c.failed(c.w, out, err)
		return
	}
	defer resp.Body.Close()
	hops(resp.Header)
	if err := c.answer(resp); err != nil {
		c.failed(c.w, out, err)
		return
	}
	c.pass(resp)
}

// informed passes on an answer before the answer. It may be called from elsewhere when nobody waits any more.
func (c *call) informed(code int, header textproto.MIMEHeader) error {
	c.informing.Lock()
	defer c.informing.Unlock()
	if c.over {
		return nil
	}
	h := c.w.Header()
	for k, v := range header {
		h[k] = append(h[k], v...)
	}
	c.w.WriteHeader(code)
	clear(h)
	return nil
}

// pass passes an answer on.
func (c *call) pass(resp *http.Response) {
	h := c.w.Header()
	for k, v := range resp.Header {
		if prior := h[k]; prior != nil {
			v = append(prior, v...)
		}
		h[k] = v
	}
	announced := len(resp.Trailer)
	for k := range resp.Trailer {
		h.Add("Trailer", k)
	}
	c.w.WriteHeader(resp.StatusCode)
	if err := c.copy(resp.Body); err != nil {
		if c.r.Context().Value(http.ServerContextKey) == nil {
			return // somebody in this process, who sees for himself
		}
		http.NewResponseController(c.w).Flush() // what there is
		panic(http.ErrAbortHandler)             // or the answer would look whole
	}
	if len(resp.Trailer) > 0 {
		http.NewResponseController(c.w).Flush() // with a length there would be no trailers
	}
	for k, v := range resp.Trailer {
		if len(resp.Trailer) != announced {
			k = http.TrailerPrefix + k
		}
		h[k] = append(h[k], v...)
	}
}

// copy passes a body on as it comes.
func (c *call) copy(from io.Reader) error {
	if from == http.NoBody {
		return nil
	}
	buf := buffers.Pool.Get().(*[]byte)
	defer buffers.Pool.Put(buf)
	rc := http.NewResponseController(c.w)
	if b, ok := from.(interface{ Buffered() int }); !ok || b.Buffered() == 0 {
		rc.Flush() // the head does not wait for what may take its time
	}
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if _, err := c.w.Write((*buf)[:n]); err != nil {
				return err
			}
			if err == nil { // what is last goes out by itself
				if err := rc.Flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// hopByHop are the headers that are about one connection.
func hopByHop() []string {
	return []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
}

// hops removes what is about one connection, and what that says is.
func hops(h http.Header) {
	for _, f := range h["Connection"] {
		for name := range strings.SplitSeq(f, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, k := range hopByHop() {
		delete(h, k)
	}
}

// endToEnd is a copy of headers without those. The values are shared.
func endToEnd(h http.Header) http.Header {
	out := make(http.Header, len(h)+8)
	for k, v := range h {
		out[k] = slices.Clip(v) // who adds to it makes it its own
	}
	hops(out)
	return out
}

// named reports whether a list of tokens has one.
func named(values []string, token string) bool {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(textproto.TrimString(name), token) {
				return true
			}
		}
	}
	return false
}

// bufferPool lends copy buffers.
type bufferPool struct{ sync.Pool }

var buffers = &bufferPool{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}

func (p *bufferPool) Get() []byte  { return *p.Pool.Get().(*[]byte) }
func (p *bufferPool) Put(b []byte) { p.Pool.Put(&b) }
