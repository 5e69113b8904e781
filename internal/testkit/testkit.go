// SPDX-License-Identifier: Apache-2.0

// Package testkit is what tests of several packages share: where built files are, and what a test does where the machine
// lacks something. Only tests import it.
package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// strict is true under `make test`, which sets up all that tests need: there, nothing may be skipped for being absent.
func strict() bool { return os.Getenv("UNIFAAS_TEST_STRICT") != "" }

// Missing skips a test that needs what the machine does not have, or fails it under `make test`.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if strict() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Root is the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	if filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(filepath.Dir(file)))
	}
	// Built with -trimpath: go test runs in the package's folder.
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

// Built is the absolute path of a file that make builds, like "bin/unifaas" by the target "build".
func Built(t testing.TB, path, target string) string {
	t.Helper()
	p := filepath.Join(Root(t), path)
	if _, err := os.Stat(p); err != nil {
		Missing(t, "%s is missing: run make %s", path, target)
	}
	return p
}

// Unifaas is the path of the built command; UNIFAAS_BIN names another one.
func Unifaas(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("UNIFAAS_BIN"); p != "" {
		return p
	}
	return Built(t, "bin/unifaas", "build")
}

// NeedKVM is for tests that run a guest.
func NeedKVM(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		Missing(t, "needs /dev/kvm: %v", err)
		return
	}
	f.Close()
}

// NeedTool is for tests that run another program.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "needs %s: run scripts/setup.sh test", name)
	}
	return p
}
