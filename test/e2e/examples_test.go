// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"unifaas.dev/internal/testkit"
)

// TestExamplesTogether: every example at once on one node, called at once; those with the same base have it once on the
// disk and once in memory.
func TestExamplesTogether(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	root := testkit.Root(t)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 400, 300)), nil); err != nil {
		t.Fatal(err)
	}
	says := func(want string) func([]byte) error {
		return func(got []byte) error {
			if !strings.Contains(string(got), want) {
				return fmt.Errorf("%.200q, want %q in it", got, want)
			}
			return nil
		}
	}
	examples := []struct {
		name, source, path, body, base string
		check                          func([]byte) error
	}{
		{"c-hello", testkit.Built(t, "build/examples/c-hello", "examples"), "", "", "", says("Hello from a unikernel")},
		{"go-hello", testkit.Built(t, "build/examples/go-hello", "examples"), "", "", "", says("Hello from a unikernel")},
		{"thumbnail", testkit.Built(t, "build/examples/thumbnail", "examples"), "?w=80", picture.String(), "", func(got []byte) error {
			c, err := jpeg.DecodeConfig(bytes.NewReader(got))
			if err == nil && (c.Width != 80 || c.Height != 60) {
				err = fmt.Errorf("%d x %d, want 80 x 60", c.Width, c.Height)
			}
			return err
		}},
		{"python-hello", filepath.Join(root, "examples/python-hello"), "", "ping", "python", says(`"body": "ping"`)},
		{"python-numpy", filepath.Join(root, "examples/python-numpy"), "", `{"a": [[1, 2], [3, 4]], "b": [[5, 6], [7, 8]]}`, "python", says("[[19.0, 22.0], [43.0, 50.0]]")},
		{"python-ready", filepath.Join(root, "examples/python-ready"), "?n=1999993", "", "python", says(`"prime": true`)},
		{"node-hello", filepath.Join(root, "examples/node-hello"), "", "ping", "node", says(`"body":"ping"`)},
		{"node-json", filepath.Dir(testkit.Built(t, "build/examples/node-json/server.js", "examples")), "",
			`{"customer": "Ada", "date": "2024-02-27", "lines": [{"item": "pen", "count": 2, "price": 1.25}]}`, "node", says("Friday, 1 March 2024")},
		{"shell", filepath.Join(root, "examples/shell"), "", "b a b c b a", "shell", says("3 b\n2 a\n1 c\n")},
	}
	for _, e := range examples {
		deploy(t, n, e.name, e.source, roomy())
	}
	var all sync.WaitGroup
	for _, e := range examples {
		for range 3 {
			all.Go(func() {
				for range 4 {
					var resp *http.Response
					var err error
					if e.body == "" {
						resp, err = http.Get(n.URL(e.name) + e.path)
					} else {
						resp, err = http.Post(n.URL(e.name)+e.path, "application/octet-stream", strings.NewReader(e.body))
					}
					if err != nil {
						t.Errorf("%s: %v", e.name, err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err == nil && resp.StatusCode == http.StatusOK {
						err = e.check(got)
					}
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("%s: %s %.200q %v", e.name, resp.Status, got, err)
					}
				}
			})
		}
	}
	all.Wait()

	layers, err := filepath.Glob(filepath.Join(data, "images", "sha256", "*.erofs"))
	if err != nil || len(layers) != 3+6+3 {
		t.Errorf("%d layers on the disk, want three programs, six tops and three bases: %v", len(layers), err)
	}
	has := map[string][]string{} // memory files of each function
	for _, e := range examples {
		is, err := n.Client.Instances(t.Context(), e.name)
		if err != nil || len(is) == 0 {
			t.Fatalf("instances of %s: %v %v", e.name, is, err)
		}
		inodes := testkit.LayerInodes(t, is[0].TenderPID)
		slices.Sort(inodes)
		has[e.name] = slices.Compact(inodes)
		if want := 1 + min(len(e.base), 1); len(has[e.name]) != want {
			t.Errorf("the tender of %s maps layers %v, want %d", e.name, has[e.name], want)
		}
	}
	for i, a := range examples {
		for _, b := range examples[i+1:] {
			common := 0
			for _, inode := range has[a.name] {
				if slices.Contains(has[b.name], inode) {
					common++
				}
			}
			if want := a.base != "" && a.base == b.base; want != (common == 1) || common > 1 {
				t.Errorf("%s and %s have %d layers in common in memory: %v, %v", a.name, b.name, common, has[a.name], has[b.name])
			}
		}
	}
}
