// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

// window is a sandbox that only notes what is mapped.
type window struct {
	monitor.Sandbox
	mapped map[uint64]int64
	fail   bool
}

func (w *window) MapFile(off uint64, _ *os.File, size int64) error {
	if w.fail {
		return fmt.Errorf("no room")
	}
	if off%4096 != 0 || size >= hugePage && off%hugePage != 0 || off > abi.FilesMax || uint64(size) > abi.FilesMax-off {
		return fmt.Errorf("offset 0x%x for %d bytes", off, size)
	}
	for o, n := range w.mapped {
		if off < o+pages(uint64(n)) && o < off+pages(uint64(size)) {
			panic("two files in one place")
		}
	}
	w.mapped[off] = size
	return nil
}

func (w *window) UnmapFile(off uint64, size int64) error {
	if w.mapped[off] != size {
		panic("unmaps what was not mapped")
	}
	delete(w.mapped, off)
	return nil
}

func newFiles(t testing.TB) (*files, *window, *[]*wire.FileRequest) {
	area, err := guestmem.New(abi.SharedGPA, abi.SharedSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { area.Close() })
	w := &window{mapped: map[uint64]int64{}}
	asked := &[]*wire.FileRequest{}
	return &files{link: newLink(area), sb: w, id: 1, ask: func(m wire.Message) { *asked = append(*asked, m.(*wire.FileRequest)) }}, w, asked
}

func payload(r abi.FileReq, path string) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, &r)
	if err != nil {
		panic(err)
	}
	return append(b, path...)
}

// sparse is a file of a size that takes no room.
func sparse(t testing.TB, size int64) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFileRequests(t *testing.T) {
	fs, w, asked := newFiles(t)
	for tag := range uint32(abi.FileTags) {
		if err := fs.request(tag, abi.FileMap, payload(abi.FileReq{Inode: 5}, "a/b")); err != nil {
			t.Fatal(err)
		}
	}
	if len(*asked) != abi.FileTags || (*asked)[3].Path != "a/b" || (*asked)[3].Inode != 5 || (*asked)[3].Tag != 3 {
		t.Errorf("%+v", *asked)
	}
	for _, c := range []struct {
		tag, op uint32
		p       []byte
	}{
		{99, abi.FileStat, payload(abi.FileReq{}, "")}, // one too many
		{3, abi.FileStat, payload(abi.FileReq{}, "")},
		{99, 0, payload(abi.FileReq{}, "")},
		{99, 7, payload(abi.FileReq{}, "")},
		{0, abi.FileUnmap, payload(abi.FileReq{From: 4096}, "")},
		{99, abi.FileStat, payload(abi.FileReq{}, "")[:10]},
	} {
		if err := fs.request(c.tag, c.op, c.p); !isViolation(err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (*files)(nil).request(0, abi.FileStat, payload(abi.FileReq{}, "")); !isViolation(err) {
		t.Errorf("without a folder: %v", err)
	}
	small, large := sparse(t, 5000), sparse(t, 3<<20)
	for tag := range uint32(abi.FileTags) {
		f := small
		if tag%2 == 1 {
			f = large
		}
		if known, err := fs.reply(&wire.FileReply{Tag: tag}, f); !known || err != nil {
			t.Fatal(known, err)
		}
		if known, _ := fs.reply(&wire.FileReply{Tag: tag}, f); known && len(fs.owed) == 0 {
			t.Error("answered twice")
		}
	}
	if len(w.mapped) != abi.FileTags {
		t.Errorf("%d files mapped", len(w.mapped))
	}
	for off := range w.mapped {
		if err := fs.request(0, abi.FileUnmap, payload(abi.FileReq{From: off}, "")); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.mapped)+len(fs.mapped)+len(fs.places.taken) != 0 {
		t.Errorf("left: %v %v %v", w.mapped, fs.mapped, fs.places.taken)
	}
}

func TestFileAnswers(t *testing.T) {
	fs, w, _ := newFiles(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, f := range []*os.File{nil, dir, sparse(t, 0), sparse(t, abi.FilesMax+1)} {
		if data, errno := fs.show(f); errno == 0 || data != nil {
			t.Errorf("%v was mapped", f)
		}
	}
	w.fail = true
	if _, errno := fs.show(sparse(t, 5)); errno == 0 || len(fs.places.taken) != 0 {
		t.Errorf("errno %d, %v taken", errno, fs.places.taken)
	}
}

// TestSpace compares the allocator with a plain list of pages.
func TestSpace(t *testing.T) {
	var s space
	r := rand.New(rand.NewPCG(1, 2))
	type piece struct{ at, size uint64 }
	var held []piece
	for range 5000 {
		if len(held) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(held))
			s.give(held[i].at, held[i].size)
			held = slices.Delete(held, i, i+1)
			continue
		}
		size := r.Uint64N(3*hugePage) + 1
		at, ok := s.take(size)
		if !ok {
			t.Fatal("full")
		}
		if at%smallPage != 0 || size >= hugePage && at%hugePage != 0 {
			t.Fatalf("%d bytes at 0x%x", size, at)
		}
		for _, h := range held {
			if at < h.at+pages(h.size) && h.at < at+pages(size) {
				t.Fatalf("%d bytes at 0x%x overlap %d at 0x%x", size, at, h.size, h.at)
			}
		}
		held = append(held, piece{at, size})
	}
	for _, h := range held {
		s.give(h.at, h.size)
	}
	if len(s.taken) != 0 {
		t.Errorf("%d left", len(s.taken))
	}
	if at, ok := s.take(abi.FilesMax); !ok || at != 0 {
		t.Error("the whole area is not to be had")
	}
	if _, ok := s.take(1); ok {
		t.Error("more than there is")
	}
	for _, n := range []uint64{0, abi.FilesMax + 1, ^uint64(0)} {
		if _, ok := new(space).take(n); ok {
			t.Errorf("%d bytes were handed out", n)
		}
	}
}

// FuzzFiles: whatever guest and node say, in whatever order, the books stay right.
func FuzzFiles(z *testing.F) {
	z.Add([]byte{0, 1, 4, 1, 1, 0, 0, 2, 6, 1, 2, 0, 2, 0, 5})
	z.Fuzz(func(t *testing.T, script []byte) {
		fs, w, _ := newFiles(t)
		var known []*os.File
		for _, n := range []int64{0, 1, 4096, 5000, 3 << 20, abi.FilesMax} {
			known = append(known, sparse(t, n))
		}
		for ; len(script) >= 3; script = script[3:] {
			what, tag, x := script[0]%3, uint32(script[1])%80, script[2]
			var err error
			switch what {
			case 0:
				err = fs.request(tag, uint32(x), payload(abi.FileReq{From: uint64(tag) << 12}, string(script[3:])))
			case 1:
				var f *os.File
				if int(x) < len(known) {
					f = known[x]
				}
				_, err = fs.reply(&wire.FileReply{Tag: tag, Errno: uint16(x) & 0x80, Data: script}, f)
			case 2: // the guest has read everything
				fs.area.Store64(abi.CtlRxTail, fs.area.Load64(abi.CtlRxHead))
				fs.retry()
				err = fs.settle()
			}
			if err != nil && !isViolation(err) {
				t.Fatal(err)
			}
			if len(fs.waiting) > abi.FileTags || len(fs.owed) > len(fs.waiting) || len(fs.mapped) != len(w.mapped) || len(fs.places.taken) != len(w.mapped) {
				t.Fatalf("%d wait, %d owed, %d mapped, %d really, %d extents", len(fs.waiting), len(fs.owed), len(fs.mapped), len(w.mapped), len(fs.places.taken))
			}
		}
	})
}
