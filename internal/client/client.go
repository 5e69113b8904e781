// SPDX-License-Identifier: Apache-2.0

// Package client is the command line's side of a gateway: its management interface and invocations.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"unifaas.dev/internal/basicauth"
	"unifaas.dev/internal/gateway/api"
)

// Environment variable and default for the gateway's address.
const (
	AddressEnv     = "UNIFAAS_GATEWAY"
	DefaultAddress = "http://127.0.0.1:8080"
)

// Client talks to one gateway.
type Client struct {
	base string
	http *http.Client
	auth *basicauth.Credentials // nil: none
}

// New makes a client for an address: http://HOST:PORT, or HOST:PORT.
func New(address string) (*Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("gateway address %q is not like %s", address, DefaultAddress)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // a node is on this machine or in this network
	transport.DisableCompression = true
	return &Client{base: strings.TrimRight(u.Scheme+"://"+u.Host+u.Path, "/"), http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Status int
	Text   string
}

func (e *StatusError) Error() string { return e.Text }

// do sends a request and gives an answer of 2xx; the caller closes its body.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.auth != nil {
		req.SetBasicAuth(c.auth.User, c.auth.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, statusError(resp)
	}
	return resp, nil
}

// explain makes one line of a connection's error, with what to do about it.
func (c *Client) explain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no gateway at %s: start one with 'unifaas up', or name another with --gateway", c.base)
	case errors.As(err, &dns):
		return fmt.Errorf("no gateway at %s: host %s is not known", c.base, dns.Name)
	}
	return fmt.Errorf("gateway %s: %w", c.base, err)
}

func statusError(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusUnauthorized {
		return &StatusError{resp.StatusCode, "gateway wants another user name and password: use 'unifaas login', or set $" + UserEnv + " and $" + PasswordEnv}
	}
	var e api.Error
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		e.Error = strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
		if len(e.Error) > 500 {
			e.Error = e.Error[:500] + "…"
		}
	}
	if e.Error == "" {
		e.Error = "gateway answered " + resp.Status
	}
	return &StatusError{resp.StatusCode, e.Error}
}

// call sends in as JSON, unless it is nil, and parses the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	kind := ""
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	resp, err := c.do(ctx, method, path, body, kind)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		io.Copy(io.Discard, resp.Body)
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("gateway %s: answer is not what was expected (%w): is it another program?", c.base, err)
	}
	return nil
}

func functionPath(name string) string { return "/unifaas/v1/functions/" + url.PathEscape(name) }

// Info says what the gateway is.
func (c *Client) Info(ctx context.Context) (i api.Info, err error) {
	return i, c.call(ctx, http.MethodGet, "/unifaas/v1/info", nil, &i)
}

// Functions lists functions.
func (c *Client) Functions(ctx context.Context) (l []api.Function, err error) {
	return l, c.call(ctx, http.MethodGet, "/unifaas/v1/functions", nil, &l)
}

// Describe says all about a function.
func (c *Client) Describe(ctx context.Context, name string) (d api.Description, err error) {
	return d, c.call(ctx, http.MethodGet, functionPath(name), nil, &d)
}

// Deploy makes or changes a function.
func (c *Client) Deploy(ctx context.Context, name string, q api.DeployRequest) (r api.DeployReply, err error) {
	return r, c.call(ctx, http.MethodPut, functionPath(name), q, &r)
}

// Remove takes a function away.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, functionPath(name), nil, nil)
}

// Scale sets how many instances are kept.
func (c *Client) Scale(ctx context.Context, name string, instances int) (f api.Function, err error) {
	return f, c.call(ctx, http.MethodPost, functionPath(name)+"/scale", api.ScaleRequest{Instances: instances}, &f)
}

// Instances lists instances, of all functions with an empty name.
func (c *Client) Instances(ctx context.Context, function string) (l []api.Instance, err error) {
	return l, c.call(ctx, http.MethodGet, "/unifaas/v1/instances?function="+url.QueryEscape(function), nil, &l)
}

// Dismiss ends the tender of a function in which nothing runs.
func (c *Client) Dismiss(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/unifaas/v1/functions/"+url.PathEscape(name)+"/tender", nil, nil)
}

// Park parks the instances of a function that run nothing, now, and says how many still run.
func (c *Client) Park(ctx context.Context, name string) (running int, err error) {
	var r api.ParkReply
	err = c.call(ctx, http.MethodPost, "/unifaas/v1/functions/"+url.PathEscape(name)+"/park", nil, &r)
	return r.Running, err
}

// SomeInstances leaves out parked ones of revisions that have more than so many of them.
func (c *Client) SomeInstances(ctx context.Context, function string, parked int) (l []api.Instance, err error) {
	return l, c.call(ctx, http.MethodGet, "/unifaas/v1/instances?function="+url.QueryEscape(function)+"&parked="+strconv.Itoa(parked), nil, &l)
}

// Memory says what instances, shells, snapshots and parked instances take.
func (c *Client) Memory(ctx context.Context) (m api.Memory, err error) {
	return m, c.call(ctx, http.MethodGet, "/unifaas/v1/memory", nil, &m)
}

// Images lists images.
func (c *Client) Images(ctx context.Context) (l []api.Image, err error) {
	return l, c.call(ctx, http.MethodGet, "/unifaas/v1/images", nil, &l)
}

// Upload makes an image of a program of the given file name. An empty image name leaves it unnamed.
func (c *Client) Upload(ctx context.Context, image, program string, from io.Reader) (i api.Image, err error) {
	q := url.Values{"program": {program}}
	if image != "" {
		q.Set("name", image)
	}
	resp, err := c.do(ctx, http.MethodPost, "/unifaas/v1/images?"+q.Encode(), from, "application/octet-stream")
	if err != nil {
		return i, err
	}
	defer resp.Body.Close()
	return i, json.NewDecoder(resp.Body).Decode(&i)
}

// LogQuery chooses lines of a log.
type LogQuery struct {
	Function string
	Instance string
	Tail     int // below 0: all
	Since    time.Duration
	Follow   bool
}

// Logs passes lines to emit as they come.
func (c *Client) Logs(ctx context.Context, q LogQuery, emit func(api.LogLine) error) error {
	v := url.Values{"name": {q.Function}, "tail": {strconv.Itoa(q.Tail)}, "follow": {strconv.FormatBool(q.Follow)}}
	if q.Instance != "" {
		v.Set("instance", q.Instance)
	}
	if q.Since > 0 {
		v.Set("since", time.Now().Add(-q.Since).UTC().Format(time.RFC3339))
	}
	resp, err := c.do(ctx, http.MethodGet, "/unifaas/v1/logs?"+v.Encode(), nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var l api.LogLine
		switch err := dec.Decode(&l); {
		case err == io.EOF:
			return nil
		case err != nil && ctx.Err() != nil:
			return nil // the reader had enough
		case err != nil:
			return fmt.Errorf("gateway %s: log broke off: %w", c.base, err)
		}
		if err := emit(l); err != nil {
			return err
		}
	}
}

// Invocation is a request to a function.
type Invocation struct {
	Function    string
	Method      string
	Path        string // with query
	Body        io.Reader
	Length      int64 // of Body; below 0: not known
	ContentType string
	Header      http.Header
	Timing      bool
	Async       bool // only have it stored: the answer is 202 without a body
}

// Result is its answer. The caller closes Body.
type Result struct {
	Status int
	Header http.Header
	Body   io.ReadCloser
	Own    bool        // the gateway answered, not the function
	Timing *api.Timing // nil: not asked for, or the gateway answered
	Took   time.Duration
}

// Invoke calls a function.
func (c *Client) Invoke(ctx context.Context, v Invocation) (*Result, error) {
	start := time.Now()
	path := strings.ReplaceAll(strings.TrimPrefix(v.Path, "/"), " ", "%20") // net/url leaves spaces in queries, and they end a request line
	prefix := "/function/"
	if v.Async {
		prefix = "/async-function/"
	}
	req, err := http.NewRequestWithContext(ctx, v.Method, c.base+prefix+url.PathEscape(v.Function)+"/"+path, v.Body)
	if err != nil {
		return nil, err
	}
	if v.Body != nil {
		req.ContentLength = v.Length
	}
	for k, l := range v.Header {
		req.Header[k] = l
	}
	if host := v.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if v.ContentType != "" {
		req.Header.Set("Content-Type", v.ContentType)
	}
	if v.Timing {
		req.Header.Set(api.HeaderTiming, "1")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	r := &Result{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body, Own: resp.Header.Get(api.HeaderInternal) != "", Took: time.Since(start)}
	if text := resp.Header.Get(api.HeaderTiming); text != "" && !r.Own {
		r.Timing = new(api.Timing)
		if err := json.Unmarshal([]byte(text), r.Timing); err != nil {
			r.Timing = nil
		}
	}
	return r, nil
}
