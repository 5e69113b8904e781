// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/gateway/api"
)

// Headers of callbacks.
const (
	HeaderCallback = "X-Callback-Url" // in the request: where the answer is wanted
	headerDuration = "X-Duration-Seconds"
	headerFunction = "X-Function-Name"
	headerStatus   = "X-Function-Status"
)

const (
	maxURL        = 2048
	maxRedirects  = 5
	callbackTime  = 60 * time.Second
	callbackReads = 64 << 10 // of what it answers
)

// CheckCallback says in one line what is wrong with a callback address. Names are judged when they are resolved.
func (q *Queue) CheckCallback(text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return fmt.Errorf("callback URL of %d characters, at most %d", len(text), maxURL)
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("callback URL %.80q is not like https://host/path", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("callback URL %.80q: use http or https", shownURL(text))
	}
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return fmt.Errorf("callback URL %.80q: port %.10q", shownURL(text), p)
		}
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	addr, err := netip.ParseAddr(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		addr, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err == nil && !q.o.Callbacks.Allows(netip.AddrPortFrom(addr, uint16(port))) {
		return fmt.Errorf("callback URL %.80q: %w", shownURL(text), &egress.RefusedError{Host: host})
	}
	return nil
}

var errRedirect = errors.New("callback redirects in a way that loses the answer: give its last address")

// newCallbackClient makes the client of callbacks: each connection, those of redirects too, is judged by the address that is dialled.
func newCallbackClient(guard *egress.Guard) *http.Client {
	return &http.Client{
		Timeout: callbackTime,
		Transport: &http.Transport{
			DialContext: guard.DialContext, DisableCompression: true, MaxIdleConnsPerHost: callbackLimit, MaxIdleConns: 256, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0]
			if len(via) > maxRedirects || req.Method != first.Method || first.URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errRedirect
			}
			return nil
		},
	}
}

// deliver sends an answer to its callback address.
func (q *Queue) deliver(r *record, inline []byte) result {
	ctx, cancel := context.WithTimeout(q.ctx, callbackTime)
	defer cancel()
	in, err := q.openBody(ctx, r, inline)
	if err != nil {
		return bodyFailed(err)
	}
	defer in.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(r.Callback), in.reader())
	if err != nil {
		return result{verdict: never, reason: err.Error()}
	}
	req.ContentLength = in.size
	if in.size == 0 {
		req.Body = http.NoBody
	}
	req.GetBody = func() (io.ReadCloser, error) { return in.reader(), nil }
	req.Header = r.header()
	req.Header.Set(api.HeaderCallID, string(r.CallID))
	req.Header.Set(headerDuration, fmt.Sprintf("%.6f", r.Took.Seconds()))
	req.Header.Set(headerFunction, r.Function)
	req.Header.Set(headerStatus, strconv.Itoa(r.Status))
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "unifaas")
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return callbackFailed(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, callbackReads))
	x := result{verdict: done, status: resp.StatusCode, after: retryAfter(resp.Header)}
	if resp.StatusCode/100 == 2 {
		return x
	}
	x.verdict, x.reason = again, "callback answered "+resp.Status
	switch c := resp.StatusCode; {
	case c/100 == 4 && c != http.StatusRequestTimeout && c != http.StatusTooEarly && c != http.StatusTooManyRequests:
		x.verdict = never
	}
	return x
}

func callbackFailed(err error) result {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL may have a password in it
	}
	x := result{verdict: again, reason: "callback: " + err.Error()}
	var refused *egress.RefusedError
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused), errors.Is(err, errRedirect):
		x.verdict = never
	case errors.As(err, &dns):
		x.reason = fmt.Sprintf("callback: host %s is not known", dns.Name)
	}
	return x
}

// shownURL is a callback address without its password.
func shownURL(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return ""
}
