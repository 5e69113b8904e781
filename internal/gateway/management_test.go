// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

func TestOwnManagement(t *testing.T) {
	ctx := context.Background()
	g := start(t, show, node.Options{})
	if l, err := g.Functions(ctx); err != nil || l == nil || len(l) != 0 {
		t.Errorf("%v %v", l, err)
	}
	if i, err := g.Upload(ctx, "prog", "hello", strings.NewReader("\x7fELF....")); err != nil || i.Program != "/hello" {
		t.Fatal(i, err)
	}
	for _, program := range []string{"../../etc/passwd", "", "..", "a/b"} {
		if i, err := g.Upload(ctx, "", program, strings.NewReader("\x7fELF....")); err != nil || strings.Count(i.Program, "/") != 1 {
			t.Errorf("%q: %v %v", program, i, err)
		}
	}
	var status *client.StatusError
	if _, err := g.Upload(ctx, "prog", "text", strings.NewReader("hello")); !errors.As(err, &status) || status.Status != 400 || status.Text != "text: not an ELF file" {
		t.Errorf("%v", err)
	}
	r, err := g.Deploy(ctx, "f", api.DeployRequest{Image: "prog", Memory: ptr(int64(64 << 20)), Env: map[string]string{"A": "1"}, Min: ptr(1)})
	if err != nil || !r.Created || !r.Changed || r.Function.Revision.Memory != 64<<20 || r.Function.URL != "/function/f" {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := g.AwaitServed(ctx, "f", 1); err != nil {
		t.Fatal(err)
	}
	if r, err = g.Deploy(ctx, "f", api.DeployRequest{TimeoutMS: ptr(int64(1500))}); err != nil || r.Created || !r.Changed || r.Wanted.TimeoutMS != 1500 || r.Function.Revision.TimeoutMS != 30000 || r.Function.Next == nil {
		t.Fatalf("%+v %v", r, err)
	}
	if rev, err := g.AwaitServed(ctx, "f", 2); err != nil || rev.Name != "f-00002" || !rev.Served {
		t.Fatalf("%+v %v", rev, err)
	}
	if r, err = g.Deploy(ctx, "f", api.DeployRequest{}); err != nil || r.Changed {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err = g.Deploy(ctx, "f", api.DeployRequest{TimeoutMS: ptr(int64(1) << 62)}); !errors.As(err, &status) || status.Status != 400 {
		t.Errorf("endless timeout: %v", err)
	}
	d, err := g.Describe(ctx, "f")
	if err != nil || len(d.Revisions) != 2 || d.Revisions[0].Number != 2 {
		t.Fatalf("%+v %v", d, err)
	}
	f, err := g.Scale(ctx, "f", 3)
	if err != nil || f.Min != 3 {
		t.Fatalf("%+v %v", f, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := g.Instances(ctx, "f")
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, i := range l {
			if i.State == "ready" && i.Memory > 0 && i.TenderPID > 0 {
				ready++
			}
		}
		if ready == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l)
		}
	}
	if err := g.Remove(ctx, "f"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"remove": g.Remove(ctx, "f"), "describe": errOf(g.Describe(ctx, "f")), "scale": errOf(g.Scale(ctx, "f", 1)),
		"instances": errOf(g.Instances(ctx, "f")), "logs": g.Logs(ctx, client.LogQuery{Function: "f"}, nil)} {
		if !errors.As(err, &status) || status.Status != 404 || status.Text != "function f is not deployed" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if resp, _ := g.do("PUT", "/unifaas/v1/functions/x", "{", "Content-Type", "application/json"); resp.StatusCode != 400 {
		t.Errorf("bad JSON: %d", resp.StatusCode)
	}
	if resp, _ := g.do("PUT", "/unifaas/v1/functions/x", `{"image":"img"}`, "Origin", "http://evil.example"); resp.StatusCode != 403 {
		t.Errorf("foreign page: %d", resp.StatusCode)
	}
	for host, status := range map[string]int{"evil.example": 403, "evil.example:80": 403, "localhost:1": 200, "127.0.0.1": 200, "[::1]:8080": 200} {
		req, err := http.NewRequest("GET", g.url+"/unifaas/v1/functions", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("as %s: %d", host, resp.StatusCode)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestOpenFaaS(t *testing.T) {
	g := start(t, show, node.Options{})
	want := func(status int, method, path, body string) string {
		t.Helper()
		resp, text := g.do(method, path, body, "Content-Type", "application/json")
		if resp.StatusCode != status {
			t.Errorf("%s %s %s: %d %s, want %d", method, path, body, resp.StatusCode, text, status)
		}
		return text
	}
	if text := want(200, "GET", "/system/functions", ""); strings.TrimSpace(text) != "[]" {
		t.Errorf("empty list is %q", text)
	}
	full := `{"service":"f","image":"img","namespace":"default","envVars":{"A":"1"},"envProcess":"node x","labels":{"com.openfaas.scale.min":"1","com.openfaas.scale.max":"3"},
		"annotations":{"unifaas.dev/timeout":"5s","unifaas.dev/concurrency":"2"},"limits":{"memory":"128Mi","cpu":"100m"}}`
	want(404, "PUT", "/system/functions", full)
	want(202, "POST", "/system/functions", full)
	want(202, "PUT", "/system/functions", full)
	var s struct {
		Name, Image     string
		EnvVars, Labels map[string]string
		Limits          struct{ Memory string }
		InvocationCount float64
		CreatedAt       time.Time
		Usage           *struct{ TotalMemoryBytes float64 }
		Replicas        *int
	}
	if err := json.Unmarshal([]byte(want(200, "GET", "/system/function/f?usage=1", "")), &s); err != nil || s.Name != "f" || s.Image != "img" ||
		s.EnvVars["fprocess"] != "node x" || s.Limits.Memory != "128M" || s.CreatedAt.IsZero() || s.Usage == nil || s.Replicas == nil {
		t.Errorf("%+v %v", s, err)
	}
	f, err := g.control.Get("f")
	if err != nil || f.Scale != (node.Scale{Min: 1, Max: 3, CPU: 100}) || f.Current().Timeout != 5*time.Second || f.Current().Concurrency != 2 {
		t.Errorf("%+v %v", f, err)
	}
	for _, bad := range []string{`{"service":"f"}`, `{"service":"a/b","image":"img"}`, `{"service":"f","image":"none"}`, `{"service":"f","image":"img","secrets":["s"]}`,
		`{"service":"f","image":"img","limits":{"memory":"lots"}}`,
		`{"service":"f","image":"img","namespace":"other"}`, `{"service":"f","image":"img","labels":{"com.openfaas.scale.min":"x"}}`, `nothing`} {
		want(400, "POST", "/system/functions", bad)
	}
	want(202, "POST", "/system/scale-function/f", `{"serviceName":"f","replicas":0}`)
	want(400, "POST", "/system/scale-function/f", `{"serviceName":"f","replicas":-1}`)
	want(400, "POST", "/system/scale-function/f", `{"serviceName":"f"}`)
	want(404, "POST", "/system/scale-function/g", `{"serviceName":"g","replicas":1}`)
	want(404, "GET", "/system/function/g", "")
	want(400, "GET", "/system/functions?namespace=x", "")
	if text := want(200, "GET", "/system/info", ""); !strings.Contains(text, `"provider":"unifaas"`) || !strings.Contains(text, `"arch":"x86_64"`) {
		t.Errorf("info %s", text)
	}
	want(422, "GET", "/system/logs?name=f&tail=x", "")
	want(422, "GET", "/system/logs?tail=1", "")
	want(404, "GET", "/system/logs?name=g", "")
	want(200, "GET", "/system/logs?name=f&tail=5&since=2020-01-01T00:00:00Z", "")
	want(404, "DELETE", "/system/functions", `{"functionName":"g"}`)
	want(202, "DELETE", "/system/functions", `{"functionName":"f","namespace":""}`)
	want(404, "DELETE", "/system/functions", `{"functionName":"f"}`)
}

func TestFollowLogs(t *testing.T) {
	g := start(t, func(_ http.ResponseWriter, r *http.Request) { nodetest.Self(r).Print("saw " + r.URL.Path) }, node.Options{})
	g.deploy("f", api.DeployRequest{})
	g.do("GET", "/function/f/one", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan api.LogLine, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- g.Logs(ctx, client.LogQuery{Function: "f", Tail: -1, Follow: true}, func(l api.LogLine) error {
			if l.Stream == "stdout" {
				got <- l
			}
			return nil
		})
	}()
	if l := <-got; l.Text != "saw /one" || l.Instance == "" || l.Name != "f" {
		t.Errorf("%+v", l)
	}
	g.do("GET", "/function/f/two", "")
	if l := <-got; l.Text != "saw /two" {
		t.Errorf("%+v", l)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// One more follower stays: the shutdown at the end of the test must end it.
	go g.Logs(context.Background(), client.LogQuery{Function: "f", Tail: 0, Follow: true}, func(api.LogLine) error { return nil })
	time.Sleep(20 * time.Millisecond)
}
