// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"
)

func openImage(t *testing.T, r io.ReaderAt) fs.FS {
	t.Helper()
	img, err := erofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

var wantModes = map[string]fs.FileMode{
	".": fs.ModeDir | 0o755, "tmp": fs.ModeDir | fs.ModeSticky | 0o777, "var/tmp": fs.ModeDir | fs.ModeSticky | 0o777,
	"dev": fs.ModeDir | 0o755, "proc": fs.ModeDir | 0o755, "sys": fs.ModeDir | 0o755, "root": fs.ModeDir | 0o755,
	"etc/passwd": 0o644, "etc/group": 0o644, "etc/hosts": 0o644, "etc/resolv.conf": 0o644, "etc/nsswitch.conf": 0o644,
}

func TestFromELF(t *testing.T) {
	prog := testELF(t, 20000, nil)
	f, size, m, err := FromELF(writeFile(t, "hello", prog))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if m.Program != "/hello" || m.Size() != size || m.Cwd != "/" {
		t.Errorf("manifest %+v", m)
	}
	img := openImage(t, f)
	got, err := fs.ReadFile(img, "hello")
	if err != nil || !bytes.Equal(got, prog) {
		t.Errorf("the program in the image differs: %v", err)
	}
	for p, want := range wantModes {
		fi, err := fs.Stat(img, p)
		if err != nil || fi.Mode().Perm() != want.Perm() || fi.IsDir() != want.IsDir() {
			t.Errorf("%s: %v %v, want mode %v", p, fi, err, want)
		}
	}
	// In place: the bytes stand in one piece at a page boundary.
	all := make([]byte, size)
	if _, err := f.ReadAt(all, 0); err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(all, prog); i < 0 || i%4096 != 0 {
		t.Errorf("program data at offset %d of the image, want it in one piece at a page boundary", i)
	}
	if err := f.Truncate(4096); !errors.Is(err, unix.EPERM) {
		t.Errorf("shrinking the image: %v, want EPERM", err)
	}
}

func TestProgramCalledLikeAFolder(t *testing.T) {
	f, _, m, err := FromELF(writeFile(t, "etc", testELF(t, 0, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if m.Program != "/app/etc" {
		t.Errorf("program at %s", m.Program)
	}
	if _, err := fs.Stat(openImage(t, f), "app/etc"); err != nil {
		t.Error(err)
	}
}

// TestOracles has Debian's checker and the kernel read what the writer made.
func TestOracles(t *testing.T) {
	dir := t.TempDir()
	for _, extra := range []int{0, 3900, 4096 - 192, 4096, 1 << 20} {
		prog := testELF(t, extra, nil)
		s, err := OpenStore(filepath.Join(dir, "store"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Import(context.Background(), writeFile(t, "prog", prog), "")
		if err != nil {
			t.Fatal(err)
		}
		img := s.layerFile(m.Layers[0].Digest)
		t.Run("fsck", func(t *testing.T) {
			if _, err := exec.LookPath("fsck.erofs"); err != nil {
				t.Skip("no fsck.erofs: install erofs-utils")
			}
			if out, err := exec.Command("fsck.erofs", img).CombinedOutput(); err != nil {
				t.Errorf("fsck.erofs: %v\n%s", err, out)
			}
		})
		t.Run("mount", func(t *testing.T) {
			mnt := t.TempDir()
			if out, err := exec.Command("mount", "-t", "erofs", "-o", "loop,ro", img, mnt).CombinedOutput(); err != nil {
				t.Skipf("no mount here: %s", out)
			}
			defer exec.Command("umount", mnt).Run()
			got, err := os.ReadFile(filepath.Join(mnt, "prog"))
			if err != nil || !bytes.Equal(got, prog) {
				t.Errorf("the kernel reads other bytes: %v", err)
			}
			for p, want := range wantModes {
				if fi, err := os.Stat(filepath.Join(mnt, p)); err != nil || fi.Mode() != want {
					t.Errorf("%s: %v %v, want mode %v", p, fi, err, want)
				}
			}
			if ents, err := os.ReadDir(filepath.Join(mnt, "etc")); err != nil || len(ents) != 5 {
				t.Errorf("/etc: %v %v", ents, err)
			}
		})
	}
}

func TestReproducible(t *testing.T) {
	prog := testELF(t, 50000, nil)
	var digests []string
	for range 2 {
		s, err := OpenStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Import(context.Background(), writeFile(t, "same", prog), "n")
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("two images of one program: %s and %s", digests[0], digests[1])
	}
}

func TestStore(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	one := writeFile(t, "one", testELF(t, 100, nil))
	two := writeFile(t, "two", testELF(t, 200, nil))
	m1, err := s.Import(ctx, one, "team/fn:v1")
	if err != nil {
		t.Fatal(err)
	}
	layers, m, err := s.Open("team/fn:v1")
	if err != nil || len(layers) != 1 || layers[0].Size != m1.Size() || m.Digest != m1.Digest {
		t.Fatalf("open: %v %+v %+v", err, layers, m)
	}
	defer CloseLayers(layers)
	m2, err := s.Import(ctx, two, "team/fn:v1") // the name moves, the first image stays
	if err != nil {
		t.Fatal(err)
	}
	if _, m, err := s.Open("team/fn:v1"); err != nil || m.Digest != m2.Digest {
		t.Errorf("after the name moved: %v %+v", err, m)
	}
	es, err := s.List()
	if err != nil || len(es) != 2 || es[0].Name != "" || es[1].Name != "team/fn:v1" {
		t.Errorf("list: %v %+v", err, es)
	}
	if err := s.Remove(m1.Digest); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Open(m1.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("open of a removed image: %v", err)
	}
	var b [4]byte
	if _, err := layers[0].File.ReadAt(b[:], 1024); err != nil {
		t.Errorf("an open file of a removed image: %v", err)
	}
	if err := s.Remove("team/fn:v1"); err != nil {
		t.Error(err)
	}
	if err := s.Remove("team/fn:v1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("second remove: %v", err)
	}
	if _, _, err := s.Open(m2.Digest); err != nil {
		t.Errorf("an image without a name: %v", err)
	}
}

func TestBadNames(t *testing.T) {
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"..", "../x", "/x", "a//b", "a/../b", "a b", "a\x00b", ".hidden", "a:", "a:b:c", "-x", strings.Repeat("x", 300), "sha256:" + strings.Repeat("0", 64)} {
		if _, err := s.Import(context.Background(), writeFile(t, "p", testELF(t, 0, nil)), n); err == nil {
			t.Errorf("name %q was taken", n)
		}
		if _, _, err := s.Open(n); err == nil {
			t.Errorf("image %q was opened", n)
		}
	}
}

// TestNothingLeft: a failed import leaves no file, whatever it fails on.
func TestNothingLeft(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(context.Background(), writeFile(t, "bad", []byte("no")), "x"); err == nil {
		t.Error("a bad source was taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Import(ctx, writeFile(t, "p", testELF(t, 0, nil)), "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled import: %v", err)
	}
	for _, sub := range []string{"sha256", "names"} {
		if es, _ := os.ReadDir(filepath.Join(dir, sub)); len(es) != 0 {
			t.Errorf("%s has %v", sub, es)
		}
	}
}

func TestDiskFull(t *testing.T) {
	mnt := t.TempDir()
	if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer unix.Unmount(mnt, unix.MNT_DETACH)
	s, err := OpenStore(filepath.Join(mnt, "images"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Import(context.Background(), writeFile(t, "big", testELF(t, 1<<20, nil)), "big")
	if err == nil || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "disk is full") || strings.Contains(err.Error(), "\n") {
		t.Errorf("on a full disk: %v", err)
	}
	if es, _ := os.ReadDir(filepath.Join(mnt, "images", "sha256")); len(es) != 0 {
		t.Errorf("left behind: %v", es)
	}
	if _, err := s.Import(context.Background(), writeFile(t, "small", testELF(t, 0, nil)), "small"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestDamagedStore(t *testing.T) {
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Import(context.Background(), writeFile(t, "p", testELF(t, 9000, nil)), "p")
	if err != nil {
		t.Fatal(err)
	}
	blob := s.blob(m.Digest)
	good, err := os.ReadFile(blob + ".json")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", "null", `{"version":99}`, strings.Replace(string(good), `"/p"`, `"p"`, 1), strings.Replace(string(good), m.Layers[0].Digest[7:17], "0123456789", 1)} {
		if err := os.WriteFile(blob+".json", []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Open("p"); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("manifest %q: %v", bad, err)
		}
		if es, err := s.List(); err != nil || len(es) != 0 {
			t.Errorf("list with manifest %q: %v %v", bad, es, err)
		}
	}
	if err := os.WriteFile(blob+".json", good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.layerFile(m.Layers[0].Digest), 4096); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open("p"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("truncated image: %v", err)
	}
	// Building again mends it.
	if _, err := s.Import(context.Background(), writeFile(t, "p", testELF(t, 9000, nil)), "p"); err != nil {
		t.Fatal(err)
	}
	if f, _, err := s.Open("p"); err != nil {
		t.Error(err)
	} else {
		CloseLayers(f)
	}
}

func TestConcurrentImports(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, "p", testELF(t, 5000, func(h *elf.Header64, _ []elf.Prog64) {}))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			s, err := OpenStore(dir)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := s.Import(context.Background(), src, "same")
			if err != nil {
				t.Error(err)
				return
			}
			f, _, err := s.Open(m.Digest)
			if err != nil {
				t.Error(err)
				return
			}
			CloseLayers(f)
		})
	}
	wg.Wait()
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":2,"layers":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":4096}],"program":"/p","args":["/p"],"cwd":"/"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeManifest(b); err == nil {
			if err := m.check(); err != nil {
				t.Errorf("decoded, but: %v", err)
			}
		}
	})
}

func BenchmarkFromELF(b *testing.B) {
	src := writeFile(b, "p", testELF(b, 1<<20, nil))
	for b.Loop() {
		f, _, _, err := FromELF(src)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
