// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/erofs/go-erofs"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// secretFile answers with the file that the path names, from the last layer of its instance.
func secretFile(w http.ResponseWriter, r *http.Request) {
	layers := nodetest.Self(r).Tender().Config.Layers
	l, err := erofs.Open(layers[len(layers)-1].File)
	if err == nil {
		var b []byte
		if b, err = fs.ReadFile(l, strings.TrimPrefix(r.URL.Path, "/")); err == nil {
			w.Write(b)
			return
		}
	}
	http.Error(w, err.Error(), 500)
}

func TestSecretsOverHTTP(t *testing.T) {
	g := start(t, secretFile, node.Options{})
	names := func(ns string) string {
		t.Helper()
		text := g.want(200, "GET", "/system/secrets"+ns, "")
		if strings.Contains(text, "alue") {
			t.Errorf("a value is in %s", text)
		}
		var l []api.FunctionSecret
		if err := json.Unmarshal([]byte(text), &l); err != nil || l == nil {
			t.Fatalf("%s: %v", text, err)
		}
		var all []string
		for _, s := range l {
			all = append(all, s.Name+"@"+s.Namespace)
		}
		return strings.Join(all, " ")
	}
	if names("") != "" {
		t.Error("secrets in a new node")
	}
	g.want(201, "POST", "/system/namespace/dev", "")
	g.want(201, "POST", "/system/secrets", `{"name":"text","value":"one"}`)
	g.want(201, "POST", "/system/secrets", `{"name":"raw","namespace":"default","rawValue":"AAEC/w=="}`)
	g.want(201, "POST", "/system/secrets", `{"name":"text","namespace":"dev","value":"dev"}`)
	if a, b := names(""), names("?namespace=dev"); a != "raw@default text@default" || b != "text@dev" {
		t.Errorf("%q %q", a, b)
	}
	g.want(409, "POST", "/system/secrets", `{"name":"text","value":"two"}`)
	g.want(404, "PUT", "/system/secrets", `{"name":"none","value":"two"}`)
	g.want(404, "PUT", "/system/secrets", `{"name":"raw","namespace":"dev","value":"two"}`)
	g.want(404, "DELETE", "/system/secrets", `{"name":"none"}`)
	g.want(400, "GET", "/system/secrets?namespace=none", "")
	for _, bad := range []string{`{`, `{"name":"x"}`, `{"name":"","value":"v"}`, `{"name":"../x","value":"v"}`, `{"name":"a/b","value":"v"}`, `{"name":"x","namespace":"none","value":"v"}`,
		`{"name":"x","rawValue":"!"}`, `{"name":"` + strings.Repeat("x", 10000) + `","value":"v"}`, `{"name":"x","value":"` + strings.Repeat("v", 600<<10) + `"}`, `{"name":"x","value":"` + strings.Repeat("v", 2<<20) + `"}`} {
		g.want(400, "POST", "/system/secrets", bad)
	}

	deploy := func(status int, name, ns, secrets string) {
		t.Helper()
		g.want(status, "POST", "/system/functions", fmt.Sprintf(`{"service":%q,"image":"img","namespace":%q,"secrets":[%s]}`, name, ns, secrets))
	}
	deploy(202, "f", "", `"text","raw","text"`)
	deploy(202, "f", "dev", `"text"`)
	deploy(202, "plain", "", ``)
	deploy(400, "g", "dev", `"raw"`)
	deploy(400, "g", "", `"none"`)
	deploy(400, "g", "", `"../../etc/passwd"`)
	var s api.FunctionStatus
	if err := json.Unmarshal([]byte(g.want(200, "GET", "/system/function/f", "")), &s); err != nil || strings.Join(s.Secrets, " ") != "raw text" {
		t.Errorf("%+v %v", s, err)
	}
	for path, want := range map[string]string{
		"/function/f/var/openfaas/secrets/text": "one", "/function/f/run/secrets/text": "one", "/function/f/run/secrets/raw": "\x00\x01\x02\xff", "/function/f.dev/run/secrets/text": "dev",
	} {
		if got := g.want(200, "GET", path, ""); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	g.want(500, "GET", "/function/plain/run/secrets/text", "") // its only layer is the image

	// Another value comes with new instances.
	g.want(200, "PUT", "/system/secrets", `{"name":"text","value":"two"}`)
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, got := g.do("GET", "/function/f/run/secrets/text", ""); got == want {
				return
			} else if time.Now().After(end) {
				t.Fatalf("the function still has %q, not %q", got, want)
			}
		}
	}
	until("two")
	if got := g.want(200, "GET", "/function/f.dev/run/secrets/text", ""); got != "dev" {
		t.Errorf("the other namespace has %q", got)
	}
	// What is taken away stays with those who have it, and no new instance starts without it.
	g.want(200, "DELETE", "/system/secrets", `{"name":"text","namespace":"dev"}`)
	if got := g.want(200, "GET", "/function/f.dev/run/secrets/text", ""); got != "dev" {
		t.Errorf("after it was taken away: %q", got)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // its invocation may not have ended quite
		if err := g.Dismiss(t.Context(), "f.dev"); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if text := g.want(503, "GET", "/function/f.dev/run/secrets/text", ""); !strings.Contains(text, "secret text") {
		t.Errorf("without its secret: %s", text)
	}
	g.want(201, "POST", "/system/secrets", `{"name":"text","namespace":"dev","value":"again"}`)
	if got := g.want(200, "GET", "/function/f.dev/run/secrets/text", ""); got != "again" {
		t.Errorf("when it is there again: %q", got)
	}
	g.want(202, "DELETE", "/system/functions", `{"functionName":"f","namespace":"dev"}`)
	g.want(409, "DELETE", "/system/namespace/dev", "")
	g.want(200, "DELETE", "/system/secrets", `{"name":"text","namespace":"dev"}`)
	g.want(202, "DELETE", "/system/namespace/dev", "")
}
