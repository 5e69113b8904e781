// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// TestLogsNameRequests: a line is told to be of a request if it can be of no other.
func TestLogsNameRequests(t *testing.T) {
	together, leave := make(chan struct{}), make(chan struct{})
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			together <- struct{}{}
			<-leave
		}
		nodetest.Self(r).Print(r.URL.Path)
	}, node.Options{})
	g.deploy("f", api.DeployRequest{Max: ptr(1), Concurrency: ptr(2)})
	g.do("GET", "/function/f/alone", "", api.HeaderCallID, "first")
	ended := make(chan struct{})
	for _, id := range []string{"second", "third"} {
		go func() {
			req, _ := http.NewRequest("GET", g.url+"/function/f/together", nil)
			req.Header.Set(api.HeaderCallID, id)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- struct{}{}
		}()
	}
	<-together
	<-together // both run
	leave <- struct{}{}
	<-ended
	leave <- struct{}{}
	<-ended
	var got []string
	if err := g.Logs(context.Background(), client.LogQuery{Function: "f", Tail: -1}, func(l api.LogLine) error {
		if l.Stream == "stdout" {
			got = append(got, l.Text+" "+l.Request)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// Of the two that ran together the first printed beside the other; the second when it was alone.
	if len(got) != 3 || got[0] != "/alone first" || got[1] != "/together " || got[2] != "/together second" && got[2] != "/together third" && got[2] != "/together " {
		t.Errorf("%q", got)
	}
}
