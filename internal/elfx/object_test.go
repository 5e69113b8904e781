// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// library compiles a library with a name and needs of its own.
func library(t testing.TB, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	if err := os.WriteFile(src, []byte("int f(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("gcc", append([]string{"-nostdlib", "-shared", "-fPIC", "-o", out, src}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadObject(t *testing.T) {
	read := func(b []byte) (*Object, error) { return ReadObject("x", bytes.NewReader(b), int64(len(b))) }
	b := library(t, "-Wl,-soname,liba.so.1", "-Wl,-rpath,/a::$ORIGIN/b", "-Wl,--enable-new-dtags", "-Wl,-z,nodefaultlib")
	o, err := read(b)
	if err != nil || o.Soname != "liba.so.1" || !slices.Equal(o.RunPath, []string{"/a", "$ORIGIN/b"}) || !o.NoDeflt || o.Interp != "" {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = read(library(t, "-Wl,-rpath,/c", "-Wl,--disable-new-dtags"))
	if err != nil || !slices.Equal(o.RPath, []string{"/c"}) || o.RunPath != nil || o.NoDeflt {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = read(program().bytes(t)); err != nil || o.Needed != nil {
		t.Errorf("static: %+v, %v", o, err)
	}
	for _, n := range []int{0, 3, 4, 20, 63, 100, len(b) / 4, len(b) / 2} {
		if _, err := read(b[:n]); err == nil || !strings.HasPrefix(err.Error(), "x: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	arm := slices.Clone(b)
	arm[18] = 183
	if _, err := read(arm); !errors.Is(err, ErrForeign) {
		t.Errorf("for another machine: %v", err)
	}
}

// world is a file system of objects.
type world map[string]*Object

func (w world) find(p, host string) (*Object, error) {
	o := w[p]
	if o == nil {
		return nil, nil
	}
	c := *o
	c.Path, c.Host = p, host
	return &c, nil
}

func TestOrder(t *testing.T) {
	w := world{"/lib64/ld-linux-x86-64.so.2": {Soname: "ld-linux-x86-64.so.2"}, "/lib/ld-musl-x86_64.so.1": {}}
	for _, d := range []string{"/rpath", "/runpath", "/env", "/conf", "/lib", "/usr/lib"} {
		w[d+"/liba.so"] = &Object{Soname: "liba.so"}
	}
	w["/lib/libc.so.6"] = &Object{Soname: "libc.so.6", Needed: []string{"ld-linux-x86-64.so.2"}}
	w["/lib/libgcc_s.so.1"] = &Object{Soname: "libgcc_s.so.1"}
	w["/up/libb.so"] = &Object{Needed: []string{"liba.so"}}
	w["/lib/glibc-hwcaps/x86-64-v3/libh.so"] = &Object{}
	w["/lib/libh.so"] = &Object{}
	const glibc, musl = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
	for name, c := range map[string]struct {
		o    Object
		want string
	}{
		"runpath":         {Object{Interp: glibc, Needed: []string{"liba.so"}, RunPath: []string{"/runpath"}, RPath: []string{"/rpath"}}, "/env/liba.so"},
		"rpath first":     {Object{Interp: glibc, Needed: []string{"liba.so"}, RPath: []string{"/rpath"}}, "/rpath/liba.so"},
		"of the loader":   {Object{Interp: glibc, Needed: []string{"libb.so"}, RPath: []string{"/rpath", "/up"}}, "/up/libb.so /rpath/liba.so"},
		"not inherited":   {Object{Interp: glibc, Needed: []string{"/up/libb.so"}, RunPath: []string{"/runpath"}}, "/up/libb.so /env/liba.so"},
		"once":            {Object{Interp: glibc, Needed: []string{"liba.so", "libb.so", "liba.so"}, RPath: []string{"/up", "/rpath"}}, "/rpath/liba.so /up/libb.so"},
		"musl":            {Object{Interp: musl, Needed: []string{"liba.so", "libc.so", "libpthread.so.0"}, RPath: []string{"/rpath"}}, "/env/liba.so"},
		"unwinder":        {Object{Interp: glibc, Needed: []string{"libc.so.6"}, Unwinds: true}, "/lib/libc.so.6 /lib/libgcc_s.so.1"},
		"no unwinder":     {Object{Interp: glibc, Needed: []string{"libc.so.6"}}, "/lib/libc.so.6"},
		"other CPUs":      {Object{Interp: glibc, Needed: []string{"libh.so"}}, "/lib/libh.so /lib/glibc-hwcaps/x86-64-v3/libh.so"},
		"relative folder": {Object{Interp: glibc, Needed: []string{"x/liba.so"}}, "missing x/liba.so"},
		"nowhere":         {Object{Interp: glibc, Needed: []string{"libz.so"}}, "missing libz.so"},
	} {
		c.o.Path = "/prog"
		cl := Closure{Find: w.find, LibraryPath: []string{"/env"}, Conf: []string{"/conf"}}
		libs, err := cl.Of(&c.o)
		var got []string
		var m *MissingError
		if errors.As(err, &m) {
			got = []string{"missing", m.Name}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, l := range libs[min(len(libs), 1):] {
			got = append(got, l.Path)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
	cl := Closure{Find: w.find, Conf: []string{"/conf"}}
	libs, err := cl.Of(&Object{Interp: glibc, Path: "/p", Needed: []string{"liba.so"}})
	if err != nil || len(libs) != 2 || libs[1].Path != "/conf/liba.so" || !libs[1].Cached {
		t.Errorf("%+v %v", libs, err)
	}
	if _, err := cl.Of(&Object{Interp: "/none", Path: "/p"}); err == nil || !strings.Contains(err.Error(), "/none is missing") {
		t.Error(err)
	}
}

func TestOrigin(t *testing.T) {
	o := &loaded{Object: &Object{Path: "/app/prog", Host: "/home/me/bin/prog"}}
	if got := expand(o, "${ORIGIN}/../lib"); len(got) != 1 || got[0] != (place{"/lib", "/home/me/lib"}) {
		t.Errorf("%v", got)
	}
	if got := expand(o, "/x/$LIB"); len(got) != 2 || got[1].dir != "/x/lib64" {
		t.Errorf("%v", got)
	}
}

func FuzzReadObject(f *testing.F) {
	f.Add(library(f, "-Wl,-soname,liba.so.1", "-Wl,-rpath,/a"))
	f.Add(program().bytes(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ReadObject("x", bytes.NewReader(b), int64(len(b))); err != nil {
			checkError(t, err, "x: ")
		}
	})
}
