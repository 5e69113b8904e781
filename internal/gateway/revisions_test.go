// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

func TestRevisions(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(nodetest.Self(r).Tender().Config.Name))
	}, node.Options{})
	g.run.OnBoot = func(_ context.Context, i *nodetest.Guest) error {
		for _, kv := range i.Tender().Config.Env {
			if kv == "BAD=1" {
				i.End(node.Exit{Kind: node.ExitNormal, Status: 1, Reason: "exit status 1"})
			}
		}
		return nil
	}
	ctx := t.Context()
	answers := func(want string) {
		t.Helper()
		if resp, text := g.do("GET", "/function/f", ""); resp.StatusCode != 200 || text != want {
			t.Errorf("%d %q, want %q", resp.StatusCode, text, want)
		}
	}
	g.deploy("f", api.DeployRequest{})
	g.deploy("f", api.DeployRequest{Env: map[string]string{"GOOD": "1"}})
	answers("f-00002")
	r, err := g.Deploy(ctx, "f", api.DeployRequest{Env: map[string]string{"BAD": "1"}})
	if err != nil || r.Wanted.Number != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	var bad *client.RevisionError
	if _, err := g.AwaitServed(ctx, "f", 3); !errors.As(err, &bad) ||
		err.Error() != "function f: revision f-00003 failed: cannot start: exit status 1; f-00002 goes on (see 'unifaas logs f')" {
		t.Error(err)
	}
	answers("f-00002")
	if r, err = g.Rollback(ctx, "f", 0); err != nil || !r.Changed || r.Wanted.Number != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := g.AwaitServed(ctx, "f", 1); err != nil {
		t.Error(err)
	}
	answers("f-00001")
	d, err := g.Describe(ctx, "f")
	if err != nil || len(d.Revisions) != 3 || d.Revisions[0].State != "failed" || d.Revisions[0].Served || d.Revisions[1].State != "ready" || !d.Revisions[2].Served || d.Next != nil {
		t.Errorf("%+v %v", d, err)
	}
	// The first one.
	r, err = g.Deploy(ctx, "new", api.DeployRequest{Image: "img", Env: map[string]string{"BAD": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.AwaitServed(ctx, "new", 1); err == nil || err.Error() != "function new: revision new-00001 failed: cannot start: exit status 1 (see 'unifaas logs new')" {
		t.Error(err)
	}
	for path, want := range map[string]int{
		"/unifaas/v1/functions/f/revisions/1":                    200,
		"/unifaas/v1/functions/f/revisions/4":                    404,
		"/unifaas/v1/functions/f/revisions/x":                    400,
		"/unifaas/v1/functions/f/revisions/99999999999999999999": 400,
		"/unifaas/v1/functions/f/revisions/1?wait=soon":          400,
		"/unifaas/v1/functions/f/revisions/1?wait=1h":            200,
		"/unifaas/v1/functions/nosuch/revisions/1?wait=1s":       404,
	} {
		if resp, text := g.do("GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, text, want)
		}
	}
	for body, want := range map[string]int{`{"to": 7}`: 400, `{"to": -1}`: 400, `{"to": "x"}`: 400, `{`: 400, `{"to": 1}`: 200} {
		if resp, text := g.do("POST", "/unifaas/v1/functions/f/rollback", body); resp.StatusCode != want || !strings.Contains(text, "\"") {
			t.Errorf("%s: %d %s, want %d", body, resp.StatusCode, text, want)
		}
	}
	if _, err := g.Rollback(ctx, "nosuch", 0); err == nil || !strings.Contains(err.Error(), "not deployed") {
		t.Error(err)
	}
}
