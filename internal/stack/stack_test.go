// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/internal/gateway/api"
)

func TestExpand(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "a", "EMPTY": ""}[name]
		return v, ok
	}
	for text, want := range map[string]string{
		"x ${A} y": "x a y", "${A}${A}": "aa", "${NONE}": "", "${NONE:-d}": "d", "${EMPTY:-d}": "d", "${EMPTY-d}": "", "${A:-d}": "a", "${NONE:-}": "",
		"${NONE:-registry:5000/x:${A}}": "registry:5000/x:a", "${NONE:=d}": "d", "${A:+o}": "o", "${NONE:+o}": "", "$A $ {A} $": "$A $ {A} $", "$${A}": "${A}", "${A:?w}": "a",
		"${NONE:-${NONE:-${A}}}": "a",
		"${":                     "-", "${A": "-", "${}": "-", "${1}": "-", "${NONE:?why}": "-", "${NONE?why}": "-", "${A!x}": "-", "${A\n}": "-", "${A:}": "-",
		strings.Repeat("${N:-", 50) + strings.Repeat("}", 50): "-",
	} {
		got, err := expand(text, env, 0)
		if want == "-" && err == nil || want != "-" && (err != nil || got != want) {
			t.Errorf("%.60q: %q %v, want %q", text, got, err, want)
		}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TAG", "v2")
	write(t, dir+"/env.yml", "environment:\n  FILE: ${TAG}\n  BOTH: file\n")
	write(t, dir+"/src/unifaas.yaml", "base: shell\n")
	path := write(t, dir+"/stack.yml", `
version: 1.0
provider:
  name: openfaas
  gateway: ${GW:-http://127.0.0.1:9999}
functions:
  b:
    lang: golang-middleware
    handler: ./b
    image: ${REG:-ghcr.io/team}/b:${TAG:-latest}
    namespace: dev
    fprocess: ./handler
    environment: {N: 10, T: true, S: text, BOTH: yaml}
    environment_file: [env.yml]
    secrets: [token]
    labels: {com.openfaas.scale.min: 2}
    annotations: {topic: "a"}
    limits: {memory: 64Mi, cpu: 100m}
    requests: {memory: 32Mi}
    constraints: ["node.platform.os == linux"]
    readonly_root_filesystem: true
    build_args: {X: "1"}
    skip_build: true
    typo: 1
  a:
    handler: src
configuration:
  templates: []
`)
	s, err := Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Gateway != "http://127.0.0.1:9999" || len(s.Functions) != 2 || !slices.Equal(s.Ignored, []string{"b.typo"}) {
		t.Fatalf("%+v", s)
	}
	a, b := s.Functions[0], s.Functions[1]
	if a.Service != "a" || a.Source != filepath.Join(dir, "src") || a.Image != "" {
		t.Errorf("%+v", a)
	}
	if b.Service != "b" || b.Source != "" || b.Image != "ghcr.io/team/b:v2" || b.Namespace != "dev" || b.EnvProcess != "./handler" || !b.ReadOnlyRoot ||
		!maps.Equal(b.EnvVars, map[string]string{"N": "10", "T": "true", "S": "text", "BOTH": "file", "FILE": "v2"}) || !slices.Equal(b.Secrets, []string{"token"}) ||
		b.Labels["com.openfaas.scale.min"] != "2" || b.Annotations["topic"] != "a" || *b.Limits != (api.FunctionResources{Memory: "64Mi", CPU: "100m"}) ||
		b.Requests.Memory != "32Mi" || len(b.Constraints) != 1 {
		t.Errorf("%+v", b)
	}
	if s, err := Read(path, []string{"b"}); err != nil || len(s.Functions) != 1 || s.Functions[0].Service != "b" {
		t.Errorf("only one: %+v %v", s, err)
	}
	for name, c := range map[string]struct {
		text, want string
		names      []string
	}{
		"no such":      {"functions: {f: {image: x}}", "no function g", []string{"g"}},
		"no functions": {"version: 1.0", "no functions", nil},
		"provider":     {"provider: {name: kubeless}\nfunctions: {f: {image: x}}", "provider", nil},
		"version":      {"version: 2.0\nfunctions: {f: {image: x}}", "version", nil},
		"yaml":         {"functions: [", "", nil},
		"list":         {"functions: {f: {image: [x]}}", "", nil},
		"no source":    {"functions: {f: {handler: ./none}}", "unifaas.yaml", nil},
		"nothing":      {"functions: {f: {lang: go}}", "neither", nil},
		"no env file":  {"functions: {f: {image: x, environment_file: [none.yml]}}", "none.yml", nil},
		"variable":     {"functions: {f: {image: '${X:?has to be there}'}}", "has to be there", nil},
		"bomb":         {"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\nfunctions: {f: {image: x, y: *f}}", "", nil},
		"large":        {strings.Repeat("#", 2<<20), "larger", nil},
	} {
		_, err := Read(write(t, dir+"/bad.yml", c.text), c.names)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Read(dir+"/none.yml", nil); err == nil {
		t.Error("no file")
	}
}
