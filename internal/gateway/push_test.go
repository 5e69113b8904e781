// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
	"unifaas.dev/internal/node"
)

// TestPush: layers go to the node once, the manifest after them.
func TestPush(t *testing.T) {
	ctx := context.Background()
	g := start(t, nil, node.Options{})
	s, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	add := func(names ...string) image.Manifest {
		m := image.Manifest{Program: "/" + names[0], Args: []string{names[0]}, Cwd: "/"}
		for _, n := range names {
			tr := tree.New(nil)
			if _, err := tr.Put(n, tree.Bytes(0o755, []byte(n))); err != nil {
				t.Fatal(err)
			}
			l, err := s.AddLayer(ctx, tr)
			if err != nil {
				t.Fatal(err)
			}
			m.Layers = append(m.Layers, l)
		}
		if m, err = s.AddImage(m, names[0]); err != nil {
			t.Fatal(err)
		}
		return m
	}
	sent := 0
	show := func(_ int64, r io.Reader) io.ReadCloser { sent++; return io.NopCloser(r) }
	for i, c := range []struct {
		m    image.Manifest
		sent int
	}{{add("a", "base"), 2}, {add("b", "base"), 3}, {add("a", "base"), 3}} {
		img, err := g.Push(ctx, s, c.m, "name", show)
		if err != nil || img.Size != c.m.Size() || sent != c.sent {
			t.Errorf("push %d: %+v, %v, %d layers sent", i, img, err, sent)
		}
	}
	if _, err := g.Deploy(ctx, "f", api.DeployRequest{Image: "name"}); err != nil {
		t.Error(err)
	}
	var status *client.StatusError
	if _, err := g.Push(ctx, s, add("c"), "../x", show); !errors.As(err, &status) || status.Status != 400 {
		t.Errorf("a bad name: %v", err)
	}
	for _, body := range []string{"", "{", "null", `{"version":2}`, strings.Repeat(" ", image.MaxManifest+2)} {
		if resp, _ := g.do(http.MethodPost, "/unifaas/v1/images", body, "Content-Type", api.ManifestType); resp.StatusCode != 400 {
			t.Errorf("manifest %.20q: status %d", body, resp.StatusCode)
		}
	}
	text := `{"version":2,"layers":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":4096}],"program":"/p","args":["p"],"cwd":"/"}`
	if resp, _ := g.do(http.MethodPost, "/unifaas/v1/images", text, "Content-Type", api.ManifestType); resp.StatusCode != http.StatusConflict {
		t.Errorf("a manifest without its layers: status %d", resp.StatusCode)
	}
	if resp, _ := g.do(http.MethodPut, "/unifaas/v1/layers/sha256:1", "bad"); resp.StatusCode != 400 {
		t.Errorf("a layer of another digest: status %d", resp.StatusCode)
	}
}
