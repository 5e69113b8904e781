// SPDX-License-Identifier: Apache-2.0

package hostfolder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

const secret = "outside of the folder"

// newFolder is a folder inside of a directory that also has a secret.
func newFolder(t testing.TB) (f *Folder, dir string) {
	t.Helper()
	outer := t.TempDir()
	dir = filepath.Join(outer, "folder")
	for _, d := range []string{dir, filepath.Join(dir, "sub"), filepath.Join(dir, "sub/deep")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"secret": secret, "folder/a": "content of a", "folder/sub/b": "content of b", "folder/empty": ""} {
		if err := os.WriteFile(filepath.Join(outer, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"up": "../secret", "abs": filepath.Join(outer, "secret"), "dir": "sub", "out": "..", "root": "/", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func statOf(t testing.TB, f *Folder, path string) abi.FileStatReply {
	t.Helper()
	r := f.Do(Request{Op: abi.FileStat, Path: path})
	var st abi.FileStatReply
	if n, err := binary.Decode(r.Data, binary.LittleEndian, &st); r.Errno != 0 || err != nil || n != len(r.Data) {
		t.Fatalf("stat of %q: %v, %d bytes", path, r.Errno, len(r.Data))
	}
	return st
}

func TestStat(t *testing.T) {
	f, dir := newFolder(t)
	for _, path := range []string{"", "a", "sub/b", "sub", "up", "loop", "fifo", "empty"} {
		var want unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, path), &want); err != nil {
			t.Fatal(err)
		}
		got := statOf(t, f, path)
		if got.Inode != want.Ino || got.Mode != want.Mode || got.Size != uint64(want.Size) || got.Nlink != uint32(want.Nlink) ||
			got.MtimeNS != uint64(want.Mtim.Nano()) || got.UID != want.Uid || got.Blocks != uint64(want.Blocks) {
			t.Errorf("%q: %+v, want %+v", path, got, want)
		}
	}
	link := f.Do(Request{Op: abi.FileLink, Path: "up"})
	if link.Errno != 0 || string(link.Data) != "../secret" {
		t.Errorf("link: %q %v", link.Data, link.Errno)
	}
}

func TestRead(t *testing.T) {
	f, _ := newFolder(t)
	ino := statOf(t, f, "sub/b").Inode
	for _, c := range []struct {
		from uint64
		n    uint32
		want string
	}{{0, 100, "content of b"}, {11, 100, "b"}, {3, 4, "tent"}, {12, 5, ""}, {1 << 40, 5, ""}, {0, 0, ""}} {
		r := f.Do(Request{Op: abi.FileRead, Path: "sub/b", Inode: ino, From: c.from, Len: c.n})
		if r.Errno != 0 || string(r.Data) != c.want {
			t.Errorf("read %d at %d: %q %v", c.n, c.from, r.Data, r.Errno)
		}
	}
	r := f.Do(Request{Op: abi.FileMap, Path: "sub/b", Inode: ino})
	if r.Errno != 0 {
		t.Fatal(r.Errno)
	}
	defer r.File.Close()
	if b, err := io.ReadAll(r.File); string(b) != "content of b" || err != nil {
		t.Errorf("map: %q %v", b, err)
	}
	if _, err := r.File.Write([]byte("x")); err == nil {
		t.Error("a file can be written to")
	}
}

// TestOpenFiles: many files read, few held open; one that was replaced is what it was.
func TestOpenFiles(t *testing.T) {
	f, dir := newFolder(t)
	var names []string
	for i := range 3 * maxOpen {
		name := fmt.Sprint("f", i)
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range names {
				name := names[(i*(w+1))%len(names)]
				r := f.Do(Request{Op: abi.FileRead, Path: name, Inode: statOf(t, f, name).Inode, Len: 100})
				if r.Errno != 0 || string(r.Data) != name {
					t.Errorf("%s: %q %v", name, r.Data, r.Errno)
				}
			}
		})
	}
	all.Wait()
	if len(f.open) > maxOpen {
		t.Errorf("%d files open", len(f.open))
	}
	ino := statOf(t, f, names[0]).Inode
	read := Request{Op: abi.FileRead, Path: names[0], Inode: ino, Len: 100}
	f.Do(read)
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, names[0])); err != nil {
		t.Fatal(err)
	}
	if r := f.Do(read); string(r.Data) != names[0] {
		t.Errorf("a file that was replaced: %q %v", r.Data, r.Errno)
	}
	if r := f.Do(Request{Op: abi.FileMap, Path: names[0], Inode: ino}); r.Errno != unix.ESTALE {
		t.Errorf("map of a file that was replaced: %v", r.Errno)
	}
}

func TestRefused(t *testing.T) {
	f, _ := newFolder(t)
	ino := statOf(t, f, "a").Inode
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		r    Request
		want unix.Errno
	}{
		{Request{Op: abi.FileStat, Path: "none"}, unix.ENOENT},
		{Request{Op: abi.FileStat, Path: "a/b"}, unix.ENOTDIR},
		{Request{Op: abi.FileStat, Path: "dir/b"}, unix.ELOOP},
		{Request{Op: abi.FileStat, Path: "out/secret"}, unix.ELOOP},
		{Request{Op: abi.FileStat, Path: ".."}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "../secret"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "sub/../../secret"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "./a"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "/a"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "a/"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "sub//b"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: "a\x00"}, unix.EINVAL},
		{Request{Op: abi.FileStat, Path: long}, unix.ENAMETOOLONG},
		{Request{Op: abi.FileStat, Path: strings.Repeat("a/", 2100)}, unix.ENAMETOOLONG},
		{Request{Op: abi.FileLink, Path: "a"}, unix.EINVAL},
		{Request{Op: abi.FileList, Path: "a"}, unix.ENOTDIR},
		{Request{Op: abi.FileList, Path: "dir"}, unix.ENOTDIR},
		{Request{Op: abi.FileList, Path: "fifo"}, unix.ENOTDIR},
		{Request{Op: abi.FileMap, Path: "a", Inode: ino + 1}, unix.ESTALE},
		{Request{Op: abi.FileMap, Path: "fifo", Inode: statOf(t, f, "fifo").Inode}, unix.EINVAL},
		{Request{Op: abi.FileMap, Path: "up", Inode: statOf(t, f, "up").Inode}, unix.EINVAL},
		{Request{Op: abi.FileMap, Path: "sub", Inode: statOf(t, f, "sub").Inode}, unix.EISDIR},
		{Request{Op: abi.FileRead, Path: "a", Inode: ino + 1, Len: 1}, unix.ESTALE},
		{Request{Op: abi.FileRead, Path: "fifo", Inode: statOf(t, f, "fifo").Inode, Len: 1}, unix.EINVAL},
		{Request{Op: abi.FileRead, Path: "a", Inode: ino, Len: abi.FileReadMax + 1}, unix.EINVAL},
		{Request{Op: abi.FileRead, Path: "a", Inode: ino, From: 1 << 63, Len: 1}, unix.EINVAL},
		{Request{Op: abi.FileUnmap}, unix.EINVAL},
		{Request{Op: 0}, unix.EINVAL},
		{Request{Op: 99, Path: "a"}, unix.EINVAL},
	} {
		if r := f.Do(c.r); r.Errno != c.want || r.Data != nil || r.File != nil {
			t.Errorf("%+v: %v, want %v", c.r, r.Errno, c.want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("open of nothing: %v", err)
	}
}

// entries parses a whole listing, batch by batch.
func entries(t testing.TB, f *Folder, path string) map[string]abi.FileStatReply {
	t.Helper()
	all := map[string]abi.FileStatReply{}
	for cookie, batches := uint64(0), 0; ; batches++ {
		r := f.Do(Request{Op: abi.FileList, Path: path, From: cookie})
		if r.Errno != 0 || len(r.Data) < 8 || len(r.Data) > abi.MsgMax || batches > 1000 {
			t.Fatalf("list %q: %v, %d bytes", path, r.Errno, len(r.Data))
		}
		cookie = binary.LittleEndian.Uint64(r.Data)
		for b := r.Data[8:]; len(b) > 0; {
			var e abi.FileEntry
			n, err := binary.Decode(b, binary.LittleEndian, &e)
			if err != nil || e.NameLen == 0 || e.NameLen > 255 {
				t.Fatalf("entry %+v: %v", e, err)
			}
			name := string(b[n : n+int(e.NameLen)])
			if _, twice := all[name]; twice {
				t.Errorf("%q comes twice", name)
			}
			all[name] = e.Stat
			b = b[n+(int(e.NameLen)+7)&^7:]
		}
		if cookie == 0 {
			return all
		}
	}
}

func TestList(t *testing.T) {
	f, dir := newFolder(t)
	got := entries(t, f, "")
	if len(got) != 10 {
		t.Errorf("%d names", len(got))
	}
	for name, st := range got {
		if st != statOf(t, f, name) {
			t.Errorf("%q: %+v, stat says %+v", name, st, statOf(t, f, name))
		}
	}
	want := map[string]bool{}
	for i := range 3000 {
		name := fmt.Sprintf("%d-%s", i, strings.Repeat("n", i%240))
		want[name] = true
		if err := os.WriteFile(filepath.Join(dir, "sub/deep", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got = entries(t, f, "sub/deep")
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%q is missing", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
}

// TestKernelFileSystems: of the host's root, proc and sys are empty folders.
func TestKernelFileSystems(t *testing.T) {
	f, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if statOf(t, f, "proc").Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Error("proc is no folder")
	}
	if l := entries(t, f, "proc"); len(l) != 0 {
		t.Errorf("proc has %d names", len(l))
	}
	for _, path := range []string{"proc/self", "proc/1", "proc/1/environ", "proc/self/root", "proc/kcore", "sys/kernel"} {
		if r := f.Do(Request{Op: abi.FileStat, Path: path}); r.Errno == 0 {
			t.Errorf("%s is there", path)
		}
	}
	if l := entries(t, f, ""); len(l) < 5 {
		t.Errorf("/ has %d names", len(l))
	} else if _, ok := l["proc"]; !ok {
		t.Error("/proc is not listed")
	}
}

// TestRaces: while others swap a folder for a link out and move folders about, no request ever leaves the folder.
func TestRaces(t *testing.T) {
	f, dir := newFolder(t)
	outer := filepath.Dir(dir)
	for _, d := range []string{"in", "moved"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
		os.WriteFile(filepath.Join(dir, d, "secret"), []byte("inside"), 0o644)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		in, link, away := filepath.Join(dir, "in"), filepath.Join(dir, "link"), filepath.Join(outer, "away")
		os.Symlink(outer, link)
		for {
			select {
			case <-stop:
				return
			default:
			}
			unix.Renameat2(unix.AT_FDCWD, in, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			os.Rename(filepath.Join(dir, "moved"), away) // a folder that leaves
			os.Rename(away, filepath.Join(dir, "moved"))
		}
	})
	var out unix.Stat_t
	if err := unix.Stat(filepath.Join(outer, "secret"), &out); err != nil {
		t.Fatal(err)
	}
	inside := 0
	for range 3000 {
		for _, path := range []string{"in/secret", "moved/secret"} {
			if r := f.Do(Request{Op: abi.FileStat, Path: path}); r.Errno == 0 {
				var st abi.FileStatReply
				binary.Decode(r.Data, binary.LittleEndian, &st)
				r = f.Do(Request{Op: abi.FileRead, Path: path, Inode: st.Inode, Len: 100})
				if bytes.Contains(r.Data, []byte(secret)) || st.Inode == out.Ino {
					t.Fatal("read outside of the folder")
				}
				if string(r.Data) == "inside" {
					inside++
				}
			}
			// The number of the secret itself, for one who guessed it.
			if r := f.Do(Request{Op: abi.FileRead, Path: path, Inode: out.Ino, Len: 100}); r.Errno == 0 {
				t.Fatalf("read %q by number", r.Data)
			}
		}
	}
	close(stop)
	all.Wait()
	if inside == 0 {
		t.Error("nothing was ever read: the race was not raced")
	}
}

// TestFIFO: what would block is never opened.
func TestFIFO(t *testing.T) {
	f, _ := newFolder(t)
	before := fds(t)
	for op := range uint32(8) {
		for range 10 {
			if r := f.Do(Request{Op: op, Path: "fifo", Inode: statOf(t, f, "fifo").Inode, Len: 10}); r.File != nil {
				t.Error("a FIFO was opened")
			}
			f.Do(Request{Op: op, Path: "none"})
			f.Do(Request{Op: op, Path: "sub"})
		}
	}
	if after := fds(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestClose: no request runs on, or begins, when Close has returned.
func TestClose(t *testing.T) {
	f, _ := newFolder(t)
	ino := statOf(t, f, "a").Inode
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				r := f.Do(Request{Op: abi.FileRead, Path: "a", Inode: ino, Len: 100})
				if r.Errno == unix.EIO {
					return
				}
				if string(r.Data) != "content of a" {
					t.Errorf("%q %v", r.Data, r.Errno)
				}
			}
		})
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

func fds(t *testing.T) int {
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

func FuzzRequest(z *testing.F) {
	f, dir := newFolder(z)
	var known []string
	filepath.WalkDir(dir, func(p string, _ os.DirEntry, _ error) error {
		rel, _ := filepath.Rel(dir, p)
		known = append(known, strings.TrimPrefix(rel, "."))
		return nil
	})
	slices.Sort(known)
	for _, p := range known {
		for op := range uint32(8) {
			z.Add(op, p, statOf(z, f, p).Inode, uint64(0), uint32(10))
		}
	}
	z.Add(uint32(abi.FileRead), "../secret", uint64(1), uint64(1<<63), ^uint32(0))
	z.Fuzz(func(t *testing.T, op uint32, path string, inode, from uint64, n uint32) {
		r := f.Do(Request{Op: op, Path: path, Inode: inode, From: from, Len: n})
		if r.File != nil {
			r.File.Close()
		}
		if len(r.Data) > abi.MsgMax || bytes.Contains(r.Data, []byte(secret)) {
			t.Errorf("%d bytes", len(r.Data))
		}
		if r.Errno != 0 && (r.Data != nil || r.File != nil) {
			t.Error("an error and an answer")
		}
		if r.Errno == 0 && op != abi.FileRead && check(path) != nil {
			t.Errorf("%q was answered", path)
		}
	})
}
