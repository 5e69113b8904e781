// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"unifaas.dev/internal/image"
)

// container writes an OCI layout with one image of these files; a text that starts with "->" is a link.
func container(t *testing.T, files map[string]string, c v1.Config) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", "amd64", c
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = p.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestContainer(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.c", "#include <stdio.h>\nint main(int c, char **v) { for (; *v; v++) puts(*v); return 0; }\n", 0o644)
	run(t, dir, "gcc", "-static", "-o", "static", "a.c")
	run(t, dir, "gcc", "-o", "dynamic", "a.c")
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	files := map[string]string{
		"opt/prog": read(dir + "/static"), "bin/p": "->../../../opt/prog", "etc/passwd": "me:x:12:34::/home/me:/bin/sh\n", "etc/group": "g:x:56:\n",
		"script": "#!/bin/p -x\n", "loop1": "->loop2", "loop2": "->loop1", "text": "no program",
	}
	with := func(name, text string) map[string]string {
		m := map[string]string{name: text}
		for k, v := range files {
			m[k] = v
		}
		return m
	}
	ports := map[string]struct{}{"53/udp": {}, "9000/tcp": {}, "7000": {}, "x": {}}
	src := container(t, files, v1.Config{Entrypoint: []string{"p"}, Cmd: []string{"a", "b"}, Env: []string{"PATH=/bin", "Z=1", "bad"}, User: "me:g", WorkingDir: "work/../dir", ExposedPorts: ports})
	trees, m, err := parted(t, src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Program != "/bin/p" || m.UID != 12 || m.GID != 56 || m.Cwd != "/dir" || m.Port != 7000 || !slices.Equal(m.Args, []string{"p", "a", "b"}) ||
		!slices.Equal(m.Env, []string{"PATH=/bin", "Z=1", "HOME=/home/me"}) {
		t.Errorf("%+v", m)
	}
	if got := start(t, trees, m); got != "p\na\nb\n" {
		t.Errorf("says %q", got)
	}
	if _, m, err = parted(t, container(t, files, v1.Config{Cmd: []string{"/script", "y"}, User: "77"}), Options{}); err != nil ||
		m.Program != "/bin/p" || !slices.Equal(m.Args, []string{"/bin/p", "-x", "/script", "y"}) || m.UID != 77 || m.GID != 0 {
		t.Errorf("a script: %+v, %v", m, err)
	}
	for name, c := range map[string]struct {
		files map[string]string
		c     v1.Config
		want  string
	}{
		"no command":  {files, v1.Config{}, "neither ENTRYPOINT nor CMD"},
		"no program":  {files, v1.Config{Cmd: []string{"none"}}, "no such program"},
		"loop":        {files, v1.Config{Cmd: []string{"/loop1"}}, "no such program"},
		"text":        {files, v1.Config{Cmd: []string{"/text"}}, "not an ELF file"},
		"user":        {files, v1.Config{Cmd: []string{"/bin/p"}, User: "nobody"}, "/etc/passwd does not have it"},
		"group":       {files, v1.Config{Cmd: []string{"/bin/p"}, User: "0:none"}, "/etc/group does not have it"},
		"workdir":     {files, v1.Config{Cmd: []string{"/bin/p"}, WorkingDir: "/text"}, "not a folder"},
		"interpreter": {with("s", "#!/usr/bin/env p\n"), v1.Config{Cmd: []string{"/s"}}, "no such program"},
		"loader":      {with("d", read(dir+"/dynamic")), v1.Config{Cmd: []string{"/d"}}, "loader /lib64/ld-linux-x86-64.so.2 is missing"},
		"library":     {withLoader(with("d", read(dir+"/dynamic")), read), v1.Config{Cmd: []string{"/d"}}, "needs the library libc.so.6"},
	} {
		_, _, err := parted(t, container(t, c.files, c.c), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Nothing is left but the store's own files.
	s, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	built, err := Image(context.Background(), s, src, "c", Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Image(context.Background(), s, src, "c", Options{})
	if err != nil || again.Digest != built.Digest {
		t.Errorf("%s and %s, %v", built.Digest, again.Digest, err)
	}
	if es, err := os.ReadDir(s.TempDir()); err != nil || len(es) != 2 {
		t.Errorf("the store has %v, %v", es, err)
	}
}

func withLoader(files map[string]string, read func(string) string) map[string]string {
	files["lib64/ld-linux-x86-64.so.2"] = read("/lib64/ld-linux-x86-64.so.2")
	return files
}
