// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
)

const testMemory = 16 << 20

func testKey(n int) snapshot.Key {
	return snapshot.Key{ABI: abi.Version, Memory: testMemory, Layers: [][32]byte{{1}, {byte(n)}}, Program: [32]byte{byte(n), byte(n >> 8)}}
}

// content is RAM by page: each has a number that its bytes come from.
type content map[int]uint64

func fillPage(b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	for i := 0; i < len(b); i += 128 {
		b[i] = byte(r.Uint32()) | 1
	}
}

// makeImage is the image of a sandbox with such RAM. Its key names features, which the one it is kept under need not.
func makeImage(t testing.TB, k snapshot.Key, c content) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "image")
	t.Cleanup(func() { f.Close() })
	k.Features = "kvm test"
	m := &snapshot.Meta{Key: k, CPU: []byte("cpu")}
	var sum snapshot.Sum
	b := make([]byte, pageSize)
	for _, p := range slices.Sorted(maps.Keys(c)) {
		clear(b)
		fillPage(b, c[p])
		r := snapshot.Run{Page: uint32(p), Pages: 1}
		m.Data = append(m.Data, r)
		sum.AddRun(r)
		sum.Add(b)
		if _, err := f.WriteAt(b, int64(p)*pageSize); err != nil {
			t.Fatal(err)
		}
	}
	shared := make([]byte, snapshot.SharedUsed)
	copy(shared, "shared area")
	sum.Add(shared)
	if _, err := f.WriteAt(shared, testMemory); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Finish(f, m, sum); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Seal(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// random content: pages that many have, and some of its own.
func random(r *rand.Rand, n int) content {
	c := content{}
	gap := 3
	if r.IntN(4) == 0 { // so dense that it is kept in huge pages
		gap, n = 1, n+snapshot.BlockDense
	}
	for p := r.IntN(300); len(c) < n; p += 1 + r.IntN(gap) {
		switch r.IntN(4) {
		case 0:
			c[p] = r.Uint64()
		case 1:
			c[p] = uint64(r.IntN(3)) // the same page again and again
		default:
			c[p] = 1000 + uint64(p)
		}
	}
	return c
}

type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, err.Error())
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.all = nil }()
	return w.all
}

func open(t testing.TB, dir string, o Options) (*Store, *warnings) {
	t.Helper()
	w := &warnings{}
	o.Warn = w.add
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, w
}

func save(t testing.TB, s *Store, n int, c content) *os.File {
	t.Helper()
	f := makeImage(t, testKey(n), c)
	if err := s.Save(testKey(n), f); err != nil {
		t.Fatal(err)
	}
	return f
}

func get(t testing.TB, s *Store, n int) *Ref {
	t.Helper()
	r, err := s.Get(testKey(n))
	if err != nil || r == nil {
		t.Fatalf("snapshot %d: %v, %v", n, r, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func bytesOf(t testing.TB, f *os.File) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// digest is of the size of a file and all of its pages that are not zero.
func digest(t testing.TB, f *os.File) hash {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	fmt.Fprintln(h, fi.Size())
	b, zero := make([]byte, pageSize), make([]byte, pageSize)
	fd := int(f.Fd())
	for off := int64(0); ; {
		start, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return hash(h.Sum(nil))
		} else if err != nil {
			t.Fatal(err)
		}
		if off, err = unix.Seek(fd, start, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		for ; start < off; start += pageSize {
			clear(b)
			if _, err := f.ReadAt(b, start); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if !bytes.Equal(b, zero) {
				fmt.Fprintln(h, start)
				h.Write(b)
			}
		}
	}
}

func same(t testing.TB, a, b *os.File) {
	t.Helper()
	if digest(t, a) != digest(t, b) {
		t.Error("another image came back")
	}
}

func inode(t testing.TB, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func list(t testing.TB, dir, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// checkUsage compares the books with the folder.
func checkUsage(t testing.TB, s *Store) {
	t.Helper()
	var real int64
	for _, name := range append(list(t, s.dir, packSuffix), list(t, s.dir, snapSuffix)...) {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		real += st.Blocks * 512
	}
	if disk, _, _ := s.Usage(); disk != real {
		t.Errorf("%d bytes on disk by the books, %d by the file system's", disk, real)
	}
}

func TestSaveAndGet(t *testing.T) {
	dir := t.TempDir()
	s, w := open(t, dir, Options{Grace: -1})
	if r, err := s.Get(testKey(1)); r != nil || err != nil {
		t.Fatalf("something in an empty store: %v, %v", r, err)
	}
	c := content{0: 5, 1: 5, 2: 6, 7: 8, 100: 9, 4095: 10}
	f := save(t, s, 1, c)
	r := get(t, s, 1)
	same(t, f, r.File)
	if inode(t, f) == inode(t, r.File) {
		t.Error("it did not come from the disk")
	}
	if !snapshot.IsSealed(r.File) {
		t.Error("it is not sealed")
	}
	if r.Info.Pages != len(c) {
		t.Errorf("%+v", r.Info)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(r.File.Fd()), &st); err != nil || st.Blocks*512 > 10*pageSize {
		t.Errorf("%d pages in memory: holes were filled", st.Blocks*512/pageSize)
	}
	if r, err := s.Get(testKey(2)); r != nil || err != nil {
		t.Errorf("another key: %v, %v", r, err)
	}
	// Again, after a restart.
	s.Close()
	if _, err := s.Get(testKey(1)); err == nil {
		t.Error("a closed store gives")
	}
	if err := s.Save(testKey(3), f); err == nil {
		t.Error("a closed store takes")
	}
	s, _ = open(t, dir, Options{Grace: -1})
	same(t, f, get(t, s, 1).File)
	checkUsage(t, s)
	if w := w.take(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

func TestRefused(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	f := makeImage(t, testKey(1), content{1: 1})
	if err := s.Save(testKey(2), f); !errors.Is(err, snapshot.ErrForeign) || !strings.Contains(err.Error(), "layer") {
		t.Errorf("an image of another key: %v", err)
	}
	k := testKey(1)
	k.Features = "kvm other"
	if err := s.Save(k, f); !errors.Is(err, snapshot.ErrForeign) || !strings.Contains(err.Error(), "CPU features") {
		t.Errorf("an image with other features: %v", err)
	}
	k.Features = "kvm test"
	if err := s.Save(k, f); err != nil {
		t.Errorf("an image with these features: %v", err)
	}
	fd, err := unix.MemfdCreate("open", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	loose := os.NewFile(uintptr(fd), "open")
	defer loose.Close()
	if _, err := loose.Write(bytesOf(t, f)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(testKey(1), loose); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("an image that can change: %v", err)
	}
	if _, err := loose.WriteAt([]byte{77}, pageSize); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Seal(loose); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(testKey(1), loose); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("an image that is damaged: %v", err)
	}
	if _, _, n := s.Usage(); n != 1 {
		t.Errorf("%d snapshots", n)
	}
	if _, err := Open(s.dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
}

// TestShared: equal pages are on the disk once, and stay until the last snapshot with them goes.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, Options{Grace: -1})
	base := content{}
	for p := range 500 {
		base[p] = uint64(p) + 1
	}
	own := func(n int) content { // 480 of the base and 20 of its own
		c := maps.Clone(base)
		for i := range 20 {
			c[n*20+i] = uint64(10_000*(n+1) + i)
		}
		return c
	}
	var files []*os.File
	var disk int64
	for n := range 4 {
		files = append(files, save(t, s, n, own(n)))
		now, _, _ := s.Usage()
		if most := int64(50 * pageSize); n > 0 && now-disk > most {
			t.Errorf("snapshot %d took %d KiB more", n, (now-disk)>>10)
		}
		disk = now
		checkUsage(t, s)
	}
	for n := range 4 {
		same(t, files[n], get(t, s, n).File)
	}
	if n := len(list(t, dir, packSuffix)); n != 4 {
		t.Errorf("%d packs", n)
	}
	// The first one brought nearly all pages. What only it has goes with it.
	if err := s.Drop(testKey(0), nil); err != nil {
		t.Fatal(err)
	}
	checkUsage(t, s)
	now, _, _ := s.Usage()
	if disk-now < 15*pageSize || disk-now > 40*pageSize {
		t.Errorf("%d KiB freed with the first one", (disk-now)>>10)
	}
	for n := 1; n < 4; n++ {
		same(t, files[n], get(t, s, n).File)
	}
	// It comes back, also in the pages that are holes now.
	save(t, s, 0, own(0))
	same(t, files[0], get(t, s, 0).File)
	s.Close()
	s, w := open(t, dir, Options{Grace: -1})
	checkUsage(t, s)
	for n := range 4 {
		same(t, files[n], get(t, s, n).File)
	}
	if err := s.Keep(func(k snapshot.Key) bool { return k.ID() == testKey(2).ID() }); err != nil {
		t.Fatal(err)
	}
	same(t, files[2], get(t, s, 2).File)
	checkUsage(t, s)
	if _, _, n := s.Usage(); n != 1 {
		t.Errorf("%d snapshots kept", n)
	}
	if err := s.Keep(func(snapshot.Key) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if left := append(list(t, dir, packSuffix), list(t, dir, snapSuffix)...); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if disk, _, n := s.Usage(); disk != 0 || n != 0 {
		t.Errorf("%d bytes for %d snapshots", disk, n)
	}
	if w := w.take(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

func TestMemory(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Grace: time.Hour, MemoryLimit: 100 * pageSize})
	c := content{}
	for p := range 25 {
		c[p] = uint64(p + 1)
	}
	f := save(t, s, 1, c)
	if a := get(t, s, 1); inode(t, a.File) != inode(t, f) {
		t.Error("what was saved a moment ago is loaded from the disk")
	}
	c[30] = 99
	g := makeImage(t, testKey(2), c)
	held := get(t, s, 1)
	if err := s.Save(testKey(2), g); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(testKey(2)); !errors.Is(err, ErrMemory) {
		t.Errorf("above the limit: %v", err)
	}
	_, m1, _ := s.Usage()
	held.Close()
	held.Close()
	if _, m, _ := s.Usage(); m != m1 || m == 0 {
		t.Errorf("%d bytes in memory, %d while it was used", m, m1)
	}
	_, _ = s.Get(testKey(1)) // twice in use now: by this test's clean-up and here
	if _, err := s.Get(testKey(2)); !errors.Is(err, ErrMemory) {
		t.Errorf("in use, and yet dropped: %v", err)
	}
	s, _ = open(t, t.TempDir(), Options{Grace: time.Hour, MemoryLimit: 100 * pageSize})
	save(t, s, 1, c)
	r, err := s.Get(testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c[30] = 100
	save(t, s, 2, c)
	a, err := s.Get(testKey(2)) // the first one makes room
	if err != nil {
		t.Fatal(err)
	}
	fd := int(a.File.Fd())
	s.Close()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("closed while in use: %v", err)
	}
	a.Close()
	if _, m, _ := s.Usage(); m != 0 {
		t.Errorf("%d bytes in memory after the last user", m)
	}
	s, _ = open(t, t.TempDir(), Options{Grace: time.Nanosecond})
	save(t, s, 1, c)
	for m := int64(1); m != 0; _, m, _ = s.Usage() {
		time.Sleep(time.Millisecond)
	}
}

func TestDiskLimit(t *testing.T) {
	dir := t.TempDir()
	image := func(n int) content {
		c := content{}
		for p := range 100 {
			c[p] = uint64(n*1000 + p + 1)
		}
		return c
	}
	const limit = 400 * pageSize
	s, _ := open(t, dir, Options{Grace: -1, DiskLimit: limit})
	for n := range 3 {
		save(t, s, n, image(n))
		// The order of use stands in the times of the files.
		when := time.Now().Add(time.Duration(n-10) * time.Hour)
		if n == 0 {
			when = time.Now().Add(-time.Minute)
		}
		if err := os.Chtimes(s.snapFile(testKey(n).ID()), when, when); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s, _ = open(t, dir, Options{Grace: -1, DiskLimit: limit})
	held := get(t, s, 1) // the oldest, but in use
	defer held.Close()
	save(t, s, 3, image(3))
	checkUsage(t, s)
	if disk, _, _ := s.Usage(); disk > limit {
		t.Errorf("%d bytes on disk, the limit is %d", disk, limit)
	}
	for n, want := range []bool{true, true, false, true} {
		r, err := s.Get(testKey(n))
		if err != nil || (r != nil) != want {
			t.Errorf("snapshot %d: %v, %v", n, r, err)
		}
		if r != nil {
			r.Close()
		}
	}
	big := content{}
	for p := range 500 {
		big[p] = uint64(p) + 1
	}
	if err := s.Save(testKey(4), makeImage(t, testKey(4), big)); !errors.Is(err, ErrDisk) {
		t.Errorf("larger than the limit: %v", err)
	}
	if _, _, n := s.Usage(); n != 3 {
		t.Errorf("%d snapshots: some went for one that does not fit anyway", n)
	}
	s.Close()
	s, _ = open(t, dir, Options{DiskLimit: 130 * pageSize}) // a smaller limit than the last time
	if disk, _, n := s.Usage(); disk > 130*pageSize || n != 1 {
		t.Errorf("%d bytes on disk, %d snapshots", disk, n)
	}
}

// TestDiskFull: a snapshot that the disk has no room for is not there afterwards, not even a part of it; the others are.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs a small file system: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s, _ := open(t, dir, Options{Grace: -1, DiskLimit: 1 << 30})
	defer s.Close()
	image := func(n, pages int) *os.File {
		c := content{}
		for p := range pages {
			c[p] = uint64(n*1000 + p + 1)
		}
		return makeImage(t, testKey(n), c)
	}
	f := image(1, 100)
	if err := s.Save(testKey(1), f); err != nil {
		t.Fatal(err)
	}
	for _, pages := range []int{220, 300} {
		if err := s.Save(testKey(2), image(2, pages)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%d pages: %v", pages, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 || len(list(t, dir, packSuffix)) != 1 {
		t.Errorf("left: %q", left)
	}
	if r, err := s.Get(testKey(2)); r != nil || err != nil {
		t.Errorf("half a snapshot: %v, %v", r, err)
	}
	r := get(t, s, 1)
	same(t, f, r.File)
	r.Close()
	checkUsage(t, s)
	if err := s.Save(testKey(3), image(3, 100)); err != nil { // that fits
		t.Error(err)
	}
}

// TestRandom: saves, loads, removals and restarts in random order, beside a map of what should be there.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	s, w := open(t, dir, Options{Grace: -1})
	want := map[int]*os.File{}
	steps := 150
	if testing.Short() {
		steps = 40
	}
	for range steps {
		n := r.IntN(12)
		switch r.IntN(10) {
		case 0:
			s.Close()
			s, w = open(t, dir, Options{Grace: -1})
		case 1, 2:
			if err := s.Drop(testKey(n), nil); err != nil {
				t.Fatal(err)
			}
			delete(want, n)
		case 3:
			left := r.IntN(12)
			err := s.Keep(func(k snapshot.Key) bool { return int(k.Program[0]) <= left })
			if err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(want, func(n int, _ *os.File) bool { return n > left })
		case 4, 5, 6:
			if want[n] == nil {
				want[n] = save(t, s, n, random(r, 1+r.IntN(300)))
			}
		default:
			ref, err := s.Get(testKey(n))
			if err != nil || (ref != nil) != (want[n] != nil) {
				t.Fatalf("snapshot %d: %v, %v", n, ref, err)
			}
			if ref != nil {
				same(t, want[n], ref.File)
				ref.Close()
			}
		}
		checkUsage(t, s)
	}
	for n, f := range want {
		same(t, f, get(t, s, n).File)
	}
	if w := w.take(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	used := map[string]bool{}
	for _, sn := range s.snaps {
		for _, p := range sn.packs {
			used[s.packFile(p)] = true
		}
	}
	for _, p := range list(t, dir, packSuffix) {
		if !used[p] {
			t.Errorf("nobody needs %s", p)
		}
	}
}

func TestConcurrent(t *testing.T) {
	s, w := open(t, t.TempDir(), Options{Grace: time.Millisecond, MemoryLimit: 1 << 30})
	images := map[int]*os.File{}
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 6 {
		images[n] = makeImage(t, testKey(n), random(r, 200))
	}
	want := map[int]hash{}
	for n, f := range images {
		want[n] = digest(t, f)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range 40 {
				n := r.IntN(6)
				switch r.IntN(8) {
				case 0, 1:
					if err := s.Save(testKey(n), images[n]); err != nil {
						t.Error(err)
					}
				case 2:
					if err := s.Drop(testKey(n), nil); err != nil {
						t.Error(err)
					}
				case 3:
					if err := s.Keep(func(k snapshot.Key) bool { return int(k.Program[0]) != n }); err != nil {
						t.Error(err)
					}
				default:
					ref, err := s.Get(testKey(n))
					if err != nil {
						t.Error(err)
					} else if ref != nil {
						if digest(t, ref.File) != want[n] {
							t.Errorf("snapshot %d differs", n)
						}
						ref.Close()
					}
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	if w := w.take(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	s, w = open(t, s.dir, Options{})
	for n := range images {
		if ref, err := s.Get(testKey(n)); err != nil {
			t.Error(err)
		} else if ref != nil {
			same(t, images[n], ref.File)
			ref.Close()
		}
	}
	checkUsage(t, s)
	if w := w.take(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

// TestOneLoad: who asks at the same time gets the same memory.
func TestOneLoad(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, Options{Grace: -1})
	save(t, s, 1, random(rand.New(rand.NewPCG(3, 3)), 400))
	var wg sync.WaitGroup
	refs := make([]*Ref, 16)
	hold := get(t, s, 1)
	for i := range refs {
		wg.Go(func() { refs[i], _ = s.Get(testKey(1)) })
	}
	wg.Wait()
	for _, r := range refs {
		if r == nil || inode(t, r.File) != inode(t, hold.File) {
			t.Fatal("not the same memory")
		}
		r.Close()
	}
	hold.Close()
	if _, m, _ := s.Usage(); m != 0 {
		t.Errorf("%d bytes in memory after the last user", m)
	}
}
