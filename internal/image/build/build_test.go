// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
)

func write(t testing.TB, name, text string, perm fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
	return name
}

func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// parted builds the trees of a source.
func parted(t testing.TB, source string, o Options) ([]*tree.Tree, image.Manifest, error) {
	t.Helper()
	s, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if o.root == "" {
		o.root = "/"
	}
	if o.nodes == nil {
		o.nodes = nodePlaces()
	}
	trees, m, done, err := parts(context.Background(), s, source, o)
	if err == nil {
		t.Cleanup(done)
	}
	return trees, m, err
}

// extract writes trees into a folder, the lowest first.
func extract(t testing.TB, trees []*tree.Tree) string {
	t.Helper()
	dir := t.TempDir()
	for _, tr := range trees {
		err := tr.Walk(func(p string, n *tree.Node) error {
			at := filepath.Join(dir, p)
			switch {
			case n.Mode.IsDir():
				return os.MkdirAll(at, 0o755)
			case n.Mode&fs.ModeSymlink != 0:
				os.Remove(at)
				return os.Symlink(n.Target, at)
			}
			f, err := n.Open()
			if err != nil {
				return err
			}
			defer f.Close()
			b, err := io.ReadAll(f)
			if err != nil {
				return err
			}
			os.Remove(at)
			return os.WriteFile(at, b, n.Mode.Perm())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start runs an image's program with the image as its root folder.
func start(t testing.TB, trees []*tree.Tree, m image.Manifest) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can change the root folder")
	}
	dir := extract(t, trees)
	for name, minor := range map[string]int{"null": 3, "urandom": 9} {
		if err := syscall.Mknod(filepath.Join(dir, "dev", name), syscall.S_IFCHR|0o666, 1<<8|minor); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("proc", dir+"/proc", "proc", 0, ""); err == nil {
		defer syscall.Unmount(dir+"/proc", syscall.MNT_DETACH)
	}
	cmd := &exec.Cmd{Path: m.Program, Args: m.Args, Env: m.Env, Dir: m.Cwd, SysProcAttr: &syscall.SysProcAttr{Chroot: dir}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", m.Program, m.Args, err, out)
	}
	return string(out)
}

const mainC = `
#include <stdio.h>
int lib(void);
int main(void) { printf("%d\n", lib()); return 0; }
`

// TestSearchPaths: libraries that only one word of the loader's rules leads to; the result runs where nothing else is.
func TestSearchPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/main.c", mainC, 0o644)
	write(t, dir+"/lib.c", "int deep(void); int lib(void) { return deep(); }", 0o644)
	write(t, dir+"/deep.c", "int deep(void) { return 42; }", 0o644)
	for _, d := range []string{"bin", "libs", "libs/deep", "env"} {
		if err := os.MkdirAll(dir+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cc := func(args ...string) { t.Helper(); run(t, dir, "gcc", args...) }
	cc("-shared", "-fPIC", "-Wl,-soname,libdeep.so.1", "-o", "libs/deep/libdeep.so.1.2.3", "deep.c")
	if err := os.Symlink("libdeep.so.1.2.3", dir+"/libs/deep/libdeep.so.1"); err != nil {
		t.Fatal(err)
	}
	cc("-shared", "-fPIC", "-Wl,-soname,liblib.so", "-o", "libs/liblib.so", "lib.c", "-Wl,--no-as-needed", "libs/deep/libdeep.so.1", "-Wl,-rpath,$ORIGIN/deep", "-Wl,--enable-new-dtags")
	cc("-o", "bin/runpath", "main.c", "libs/liblib.so", "-Wl,-rpath,$ORIGIN/../libs", "-Wl,--enable-new-dtags", "-Wl,-rpath-link,libs/deep")
	cc("-o", "bin/rpath", "main.c", "libs/liblib.so", "-Wl,-rpath,${ORIGIN}/../libs", "-Wl,--disable-new-dtags", "-Wl,-rpath-link,libs/deep", "-no-pie")
	cc("-o", "bin/abs", "main.c", "libs/liblib.so", "-Wl,-rpath,"+dir+"/libs", "-Wl,-rpath-link,libs/deep")
	cc("-o", "bin/env", "main.c", "-Llibs", "-llib", "-Wl,-rpath-link,libs/deep")
	for _, c := range []struct {
		prog string
		path []string
		env  bool
	}{{"runpath", nil, false}, {"rpath", nil, false}, {"abs", nil, false}, {"env", []string{"relative", dir + "/libs"}, true}} {
		t.Run(c.prog, func(t *testing.T) {
			trees, m, err := parted(t, dir+"/bin/"+c.prog, Options{LibraryPath: c.path})
			if err != nil {
				t.Fatal(err)
			}
			if got := start(t, trees, m); got != "42\n" {
				t.Errorf("says %q", got)
			}
			if has := slices.Contains(m.Env, "LD_LIBRARY_PATH="+dir+"/libs"); has != c.env {
				t.Errorf("environment %q", m.Env)
			}
		})
	}
	_, _, err := parted(t, dir+"/bin/env", Options{})
	if err == nil || !strings.Contains(err.Error(), "liblib.so") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without the path: %v", err)
	}
	if err := os.Remove(dir + "/libs/deep/libdeep.so.1"); err != nil {
		t.Fatal(err)
	}
	_, _, err = parted(t, dir+"/bin/runpath", Options{})
	if err == nil || !strings.Contains(err.Error(), "libdeep.so.1") || !strings.Contains(err.Error(), "/liblib.so (a library of") {
		t.Errorf("a library of a library: %v", err)
	}
}

// TestConfiguredFolders: a machine whose ld.so.conf names a folder of its own. The image gets a cache that glibc reads.
func TestConfiguredFolders(t *testing.T) {
	dir := t.TempDir()
	root := dir + "/root"
	write(t, dir+"/main.c", mainC, 0o644)
	write(t, dir+"/lib.c", "int lib(void) { return 7; }", 0o644)
	for _, d := range []string{"/opt/odd", "/lib64", "/lib/x86_64-linux-gnu", "/etc/ld.so.conf.d"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 { // among others, for the search by halves
		name := fmt.Sprintf("libodd%d.so", i)
		run(t, dir, "gcc", "-shared", "-fPIC", "-o", root+"/opt/odd/"+name, "lib.c", "-Wl,-soname,"+name)
	}
	args := []string{"-o", "prog", "main.c", "-Wl,--no-as-needed"}
	for i := range 20 {
		args = append(args, fmt.Sprintf("%s/opt/odd/libodd%d.so", root, i))
	}
	run(t, dir, "gcc", args...)
	write(t, root+"/etc/ld.so.conf", "# x\ninclude ld.so.conf.d/*.conf\n", 0o644)
	write(t, root+"/etc/ld.so.conf.d/odd.conf", "/opt/odd # here\n", 0o644)
	for _, f := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"} {
		run(t, dir, "cp", "-L", f, root+f)
	}
	trees, m, err := parted(t, dir+"/prog", Options{root: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := trees[0].Lookup("/etc/ld.so.cache"); err != nil {
		t.Error(err)
	}
	if got := start(t, trees, m); got != "7\n" {
		t.Errorf("says %q", got)
	}
}

func TestVersionOrder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"libc.so.6", "libc.so.6", 0}, {"liba.so.10", "liba.so.9", 1}, {"liba.so", "liba.so.1", -1}, {"liba1.so", "libab.so", 1}, {"libb", "liba", 1}, {"", "a", -1}} {
		if got := compareVersions(c.a, c.b); got != c.want || compareVersions(c.b, c.a) != -c.want {
			t.Errorf("%q and %q: %d", c.a, c.b, got)
		}
	}
}

// TestMusl: a program of the other C library.
func TestMusl(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/main.c", mainC, 0o644)
	write(t, dir+"/lib.c", "int lib(void) { return 9; }", 0o644)
	run(t, dir, "musl-gcc", "-shared", "-fPIC", "-o", "liblib.so", "lib.c")
	run(t, dir, "musl-gcc", "-o", "prog", "main.c", "-L.", "-llib", "-Wl,-rpath,$ORIGIN")
	trees, m, err := parted(t, dir+"/prog", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "9\n" {
		t.Errorf("says %q", got)
	}
	if _, _, err := trees[0].Lookup("/lib/x86_64-linux-gnu/libc.so.6"); err == nil {
		t.Error("glibc came along")
	}
}

// TestLikeLdd compares with what the loader itself says.
func TestLikeLdd(t *testing.T) {
	for _, prog := range []string{"/bin/ls", "/bin/bash", "/usr/bin/python3.11", "/usr/bin/curl", "/usr/bin/gcc"} {
		if _, err := os.Stat(prog); err != nil {
			t.Logf("no %s here", prog)
			continue
		}
		trees, _, err := parted(t, prog, Options{})
		if err != nil {
			t.Errorf("%s: %v", prog, err)
			continue
		}
		cmd := exec.Command("ldd", prog)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.SplitSeq(string(out), "\n") {
			f := strings.Fields(line)
			i := slices.IndexFunc(f, filepath.IsAbs)
			if i < 0 {
				continue
			}
			n++
			if _, _, err := trees[0].Lookup(f[max(i, len(f)-2)]); err != nil {
				t.Errorf("%s: %v", prog, err)
			}
		}
		if n < 2 {
			t.Errorf("%s: ldd says %s", prog, out)
		}
	}
}

func TestScripts(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"sh":     {"#!/bin/sh\nseq 1 20 | sort -rn | head -1; echo $0\n", "20\n/sh.x\n"},
		"bash":   {"#! /bin/bash -u\necho ${x:-none} | tr a-z A-Z\n", "NONE\n"},
		"python": {"#!/usr/bin/env python3\nimport json, ssl, sqlite3, sys\nprint(json.dumps(sys.argv))\n", "[\"/python.x\"]\n"},
		"envs":   {"#!/usr/bin/env -S X=1 bash -e\necho $X\n", "1\n"},
		"awk":    {"#!/usr/bin/awk -f\nBEGIN { print 6*7 }\n", "42\n"},
	} {
		t.Run(name, func(t *testing.T) {
			trees, m, err := parted(t, write(t, dir+"/"+name+".x", c.text, 0o755), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := start(t, trees, m); got != c.want {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
	for text, want := range map[string]string{
		"#!\n": "no interpreter", "#!relative\n": "absolute", "#!/none/here\n": "no such program", "#!/usr/bin/env\n": "starts no program",
		"#!/usr/bin/env nothing-of-this-name\n": "no such program", "#!/" + strings.Repeat("x", 400) + "\n": "255 bytes",
	} {
		_, _, err := parted(t, write(t, dir+"/bad", text, 0o755), Options{})
		if err == nil || !strings.Contains(strings.Replace(err.Error(), "has env start", "starts", 1), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// TestReproducible: the same folder at two places, made under different umasks, on different days.
func TestReproducible(t *testing.T) {
	var digests []string
	for i := range 2 {
		dir := t.TempDir() + "/" + strings.Repeat("d", i+1)
		write(t, dir+"/unifaas.yaml", "base: python3.11\nenv: {B: 1, A: 2, C: 3}\ncommand: python3 app.py\n", 0o644)
		write(t, dir+"/app.py", "print(1)\n", []fs.FileMode{0o644, 0o600}[i])
		write(t, dir+"/z/y", "y", 0o755)
		write(t, dir+"/a", "", 0o644)
		if i == 1 {
			write(t, dir+"/__pycache__/app.cpython-311.pyc", "junk", 0o644)
			write(t, dir+"/.git/x", "junk", 0o644)
		}
		s, err := image.OpenStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		m, err := Image(context.Background(), s, dir, "x", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Layers) != 2 {
			t.Errorf("%d layers", len(m.Layers))
		}
		digests = append(digests, m.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %v", digests)
	}
}

// TestCompiledPython: Python takes the compiled files of the base as they are.
func TestCompiledPython(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/unifaas.yaml", "base: python3.11\ncommand: [python3, -v, -c, 'import json, ssl, asyncio']\n", 0o644)
	trees, m, err := parted(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can change the root folder")
	}
	at := extract(t, trees)
	// The files' times are those of the image, which extract does not set.
	run(t, at, "find", "usr/lib/python3.11", "etc/python3.11", "-name", "*.py", "-exec", "touch", "-h", "-d", fmt.Sprint("@", tree.Time), "{}", "+")
	cmd := &exec.Cmd{Path: m.Program, Args: m.Args, Env: m.Env, Dir: m.Cwd, SysProcAttr: &syscall.SysProcAttr{Chroot: at}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(line, "# code object from") && strings.HasSuffix(line, ".py'") || strings.Contains(line, "bytecode is stale") {
			t.Errorf("Python compiles what came compiled: %s", line)
		}
	}
	if n := strings.Count(string(out), "matches /usr/lib/python3.11"); n < 50 {
		t.Errorf("%d compiled files were taken", n)
	}
}

func TestBadSources(t *testing.T) {
	dir := t.TempDir()
	elf, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(at int, b ...byte) string {
		c := slices.Clone(elf)
		copy(c[at:], b)
		return string(c)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":    {"", "it is empty"},
		"text":     {"hello", "not an ELF file"},
		"cut":      {string(elf[:len(elf)/2]), "damaged ELF file"},
		"head":     {string(elf[:50]), "damaged ELF file"},
		"arm":      {edit(18, 183, 0), "built for AARCH64"},
		"32bit":    {edit(4, 1), "ELF file"},
		"big":      {edit(5, 2), "ELF file"},
		"freebsd":  {edit(7, 9), "not for Linux"},
		"object":   {edit(16, 1, 0), "an object file"},
		"windows":  {"MZ" + strings.Repeat("x", 100), "a Windows program"},
		"interp":   {strings.Replace(string(elf), "/lib64/ld-linux-x86-64.so.2", "/lib64/ld-nowhere-x864.so.9", 1), "loader /lib64/ld-nowhere"},
		"reltive":  {strings.Replace(string(elf), "/lib64/ld-linux-x86-64.so.2", "xlib64/ld-linux-x86-64.so.2", 1), "no absolute path"},
		"notfound": {strings.Replace(string(elf), "\x00libc.so.6\x00", "\x00libq.so.6\x00", 1), "needs the library libq.so.6"},
	} {
		_, _, err := parted(t, write(t, dir+"/"+name, c.text, 0o755), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
