// SPDX-License-Identifier: Apache-2.0

package async

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// receiver is where callbacks go; status says what it answers.
func newReceiver(t *testing.T, status func(n int) int) *receiver {
	v := &receiver{got: make(chan delivery, 100)}
	var n atomic.Int32
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if s := status(int(n.Add(1))); s != 200 {
			if s/100 == 3 {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(s)
			return
		}
		v.got <- delivery{r.Header, r.Method + " " + r.URL.RequestURI() + " " + string(b)}
	}))
	t.Cleanup(v.Close)
	return v
}

func always(status int) func(int) int { return func(int) int { return status } }

// TestCallback: the answer comes with its status, headers and body, whatever the status and however long.
func TestCallback(t *testing.T) {
	g := newRig(t, "127.0.0.1")
	v := newReceiver(t, always(200))
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("X-Own", "caf\xe9")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.WriteHeader(418)
		w.Write([]byte(strings.Repeat("y", n)))
	})
	for _, n := range []int{0, 10, maxInline, maxInline + 1, 2 << 20} {
		vr := Request{Function: "f.ns", Method: "POST", Path: "/", Query: "n=" + strconv.Itoa(n), CallID: "call " + strconv.Itoa(n), Callback: v.URL + "/done?x=1"}
		if err := g.Enqueue(t.Context(), vr, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		d := <-v.got
		h := d.header
		if d.body != "POST /done?x=1 "+strings.Repeat("y", n) || h.Get("X-Own") != "caf\xe9" || h.Get("X-Hop") != "" || h.Get("X-Function-Status") != "418" ||
			h.Get("X-Function-Name") != "f.ns" || h.Get("X-Call-Id") != vr.CallID || h.Get("Content-Length") != strconv.Itoa(n) {
			t.Errorf("%d bytes: %.100s (%d) %v", n, d.body, len(d.body), h)
		}
		if s, err := strconv.ParseFloat(h.Get("X-Duration-Seconds"), 64); err != nil || s <= 0 {
			t.Errorf("duration %q", h.Get("X-Duration-Seconds"))
		}
	}
	g.empty()
}

// TestCallbackRetries: a receiver that fails is asked again, without another execution; one that refuses is not.
func TestCallbackRetries(t *testing.T) {
	g := newRig(t, "127.0.0.1")
	flaky := newReceiver(t, func(n int) int {
		if n < 3 {
			return 500
		}
		return 200
	})
	moved := newReceiver(t, func(n int) int {
		if n == 1 {
			return 307
		}
		return 200
	})
	refuses, loses, down := newReceiver(t, always(403)), newReceiver(t, always(302)), newReceiver(t, always(500))
	var calls atomic.Int32
	g.serve(func(w http.ResponseWriter, _ *http.Request) { calls.Add(1); io.WriteString(w, "answer") })
	for _, v := range []*receiver{flaky, moved, refuses, loses, down} {
		g.post("f", "", HeaderCallback, v.URL)
	}
	if d := <-flaky.got; d.body != "POST / answer" {
		t.Errorf("%q", d.body)
	}
	if d := <-moved.got; d.body != "POST /elsewhere answer" {
		t.Errorf("after a redirect: %q", d.body)
	}
	for _, d := range g.waitDead(3) {
		want := map[string]string{refuses.URL: "403", loses.URL: "redirects", down.URL: "500"}[d.Callback]
		attempts := map[string]int{refuses.URL: 1, loses.URL: 1, down.URL: 4}[d.Callback]
		if d.Kind != "callback" || !strings.Contains(d.Reason, want) || d.Attempts != attempts || d.Status != 200 || want == "" {
			t.Errorf("%+v", d)
		}
	}
	g.until("counted", func() bool { return calls.Load() == 5 })
	g.empty()
	if calls.Load() != 5 {
		t.Errorf("%d executions of 5 requests", calls.Load())
	}
}

// TestCallbackOfDeadLetter: who waits for an answer hears that there will be none.
func TestCallbackOfDeadLetter(t *testing.T) {
	g := newRig(t, "127.0.0.1")
	v := newReceiver(t, always(200))
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "huge") {
			for range MaxBody>>20 + 1 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					panic(http.ErrAbortHandler)
				}
			}
			return
		}
		platform(w, 504, "time limit")
	})
	id := g.post("f", "", HeaderCallback, v.URL)
	if d := <-v.got; d.header.Get("X-Function-Status") != "504" || !strings.Contains(d.body, "time limit") || d.header.Get("X-Call-Id") != id {
		t.Errorf("%+v", d)
	}
	g.post("huge", "", HeaderCallback, v.URL)
	if d := <-v.got; !strings.Contains(d.body, "longer than") {
		t.Errorf("%+v", d)
	}
	g.waitDead(2)
	g.empty()
}

// TestCallbackAddresses: nobody has this node reach what only it can reach.
func TestCallbackAddresses(t *testing.T) {
	g := newRig(t)
	for _, bad := range []string{
		"", "x", "/path", "//host", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///x", "gopher://127.0.0.1:1/", "javascript:1", "http:example.com",
		"http://127.0.0.1/", "http://127.1.2.3:8080/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://localhost/", "http://LOCALHOST.:80/", "http://a.localhost/",
		"http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://[fd00:ec2::254]/", "http://[fe80::1%25eth0]/",
		"http://0.0.0.0/", "http://[::]/", "http://100.100.100.200/", "http://168.63.129.16/", "http://[64:ff9b::7f00:1]/", "http://example.com:0/", "http://example.com:99999/",
		"http://example.com/" + strings.Repeat("x", maxURL), "http://a b/", "http://[::1", "https://user:pw@127.0.0.1/",
	} {
		if err := g.CheckCallback(bad); err == nil {
			t.Errorf("%.100q is taken", bad)
		}
	}
	for _, good := range []string{"http://example.com", "https://example.com:8443/a?b=c", "http://8.8.8.8/", "https://user:pw@example.com/", "http://[2606:4700::1111]:8080/"} {
		if err := g.CheckCallback(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	// What gets around the first look is refused where the connection is made: a name of this machine, and a redirect to it.
	var reached atomic.Int32
	local := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer local.Close()
	g.serve(func(http.ResponseWriter, *http.Request) {})
	g.post("f", "", HeaderCallback, local.URL)
	port := local.URL[strings.LastIndexByte(local.URL, ':'):]
	for _, odd := range []string{"http://2130706433" + port, "http://0x7f000001" + port, "http://127.1" + port, "http://017700000001" + port} {
		g.post("f", "", HeaderCallback, odd)
	}
	g.waitDead(5)
	if reached.Load() != 0 {
		t.Error("this machine's loopback was reached")
	}
}

// TestCallbackRedirectsHome: each connection is judged, not only the first.
func TestCallbackRedirectsHome(t *testing.T) {
	var reached atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer private.Close()
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, private.URL, http.StatusTemporaryRedirect)
	}))
	defer public.Close()
	u, err := url.Parse(public.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, "tcp/127.0.0.1:"+u.Port())
	g.serve(func(http.ResponseWriter, *http.Request) {})
	g.post("f", "", HeaderCallback, public.URL)
	if d := g.waitDead(1)[0]; d.Attempts != 1 || !strings.Contains(d.Reason, "may be reached") || reached.Load() != 0 {
		t.Errorf("%+v, reached %d times", d, reached.Load())
	}
}
