// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// HeaderExitStatus is set in answers of programs that did not end with status 0.
const HeaderExitStatus = "X-Unifaas-Exit-Status"

const (
	// bufferedOutput is how much output waits for the program's exit status. With more the answer begins, as a success; a
	// failure then breaks it off.
	bufferedOutput = 1 << 20
	// maxEnvHeader is the longest header field that a program gets as a variable. maxEnvAll bounds all variables of a request: those
	// of its head come first, header fields as far as there is room.
	maxEnvHeader = 16 << 10
	maxEnvAll    = 60 << 10
)

// stdio is the contract of programs that are run once a request: the body is standard input, standard output is the answer.
type stdio struct {
	spawn func(ctx context.Context, env []string) (Job, error)
}

func (t *stdio) CloseIdleConnections() {}

// RoundTrip runs the program.
func (t *stdio) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	env, ok := requestEnv(req)
	if !ok {
		return tooLong(req), nil
	}
	j, err := t.spawn(ctx, env)
	if err != nil {
		return nil, err
	}
	c := &stream{Conn: j}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c})
	}
	c.writes.Add(2) // from here on a program may have acted
	run := &jobRun{Job: j, ctx: ctx}
	run.stop = context.AfterFunc(ctx, func() { j.Close() })
	go run.send(req.Body)
	head, err := io.ReadAll(io.LimitReader(run, bufferedOutput+1))
	if err != nil {
		run.Close()
		return nil, err
	}
	resp := &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req}
	resp.Header.Set("Content-Type", http.DetectContentType(head))
	if len(head) > bufferedOutput {
		resp.ContentLength = -1
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), &checked{run}), run}
		return resp, nil
	}
	defer run.Close()
	status, err := j.Wait(ctx)
	if err != nil {
		return nil, err
	}
	if status != 0 {
		resp.StatusCode = http.StatusInternalServerError
		resp.Header.Set(HeaderExitStatus, strconv.Itoa(status))
		if len(head) == 0 {
			resp.Header.Set("Content-Type", "text/plain; charset=utf-8")
			head = fmt.Appendf(nil, "the program ended with status %d\n", status)
		}
	}
	resp.Status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	resp.ContentLength = int64(len(head))
	resp.Body = io.NopCloser(bytes.NewReader(head))
	return resp, nil
}

// jobRun is one run of the program with the goroutine that sends its input.
type jobRun struct {
	Job
	ctx  context.Context
	stop func() bool
}

// send passes the body on. A program that does not read it, or has ended, is no failure.
func (r *jobRun) send(body io.ReadCloser) {
	if body != nil {
		defer body.Close()
		if _, err := io.Copy(r.Job, body); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			r.Job.Close() // the caller's side broke off: the program must not take half a body for a whole one
			return
		}
	}
	_ = r.Job.CloseWrite()
}

// Read ends when the program has ended. What it left unread of its input makes that a reset.
func (r *jobRun) Read(p []byte) (int, error) {
	n, err := r.Job.Read(p)
	switch {
	case err == nil || err == io.EOF:
	case r.ctx.Err() != nil:
		err = r.ctx.Err()
	case errors.Is(err, unix.ECONNRESET):
		err = io.EOF
	}
	return n, err
}

// Close kills the program if it still runs. The goroutine may still read from the caller; that ends with the request.
func (r *jobRun) Close() error {
	r.stop()
	return r.Job.Close()
}

// checked turns an end of output with a bad exit status into an error.
type checked struct{ *jobRun }

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.jobRun.Read(p)
	if err == io.EOF {
		status, werr := c.Wait(c.ctx)
		if werr != nil {
			return n, werr
		}
		if status != 0 {
			return n, fmt.Errorf("the program ended with status %d", status)
		}
	}
	return n, err
}

// mayBeVariable refuses header fields whose variable would pass for another one: callers choose them freely.
func mayBeVariable(name string) bool {
	switch name {
	case "Method", "Path", "Query", "Host", "Contentlength": // of the request itself
		return false
	case "Proxy": // many programs take HTTP_PROXY, however it is spelled, as their proxy
		return false
	}
	return !strings.ContainsAny(name, "_=\x00") // X_Real_Ip would be X-Real-Ip
}

// requestEnv is what the program learns of its request: the variables of the classic watchdog of OpenFaaS (Http_Method, Http_Path,
// Http_Query, Http_<Header>) and those of CGI (RFC 3875) that are no headers.
// false: path and query are longer than a program's environment may be.
func requestEnv(req *http.Request) ([]string, bool) {
	path := req.URL.EscapedPath()
	env := []string{
		"Http_Method=" + req.Method, "Http_Path=" + path, "Http_Query=" + req.URL.RawQuery, "Http_Host=" + req.Host,
		"Http_ContentLength=" + strconv.FormatInt(max(req.ContentLength, 0), 10),
		"GATEWAY_INTERFACE=CGI/1.1", "SERVER_PROTOCOL=HTTP/1.1", "REQUEST_METHOD=" + req.Method, "PATH_INFO=" + req.URL.Path,
		"QUERY_STRING=" + req.URL.RawQuery, "CONTENT_TYPE=" + req.Header.Get("Content-Type"),
	}
	if req.ContentLength >= 0 {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(req.ContentLength, 10))
	}
	total := 0
	for _, kv := range env {
		total += len(kv) + 1
	}
	if total > maxEnvAll {
		return nil, false
	}
	for _, k := range slices.Sorted(maps.Keys(req.Header)) {
		kv := "Http_" + strings.ReplaceAll(k, "-", "_") + "=" + strings.Join(req.Header[k], ", ")
		if !mayBeVariable(k) || len(kv) > maxEnvHeader || total+len(kv)+1 > maxEnvAll {
			continue
		}
		total += len(kv) + 1
		env = append(env, kv)
	}
	clean := env[:0]
	for _, kv := range env {
		if !strings.ContainsRune(kv, 0) {
			clean = append(clean, kv)
		}
	}
	return clean, true
}

func tooLong(req *http.Request) *http.Response {
	const text = "path and query are longer than the environment of a program can be\n"
	return &http.Response{StatusCode: http.StatusRequestURITooLong, Status: "414 Request URI Too Long", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)), Request: req}
}
