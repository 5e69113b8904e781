// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func newArea(t *testing.T, size uint64) *Area {
	t.Helper()
	a, err := New(0x1000000000, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestAccess(t *testing.T) {
	a := newArea(t, HugeSize)
	if a.HostAddr()%HugeSize != 0 {
		t.Errorf("host address 0x%x is not aligned", a.HostAddr())
	}
	want := []byte("hello")
	for _, off := range []uint64{0, 1, 4094, HugeSize - 5} {
		got := make([]byte, 5)
		if err := a.WriteAt(want, off); err != nil {
			t.Fatal(err)
		}
		if err := a.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
			t.Errorf("offset 0x%x: %q, %v", off, got, err)
		}
	}
	a.Store64(8, 0x1122334455667788)
	if v := a.Load32(12); v != 0x11223344 {
		t.Errorf("Load32: 0x%x", v)
	}
	a.Store32(8, 1)
	if !a.CompareAndSwap32(8, 1, 2) || a.CompareAndSwap32(8, 1, 3) || a.Load64(8) != 0x1122334400000002 {
		t.Errorf("CompareAndSwap32: 0x%x", a.Load64(8))
	}
}

func TestOutside(t *testing.T) {
	a := newArea(t, HugeSize)
	buf := make([]byte, 8)
	for _, off := range []uint64{HugeSize - 7, HugeSize, HugeSize + 1, 1 << 63, ^uint64(0), ^uint64(0) - 6} {
		if err := a.ReadAt(buf, off); !errors.Is(err, ErrRange) {
			t.Errorf("read at 0x%x: %v", off, err)
		}
		if err := a.WriteAt(buf, off); !errors.Is(err, ErrRange) {
			t.Errorf("write at 0x%x: %v", off, err)
		}
		if err := a.Populate(off, 8); !errors.Is(err, ErrRange) {
			t.Errorf("populate at 0x%x: %v", off, err)
		}
		mustPanic(t, func() { a.Load64(off) })
		mustPanic(t, func() { a.Store32(off|1, 0) })
	}
	if err := a.ReadAt(nil, HugeSize); err != nil {
		t.Errorf("empty read at the end: %v", err)
	}
	mustPanic(t, func() { a.Load64(4) })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.ReadAt(buf, 0); !errors.Is(err, ErrRange) {
		t.Errorf("read after Close: %v", err)
	}
	mustPanic(t, func() { a.Load32(0) })
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

func TestSizes(t *testing.T) {
	for _, n := range []uint64{0, 1, HugeSize - 1, HugeSize + 4096, 1 << 41, ^uint64(0) &^ (HugeSize - 1)} {
		if a, err := New(0, n); err == nil {
			a.Close()
			t.Errorf("area of %d bytes was made", n)
		}
	}
}

func TestResident(t *testing.T) {
	a := newArea(t, 64<<20)
	if n := a.Resident(); n != 0 {
		t.Errorf("fresh area has %d bytes", n)
	}
	if err := a.Populate(32<<20, 4<<20); err != nil {
		t.Fatal(err)
	}
	if n := a.Resident(); n != 4<<20 {
		t.Errorf("%d bytes after populating 4 MiB", n)
	}
	if err := a.WriteAt([]byte{1}, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := a.Discard(32<<20, 4<<20); err != nil {
		t.Fatal(err)
	}
	b := []byte{9}
	if err := a.ReadAt(b, 32<<20); err != nil || b[0] != 0 {
		t.Errorf("byte %d after Discard, %v", b[0], err)
	}
}

func TestFiles(t *testing.T) {
	var files []File
	var contents [][]byte
	for i, n := range []int{10000, HugeSize, HugeSize + 1, 4096} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		content := bytes.Repeat([]byte{byte('a' + i)}, n)
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		files, contents = append(files, File{f, uint64(n)}), append(contents, content)
	}
	a, err := MapFiles(0x2000000000, files)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Size() != 5*HugeSize || a.Size() != Span(files) {
		t.Errorf("size %d", a.Size())
	}
	got := make([]byte, a.Size())
	if err := a.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for i, at := range []int{0, HugeSize, 2 * HugeSize, 4 * HugeSize} {
		if !bytes.Equal(got[at:at+len(contents[i])], contents[i]) {
			t.Errorf("content of file %d differs", i)
		}
		copy(got[at:], make([]byte, len(contents[i])))
	}
	if n := bytes.Count(got, []byte{0}); n != len(got) {
		t.Errorf("%d bytes that are in no file are not zero", len(got)-n)
	}
	if err := a.WriteAt([]byte{1}, 0); !errors.Is(err, ErrRange) {
		t.Errorf("write to an image: %v", err)
	}
	if a, err := MapFiles(0, nil); err == nil {
		a.Close()
		t.Error("an area of no file was made")
	}
}
