// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

const (
	maxForm   = 8 << 20   // of a request typed into a form
	maxAnswer = 256 << 10 // bytes of an answer that are shown; the rest is not asked for
)

// call is the form that calls a function, and what came of it.
type call struct {
	Methods                      []string
	Method, Path, Headers, Input string
	Type                         string // of the content
	Async                        bool
	Answer                       *answer
}

// answer is what a function, or the gateway for it, said.
type answer struct {
	Status  int
	Text    string // of the status
	Took    time.Duration
	Header  []string
	Body    string
	Binary  bool
	Cut     bool
	Broken  bool
	Size    int64
	Own     bool // the gateway answered
	CallID  string
	Timing  *node.Timing
	Chart   startsChart
	Started string
}

func newCall() call {
	return call{Methods: []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}, Method: "GET", Path: "/", Type: "text/plain"}
}

func (d *Dashboard) invokeForm(w http.ResponseWriter, r *http.Request) {
	if f := d.get(w, r); f != nil {
		d.showCall(w, r, http.StatusOK, f.Name, newCall(), "")
	}
}

func (d *Dashboard) showCall(w http.ResponseWriter, r *http.Request, status int, name string, c call, problem string) {
	d.render(w, r, status, "invoke", page{Title: "Invoke " + name, Section: "functions", Tab: "invoke", Name: name, Body: c, Error: problem})
}

func (d *Dashboard) invoke(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil || !d.readForm(w, r) {
		return
	}
	c := newCall()
	c.Method, c.Path, c.Headers, c.Input = r.PostForm.Get("method"), r.PostForm.Get("path"), r.PostForm.Get("headers"), r.PostForm.Get("body")
	c.Type, c.Async = strings.TrimSpace(r.PostForm.Get("type")), r.PostForm.Get("async") != ""
	req, err := c.request(r, f.Name)
	if err != nil {
		d.showCall(w, r, http.StatusBadRequest, f.Name, c, sentence(err.Error()))
		return
	}
	c.Answer = d.send(req)
	d.showCall(w, r, http.StatusOK, f.Name, c, "")
}

// readForm parses the fields that were sent; it has answered when it returns false.
func (d *Dashboard) readForm(w http.ResponseWriter, r *http.Request) bool {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(partTimeout))
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.fail(w, r, http.StatusBadRequest, "The form did not arrive: "+err.Error()+".")
		return false
	}
	rc.SetReadDeadline(time.Time{})
	return true
}

// request makes of the form what the gateway would get from any other caller.
func (c *call) request(from *http.Request, name string) (*http.Request, error) {
	path := c.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	prefix := "/function/"
	if c.Async {
		prefix = "/async-function/"
	}
	target := prefix + name + strings.ReplaceAll(path, " ", "%20")
	if _, err := url.ParseRequestURI(target); err != nil || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return nil, fmt.Errorf("path %q is not one: write it as in an address, like /items?id=3", clip(c.Path))
	}
	body := strings.ReplaceAll(c.Input, "\r\n", "\n") // what browsers make of the lines that were typed
	req, err := http.NewRequestWithContext(from.Context(), c.Method, target, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("method %q is not one", clip(c.Method))
	}
	req.RequestURI = target
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	} else if c.Type != "" {
		req.Header.Set("Content-Type", c.Type)
	}
	for line := range strings.Lines(c.Headers) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, v, ok := strings.Cut(line, ":")
		if k, v = strings.TrimSpace(k), strings.TrimSpace(v); !ok || !token(k) || !visible(v) {
			return nil, fmt.Errorf("header line %q is not of the form Name: value", clip(line))
		}
		req.Header.Add(k, v)
	}
	req.Host, req.RemoteAddr = from.Host, from.RemoteAddr
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	for _, hop := range []string{"Connection", "Upgrade", "Transfer-Encoding", "Content-Length", "Trailer", "Te", "Expect"} {
		req.Header.Del(hop) // they are of a connection, and there is none
	}
	req.Header.Set(api.HeaderTiming, "1")
	return req, nil
}

// token and visible are what HTTP allows as a header's name and value.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// send calls the gateway and keeps what it says.
func (d *Dashboard) send(req *http.Request) *answer {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	rec := &recorder{header: http.Header{}, cancel: cancel}
	start := time.Now()
	rec.serve(d.opts.Gateway, req.WithContext(ctx))
	a := &answer{Status: rec.status, Text: http.StatusText(rec.status), Took: time.Since(start), Body: string(rec.body), Size: int64(rec.size), Cut: rec.size > len(rec.body), Broken: rec.broken,
		Own: rec.header.Get(api.HeaderInternal) != "", CallID: rec.header.Get(api.HeaderCallID)}
	if text := rec.header.Get(api.HeaderTiming); text != "" && !a.Own {
		t := new(node.Timing)
		if json.Unmarshal([]byte(text), t) == nil {
			a.Timing = t
			a.Chart = newStartsChart([]recent.Call{{At: start, Timing: *t}})
			a.Started = originWord(t.Origin)
		}
	}
	rec.header.Del(api.HeaderTiming)
	for _, k := range sortedKeys(rec.header) {
		for _, v := range rec.header[k] {
			a.Header = append(a.Header, k+": "+v)
		}
	}
	a.Binary = !isText(rec.header.Get("Content-Type"), a.Body)
	if a.Binary {
		a.Body = ""
	} else if kind, _, _ := mime.ParseMediaType(rec.header.Get("Content-Type")); !a.Cut && (kind == "application/json" || strings.HasSuffix(kind, "+json")) {
		a.Body = indentJSON(a.Body)
	}
	return a
}

// isText reports whether an answer can be shown.
func isText(kind, body string) bool {
	for n := 0; n < utf8.UTFMax && len(body) > 0 && !utf8.ValidString(body); n++ { // the cut may be within a character
		body = body[:len(body)-1]
	}
	return utf8.ValidString(body) && !strings.ContainsRune(body, 0) && !strings.HasPrefix(kind, "image/") && !strings.HasPrefix(kind, "font/")
}
