// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func TestPresentPages(t *testing.T) {
	a := newArea(t, 4*HugeSize)
	if err := a.Small(HugeSize); err != nil {
		t.Fatal(err)
	}
	for _, off := range []uint64{HugeSize + 5*PageSize, 3 * HugeSize} {
		if err := a.WriteAt([]byte{1}, off); err != nil {
			t.Fatal(err)
		}
	}
	vec, other := make([]byte, a.Size()/PageSize), make([]byte, a.Size()/PageSize)
	if err := a.Present(0, vec); err != nil {
		t.Fatal(err)
	}
	if err := a.presentOrSwapped(0, other); err != nil {
		t.Fatal(err)
	}
	for i := range vec {
		want := byte(0)
		if i == 512+5 || i == 3*512 {
			want = 1
		}
		if i <= 3*512 && (vec[i]&1 != want || other[i] != want) {
			t.Errorf("page %d: %d, %d", i, vec[i], other[i])
		}
	}
	if err := a.Present(0, append(vec, 0)); !errors.Is(err, ErrRange) {
		t.Errorf("more than there is: %v", err)
	}
	if err := a.Present(1, vec[:1]); !errors.Is(err, ErrRange) {
		t.Errorf("part of a page: %v", err)
	}
}

func TestMapPages(t *testing.T) {
	a := newArea(t, 2*HugeSize)
	f, err := os.CreateTemp(t.TempDir(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := bytes.Repeat([]byte("file"), 8*PageSize/4)
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := a.MapPages(0, PageSize, f, 0); err == nil || a.IsSmall(0) {
		t.Errorf("pages of a huge block: %v", err)
	}
	if err := a.Small(0); err != nil || !a.IsSmall(0) || a.IsSmall(HugeSize) {
		t.Fatal(err)
	}
	if err := a.MapPages(3*PageSize, 4*PageSize, f, 2*PageSize); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteAt([]byte("own"), 4*PageSize); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 2*HugeSize)
	copy(want[3*PageSize:], content[2*PageSize:6*PageSize])
	copy(want[4*PageSize:], "own")
	got := make([]byte, 2*HugeSize)
	if err := a.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("memory differs, %v", err)
	}
	if b, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the file was changed, %v", err)
	}
	for _, c := range [][3]uint64{{1, PageSize, 0}, {0, PageSize + 1, 0}, {0, 0, 0}, {HugeSize - PageSize, 2 * PageSize, 0}, {0, 9 * PageSize, 0}, {0, PageSize, 8 * PageSize},
		{0, PageSize, 1}, {2 * HugeSize, PageSize, 0}, {0, PageSize, 1 << 63}} {
		if a.MapPages(c[0], c[1], f, int64(c[2])) == nil {
			t.Errorf("%x", c)
		}
	}
	if err := a.Recycle(HugeSize); err != nil || a.IsSmall(0) {
		t.Fatal(err)
	}
	if err := a.ReadAt(got, 0); err != nil || !bytes.Equal(got, make([]byte, len(got))) {
		t.Errorf("memory is not as new, %v", err)
	}
}
