// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestBenchOutput: where the result is to go is known to be good before anything is measured, and keeps what it had until then.
func TestBenchOutput(t *testing.T) {
	dir := t.TempDir()
	bench := func(file string) string {
		var stderr bytes.Buffer
		if code := execute(command("bench", "syscall", "--small", "--programs", filepath.Join(dir, "none"), "--json", file), &stderr); code != exitFailed {
			t.Errorf("exit code %d", code)
		}
		return stderr.String()
	}
	if s := bench(filepath.Join(dir, "no", "x.json")); !strings.Contains(s, "x.json: no such file") {
		t.Errorf("said %q", s)
	}
	old := filepath.Join(dir, "old.json")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := bench(old); strings.Contains(s, "old.json") {
		t.Errorf("said %q", s)
	}
	if b, err := os.ReadFile(old); string(b) != "old" || err != nil {
		t.Errorf("the old result is %q, %v", b, err)
	}
	bench(filepath.Join(dir, "new.json"))
	if _, err := os.Stat(filepath.Join(dir, "new.json")); err == nil {
		t.Error("an empty file is left")
	}
	o, err := openOutput(old)
	if err == nil {
		err = o.write(func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err })
	}
	o.close()
	if b, _ := os.ReadFile(old); string(b) != "x" || err != nil {
		t.Errorf("the new result is %q, %v", b, err)
	}
}

func command(args ...string) *cobra.Command {
	c := newRootCmd()
	c.SetArgs(args)
	return c
}
