// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// random is a file of n bytes, its content and a view of all of it.
func random(t *testing.T, n int) (*os.File, []byte, *Area) {
	t.Helper()
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(content)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	v, err := NewView(f, 0, uint64(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return f, content, v
}

// members are the pages of a set.
func members(set []uint64) (list []int) {
	for i := range len(set) * 64 {
		if set[i/64]>>(i%64)&1 != 0 {
			list = append(list, i)
		}
	}
	return list
}

func (a *Area) bytes(t *testing.T, off, n uint64) []byte {
	t.Helper()
	b := make([]byte, n)
	if err := a.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestView(t *testing.T) {
	f, content, v := random(t, 3*PageSize)
	if !bytes.Equal(v.bytes(t, 0, 3*PageSize), content) || v.Size() != 3*PageSize {
		t.Error("the view differs")
	}
	second, err := NewView(f, PageSize, PageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if !bytes.Equal(second.bytes(t, 0, PageSize), content[PageSize:2*PageSize]) {
		t.Error("the view of the second page differs")
	}
	for _, err := range []error{v.WriteAt([]byte{1}, 0), v.Zero(0, 1), v.Copy(0, second, 0, 1), v.ReadFile(0, f, 0, 1), v.Discard(0, PageSize), v.ReadAt(make([]byte, 2), 3*PageSize-1)} {
		if !errors.Is(err, ErrRange) {
			t.Errorf("got %v", err)
		}
	}
	for _, c := range []struct {
		off  int64
		size uint64
	}{{0, 0}, {0, 1}, {1, PageSize}, {-PageSize, PageSize}, {0, 4 * PageSize}, {3 * PageSize, PageSize}, {0, 1 << 50}, {1 << 62, PageSize}} {
		if v, err := NewView(f, c.off, c.size); err == nil {
			v.Close()
			t.Errorf("%d bytes at %d were mapped", c.size, c.off)
		}
	}
}

func TestCopyAndZero(t *testing.T) {
	_, content, v := random(t, 3*PageSize)
	a := newArea(t, HugeSize)
	if err := a.Copy(5, v, 7, 5000); err != nil {
		t.Fatal(err)
	}
	if err := a.Zero(100, 1000); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 6000)
	copy(want[5:], content[7:5007])
	clear(want[100:1100])
	if !bytes.Equal(a.bytes(t, 0, 6000), want) {
		t.Error("what was copied differs")
	}
	if err := a.Copy(0, v, 3*PageSize, 1); !errors.Is(err, ErrRange) {
		t.Errorf("copy from outside: %v", err)
	}
	if err := a.Copy(HugeSize, v, 0, 1); !errors.Is(err, ErrRange) {
		t.Errorf("copy to outside: %v", err)
	}
	if err := a.Zero(HugeSize-1, 2); !errors.Is(err, ErrRange) {
		t.Errorf("zero outside: %v", err)
	}
}

// TestSets: pages that hold something, and that differ, by any single byte.
func TestSets(t *testing.T) {
	_, content, v := random(t, 130*PageSize)
	a := newArea(t, HugeSize)
	set := make([]uint64, Words(130*PageSize))
	if len(set) != 3 || Words(0) != 0 || Words(1) != 1 {
		t.Errorf("a set of 130 pages has %d words", len(set))
	}
	for _, page := range []int{0, 63, 64, 129} {
		for _, at := range []int{0, 8, 63, 64, 2048, 4088, 4095} {
			off := uint64(page*PageSize + at)
			if err := a.WriteAt([]byte{0x80}, off); err != nil {
				t.Fatal(err)
			}
			clear(set)
			if err := a.NonZero(0, 130*PageSize, set); err != nil || !slices.Equal(members(set), []int{page}) {
				t.Fatalf("byte 0x%x: %v, %v", off, members(set), err)
			}
			if err := a.Zero(off, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.WriteAt(content, PageSize); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int{0, 4095, 64 * PageSize, 129*PageSize + 2047} {
		at := uint64(PageSize + off)
		if err := a.WriteAt([]byte{content[off] ^ 1}, at); err != nil {
			t.Fatal(err)
		}
		clear(set)
		if err := a.Differ(PageSize, v, 0, 130*PageSize, set); err != nil || !slices.Equal(members(set), []int{off / PageSize}) {
			t.Fatalf("byte 0x%x: %v, %v", off, members(set), err)
		}
		if err := a.WriteAt(content[off:off+1], at); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{a.NonZero(1, PageSize, set), a.NonZero(0, 1, set), a.NonZero(HugeSize, PageSize, set),
		a.Differ(0, v, 1, PageSize, set), a.Differ(0, v, 0, 131*PageSize, set)} {
		if !errors.Is(err, ErrRange) {
			t.Errorf("got %v", err)
		}
	}
}

func TestFileTransfer(t *testing.T) {
	f, content, _ := random(t, 3*PageSize)
	a := newArea(t, HugeSize)
	if err := a.ReadFile(100, f, 50, 9000); err != nil || !bytes.Equal(a.bytes(t, 100, 9000), content[50:9050]) {
		t.Errorf("read: %v", err)
	}
	if err := a.ReadFile(PageSize*10, f, PageSize, 3*PageSize); err == nil {
		t.Error("a file that ends was read")
	}
	if err := a.WriteFile(100, f, 3*PageSize+5, 9000); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || len(got) != 3*PageSize+5+9000 || !bytes.Equal(got[3*PageSize+5:], content[50:9050]) {
		t.Errorf("written: %d bytes, %v", len(got), err)
	}
	for _, err := range []error{a.ReadFile(HugeSize, f, 0, 1), a.WriteFile(1, f, 0, HugeSize)} {
		if !errors.Is(err, ErrRange) {
			t.Errorf("got %v", err)
		}
	}
}

// TestPrivateFile: the file shows until a page is written, and never changes; what counts as the area's own is what was written.
func TestPrivateFile(t *testing.T) {
	f, content, v := random(t, HugeSize)
	a := newArea(t, 3*HugeSize)
	if err := a.Populate(0, 3*HugeSize); err != nil {
		t.Fatal(err)
	}
	var p Pagemap
	if n, err := p.PrivateBytes(a); err != nil || n != 3*HugeSize {
		t.Fatalf("populated: %d bytes, %v", n, err)
	}
	defer p.File.Close()
	if err := a.MapFilePrivate(HugeSize, HugeSize, f, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.bytes(t, HugeSize, HugeSize), content) {
		t.Error("the file does not show")
	}
	if n, err := p.PrivateBytes(a); err != nil || n != 2*HugeSize {
		t.Errorf("with a file: %d bytes, %v", n, err)
	}
	for _, page := range []uint64{0, 7, 511} {
		if err := a.WriteAt([]byte{^content[page*PageSize]}, HugeSize+page*PageSize); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := p.PrivateBytes(a); err != nil || n != 2*HugeSize+3*PageSize {
		t.Errorf("three pages written: %d bytes, %v", n, err)
	}
	set := make([]uint64, Words(HugeSize))
	if err := a.Differ(HugeSize, v, 0, HugeSize, set); err != nil || !slices.Equal(members(set), []int{0, 7, 511}) {
		t.Errorf("differ: %v, %v", members(set), err)
	}
	if !bytes.Equal(v.bytes(t, 0, HugeSize), content) {
		t.Error("the file changed")
	}
	if err := a.MapAnonymous(HugeSize, HugeSize); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.bytes(t, HugeSize, HugeSize), make([]byte, HugeSize)) {
		t.Error("not zero")
	}
	for _, c := range []struct {
		off, n uint64
		from   int64
	}{{PageSize, HugeSize, 0}, {0, PageSize, 0}, {3 * HugeSize, HugeSize, 0}, {0, 0, 0}, {0, HugeSize, 1}, {0, HugeSize, -PageSize}, {0, HugeSize, PageSize}, {0, 2 * HugeSize, 0}} {
		if a.MapFilePrivate(c.off, c.n, f, c.from) == nil {
			t.Errorf("mapped: %+v", c)
		}
	}
	if !errors.Is(v.MapFilePrivate(0, HugeSize, f, 0), ErrRange) || !errors.Is(a.MapAnonymous(0, PageSize), ErrRange) {
		t.Error("mapped where it must not be")
	}
}

// TestDiscardFile: blocks and parts of blocks that show a file are zero afterwards, their neighbours are not touched.
func TestDiscardFile(t *testing.T) {
	f, content, _ := random(t, 3*HugeSize)
	a := newArea(t, 4*HugeSize)
	if err := a.MapFilePrivate(HugeSize, 3*HugeSize, f, 0); err != nil {
		t.Fatal(err)
	}
	a.Store64(0, 1)
	a.Store64(2*HugeSize, 1) // a page of its own inside
	const from, n = HugeSize - PageSize, 2*HugeSize + 3*PageSize
	if err := a.Discard(from, n); err != nil {
		t.Fatal(err)
	}
	want := append(make([]byte, HugeSize), content...)
	want[0] = 1
	clear(want[from : from+n])
	if !bytes.Equal(a.bytes(t, 0, 4*HugeSize), want) {
		t.Error("content differs")
	}
	for _, c := range [][2]uint64{{1, PageSize}, {0, 1}, {4 * HugeSize, PageSize}} {
		if err := a.Discard(c[0], c[1]); !errors.Is(err, ErrRange) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestRecycle(t *testing.T) {
	f, _, _ := random(t, HugeSize)
	a := newArea(t, 6*HugeSize)
	if err := a.MapFilePrivate(HugeSize, HugeSize, f, 0); err != nil {
		t.Fatal(err)
	}
	if err := a.MapFilePrivate(4*HugeSize, HugeSize, f, 0); err != nil {
		t.Fatal(err)
	}
	for off := uint64(0); off < 6*HugeSize; off += PageSize {
		a.Store64(off+off/512%PageSize&^7, ^off)
	}
	if err := a.Recycle(3 * HugeSize); err != nil {
		t.Fatal(err)
	}
	if n := a.Resident(); n != 3*HugeSize {
		t.Errorf("%d bytes in memory", n)
	}
	var p Pagemap
	if n, err := p.PrivateBytes(a); err != nil || n != 3*HugeSize {
		t.Errorf("%d bytes of its own, %v", n, err)
	}
	defer p.File.Close()
	if !bytes.Equal(a.bytes(t, 0, 6*HugeSize), make([]byte, 6*HugeSize)) {
		t.Error("not zero")
	}
	for _, keep := range []uint64{1, PageSize, 7 * HugeSize} {
		if err := a.Recycle(keep); !errors.Is(err, ErrRange) {
			t.Errorf("keep %d: %v", keep, err)
		}
	}
}

// BenchmarkFresh and BenchmarkRecycle: 64 MiB of zeros in memory.
func BenchmarkFresh(b *testing.B) {
	for b.Loop() {
		a, err := New(0, 64<<20)
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Populate(0, 64<<20); err != nil {
			b.Fatal(err)
		}
		a.Close()
	}
}

func BenchmarkRecycle(b *testing.B) {
	a, err := New(0, 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Populate(0, 64<<20); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := a.Recycle(64 << 20); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPresent(t *testing.T) {
	a := newArea(t, 4*HugeSize)
	var p Pagemap
	set := make([]uint64, Words(4*HugeSize))
	if err := p.Present(a, 0, 4*HugeSize, set); err != nil || members(set) != nil {
		t.Fatalf("fresh: %v, %v", members(set), err)
	}
	defer p.File.Close()
	if err := a.WriteAt([]byte{1}, 2*HugeSize+5); err != nil {
		t.Fatal(err)
	}
	clear(set)
	if err := p.Present(a, HugeSize, 2*HugeSize, set); err != nil {
		t.Fatal(err)
	}
	// A host without huge pages has this one page.
	if got := members(set); !slices.Contains(got, 512) || got[0] < 512 || got[len(got)-1] > 1023 {
		t.Errorf("one byte written: %v", got)
	}
	if err := p.Present(a, 3*HugeSize, 2*HugeSize, set); !errors.Is(err, ErrRange) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkNonZero(b *testing.B) {
	a, err := New(0, 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Populate(0, 64<<20); err != nil {
		b.Fatal(err)
	}
	set := make([]uint64, Words(64<<20))
	b.SetBytes(64 << 20)
	for b.Loop() {
		if err := a.NonZero(0, 64<<20, set); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiffer(b *testing.B) {
	a, err := New(0, 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Populate(0, 64<<20); err != nil {
		b.Fatal(err)
	}
	set := make([]uint64, Words(32<<20))
	b.SetBytes(32 << 20)
	for b.Loop() {
		if err := a.Differ(0, a, 32<<20, 32<<20, set); err != nil {
			b.Fatal(err)
		}
	}
}
