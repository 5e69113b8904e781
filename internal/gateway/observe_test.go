// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"io"
	"net/http"
	"testing"

	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

// TestObserved: each invocation is told of once, with what its caller was told.
func TestObserved(t *testing.T) {
	seen := make(chan recent.Call, 100)
	g := startWith(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/half":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}, node.Options{}, func(o *gateway.Options) { o.Observe = func(c recent.Call) { seen <- c } })
	g.deploy("f", api.DeployRequest{})
	g.cold("f")
	g.do("GET", "/function/nobody", "")
	g.do("GET", "/function/f/teapot", "", api.HeaderCallID, "one")
	if c := <-seen; c.Function != "f" || c.ID != "one" || c.Status != http.StatusTeapot || !c.Timing.Cold || c.Took <= 0 || c.Method != "GET" {
		t.Errorf("first: %+v", c)
	}
	g.do("POST", "/function/f/", "body")
	if c := <-seen; c.Status != http.StatusOK || c.Timing.Cold || c.Method != "POST" {
		t.Errorf("second: %+v", c)
	}
	resp, err := http.Get(g.url + "/function/f/half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("half an answer came as a whole one")
	}
	resp.Body.Close()
	if c := <-seen; c.Status != 0 || !c.Failed() {
		t.Errorf("half an answer: %+v", c)
	}
	g.do("TRACE", "/function/f", "")
	g.do("GET", "/function/f", "", api.HeaderInstance, "nobody")
	g.do("GET", "/function/f", "", api.HeaderCallID, "last")
	if c := <-seen; c.ID != "last" {
		t.Errorf("something that reached no function was told of: %+v", c)
	}
}
