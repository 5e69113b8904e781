// SPDX-License-Identifier: Apache-2.0

package parked

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func memfd(t testing.TB, content []byte) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("sink", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "sink")
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

// pattern is content that tells its slot and its place.
func pattern(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := 0; i < n; i += 64 {
		b[i] = byte(r.Uint32())
	}
	return b
}

func read(t testing.TB, s *Slot) []byte {
	t.Helper()
	b := make([]byte, s.Len)
	if _, err := s.File().ReadAt(b, s.Off); err != nil {
		t.Fatal(err)
	}
	return b
}

// memory is what the kernel says a file takes.
func memory(t testing.TB, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func open(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestPut(t *testing.T) {
	s, err := New(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	before := open(t)
	var slots []*Slot
	sizes := []int{1, 4095, 4096, 4097, 100_000}
	for i, n := range sizes {
		want := pattern(uint64(i), n)
		sl, err := s.Put(memfd(t, append(want, "more that nobody asked for"...)), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		if sl.Len != int64(n) || !bytes.Equal(read(t, sl), want) {
			t.Errorf("%d bytes: differ", n)
		}
		slots = append(slots, sl)
	}
	if b, n := s.Used(); n != len(sizes) || b != memory(t, slots[0].File()) {
		t.Errorf("%d bytes in %d slots, the kernel says %d", b, n, memory(t, slots[0].File()))
	}
	for i, sl := range slots {
		if !bytes.Equal(read(t, sl), pattern(uint64(i), sizes[i])) {
			t.Errorf("slot %d was changed by a later one", i)
		}
	}
	if _, err := slots[0].File().WriteAt([]byte{1}, 0); err == nil {
		t.Error("what tenders get can be written")
	}
	if _, err := unix.Mmap(int(slots[0].File().Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		t.Error("what tenders get can be mapped for writing")
	}
	if err := unix.Ftruncate(int(slots[0].File().Fd()), 0); err == nil {
		t.Error("what tenders get can be cut")
	}
	// A range that is free reads as nothing, and is given to nobody else.
	off, n, f := slots[4].Off, slots[4].Len, slots[4].File()
	slots[4].Close()
	slots[4].Close()
	again, err := s.Put(memfd(t, pattern(9, 4096)), 4096)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil || bytes.Count(b, []byte{0}) != len(b) {
		t.Errorf("a free slot still has content, %v", err)
	}
	again.Close()
	for _, sl := range slots {
		sl.Close()
	}
	if b, n := s.Used(); b != 0 || n != 0 {
		t.Errorf("%d bytes in %d slots after the last one", b, n)
	}
	if n := open(t) - len(sizes) - 1; n != before { // without the sinks
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

func TestLimit(t *testing.T) {
	if _, err := New(-1); err == nil {
		t.Error("a negative limit")
	}
	s, _ := New(8 * 4096)
	a, err := s.Put(memfd(t, pattern(1, 3*4096+1)), 3*4096+1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Put(memfd(t, pattern(2, 4*4096)), 4*4096)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{1, 5000, 60_000} {
		if _, err := s.Put(memfd(t, pattern(3, 60_000)), n); !errors.Is(err, ErrFull) {
			t.Errorf("%d bytes above the limit: %v", n, err)
		}
	}
	a.Close()
	c, err := s.Put(memfd(t, pattern(4, 4096)), 4096)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	b.Close()
}

func sparse(t testing.TB, size int64) *os.File {
	t.Helper()
	f := memfd(t, []byte("start"))
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestHoles: a large file without content costs nothing.
func TestHoles(t *testing.T) {
	s, _ := New(1 << 40)
	f := sparse(t, 1<<36)
	if _, err := f.WriteAt([]byte("end"), 1<<36-3); err != nil {
		t.Fatal(err)
	}
	sl, err := s.Put(f, 1<<36)
	if err != nil {
		t.Fatal(err)
	}
	if n := memory(t, sl.File()); n != 2*page {
		t.Errorf("%d bytes of memory", n)
	}
	b := make([]byte, 10)
	if _, err := sl.File().ReadAt(b, sl.Off); err != nil || string(b) != "start\x00\x00\x00\x00\x00" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := sl.File().ReadAt(b[:3], sl.Off+sl.Len-3); err != nil || string(b[:3]) != "end" {
		t.Errorf("%q, %v", b[:3], err)
	}
	short, err := s.Put(f, 5000) // the end of what is copied is a hole
	if err != nil {
		t.Fatal(err)
	}
	if b := read(t, short); string(b[:5]) != "start" || bytes.Count(b, []byte{0}) != 4995 {
		t.Error("differs")
	}
	short.Close()
	sl.Close()
}

// TestHostile: what a tender says of its sink need not be true.
func TestHostile(t *testing.T) {
	s, _ := New(1 << 40)
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer pipe.Close()
	unlimited, _ := New(1<<63 - 1)
	for name, put := range map[string]func() (*Slot, error){
		"shorter":  func() (*Slot, error) { return s.Put(memfd(t, pattern(1, 100)), 101) },
		"empty":    func() (*Slot, error) { return s.Put(memfd(t, nil), 1<<39) },
		"zero":     func() (*Slot, error) { return s.Put(memfd(t, pattern(1, 100)), 0) },
		"negative": func() (*Slot, error) { return s.Put(memfd(t, pattern(1, 100)), -5) },
		"pipe":     func() (*Slot, error) { return s.Put(pipe, 100) },
		"huge":     func() (*Slot, error) { return unlimited.Put(sparse(t, 1<<37), 1<<37) },
		"all":      func() (*Slot, error) { return unlimited.Put(sparse(t, 1<<63-1), 1<<63-1) },
	} {
		if sl, err := put(); err == nil {
			t.Errorf("%s: taken as %d bytes", name, sl.Len)
		}
	}
	if b, n := s.Used(); b != 0 || n != 0 {
		t.Errorf("%d bytes in %d slots stay", b, n)
	}
	name := filepath.Join(t.TempDir(), "file") // another file system: bytes go through a buffer
	want := pattern(5, 200_000)
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sl, err := s.Put(f, 200_000)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, sl), want) {
		t.Error("a copy from a disk differs")
	}
	sl.Close()
	if _, err := s.Put(f, 200_001); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("more than there is: %v", err)
	}
	s.Close()
	if _, err := s.Put(f, 1); err == nil {
		t.Error("a closed store takes more")
	}
}

// TestChurn parks and wakes in random order, and compares with a map of what should be there.
func TestChurn(t *testing.T) {
	const keep = 400
	rounds := 6000
	if testing.Short() {
		rounds = 1500
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 2))
	s, _ := New(1 << 30)
	type parked struct {
		slot *Slot
		seed uint64
	}
	var live []parked
	var content int64
	sink := memfd(t, nil)
	for i := range rounds {
		if len(live) >= keep || len(live) > 0 && r.IntN(5) < 2 {
			k := r.IntN(len(live))
			p := live[k]
			if !bytes.Equal(read(t, p.slot), pattern(p.seed, int(p.slot.Len))) {
				t.Fatalf("round %d: the slot at %d differs", i, p.slot.Off)
			}
			content -= p.slot.Len
			if err := p.slot.Close(); err != nil {
				t.Fatal(err)
			}
			live[k] = live[len(live)-1]
			live = live[:len(live)-1]
		} else {
			n := 50<<10 + r.IntN(250<<10)
			if _, err := sink.WriteAt(pattern(uint64(i), n), 0); err != nil {
				t.Fatal(err)
			}
			sl, err := s.Put(sink, int64(n))
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, parked{sl, uint64(i)})
			content += int64(n)
		}
		if i%100 != 99 || len(live) == 0 {
			continue
		}
		used, n := s.Used()
		real := memory(t, live[0].slot.File())
		if n != len(live) || used != real {
			t.Fatalf("round %d: %d slots, %d bytes by the books, %d by the kernel's", i, n, used, real)
		}
		if n > 50 && real-content > content/50 {
			t.Fatalf("round %d: %d slots of %d bytes take %d: more than 2 %% lost", i, n, content, real)
		}
	}
	for _, p := range live {
		p.slot.Close()
	}
	if b, n := s.Used(); b != 0 || n != 0 {
		t.Errorf("%d bytes in %d slots after the last one", b, n)
	}
}

// TestMany: more parked instances than a process may have descriptors.
func TestMany(t *testing.T) {
	const many = 25_000
	s, _ := New(1 << 30)
	sink := memfd(t, pattern(0, 9000))
	before := open(t)
	slots := make([]*Slot, many)
	for i := range slots {
		if _, err := sink.WriteAt([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, 0); err != nil {
			t.Fatal(err)
		}
		var err error
		if slots[i], err = s.Put(sink, 9000); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := open(t); n > before+2 {
		t.Errorf("%d descriptors for %d slots", n-before, many)
	}
	for _, i := range rand.Perm(many) {
		b := make([]byte, 3)
		if _, err := slots[i].File().ReadAt(b, slots[i].Off); err != nil || !bytes.Equal(b, []byte{byte(i), byte(i >> 8), byte(i >> 16)}) {
			t.Fatalf("slot %d: %x, %v", i, b, err)
		}
		slots[i].Close()
	}
}

func TestConcurrent(t *testing.T) {
	s, _ := New(1 << 30)
	var wg sync.WaitGroup
	for g := range 8 {
		sink := memfd(t, nil)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for i := range 150 {
				seed, n := uint64(g<<32+i), 1+r.IntN(60<<10)
				if _, err := sink.WriteAt(pattern(seed, n), 0); err != nil {
					t.Error(err)
					return
				}
				sl, err := s.Put(sink, int64(n))
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, n)
				if _, err := sl.File().ReadAt(b, sl.Off); err != nil || !bytes.Equal(b, pattern(seed, n)) {
					t.Errorf("slot at %d of goroutine %d differs, %v", sl.Off, g, err)
				}
				if err := sl.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if b, n := s.Used(); b != 0 || n != 0 {
		t.Errorf("%d bytes in %d slots after the last one", b, n)
	}
}

// FuzzStore does what bytes say: sizes to park, places to free.
func FuzzStore(f *testing.F) {
	f.Add([]byte{10, 0, 20, 1, 0x80, 0, 30, 2})
	f.Add([]byte{0x81, 0, 0x80, 0x80, 1, 1, 1, 1, 0x82})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const limit = 64 * page
		s, _ := New(limit)
		sink := memfd(t, bytes.Repeat([]byte("parked"), 6000))
		var live []*Slot
		var want int64
		for i := 0; i+1 < len(ops) && i < 400; i += 2 {
			if ops[i]&0x80 != 0 && len(live) > 0 {
				k := int(ops[i]&0x7f) % len(live)
				want -= whole(live[k].Len)
				live[k].Close()
				live = append(live[:k], live[k+1:]...)
				continue
			}
			n := int64(ops[i]&0x7f)<<8 + int64(ops[i+1])
			sl, err := s.Put(sink, n)
			if fits := n > 0 && want+whole(n) <= limit; fits != (err == nil) {
				t.Fatalf("%d bytes beside %d: %v", n, want, err)
			}
			if err == nil {
				want += whole(n)
				live = append(live, sl)
			}
		}
		if b, n := s.Used(); b != want || n != len(live) {
			t.Fatalf("%d bytes in %d slots, want %d in %d", b, n, want, len(live))
		}
		for i, a := range live {
			for _, b := range live[:i] {
				if a.Off < b.Off+whole(b.Len) && b.Off < a.Off+whole(a.Len) {
					t.Fatalf("slots at %d and %d overlap", a.Off, b.Off)
				}
			}
		}
		for _, sl := range live {
			sl.Close()
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{50 << 10, 150 << 10, 300 << 10} {
		sink := memfd(b, pattern(1, n))
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			s, _ := New(1 << 30)
			first, _ := s.Put(sink, 1)
			defer first.Close()
			b.SetBytes(int64(n))
			for b.Loop() {
				sl, err := s.Put(sink, int64(n))
				if err != nil {
					b.Fatal(err)
				}
				sl.Close()
			}
		})
	}
}

// BenchmarkCopy compares ways to copy 150 KiB from a memory file to fresh pages of another.
func BenchmarkCopy(b *testing.B) {
	const n = 150 << 10
	sink := memfd(b, pattern(1, n))
	for name, how := range map[string]func(to *os.File, off int64, from *os.File, n int64) error{
		"copy_file_range": fill,
		"read+write":      func(to *os.File, off int64, from *os.File, n int64) error { return copyByRead(to, off, from, 0, n) },
		"sendfile": func(to *os.File, off int64, from *os.File, n int64) error {
			if _, err := to.Seek(off, io.SeekStart); err != nil {
				return err
			}
			var in int64
			for n > 0 {
				m, err := unix.Sendfile(int(to.Fd()), int(from.Fd()), &in, int(n))
				if err != nil || m == 0 {
					return errors.Join(err, io.ErrUnexpectedEOF)
				}
				n -= int64(m)
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			to := memfd(b, nil)
			b.SetBytes(n)
			var off int64
			for b.Loop() {
				if err := how(to, off, sink, n); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fallocate(int(to.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, whole(n)); err != nil {
					b.Fatal(err)
				}
				off += whole(n)
			}
		})
	}
}
