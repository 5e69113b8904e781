// SPDX-License-Identifier: Apache-2.0

package plain_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/plain"
	"unifaas.dev/internal/testkit"
)

// TestLayers: a program with files of its own runs with them as its root folder.
func TestLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the root folder")
	}
	dir := t.TempDir()
	images, err := image.OpenStore(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := build.Image(context.Background(), images, filepath.Join(testkit.Root(t), "examples/python-hello"), "hello", build.Options{})
	if err != nil {
		t.Fatal(err)
	}
	said := &log{}
	n := node.New(&plain.Runtime{Dir: filepath.Join(dir, "programs")}, images, said, node.Options{})
	defer n.Close(context.Background())
	n.Apply(node.Spec{Function: "f", Revision: "f-1", Image: m.Digest, Memory: 64 << 20, Timeout: time.Minute, Concurrency: 1, Port: 8080, Scale: node.Scale{Max: 1}})
	inv := n.Invoke("f", time.Now())
	defer inv.End(false)
	req, err := http.NewRequest("GET", "http://f/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := inv.RoundTrip(req)
	if err != nil {
		said.Lock()
		t.Fatalf("%v\n%s", err, said.String())
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), `"path": "/x"`) {
		t.Errorf("%q %v", b, err)
	}
}
