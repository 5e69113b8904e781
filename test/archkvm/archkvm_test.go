// SPDX-License-Identifier: Apache-2.0

package archkvm

import (
	"cmp"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"unifaas.dev/internal/monitor/monitortest"
	"unifaas.dev/internal/testkit"
)

// enable says that these tests are wanted: they download a kernel and take a minute.
const enable = "UNIFAAS_TEST_ARCHKVM"

// setup gives a kernel and a folder with a static init.
func setup(t *testing.T) (*Kernel, string) {
	t.Helper()
	if os.Getenv(enable) == "" {
		t.Skipf("set %s=1 to run tests inside QEMU", enable)
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Fatal("qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
	}
	cache, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	k, err := FetchKernel(cache)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	goBuild(t, "build", "-o", filepath.Join(dir, "init"), "unifaas.dev/test/archkvm/init")
	return k, dir
}

// goBuild runs the go command for a static binary.
func goBuild(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}

// The go command does not know what these tests build and run: pass -count=1.

// TestMonitor runs the KVM monitor's own tests where SYSCALL enters CPL0, page tables are nested and nothing is shadowed.
func TestMonitor(t *testing.T) {
	k, dir := setup(t)
	test, payload := filepath.Join(dir, "kvm.test"), filepath.Join(dir, "payload.elf")
	goBuild(t, "test", "-c", "-o", test, "unifaas.dev/internal/monitor/kvm")
	if err := monitortest.Build(payload); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, status, err := Run(ctx, k, filepath.Join(dir, "init"), Machine{
		Files:   map[string]File{"bin/kvm.test": {Host: test}, "payload.elf": {Host: payload}},
		Command: []string{"/bin/kvm.test", "-test.v", "-test.run", "^TestMonitor$", "-test.timeout", "4m"},
		Env:     []string{monitortest.PayloadEnv + "=/payload.elf", "UNIFAAS_TEST_SLOW=10", "UNIFAAS_TEST_NEED_KVM=1"},
	})
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// abiTests are those of test/abi that run here, UNIFAAS_TEST_ARCHKVM_RUN names others. Not those linked with musl: the calls are
// the same, another C library shows nothing new of the machine below, and each program takes seconds under emulation.
const abiTests = "^TestABI$/^(glibc|go)$"

// otherLinux are programs whose results on the Linux inside the emulated machine are not those of this one: its files are all in the first RAM
// file system, without attributes, seals or watches that tell as much, /dev/pts is not there, and its kernel is older.
const otherLinux = "^TestABI$/^glibc$/^(xattr|udp|sockopt|pty|patherr|inotify|fderr)$"

// TestABI runs the Linux ABI programs, as test/abi does, in the library OS on architectural KVM.
func TestABI(t *testing.T) {
	k, dir := setup(t)
	test := filepath.Join(dir, "abi.test")
	goBuild(t, "test", "-c", "-trimpath", "-o", test, "unifaas.dev/test/abi") // -trimpath: it looks for go.mod from where it is
	root := testkit.Root(t)
	files := map[string]File{
		"repo/go.mod":            {Content: []byte("module unifaas.dev\n")},
		"repo/bin/unifaas":       {Host: testkit.Unifaas(t)},
		"repo/test/abi/abi.test": {Host: test},
		"root/.keep":             {},
		"etc/hosts":              {Content: []byte("127.0.0.1 localhost\n")},
	}
	programs := testkit.Built(t, "build/abi", "abi-programs")
	err := filepath.WalkDir(programs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files["repo/build/abi/"+path[len(programs)+1:]] = File{Host: path}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files["repo/test/abi/known.txt"] = File{Host: filepath.Join(root, "test/abi/known.txt")}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var watch io.Writer // with -v: slow enough that one wants to see where it is
	verbose := "-test.v=false"
	if testing.Verbose() {
		watch, verbose = os.Stderr, "-test.v"
	}
	out, status, err := Run(ctx, k, filepath.Join(dir, "init"), Machine{
		Watch: watch,
		Files: files,
		Command: []string{"/repo/test/abi/abi.test", "-test.run", cmp.Or(os.Getenv("UNIFAAS_TEST_ARCHKVM_RUN"), abiTests), "-test.timeout", "9m", "-test.parallel", "1", verbose,
			"-test.skip", otherLinux},
		Env:    []string{"UNIFAAS_TEST_STRICT=1", "HOME=/root"},
		Dir:    "/repo/test/abi",
		Memory: 2048,
	})
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestStates takes states of guests and puts them in, as test/rewind does, on architectural KVM. Its examples are those that need no run-time library.
func TestStates(t *testing.T) {
	k, dir := setup(t)
	test := filepath.Join(dir, "rewind.test")
	goBuild(t, "test", "-c", "-trimpath", "-o", test, "unifaas.dev/test/rewind")
	files := map[string]File{
		"repo/go.mod":                  {Content: []byte("module unifaas.dev\n")},
		"repo/test/rewind/rewind.test": {Host: test},
		"etc/hosts":                    {Content: []byte("127.0.0.1 localhost\n")},
		"tmp/.keep":                    {},
	}
	for path, target := range map[string]string{"guest/libos.elf": "libos", "build/examples/c-hello": "examples", "build/examples/go-hello": "examples"} {
		files["repo/"+path] = File{Host: testkit.Built(t, path, target)}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, status, err := Run(ctx, k, filepath.Join(dir, "init"), Machine{
		Files:   files,
		Command: []string{"/repo/test/rewind/rewind.test", "-test.v", "-test.run", "^Test(Rewind|Park|Thin)$/^(c|go)$", "-test.timeout", "9m"},
		Env:     []string{"UNIFAAS_TEST_STRICT=1", "HOME=/root"},
		Dir:     "/repo/test/rewind",
		Memory:  2048,
	})
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}
