// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// TestThin: a thinned sandbox has the same state, changes like any other, never its image, and can be thinned, parked and put back.
func TestThin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 11))
	layer := memfd(t)
	text := make([]byte, 600*pageSize)
	for i := range text {
		text[i] = byte(r.Uint32() | 1)
	}
	if _, err := layer.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Seal(layer); err != nil {
		t.Fatal(err)
	}
	layers := []monitor.Layer{{File: layer, Size: int64(len(text))}}
	f := newFake(t, testMemory)
	f.scribble(t, r, 300)
	f.write(t, 6<<20+5*pageSize, text)
	for off := uint64(0); off < 2<<20; off += 16 {
		f.write(t, 10<<20+off, []byte{byte(r.Uint32())})
	}
	k := testKey()
	k.Layers = make([][32]byte, 1)
	sink := memfd(t)
	if _, err := Capture(sink, f, layers, snapshot.Meta{Key: k}); err != nil {
		t.Fatal(err)
	}
	im, err := Open(sink, k, layers)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	g := newFake(t, testMemory)
	if err := g.ram.Populate(0, testMemory); err != nil {
		t.Fatal(err)
	}
	if err := im.Fill(g); err != nil {
		t.Fatal(err)
	}
	rw, err := NewRewinder(im, g)
	if err != nil {
		t.Fatal(err)
	}
	clean := g.state(t)
	for round := range 6 {
		g.scribble(t, r, 60)
		want := g.state(t)
		n, err := im.Thin(g)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 && n < testMemory/pageSize-blockPages-100 || round > 0 && n != 0 {
			t.Errorf("round %d: %d pages given back", round, n)
		}
		same(t, "thinned", want, g.state(t))
		g.scribble(t, r, 60)
		g.shared.Store64(abi.CtlRxHead, 0)
		want = g.state(t)
		delta := memfd(t)
		size, err := im.Delta(g, snapshot.Link{}, delta)
		if err != nil {
			t.Fatal(err)
		}
		h := newFake(t, testMemory)
		if err := im.Fill(h); err != nil {
			t.Fatal(err)
		}
		if _, err := im.Apply(h, delta, 0, size); err != nil {
			t.Fatal(err)
		}
		same(t, "woken", want, h.state(t))
		if round == 3 { // memory that the guest gives back is zero, not the image's
			if err := g.ram.Discard(6<<20, 4<<20); err != nil {
				t.Fatal(err)
			}
			rw.Changed(6<<20, 4<<20)
			b := make([]byte, 4<<20)
			if err := g.ram.ReadAt(b, 6<<20); err != nil {
				t.Fatal(err)
			}
			same(t, "given back", make([]byte, 4<<20), b)
		}
		res, err := rw.Rewind()
		if err != nil {
			t.Fatal(err)
		}
		g.store(t, res.Entries)
		same(t, "rewound", clean, g.state(t))
		if round > 2 {
			if _, err := im.Thin(g); err != nil {
				t.Fatal(err)
			}
			same(t, "rewound and thinned", clean, g.state(t))
		}
		g.written = make([]uint64, len(g.written))
	}
	// Put back for another instance, it has huge pages again where the image has something.
	g.scribble(t, r, 60)
	g.shared.Store64(abi.CtlTablesOut, 1)
	if !g.ram.IsSmall(0) {
		t.Error("not thinned any more")
	}
	if _, err := im.Recycle(g); err != nil {
		t.Fatal(err)
	}
	same(t, "put back", clean, g.state(t))
	for off := uint64(0); off < testMemory; off += guestmem.HugeSize {
		if g.ram.IsSmall(off) {
			t.Errorf("block 0x%x is still thin", off)
		}
	}
	if _, err := im.Thin(g); err != nil {
		t.Fatal(err)
	}
	if _, _, err := snapshot.Check(sink); err != nil {
		t.Errorf("the image: %v", err)
	}
	// For the next sandbox the memory is as new.
	if err := g.ram.Recycle(testMemory); err != nil {
		t.Fatal(err)
	}
	same(t, "recycled", make([]byte, testMemory), all(t, g.ram))
	for off := uint64(0); off < testMemory; off += guestmem.HugeSize {
		if g.ram.IsSmall(off) {
			t.Errorf("block 0x%x is not as new", off)
		}
	}
}

// TestThinScattered: memory that is scattered on purpose does not use up what a process can map.
func TestThinScattered(t *testing.T) {
	layer := memfd(t)
	b := make([]byte, pageSize)
	f := newFake(t, testMemory)
	for n := range uint64(2000) { // every other page is one of the layer, in another order
		le.PutUint64(b[8:], n+1)
		if _, err := layer.Write(b); err != nil {
			t.Fatal(err)
		}
		f.write(t, 6<<20+n*2%2000*pageSize, b)
	}
	if err := snapshot.Seal(layer); err != nil {
		t.Fatal(err)
	}
	layers := []monitor.Layer{{File: layer, Size: 2000 * pageSize}}
	k := testKey()
	k.Layers = make([][32]byte, 1)
	sink := memfd(t)
	if _, err := Capture(sink, f, layers, snapshot.Meta{Key: k}); err != nil {
		t.Fatal(err)
	}
	im, err := Open(sink, k, layers)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	g := newFake(t, testMemory)
	if err := g.ram.Populate(0, testMemory); err != nil {
		t.Fatal(err)
	}
	if err := im.Fill(g); err != nil {
		t.Fatal(err)
	}
	before := mappings(t)
	if _, err := im.Thin(g); err != nil {
		t.Fatal(err)
	}
	same(t, "thinned", f.state(t), g.state(t))
	if n := mappings(t) - before; n > 1100 {
		t.Errorf("%d mappings more", n)
	}
}

func mappings(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}
