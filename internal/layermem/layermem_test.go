// SPDX-License-Identifier: Apache-2.0

package layermem

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/image"
)

func layer(t *testing.T, size int, digest string) (image.Layer, []byte) {
	t.Helper()
	content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
	name := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return image.Layer{File: f, Size: int64(size), Digest: digest}, content
}

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestLoad(t *testing.T) {
	for _, size := range []int{1, 4096, hugeSize, 2*hugeSize + 5} {
		l, content := layer(t, size, "")
		m, err := Load(l)
		if err != nil {
			t.Fatal(err)
		}
		defer m.File.Close()
		got, err := io.ReadAll(io.NewSectionReader(m.File, 0, 1<<30))
		if err != nil || len(got)%hugeSize != 0 || !bytes.Equal(got[:size], content) || bytes.Count(got[size:], []byte{0}) != len(got)-size {
			t.Errorf("%d bytes: differs, %v", size, err)
		}
		fd := int(m.File.Fd())
		if _, err := unix.Pwrite(fd, []byte{1}, 0); err != unix.EPERM {
			t.Errorf("write: %v", err)
		}
		if err := unix.Ftruncate(fd, 0); err != unix.EPERM {
			t.Errorf("truncate: %v", err)
		}
		if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096); err != unix.EPERM {
			t.Errorf("punch: %v", err)
		}
		if b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			unix.Munmap(b)
			t.Error("it can be mapped for writing")
		}
		b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		if unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE) == nil {
			t.Error("a mapping can be made writable")
		}
		unix.Munmap(b)
	}
	l, _ := layer(t, 100, "")
	l.Size = 101
	if _, err := Load(l); err == nil {
		t.Error("more than there is was read")
	}
}

func TestShared(t *testing.T) {
	c := &Cache{Grace: -1}
	l, _ := layer(t, 5000, "d")
	var wg sync.WaitGroup
	refs := make([]*Ref, 8)
	for i := range refs {
		wg.Go(func() { refs[i] = c.Get(l) })
	}
	wg.Wait()
	for _, r := range refs {
		if r.Layer.File == l.File || inode(t, r.Layer.File) != inode(t, refs[0].Layer.File) {
			t.Error("not the same memory file")
		}
	}
	if n := c.Used(); n != 5000 {
		t.Errorf("%d bytes used", n)
	}
	other, _ := layer(t, 5000, "e")
	r := c.Get(other)
	if inode(t, r.Layer.File) == inode(t, refs[0].Layer.File) {
		t.Error("two digests in one file")
	}
	r.Close()
	for _, r := range refs {
		r.Close()
		r.Close()
	}
	if n := c.Used(); n != 0 {
		t.Errorf("%d bytes used after the last user", n)
	}
}

func TestGrace(t *testing.T) {
	c := &Cache{Grace: time.Hour}
	l, _ := layer(t, 5000, "d")
	r := c.Get(l)
	first := inode(t, r.Layer.File)
	r.Close()
	if c.Used() != 5000 {
		t.Error("dropped at once")
	}
	r = c.Get(l)
	if inode(t, r.Layer.File) != first {
		t.Error("loaded again")
	}
	r.Close()
	held := c.Get(l)
	c.Close()
	if c.Used() != 5000 {
		t.Error("dropped while in use")
	}
	held.Close()
	if n := c.Used(); n != 0 {
		t.Errorf("%d bytes used after Close", n)
	}
	short := &Cache{Grace: time.Nanosecond}
	short.Get(l).Close()
	for short.Used() != 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestTooLarge(t *testing.T) {
	c := &Cache{Limit: 4999, Total: 1 << 20}
	l, _ := layer(t, 5000, "d")
	if r := c.Get(l); r.Layer.File != l.File {
		t.Error("a layer above the limit is in memory")
	}
	c = &Cache{Limit: 1 << 20, Total: 9999}
	a, b := c.Get(l), c.Get(image.Layer{File: l.File, Size: 5000, Digest: "e"})
	if a.Layer.File == l.File || b.Layer.File != l.File {
		t.Error("the total is not kept")
	}
	gone, _ := layer(t, 10, "g")
	gone.Size = 20
	if r := c.Get(gone); r.Layer.File != gone.File || c.Used() != 5000 {
		t.Errorf("a layer that cannot be read: %d bytes used", c.Used())
	}
}
