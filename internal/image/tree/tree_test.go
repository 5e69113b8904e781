// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/erofs/go-erofs"
)

func put(t testing.TB, tr *Tree, p string, n *Node) string {
	t.Helper()
	real, err := tr.Put(p, n)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

func TestLinksLeadInside(t *testing.T) {
	tr := New(nil)
	put(t, tr, "usr/lib/libc.so", Bytes(0o644, []byte("c")))
	put(t, tr, "lib", Link("usr/lib"))
	put(t, tr, "up", Link("../../../etc"))
	put(t, tr, "abs", Link("/usr"))
	put(t, tr, "a", Link("b"))
	put(t, tr, "b", Link("a"))
	put(t, tr, "self", Link("self/self"))
	for p, want := range map[string]string{
		"/lib/libc.so": "/usr/lib/libc.so", "abs/lib/libc.so": "/usr/lib/libc.so", "/../../lib/../lib/libc.so": "/usr/lib/libc.so",
	} {
		if _, real, err := tr.Lookup(p); err != nil || real != want {
			t.Errorf("%s: %s, %v, want %s", p, real, err, want)
		}
	}
	if got := put(t, tr, "up/passwd", Bytes(0o600, nil)); got != "/etc/passwd" {
		t.Errorf("written through a link that climbs out: %s", got)
	}
	if got := put(t, tr, "/../../x", Bytes(0o600, nil)); got != "/x" {
		t.Errorf("written to a path that climbs out: %s", got)
	}
	for _, p := range []string{"a", "b/x", "self", "self/x"} {
		if _, _, err := tr.Lookup(p); !errors.Is(err, ErrLoop) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := tr.Put("a/x", Bytes(0o600, nil)); !errors.Is(err, ErrLoop) {
		t.Errorf("into a loop: %v", err)
	}
	if _, err := tr.Put("x/y", Bytes(0o600, nil)); !errors.Is(err, ErrNotDir) {
		t.Errorf("below a file: %v", err)
	}
	for _, p := range []string{"a\x00b", strings.Repeat("n", 256), strings.Repeat("d/", 2100) + "f"} {
		if _, err := tr.Put(p, Bytes(0o600, nil)); err == nil {
			t.Errorf("%.20q was taken", p)
		}
	}
	if _, _, err := tr.Lookup("nothing/there"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestAboveAnother(t *testing.T) {
	low := New(nil)
	put(t, low, "lib", Link("usr/lib"))
	put(t, low, "usr/lib/a", Bytes(0o644, []byte("a")))
	put(t, low, "tmp", Dir(0o777|fs.ModeSticky))
	put(t, low, "file", Bytes(0o644, nil))
	up := New(low)
	if got := put(t, up, "lib/b", Bytes(0o644, []byte("b"))); got != "/usr/lib/b" {
		t.Errorf("b is at %s", got)
	}
	put(t, up, "tmp/x", Bytes(0o644, nil))
	if n, _, err := up.Lookup("/tmp"); err != nil || n.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("/tmp: %v %v", n, err)
	}
	if _, _, err := up.Lookup("/lib/a"); err != nil {
		t.Error(err)
	}
	if _, err := up.Put("file/x", Bytes(0o644, nil)); !errors.Is(err, ErrNotDir) {
		t.Errorf("below a file of the lower tree: %v", err)
	}
	put(t, up, "usr2", Bytes(0o644, nil))
	if got := up.Names(); !slices.Equal(got, []string{"/tmp", "/tmp/x", "/usr", "/usr/lib", "/usr/lib/b", "/usr2"}) {
		t.Errorf("the upper tree has %v", got)
	}
}

func TestCounting(t *testing.T) {
	tr := New(nil)
	f := Bytes(0o644, []byte("12345"))
	put(t, tr, "d/a", f)
	put(t, tr, "d/b", f)
	put(t, tr, "c", Bytes(0o644, []byte("1")))
	if tr.FilesSize() != 6 || tr.nodes != 4 {
		t.Errorf("%d bytes in %d", tr.FilesSize(), tr.nodes)
	}
	if err := tr.Remove("d/a"); err != nil || tr.FilesSize() != 6 {
		t.Errorf("%v, %d bytes", err, tr.FilesSize())
	}
	put(t, tr, "d", Bytes(0o644, []byte("22"))) // a file in place of a folder
	if tr.FilesSize() != 3 || tr.nodes != 3 {
		t.Errorf("%d bytes in %d", tr.FilesSize(), tr.nodes)
	}
	if err := errors.Join(tr.Remove("nothing/there"), tr.Remove("/"), tr.Clear("nothing"), tr.Clear("c")); err != nil {
		t.Error(err)
	}
}

// TestWrite has three readers look at one image: the library, Debian's checker, and the kernel where it mounts.
func TestWrite(t *testing.T) {
	tr := New(nil)
	small, big := []byte("small"), bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	sn, bn := Bytes(0o755, small), Bytes(0o640, big)
	bn.UID, bn.GID = 1000, 70000
	put(t, tr, "bin/one", sn)
	put(t, tr, "bin/two", sn)
	put(t, tr, "z/three", sn)
	put(t, tr, "big", bn)
	put(t, tr, "m/big2", bn)
	put(t, tr, "empty", Bytes(0o600, nil))
	put(t, tr, "link", Link("bin/one"))
	put(t, tr, "long", Link(strings.Repeat("x/", 2000)))
	for i := range 1000 {
		put(t, tr, fmt.Sprintf("many/%s-%d", strings.Repeat("n", i%200), i), Bytes(0o644, []byte{byte(i)}))
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "img"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	size, err := tr.Write(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(out, size); err != nil {
		t.Error(err)
	}
	img, err := erofs.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	inode := func(p string) *erofs.Stat {
		fi, err := fs.Stat(img, p)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*erofs.Stat)
	}
	for p, want := range map[string][]byte{"bin/one": small, "bin/two": small, "z/three": small, "big": big, "m/big2": big, "empty": {}} {
		if got, err := fs.ReadFile(img, p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", p, len(got), err)
		}
	}
	if a, b, c := inode("bin/one"), inode("bin/two"), inode("z/three"); a.Ino != b.Ino || a.Ino != c.Ino || a.Nlink != 3 {
		t.Errorf("names of one file: inodes %d %d %d, %d links", a.Ino, b.Ino, c.Ino, a.Nlink)
	}
	if b := inode("big"); b.UID != 1000 || b.GID != 70000 || b.Ino != inode("m/big2").Ino {
		t.Errorf("owner of big: %d:%d", b.UID, b.GID)
	}
	if es, err := fs.ReadDir(img, "many"); err != nil || len(es) != 1000 {
		t.Errorf("many: %d, %v", len(es), err)
	}
	if _, err := exec.LookPath("fsck.erofs"); err == nil {
		if msg, err := exec.Command("fsck.erofs", out.Name()).CombinedOutput(); err != nil {
			t.Errorf("fsck.erofs: %v\n%s", err, msg)
		}
	}
	mnt := t.TempDir()
	if msg, err := exec.Command("mount", "-t", "erofs", "-o", "loop,ro", out.Name(), mnt).CombinedOutput(); err != nil {
		t.Logf("no mount here: %s", msg)
		return
	}
	defer exec.Command("umount", mnt).Run()
	if got, err := os.ReadFile(filepath.Join(mnt, "z/three")); err != nil || !bytes.Equal(got, small) {
		t.Errorf("the kernel reads %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(mnt, "m/big2")); err != nil || !bytes.Equal(got, big) {
		t.Errorf("the kernel reads %d bytes, %v", len(got), err)
	}
}

// TestFewDescriptors: more files than a process may have open.
func TestFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr := New(nil)
	for i := range 30000 {
		put(t, tr, fmt.Sprint("d/", i), OSFile(0o644, 1, name))
	}
	out, err := os.Create(filepath.Join(dir, "img"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := tr.Write(out); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Write(out); err == nil {
		t.Error("a file that shrank was taken")
	}
}

func FuzzPaths(f *testing.F) {
	f.Add("a/../b\n/c\nx>../..\nx/y")
	f.Fuzz(func(t *testing.T, script string) {
		tr := New(New(nil))
		for line := range strings.SplitSeq(script, "\n") {
			n := Bytes(0o644, []byte(line))
			p, target, isLink := strings.Cut(line, ">")
			if isLink {
				n = Link(target)
			}
			tr.Put(p, n)
			tr.Lookup(line)
			if strings.HasSuffix(line, "-") {
				tr.Remove(p)
			}
		}
		tr.Walk(func(p string, n *Node) error {
			if p != "/"+strings.Trim(p, "/") || strings.Contains(p+"/", "/../") || strings.Contains(p, "//") {
				t.Errorf("%q is in the tree", p)
			}
			return nil
		})
	})
}

func FuzzCheck(f *testing.F) {
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, b []byte) { Check(bytes.NewReader(b), int64(len(b))) })
}
