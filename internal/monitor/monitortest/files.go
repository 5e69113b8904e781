// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// hostFile makes a file with content that depends on seed.
func hostFile(t *testing.T, seed byte, size int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f, content
}

// page lets the guest read 4 KiB of its 2 MiB of the files area.
func (b *box) page(off uint64) []byte {
	b.t.Helper()
	b.Shared().Store64(noteData, off)
	b.expect(monitor.ExitQueue, 0)
	p := make([]byte, 4096)
	if err := b.Shared().ReadAt(p, noteData+8); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// files: they appear where they are mapped, with zeros behind their end, in any part of the area, while the guest runs; what is
// mapped anew in their place is seen.
func (s *suite) files(t *testing.T) {
	for _, mib := range []uint32{0, 62, 64<<10 - 2} { // at 62 MiB a file reaches into the next memslot of the kvm monitor
		base := uint64(mib) << 20
		b := s.start(t, doFiles, mib)
		b.expect(monitor.ExitQueue, 0) // it runs already
		one, first := hostFile(t, 1, 10000)
		size := 1 << 20
		if mib == 62 {
			size *= 2
		}
		two, second := hostFile(t, 2, size)
		for off, f := range map[uint64]*os.File{base: one, base + 1<<20: two} {
			fi, _ := f.Stat()
			if err := b.MapFile(off, f, fi.Size()); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.page(0); !bytes.Equal(got, first[:4096]) {
			t.Errorf("at %d MiB: first page differs", mib)
		}
		if got := b.page(8192); !bytes.Equal(got[:10000-8192], first[8192:]) || bytes.Count(got[10000-8192:], []byte{0}) != 4096-(10000-8192) {
			t.Errorf("at %d MiB: last page differs", mib)
		}
		if got := b.page(2<<20 - 4096); !bytes.Equal(got, second[1<<20-4096:1<<20]) {
			t.Errorf("at %d MiB: second file differs", mib)
		}
		if err := b.UnmapFile(base, 10000); err != nil {
			t.Fatal(err)
		}
		if err := b.MapFile(base, two, 8192); err != nil {
			t.Fatal(err)
		}
		if got := b.page(0); !bytes.Equal(got, second[:4096]) {
			t.Errorf("at %d MiB: the guest sees a file that was unmapped", mib)
		}
		// A write ends the guest and leaves the file alone.
		b.Shared().Store64(noteData, 1)
		if e := b.run(); e.Kind != monitor.ExitFault {
			t.Errorf("write: %+v", e)
		}
		if got, err := os.ReadFile(two.Name()); err != nil || !bytes.Equal(got, second) {
			t.Error("the guest changed a file of the host")
		}
	}
	b := s.start(t, doFiles, 0)
	f, _ := hostFile(t, 3, 4096)
	for _, c := range []struct {
		off  uint64
		size int64
	}{{1, 4096}, {0, 0}, {0, -1}, {abi.FilesMax, 4096}, {abi.FilesMax - 4096, 8192}, {1 << 63, 4096}} {
		if b.MapFile(c.off, f, c.size) == nil {
			t.Errorf("a file of %d bytes was mapped at 0x%x", c.size, c.off)
		}
		if c.size != 4096 && b.UnmapFile(c.off, c.size) == nil {
			t.Errorf("%d bytes were unmapped at 0x%x", c.size, c.off)
		}
	}
}

// filesCutShort: a file that shrinks under a guest ends that guest, with a report that says so, and nobody else.
func (s *suite) filesCutShort(t *testing.T) {
	f, content := hostFile(t, 1, 64<<10)
	b, other := s.start(t, doFiles, 0), s.start(t, doFiles, 0)
	for _, x := range []*box{b, other} {
		if err := x.MapFile(0, f, 64<<10); err != nil {
			t.Fatal(err)
		}
		x.expect(monitor.ExitQueue, 0)
		if !bytes.Equal(x.page(32<<10), content[32<<10:36<<10]) {
			t.Error("the file differs")
		}
	}
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	b.Shared().Store64(noteData, 32<<10) // a page that was mapped already
	e := b.run()
	if e.Kind != monitor.ExitFault || !strings.Contains(e.Report, "cut short") || !strings.Contains(e.Report, "rip") {
		t.Errorf("%+v", e)
	}
	if !bytes.Equal(other.page(0), content[:4096]) {
		t.Error("what is left of the file differs")
	}
}
