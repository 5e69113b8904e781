// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unifaas.dev/internal/testkit"
)

// TestUnit: what the systemd unit says is what this version understands.
func TestUnit(t *testing.T) {
	path := filepath.Join(testkit.Root(t), "packaging/unifaas.service")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, start, ok := strings.Cut(string(text), "\nExecStart=")
	start, _, _ = strings.Cut(start, "\n")
	args := strings.Fields(start)
	if !ok || len(args) < 3 || args[1] != "up" {
		t.Fatalf("ExecStart=%s", start)
	}
	flags := newUpCmd().Flags()
	for _, a := range args[2:] {
		if name, is := strings.CutPrefix(a, "--"); is && flags.Lookup(name) == nil {
			t.Errorf("no option --%s", name)
		}
	}
	if err := flags.Parse(strings.Fields(strings.ReplaceAll(strings.Join(args[2:], " "), "$UNIFAAS_ARGS", "--listen 0.0.0.0:8080 --drain-delay 5s"))); err != nil {
		t.Error(err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // no systemd here: the rest was looked at
	}
	here := filepath.Join(t.TempDir(), "unifaas.service")
	if err := os.WriteFile(here, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/unifaas", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", here).CombinedOutput()
	if err != nil || strings.Contains(string(out), "unifaas.service:") {
		t.Errorf("%v\n%s", err, out)
	}
}
