// SPDX-License-Identifier: Apache-2.0

package build_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
)

// TestOwnBuild: a folder's own build makes what files names; it runs only where its output has somewhere to go, and ends with the caller.
func TestOwnBuild(t *testing.T) {
	store, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	try := func(ctx context.Context, yaml string, out *bytes.Buffer) (string, error) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, build.ConfigFile), []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		o := build.Options{}
		if out != nil {
			o.Output = out
		}
		_, err := build.Image(ctx, store, dir, "", o)
		return dir, err
	}
	const rest = "\nbase: shell\nfiles: [made]\ncommand: [bash, made]\n"
	ctx := t.Context()
	for _, c := range []struct{ what, yaml, fails, prints string }{
		{"a line", "build: echo building; echo echo hi > made", "", "building"},
		{"words", "build: [cp, unifaas.yaml, made]", "", ""},
		{"a failure", "build: echo no >&2; exit 3", "build failed: exit status 3", "no"},
		{"no such command", "build: [there-is-no-such-command]", "build:", ""},
		{"nothing made", "build: 'true'", "made", ""},
		{"neither", "build: {a: b}", "build is a line for the shell, or a list of words", ""},
		{"empty", "build: ''", "made", ""},
	} {
		var out bytes.Buffer
		_, err := try(ctx, c.yaml+rest, &out)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", c.what, err, c.fails)
		}
		if !strings.Contains(out.String(), c.prints) {
			t.Errorf("%s: it prints %q", c.what, out.String())
		}
	}
	dir, err := try(ctx, "build: touch made"+rest, nil)
	if err == nil || !strings.Contains(err.Error(), "is not run here") {
		t.Errorf("where builds are not run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("it was run all the same")
	}
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := try(ctx, "build: [sleep, '1000']"+rest, new(bytes.Buffer)); err == nil {
		t.Error("a build that was given up succeeded")
	}
}
