// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"unifaas.dev/internal/basicauth"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

// want sends JSON and compares the status.
func (g *rig) want(status int, method, path, body string) string {
	g.Helper()
	resp, text := g.do(method, path, body, "Content-Type", "application/json")
	if resp.StatusCode != status {
		g.Errorf("%s %s %.200s: %d %s, want %d", method, path, body, resp.StatusCode, text, status)
	}
	return text
}

func TestNamespacesOverHTTP(t *testing.T) {
	g := start(t, show, node.Options{})
	list := func(ns string) string {
		t.Helper()
		var l []api.FunctionStatus
		if err := json.Unmarshal([]byte(g.want(200, "GET", "/system/functions?namespace="+ns, "")), &l); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range l {
			names = append(names, f.Name+"@"+f.Namespace)
		}
		return strings.Join(names, " ")
	}
	if text := g.want(200, "GET", "/system/namespaces", ""); strings.TrimSpace(text) != `["default"]` {
		t.Errorf("namespaces: %s", text)
	}
	g.want(404, "GET", "/system/namespace/dev", "")
	g.want(404, "PUT", "/system/namespace/dev", `{"name":"dev"}`)
	g.want(404, "DELETE", "/system/namespace/dev", `{"name":"dev"}`)
	g.want(400, "POST", "/system/functions", `{"service":"f","image":"img","namespace":"dev"}`)
	g.want(400, "GET", "/system/functions?namespace=dev", "")
	g.want(201, "POST", "/system/namespace/", `{"name":"dev","labels":{"openfaas":"1"}}`)
	g.want(201, "POST", "/system/namespace/test", "")
	g.want(409, "POST", "/system/namespace/dev", `{"name":"dev"}`)
	for _, bad := range []string{`{"name":"../x"}`, `{"name":"a.b"}`, `{`, `{"name":""}`, `{"name":"` + strings.Repeat("x", 10000) + `"}`} {
		g.want(400, "POST", "/system/namespace/", bad)
	}
	g.want(400, "POST", "/system/namespace/one", `{"name":"two"}`)
	g.want(202, "PUT", "/system/namespace/dev", `{"annotations":{"owner":"me"}}`)
	var ns api.FunctionNamespace
	if err := json.Unmarshal([]byte(g.want(200, "GET", "/system/namespace/dev", "")), &ns); err != nil || ns.Name != "dev" || ns.Annotations["owner"] != "me" || ns.Labels != nil {
		t.Errorf("%+v %v", ns, err)
	}
	if text := g.want(200, "GET", "/system/namespaces", ""); strings.TrimSpace(text) != `["default","dev","test"]` {
		t.Errorf("namespaces: %s", text)
	}
	g.want(202, "POST", "/system/functions", `{"service":"f","image":"img"}`)
	g.want(202, "POST", "/system/functions", `{"service":"f","image":"img","namespace":"dev"}`)
	g.want(202, "POST", "/system/functions", `{"service":"only","image":"img","namespace":"dev"}`)
	g.want(400, "POST", "/system/functions", `{"service":"f.dev","image":"img","namespace":"default"}`)
	g.want(404, "PUT", "/system/functions", `{"service":"f","image":"img","namespace":"test"}`)
	if a, b, c := list(""), list("dev"), list("test"); a != "f@default" || b != "f@dev only@dev" || c != "" {
		t.Errorf("%q %q %q", a, b, c)
	}
	for path, status := range map[string]int{
		"/system/function/f?namespace=dev": 200, "/system/function/f.dev": 200, "/system/function/f.dev?namespace=dev": 200, "/system/function/f.dev?namespace=default": 404,
		"/system/function/only": 404, "/system/function/only?namespace=dev": 200, "/system/function/f?namespace=none": 404, "/system/function/f?namespace=default": 200,
		"/system/logs?name=only&namespace=dev": 200, "/system/logs?name=only": 404, "/system/logs?name=only.dev": 200,
		"/function/f": 207, "/function/f.default/x": 207, "/function/f.dev/x": 207, "/function/only": 404, "/function/only.dev": 207, "/function/only.test": 404,
	} {
		g.want(status, "GET", path, "")
	}
	g.want(202, "POST", "/system/scale-function/only", `{"serviceName":"only","replicas":1,"namespace":"dev"}`)
	g.want(404, "POST", "/system/scale-function/only", `{"serviceName":"only","replicas":1}`)
	g.want(409, "DELETE", "/system/namespace/dev", `{"name":"dev"}`)
	g.want(404, "DELETE", "/system/functions", `{"functionName":"only"}`)
	g.want(202, "DELETE", "/system/functions", `{"functionName":"only","namespace":"dev"}`)
	g.want(202, "DELETE", "/system/functions?namespace=dev", `{"functionName":"f"}`)
	g.want(202, "DELETE", "/system/namespace/dev", `{"name":"dev"}`)
	g.want(409, "DELETE", "/system/namespace/default", "")
	if a := list("default"); a != "f@default" {
		t.Errorf("after all: %q", a)
	}
}

// TestMethods: each route of OpenFaaS's interface refuses the methods that it has not.
func TestMethods(t *testing.T) {
	g := start(t, show, node.Options{})
	for path, has := range map[string]string{
		"/system/functions": "GET HEAD POST PUT DELETE", "/system/function/f": "GET HEAD", "/system/scale-function/f": "POST", "/system/info": "GET HEAD",
		"/system/secrets": "GET HEAD POST PUT DELETE", "/system/logs": "GET HEAD", "/system/namespaces": "GET HEAD", "/system/namespace/x": "GET HEAD POST PUT DELETE", "/system/alert": "POST",
	} {
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"} {
			resp, _ := g.do(m, path, "")
			if refused := resp.StatusCode == http.StatusMethodNotAllowed; refused == strings.Contains(has, m) {
				t.Errorf("%s %s: %d", m, path, resp.StatusCode)
			} else if refused && resp.Header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", m, path)
			}
		}
	}
	g.want(404, "GET", "/system/nothing", "")
	g.want(404, "GET", "/system/", "")
}

func TestAuth(t *testing.T) {
	g := startWith(t, show, node.Options{}, func(o *gateway.Options) { o.Auth = &basicauth.Credentials{User: "admin", Password: "pass"} })
	for _, path := range []string{"/system/functions", "/system/info", "/system/nothing", "/unifaas/v1/info", "/unifaas/v1/functions", "/ui", "/", "/2015-03-31/functions/f/invocations"} {
		for _, user := range []string{"", "admin:", "admin:pas", "other:pass", "admin:passs"} {
			req, err := http.NewRequest("GET", g.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if name, password, ok := strings.Cut(user, ":"); ok {
				req.SetBasicAuth(name, password)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Basic realm="Restricted"` {
				t.Errorf("%s as %q: %d %v", path, user, resp.StatusCode, resp.Header)
			}
		}
	}
	if resp, text := g.do("POST", "/system/functions", `{"service":"f","image":"img"}`); resp.StatusCode != 401 || text != "invalid credentials" {
		t.Errorf("deployed without: %d %s", resp.StatusCode, text)
	}
	if resp, _ := g.do("POST", "/system/functions", `{"service":"f","image":"img"}`, "Authorization", "Basic YWRtaW46cGFzcw=="); resp.StatusCode != 202 {
		t.Errorf("with them: %d", resp.StatusCode)
	}
	for path, status := range map[string]int{"/function/f": 207, "/healthz": 200, "/metrics": 200, "/function/g": 404} {
		g.want(status, "GET", path, "")
	}
	if _, err := g.Functions(t.Context()); err == nil || !strings.Contains(err.Error(), "unifaas login") {
		t.Errorf("the client without: %v", err)
	}
	g.SetCredentials(&basicauth.Credentials{User: "admin", Password: "pass"})
	if l, err := g.Functions(t.Context()); err != nil || len(l) != 1 {
		t.Errorf("the client with them: %v %v", l, err)
	}
}

func TestConstraintsAndRequests(t *testing.T) {
	g := start(t, show, node.Options{})
	for _, c := range []string{"kubernetes.io/arch=amd64", "node.platform.os == linux", "node.platform.arch != arm64", "kubernetes.io/os = linux"} {
		g.want(202, "POST", "/system/functions", `{"service":"f","image":"img","constraints":["`+c+`"],"requests":{"memory":"64Mi","cpu":"100m"}}`)
	}
	for _, c := range []string{"kubernetes.io/arch=arm64", "node.platform.os != linux", "kubernetes.io/hostname=other", "gpu", ""} {
		g.want(400, "POST", "/system/functions", `{"service":"f","image":"img","constraints":["`+c+`"]}`)
	}
	g.want(400, "POST", "/system/functions", `{"service":"f","image":"img","requests":{"memory":"much"}}`)
	var s api.FunctionStatus
	if err := json.Unmarshal([]byte(g.want(200, "GET", "/system/function/f", "")), &s); err != nil || len(s.Constraints) != 1 || s.Requests == nil || *s.Requests != (api.FunctionResources{Memory: "64Mi", CPU: "100m"}) {
		t.Errorf("%+v %v", s, err)
	}
}

func TestAlert(t *testing.T) {
	g := start(t, show, node.Options{})
	g.want(202, "POST", "/system/functions", `{"service":"f","image":"img","labels":{"com.openfaas.scale.min":"1","com.openfaas.scale.max":"10"}}`)
	alert := func(status string) int {
		t.Helper()
		g.want(200, "POST", "/system/alert", `{"receiver":"scale-up","status":"`+status+`","alerts":[{"status":"`+status+`","labels":{"alertname":"APIHighInvocationRate","function_name":"f"}}]}`)
		f, err := g.control.Get("f")
		if err != nil {
			t.Fatal(err)
		}
		return f.Scale.Min
	}
	if a, b, c, d := alert("firing"), alert("firing"), alert("resolved"), alert("resolved"); a != 3 || b != 5 || c != 1 || d != 1 {
		t.Errorf("%d %d %d %d", a, b, c, d)
	}
	for range 10 {
		alert("firing")
	}
	if n := alert("firing"); n != 10 {
		t.Errorf("at most %d", n)
	}
	g.want(404, "POST", "/system/alert", `{"status":"firing","alerts":[{"labels":{"function_name":"none"}}]}`)
	g.want(400, "POST", "/system/alert", `nothing`)
}
