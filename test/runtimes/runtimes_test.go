// SPDX-License-Identifier: Apache-2.0

// Package runtimes runs shells, tools and language runtimes of this machine on Linux and in the guest, and compares what they print.
package runtimes

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/testkit"
)

// limit is for emulated machines; on others a script takes seconds.
const limit = 5 * time.Minute

var env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "TMPDIR=/tmp"}

// interpreter is how a script is handed over: by its text, since it is no file of the guest's alone.
func interpreter(t *testing.T, name string) []string {
	switch filepath.Ext(name) {
	case ".sh":
		return []string{testkit.NeedTool(t, "bash"), "-c"}
	case ".py":
		return []string{"/usr/bin/python3", "-c"} // not what stands first in somebody's PATH: numpy is Debian's
	case ".js":
		return []string{testkit.NeedTool(t, "node"), "-e"}
	}
	t.Fatalf("%s: what runs it?", name)
	return nil
}

func TestScripts(t *testing.T) {
	testkit.NeedKVM(t)
	files, err := filepath.Glob("testdata/scripts/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, nil, append(interpreter(t, f), string(text))...)
		})
	}
}

// TestDynamic builds one C++ program in the ways that linkers know and runs each.
func TestDynamic(t *testing.T) {
	testkit.NeedKVM(t)
	cxx, cc := testkit.NeedTool(t, "g++"), testkit.NeedTool(t, "gcc")
	musl := testkit.NeedTool(t, "musl-gcc")
	src, err := filepath.Abs("testdata/dynamic")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := func(args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	in := func(name string) string { return filepath.Join(src, name) }
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, lib := range []string{"tls", "later", "ifunc", "preload"} {
		build(cc, "-shared", "-fPIC", "-o", "lib/lib"+lib+".so", in(lib+".c"))
	}
	build(cxx, "-shared", "-fPIC", "-o", "lib/libthrow.so", in("throw.cc"))
	build(musl, "-shared", "-fPIC", "-o", "lib/libmusl.so", in("later.c"))
	program := func(name string, flags ...string) string {
		args := append([]string{cxx, "-o", name, in("main.cc")}, flags...)
		build(append(args, "-Llib", "-ltls", "-lifunc", "-lthrow", "-lpthread", "-ldl")...)
		return filepath.Join(dir, name)
	}
	const origin = "-Wl,-rpath,$ORIGIN/lib"
	libs := filepath.Join(dir, "lib")
	run := func(name string, more []string, args ...string) {
		t.Run(name, func(t *testing.T) { compare(t, more, args...) })
	}
	pie := program("pie", "-fPIE", "-pie", origin)
	run("pie", nil, pie)
	run("no-pie", nil, program("nopie", "-fno-pie", "-no-pie", origin))
	run("now", nil, program("now", origin, "-Wl,-z,now"))
	run("lazy", nil, program("lazy", origin, "-Wl,-z,lazy"))
	run("norelro", nil, program("norelro", origin, "-Wl,-z,norelro"))
	run("sysv hash", nil, program("sysv", origin, "-Wl,--hash-style=sysv"))
	run("stack protector", nil, program("ssp", origin, "-fstack-protector-all"))
	run("LD_LIBRARY_PATH", []string{"LD_LIBRARY_PATH=" + libs}, program("bare"))
	run("LD_PRELOAD", []string{"LD_PRELOAD=" + filepath.Join(libs, "libpreload.so")}, pie)
	run("LD_BIND_NOW", []string{"LD_BIND_NOW=1"}, filepath.Join(dir, "lazy"))
	run("a library is missing", nil, filepath.Join(dir, "bare"))
	run("loader by hand", nil, "/lib64/ld-linux-x86-64.so.2", pie)
	run("loader that verifies", nil, "/lib64/ld-linux-x86-64.so.2", "--verify", pie)
	build(musl, "-o", "musl", in("musl.c"))
	run("musl", []string{"LD_LIBRARY_PATH=" + libs}, filepath.Join(dir, "musl"))
}

type result struct {
	out    string
	status int // as a shell gives it
}

// compare runs a command natively and in the guest; standard output and exit status must be equal.
func compare(t *testing.T, more []string, args ...string) {
	t.Helper()
	vars := append(append([]string{}, env...), more...)
	native, _ := run(t, vars, args...)
	guest := []string{testkit.Unifaas(t), "run", "--memory", "768M"}
	for _, v := range vars {
		guest = append(guest, "--env", v)
	}
	got, log := run(t, env, append(append(guest, "--"), args...)...)
	if got == native {
		return
	}
	if got.status != native.status {
		t.Errorf("exit status: %d on Linux, %d in the guest", native.status, got.status)
	}
	a, b := strings.Split(native.out, "\n"), strings.Split(got.out, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("line %d: Linux says %.300q, the guest %.300q", i+1, at(a, i), at(b, i))
			break
		}
	}
	t.Logf("the guest's standard error:\n%s", log[max(0, len(log)-4000):])
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing more"
}

func run(t *testing.T, vars []string, args ...string) (result, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = vars
	cmd.WaitDelay = 10 * time.Second
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("%s: no end within %v", args[0], limit)
	} else if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	status := ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	return result{out.String(), status}, errb.String()
}

// TestStrace: decoded arguments, results by name, threads told apart, and every line there although there are many.
func TestStrace(t *testing.T) {
	testkit.NeedKVM(t)
	const script = "cat /etc/hostname /no/such/file | wc -c; i=0; while [ $i -lt 3000 ]; do umask >/dev/null; i=$((i+1)); done"
	_, log := run(t, env, testkit.Unifaas(t), "run", "--strace", "--", "bash", "-c", script)
	for _, want := range []string{
		`openat(AT_FDCWD, "/etc/hostname", O_RDONLY) = 3`,
		`openat(AT_FDCWD, "/no/such/file", O_RDONLY) = -1 ENOENT`,
		`write(2, "/no/such/file", 13) = 13`,
		`wait4(-1, `, `<unfinished ...>`, `<... wait4 resumed>`, `--- SIGCHLD (17) ---`, `execve("/usr/bin/cat", ["cat", "/etc/hostname", "/no/such/file"], `,
		`exit_group(0)`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the trace", want)
		}
	}
	if n := strings.Count(log, `= -1 ENOENT`); n < 2 {
		t.Errorf("%d errors named", n)
	}
	if n := strings.Count(log, `dup2(`); n < 3000 {
		t.Errorf("dup2 stands %d times in the trace of 3000 redirections", n)
	}
}
