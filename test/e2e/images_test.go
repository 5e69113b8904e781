// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

// post calls a function with a body.
func post(t *testing.T, n *childnode.Node, name, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(n.URL(name), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// roomy is enough for any runtime on a slow machine.
func roomy() api.DeployRequest {
	memory, timeout := int64(512<<20), (2 * time.Minute).Milliseconds()
	return api.DeployRequest{Memory: &memory, TimeoutMS: &timeout}
}

// TestExamplesWithBases: each example that is a folder, deployed as its README says.
func TestExamplesWithBases(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	root := testkit.Root(t)
	testkit.Built(t, "build/examples/node-json/server.js", "examples")
	for _, c := range []struct {
		name, source, body string
		status             int
		want               map[string]any
	}{
		{"python-hello", "examples/python-hello", "", 200, map[string]any{"message": "Hello from Python"}},
		{"python-hello", "", "ping", 200, map[string]any{"body": "ping"}},
		{"python-numpy", "examples/python-numpy", `{"a": [[1, 2], [3, 4]], "b": [[5, 6], [7, 8]]}`, 200, map[string]any{"product": []any{[]any{19.0, 22.0}, []any{43.0, 50.0}}}},
		{"python-numpy", "", `{"size": 300}`, 200, map[string]any{"size": 300.0}},
		{"python-numpy", "", `{"size": -1}`, 400, nil},
		{"node-hello", "examples/node-hello", "", 200, map[string]any{"message": "Hello from Node.js"}},
		{"node-hello", "", "ping", 200, map[string]any{"body": "ping"}},
		{"node-json", "build/examples/node-json", `{"customer": "Ada", "date": "2024-02-27", "lines": [{"item": "pen", "count": 2, "price": 1.25}]}`, 200,
			map[string]any{"total": 2.5, "delivery": "Friday, 1 March 2024"}},
		{"node-json", "", `{"customer": ""}`, 422, nil},
	} {
		if c.source != "" {
			deploy(t, n, c.name, filepath.Join(root, c.source), roomy())
		}
		status, body := 0, ""
		if c.body == "" {
			status, body = get(t, n, c.name, "/")
		} else {
			status, body = post(t, n, c.name, c.body)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != c.status {
			t.Errorf("%s: status %d, %q", c.name, status, body)
			continue
		}
		for k, v := range c.want {
			a, _ := json.Marshal(got[k])
			b, _ := json.Marshal(v)
			if string(a) != string(b) {
				t.Errorf("%s: %s is %s, want %s", c.name, k, a, b)
			}
		}
	}
	// Functions with the same base share it in the node's store.
	list, err := n.Client.Images(t.Context())
	if err != nil || len(list) != 4 {
		t.Errorf("images: %v %v", list, err)
	}
	layers, err := filepath.Glob(filepath.Join(data, "images", "sha256", "*.erofs"))
	if err != nil || len(layers) != 6 {
		t.Errorf("%d layers, want two bases and four tops: %v", len(layers), err)
	}
}

// TestDynamic: programs of both C libraries with a library of their own.
func TestDynamic(t *testing.T) {
	n := start(t)
	for _, cc := range []string{"gcc", "musl-gcc"} {
		testkit.NeedTool(t, cc)
		dir := t.TempDir()
		src := filepath.Join(testkit.Root(t), "examples/c-hello/hello.c")
		if err := os.WriteFile(filepath.Join(dir, "lib.c"), []byte("int own(void) { return 0; }\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"-shared", "-fPIC", "-o", "libown.so", "lib.c"},
			{"-O1", "-o", "prog", src, "-Wl,--no-as-needed", "-L.", "-lown", "-Wl,-rpath,$ORIGIN"},
		} {
			cmd := exec.Command(cc, args...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", cc, err, out)
			}
		}
		deploy(t, n, cc, filepath.Join(dir, "prog"), roomy())
		wantOK(t, n, cc)
	}
}
