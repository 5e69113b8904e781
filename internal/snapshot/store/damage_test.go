// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/snapshot"
)

// folder is the content of a closed store, by name.
type folder map[string][]byte

func readFolder(t testing.TB, dir string) folder {
	t.Helper()
	f := folder{}
	for _, name := range append(list(t, dir, packSuffix), list(t, dir, snapSuffix)...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f[filepath.Base(name)] = b
	}
	return f
}

func (f folder) write(t testing.TB, dir string) {
	t.Helper()
	for name, b := range f {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// twoSnapshots is a folder with two snapshots that have most pages in common, and what they should be.
func twoSnapshots(t testing.TB) (folder, []content) {
	t.Helper()
	dir := t.TempDir()
	s, _ := open(t, dir, Options{Grace: -1})
	images := []content{{}, {}}
	for p := range 40 {
		images[0][p*2] = uint64(p) + 1
		images[1][p*2] = uint64(p) + 1
	}
	images[1][3], images[1][4] = 100, 101
	for n, c := range images {
		save(t, s, n, c)
	}
	s.Close()
	f := readFolder(t, dir)
	if len(f) != 4 {
		t.Fatalf("%d files", len(f))
	}
	return f, images
}

// survive opens a folder in which something is wrong: what can be had is right, what cannot is refused by name, once, and can be saved again.
func survive(t *testing.T, f folder, images []content, what string) (refused int) {
	t.Helper()
	dir := t.TempDir()
	f.write(t, dir)
	s, _ := open(t, dir, Options{Grace: -1})
	for n, c := range images {
		f := makeImage(t, testKey(n), c)
		r, err := s.Get(testKey(n))
		if err != nil {
			refused++
			if !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrForeign) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", what, err)
			}
			s.tasks.Wait()
			if r, err := s.Get(testKey(n)); r != nil || err != nil {
				t.Errorf("%s: the second time: %v, %v", what, r, err)
			}
		} else if r != nil {
			same(t, f, r.File)
			r.Close()
			continue
		} else {
			refused++
		}
		if err := s.Save(testKey(n), f); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		r = get(t, s, n)
		same(t, f, r.File)
		r.Close()
	}
	s.Close()
	s, w := open(t, dir, Options{Grace: -1})
	for n, c := range images {
		r, err := s.Get(testKey(n))
		if err != nil {
			t.Errorf("%s: after all was saved again: %v", what, err)
		} else if r != nil {
			same(t, makeImage(t, testKey(n), c), r.File)
			r.Close()
		}
	}
	checkUsage(t, s)
	if w := w.take(); len(w) > 0 {
		t.Errorf("%s: after all was saved again: %q", what, w)
	}
	s.Close()
	return refused
}

func with(f folder, name string, b []byte) folder {
	g := folder{}
	for n, old := range f {
		g[n] = old
	}
	if g[name] = b; b == nil {
		delete(g, name)
	}
	return g
}

// TestDamaged changes one byte of each file, at many places, before the folder is opened.
func TestDamaged(t *testing.T) {
	f, images := twoSnapshots(t)
	for name, b := range f {
		offs := []int{0, 9, 13, 17, 25, 29, 33, len(b) - 1, len(b) - 5}
		for range 8 {
			offs = append(offs, rand.IntN(len(b)))
		}
		if strings.HasSuffix(name, packSuffix) {
			offs = append(offs, packHeader, packHeader+31, 62)
		}
		for _, off := range offs {
			c := bytes.Clone(b)
			c[off] ^= byte(1 + rand.IntN(255))
			what := fmt.Sprintf("byte %d of %d of %s", off, len(b), name)
			n := survive(t, with(f, name, c), images, what)
			if n == 0 && strings.HasSuffix(name, snapSuffix) {
				t.Errorf("%s: nobody noticed", what)
			}
		}
	}
}

// TestDamagedWhileOpen changes pages on the disk of a store that is open.
func TestDamagedWhileOpen(t *testing.T) {
	f, images := twoSnapshots(t)
	dir := t.TempDir()
	f.write(t, dir)
	s, w := open(t, dir, Options{Grace: -1})
	for _, name := range list(t, dir, packSuffix) {
		g, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		fi, _ := g.Stat()
		if _, err := g.WriteAt([]byte("damage"), fi.Size()-pageSize); err != nil {
			t.Fatal(err)
		}
		g.Close()
	}
	damaged := 0
	for n := range images {
		r, err := s.Get(testKey(n))
		if err == nil {
			r.Close()
			continue
		}
		damaged++
		if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "page ") || !strings.Contains(err.Error(), packSuffix) {
			t.Errorf("snapshot %d: %v", n, err)
		}
	}
	if damaged == 0 {
		t.Error("nobody noticed")
	}
	// What is saved now relies on no page that is damaged.
	s.tasks.Wait()
	for n, c := range images {
		if err := s.Drop(testKey(n), nil); err != nil {
			t.Fatal(err)
		}
		g := save(t, s, n, c)
		r := get(t, s, n)
		same(t, g, r.File)
		r.Close()
	}
	checkUsage(t, s)
	if len(w.take()) == 0 {
		t.Error("nobody was told")
	}
}

// TestTorn: what a crash in the middle of Save can leave.
func TestTorn(t *testing.T) {
	f, images := twoSnapshots(t)
	for name, b := range f {
		survive(t, with(f, name, nil), images, "without "+name)
		survive(t, with(f, name, []byte{}), images, "empty "+name)
		for range 6 {
			n := rand.IntN(len(b))
			survive(t, with(f, name, b[:n]), images, fmt.Sprintf("%d of %d bytes of %s", n, len(b), name))
			z := bytes.Clone(b) // lengths are there, bytes are not
			clear(z[n:])
			survive(t, with(f, name, z), images, fmt.Sprintf("%s, zeros from %d of %d bytes on", name, n, len(b)))
		}
		survive(t, with(f, name, append(bytes.Clone(b), 0)), images, "a byte more of "+name)
		dir := t.TempDir()
		with(f, tempPrefix+"123", b).write(t, dir)
		s, w := open(t, dir, Options{})
		if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		for n := range images {
			get(t, s, n).Close()
		}
		if w := w.take(); len(w) > 0 {
			t.Errorf("warnings: %q", w)
		}
	}
	// Files of others, with names that look like ours.
	dir := t.TempDir()
	with(with(f, "readme.pack", []byte("x")), "x.snapshot", []byte("y")).write(t, dir)
	if err := os.Mkdir(filepath.Join(dir, strings.Repeat("0", 64)+snapSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, dir, Options{})
	for n := range images {
		get(t, s, n).Close()
	}
}

const killEnv = "UNIFAAS_TEST_SAVE_IN"

// TestKill kills a process that saves snapshots, again and again, whatever it is doing.
func TestKill(t *testing.T) {
	image := func(n int) content { return random(rand.New(rand.NewPCG(uint64(n), 5)), 1+n%7*40) }
	if dir := os.Getenv(killEnv); dir != "" { // the process that is killed
		s, err := Open(dir, Options{Grace: -1})
		if err != nil {
			t.Fatal(err)
		}
		for n := rand.IntN(200); ; n = (n + 1) % 200 {
			if n%5 == 4 {
				fmt.Println("dropping", n-3)
				if err := s.Drop(testKey(n-3), nil); err != nil {
					t.Fatal(err)
				}
			}
			fmt.Println("saving", n)
			f := makeImage(t, testKey(n), image(n))
			if err := s.Save(testKey(n), f); err != nil {
				t.Fatal(err)
			}
			f.Close()
			fmt.Println("saved", n)
		}
	}
	dir := t.TempDir()
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	sure := map[int]bool{} // true: it is there; absent: nobody knows
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), killEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := 1 + rand.IntN(25)
		sc := bufio.NewScanner(out)
		said := func() bool {
			if !sc.Scan() {
				return false
			}
			verb, num, _ := strings.Cut(sc.Text(), " ")
			n, err := strconv.Atoi(num)
			switch {
			case err != nil:
			case verb == "dropping":
				delete(sure, n)
			case verb == "saved":
				sure[n] = true
			}
			return true
		}
		for range lines {
			if !said() {
				t.Fatal("the process ended by itself")
			}
		}
		time.Sleep(time.Duration(rand.IntN(5_000)) * time.Microsecond) // any moment will do
		cmd.Process.Kill()
		for said() {
		}
		cmd.Wait()

		s, w := open(t, dir, Options{Grace: -1})
		for _, w := range w.take() {
			t.Errorf("round %d: %s", round, w)
		}
		there := 0
		for n := range 200 {
			r, err := s.Get(testKey(n))
			if err != nil {
				t.Errorf("round %d: snapshot %d: %v", round, n, err)
			} else if r == nil && sure[n] {
				t.Errorf("round %d: snapshot %d was saved and is gone", round, n)
			} else if r != nil {
				there++
				same(t, makeImage(t, testKey(n), image(n)), r.File)
				r.Close()
			}
		}
		checkUsage(t, s)
		if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
			t.Errorf("round %d: left: %q", round, left)
		}
		s.Close()
		t.Logf("round %d: %d snapshots, killed after %d lines", round, there, lines)
	}
}

// fix makes the checksums of changed bytes right, so that what is behind them is tested.
func fix(manifest, pack []byte) {
	le := binary.LittleEndian
	if n := len(manifest) - 4; n >= 0 {
		le.PutUint32(manifest[n:], crc(manifest[:n]))
	}
	if len(pack) >= packHeader {
		if n := packHeader + int64(le.Uint32(pack[12:]))*32; n <= int64(len(pack)) {
			le.PutUint32(pack[16:], crc(pack[packHeader:n]))
		}
		le.PutUint32(pack[60:], crc(pack[:60]))
	}
}

// FuzzFolder opens a folder with a manifest and a pack of any bytes, and uses it.
func FuzzFolder(f *testing.F) {
	good, images := twoSnapshots(f)
	id := testKey(0).ID()
	m, err := decodeManifest(good[id+snapSuffix])
	if err != nil {
		f.Fatal(err)
	}
	packName := m.packs[0].String() + packSuffix
	pack := good[packName]
	f.Add(good[id+snapSuffix], pack[:packHeader+64], uint16(0), true)
	f.Add(good[id+snapSuffix], pack[:12], uint16(40), false)
	f.Fuzz(func(t *testing.T, manifest, head []byte, at uint16, repair bool) {
		manifest = bytes.Clone(manifest)
		p := bytes.Clone(pack)
		copy(p[min(int(at), len(p)):], head)
		if repair {
			fix(manifest, p)
		}
		if m, err := decodeManifest(manifest); err == nil {
			if b, err := m.encode(); err == nil {
				if again, err := decodeManifest(b); err != nil || again.size != m.size || len(again.runs) != len(m.runs) {
					t.Fatalf("what was read cannot be written: %v", err)
				}
			}
			id = m.key.ID()
		}
		dir := t.TempDir()
		with(with(folder{}, id+snapSuffix, manifest), packName, p).write(t, dir)
		s, err := Open(dir, Options{Grace: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, sn := range s.snaps {
			if r, err := s.Get(sn.key); err == nil && r != nil {
				r.Close()
			}
		}
		s.tasks.Wait()
		if err := s.Drop(testKey(0), nil); err != nil {
			t.Fatal(err)
		}
		g := save(t, s, 0, images[0])
		r := get(t, s, 0)
		same(t, g, r.File)
		r.Close()
		g.Close()
	})
}
