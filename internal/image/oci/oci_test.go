// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"unifaas.dev/internal/image/tree"
)

// file is an entry of a layer: a file, or what h says.
func file(name, text string) entry { return entry{tar.Header{Name: name, Mode: 0o644}, text} }

type entry struct {
	h    tar.Header
	text string
}

func link(kind byte, name, target string) entry {
	return entry{tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.h
		h.Size = int64(len(e.text))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(e.text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeImage(t testing.TB, layers ...[]byte) v1.Image {
	t.Helper()
	img := empty.Image
	for _, data := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	c.Config = v1.Config{Cmd: []string{"/bin/x"}, Env: []string{"A=1"}, User: "1:2"}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// writeLayout puts images into an OCI layout.
func writeLayout(t testing.TB, dir string, imgs ...v1.Image) layout.Path {
	t.Helper()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range imgs {
		if err := p.AppendImage(i); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func load(t testing.TB, s Source, limit int64) (*Image, error) {
	t.Helper()
	img, err := Load(context.Background(), s, t.TempDir(), limit)
	if err == nil {
		t.Cleanup(func() { img.Close() })
	} else if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
	return img, err
}

func layered(t testing.TB, layers ...[]byte) (*Image, error) {
	t.Helper()
	dir := t.TempDir()
	writeLayout(t, dir, makeImage(t, layers...))
	return load(t, Layout(dir), 0)
}

func text(t testing.TB, tr *tree.Tree, p string) string {
	t.Helper()
	n, _, err := tr.Lookup(p)
	if err != nil {
		return err.Error()
	}
	b, err := n.Read(1 << 20)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestLayersAndWhiteouts(t *testing.T) {
	img, err := layered(t,
		archive(t, file("usr/lib/a", "a"), link(tar.TypeSymlink, "lib", "usr/lib"), file("d/one", "1"), file("d/two", "2"), file("o/old", "old"),
			file("gone/x", "x"), file("swap/x", "x"), entry{tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""},
			entry{tar.Header{Name: "t", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 7, Gid: 8}, ""}),
		archive(t, file("/lib/b", "b"), file("d/.wh.one", ""), file("o/new", "new"), file("o/.wh..wh..opq", ""), file("o/later", "later"),
			file("swap", "now a file"), file("gone/y", "y"), file(".wh.gone", ""), file("never/.wh.there", ""), file("d/.wh..wh.plnk", ""),
			link(tar.TypeLink, "hard", "usr/lib/a"), link(tar.TypeSymlink, "out", "../../../../etc")),
		archive(t, file("out/passwd", "inside"), file("usr/lib/a", "new a")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/d", "/d/two", "/etc", "/etc/passwd", "/gone", "/gone/y", "/hard", "/lib", "/o", "/o/later", "/o/new", "/out", "/swap", "/t", "/usr",
		"/usr/lib", "/usr/lib/a", "/usr/lib/b"}
	if got := img.Tree.Names(); !slices.Equal(got, want) {
		t.Errorf("the tree has\n%v, want\n%v", got, want)
	}
	for p, want := range map[string]string{"/lib/b": "b", "/hard": "a", "/usr/lib/a": "new a", "/etc/passwd": "inside", "/swap": "now a file"} {
		if got := text(t, img.Tree, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if n, _, err := img.Tree.Lookup("/t"); err != nil || n.Mode&os.ModeSticky == 0 || n.UID != 7 || n.GID != 8 {
		t.Errorf("/t: %+v %v", n, err)
	}
	if img.Config.User != "1:2" || img.Config.Cmd[0] != "/bin/x" {
		t.Errorf("%+v", img.Config)
	}
}

func TestHostileLayers(t *testing.T) {
	for name, c := range map[string]struct {
		e    entry
		want string
	}{
		"climbs":      {file("../../etc/passwd", "x"), "climbs out"},
		"inside":      {file("a/../../b", "x"), "climbs out"},
		"hardlink":    {link(tar.TypeLink, "x", "../../etc/shadow"), "climbs out"},
		"no target":   {link(tar.TypeLink, "x", "etc/shadow"), "not there"},
		"folder":      {link(tar.TypeLink, "x", "dir"), "a folder"},
		"loop":        {file("loop/x", "x"), "too many symbolic links"},
		"below":       {file("f/x", "x"), "not a folder"},
		"root":        {link(tar.TypeSymlink, ".", "x"), "root"},
		"long":        {file(strings.Repeat("n", 300), "x"), "a name of"},
		"empty link":  {link(tar.TypeSymlink, "x", ""), "target"},
		"whiteout up": {file("a/../../.wh.x", ""), "climbs out"},
	} {
		_, err := layered(t, archive(t, link(tar.TypeSymlink, "loop", "loop2"), link(tar.TypeSymlink, "loop2", "loop"), file("f", ""),
			entry{tar.Header{Name: "dir", Typeflag: tar.TypeDir, Mode: 0o755}, ""}), archive(t, c.e))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	good := archive(t, file("f", strings.Repeat("x", 5000)))
	if _, err := layered(t, good[:len(good)-4000]); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a layer cut short: %v", err)
	}
}

// TestBomb: 200 MiB of zeros in a few hundred KiB.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	const size = 200 << 20
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, size))
	w.Close()
	dir := t.TempDir()
	writeLayout(t, dir, makeImage(t, b.Bytes()))
	if _, err := load(t, Layout(dir), 50<<20); err == nil || !strings.Contains(err.Error(), "unpacks to more than 50 MiB") {
		t.Errorf("bomb: %v", err)
	}
	if img, err := load(t, Layout(dir), 300<<20); err != nil || img.Tree.FilesSize() != size {
		t.Errorf("with a larger limit: %v", err)
	}
}

// TestSparse: an entry of the old GNU format that says a terabyte and has 512 bytes.
func TestSparse(t *testing.T) {
	b := archive(t, file("f", strings.Repeat("x", 512)))
	h := b[:512]
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	clear(h[345:500])
	copy(h[386:], "00000000000\x0000000001000\x00")
	// 2^40 bytes
	copy(h[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	if _, err := layered(t, b); err == nil || !strings.Contains(err.Error(), "unpacks to more than") {
		t.Errorf("a sparse file: %v", err)
	}
}

func TestDigests(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, archive(t, file("f", "one")))
	writeLayout(t, dir, img)
	layers, _ := img.Layers()
	d, _ := layers[0].Digest()
	other, _ := makeImage(t, archive(t, file("f", "two"))).Layers()
	r, _ := other[0].Compressed()
	data, _ := io.ReadAll(r)
	blob := func(h v1.Hash) string { return filepath.Join(dir, "blobs", h.Algorithm, h.Hex) }
	if err := os.WriteFile(blob(d), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, Layout(dir), 0); err == nil || !strings.Contains(err.Error(), "wrong digest") {
		t.Errorf("another layer: %v", err)
	}
	for _, which := range []func() (v1.Hash, error){img.ConfigName, img.Digest} {
		dir = t.TempDir()
		writeLayout(t, dir, img)
		h, err := which()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(blob(h))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(blob(h), append(b, ' '), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, Layout(dir), 0); err == nil || !strings.Contains(err.Error(), "digest") && !strings.Contains(err.Error(), "hash") {
			t.Errorf("another configuration or manifest: %v", err)
		}
	}
}

func TestPlatforms(t *testing.T) {
	amd, arm := makeImage(t, archive(t, file("f", "amd"))), makeImage(t, archive(t, file("f", "arm")))
	add := func(p layout.Path, i v1.Image, arch string) {
		t.Helper()
		if err := p.AppendImage(i, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: arch})); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	p := writeLayout(t, dir)
	add(p, arm, "arm64")
	if _, err := load(t, Layout(dir), 0); err == nil || !strings.Contains(err.Error(), "only for linux/arm64") {
		t.Errorf("for another machine: %v", err)
	}
	add(p, amd, "amd64")
	img, err := load(t, Layout(dir), 0)
	if err != nil || text(t, img.Tree, "f") != "amd" {
		t.Errorf("one of two: %v", err)
	}
	add(p, makeImage(t, archive(t, file("f", "third"))), "amd64")
	if _, err := load(t, Layout(dir), 0); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("two of them: %v", err)
	}
	c, _ := arm.ConfigFile()
	c = c.DeepCopy()
	c.Architecture = "arm64"
	wrong, err := mutate.ConfigFile(arm, c)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	writeLayout(t, dir, wrong)
	if _, err := load(t, Layout(dir), 0); err == nil || !strings.Contains(err.Error(), "linux/arm64, not") {
		t.Errorf("a configuration for another machine: %v", err)
	}
}

func TestArchives(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, archive(t, file("f", "text")), archive(t, file("g", "more")))
	tag, err := name.NewTag("test/x:1")
	if err != nil {
		t.Fatal(err)
	}
	docker := filepath.Join(dir, "docker.tar")
	if err := tarball.WriteToFile(docker, tag, img); err != nil {
		t.Fatal(err)
	}
	writeLayout(t, dir+"/oci", img)
	for _, args := range [][]string{{"-C", dir + "/oci", "-cf", dir + "/oci.tar", "."}, {"-C", dir + "/oci", "-czf", dir + "/oci.tar.gz", "oci-layout", "index.json", "blobs"}} {
		if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	b, err := os.ReadFile(docker)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	zw.Write(b)
	zw.Close()
	if err := os.WriteFile(docker+".gz", z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{docker, docker + ".gz", dir + "/oci.tar", dir + "/oci.tar.gz"} {
		start, _ := os.ReadFile(f)
		if !IsArchive(string(start[:512])) {
			t.Errorf("%s is not seen as an archive", f)
		}
		img, err := load(t, Archive(f), 0)
		if err != nil || text(t, img.Tree, "f") != "text" || text(t, img.Tree, "g") != "more" {
			t.Errorf("%s: %v", f, err)
		}
	}
	for n, data := range map[string][]byte{
		"none": archive(t, file("x", "y")), "cut": b[:len(b)/2], "zcut": z.Bytes()[:z.Len()/2], "manifest": archive(t, file("manifest.json", "[]")),
		"layer": archive(t, file("manifest.json", `[{"Config":"../../etc/passwd","Layers":["/etc/shadow"]}]`)), "index": archive(t, file("index.json", "{}"), file("oci-layout", "{}")),
		"null": archive(t, file("manifest.json", "[null]")), "nulls": archive(t, file("index.json", "null")),
	} {
		if _, err := load(t, Archive(writeTo(t, n, data)), 0); err == nil {
			t.Errorf("%s was taken", n)
		}
	}
}

func writeTo(t testing.TB, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRegistry(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	img := makeImage(t, archive(t, file("f", "pulled")))
	ref, err := name.ParseReference(host + "/team/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	d, _ := img.Digest()
	for _, r := range []string{host + "/team/x:1", host + "/team/x@" + d.String()} {
		got, err := load(t, Reference(r), 0)
		if err != nil || text(t, got.Tree, "f") != "pulled" {
			t.Errorf("%s: %v", r, err)
		}
	}
	for r, want := range map[string]string{host + "/team/x:2": "does not have it", host + "/UPPER": "no such file", "///": "no such file", "127.0.0.1:1/x": "no such file"} {
		if _, err := load(t, Reference(r), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", r, err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(ctx, Reference(host+"/team/x:1"), t.TempDir(), 0); err == nil {
		t.Error("a cancelled pull was done")
	}
}

func FuzzLayer(f *testing.F) {
	f.Add(archive(f, file("a/b", "x"), link(tar.TypeSymlink, "c", "../.."), link(tar.TypeLink, "d", "a/b"), file("a/.wh.b", ""), file("c/e", "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		spool, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer spool.Close()
		left := int64(1 << 20)
		u := newUnpacker(tree.New(nil), spool, left)
		for range 2 {
			u.mine = map[string]bool{}
			u.apply(tar.NewReader(&bounded{ctx: context.Background(), r: bytes.NewReader(data), left: &u.left}))
		}
		u.t.Walk(func(p string, _ *tree.Node) error {
			if strings.Contains(p+"/", "/../") || !strings.HasPrefix(p, "/") {
				t.Errorf("%q is in the tree", p)
			}
			return nil
		})
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(archive(f, file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", `{"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}`), file("l", "x")))
	f.Add(archive(f, file("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:`+fmt.Sprintf("%064d", 1)+`","size":2}]}`), file("oci-layout", "{}"), file("blobs/sha256/"+fmt.Sprintf("%064d", 1), "{}")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if img, err := Load(context.Background(), Archive(writeTo(t, "a", data)), t.TempDir(), 1<<20); err == nil {
			img.Close()
		}
	})
}
