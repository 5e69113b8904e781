// SPDX-License-Identifier: Apache-2.0

package state

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// TestShared: pages that are in layers are taken from there, in memory or not, and the state is the same.
func TestShared(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	var layers []monitor.Layer
	var contents [][]byte
	for i, pages := range []int{100, 700, 50} {
		b := make([]byte, pages*pageSize-r.IntN(pageSize))
		for j := range b {
			b[j] = byte(r.Uint32() >> 3)
		}
		clear(b[10*pageSize : 12*pageSize])
		copy(b[13*pageSize:15*pageSize], b[20*pageSize:22*pageSize]) // the same twice
		contents = append(contents, b)
		var f *os.File
		if i == 2 { // may be cut short: not shared with
			f, _ = os.Create(filepath.Join(t.TempDir(), "layer"))
			defer f.Close()
		} else {
			f = memfd(t)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if i != 2 {
			if err := f.Truncate(int64(pages * pageSize)); err != nil {
				t.Fatal(err)
			}
			if err := snapshot.Seal(f); err != nil {
				t.Fatal(err)
			}
		}
		layers = append(layers, monitor.Layer{File: f, Size: int64(len(b))})
	}
	f := newFake(t, testMemory)
	f.scribble(t, r, 100)
	f.write(t, 8<<20, contents[0][:99*pageSize])                    // all but its last page
	f.write(t, 9<<20, contents[1][200*pageSize:400*pageSize])       // from the middle
	f.write(t, 10<<20, contents[2][:40*pageSize])                   // of the one that is not in memory
	f.write(t, 11<<20, contents[1][600*pageSize:700*pageSize-3000]) // its end
	f.write(t, 12<<20+100, contents[1][300*pageSize:310*pageSize])  // not at a page
	f.write(t, 9<<20+50*pageSize+77, []byte{1})                     // changed since
	f.write(t, 13<<20, contents[0][20*pageSize:22*pageSize])        // once more
	k := testKey()
	k.Layers = make([][32]byte, len(layers))
	sink := memfd(t)
	info, err := Capture(sink, f, layers, snapshot.Meta{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	if info.Shared < 97+199+99 || info.Shared > 97+200+100+2 {
		t.Errorf("%+v", info)
	}
	if _, _, err := snapshot.Check(sink); err != nil {
		t.Fatal(err)
	}
	im, err := Open(sink, k, layers)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if n := len(im.meta.Shared); n > 20 {
		t.Errorf("%d runs of shared pages", n)
	}
	g := newFake(t, testMemory)
	if err := im.Fill(g); err != nil {
		t.Fatal(err)
	}
	same(t, "filled", f.state(t), g.state(t))
	// The same layers, none of them in memory.
	for i := range layers {
		c, err := os.Create(filepath.Join(t.TempDir(), "layer"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(contents[i]); err != nil {
			t.Fatal(err)
		}
		layers[i].File = c
	}
	im2, err := Open(sink, k, layers)
	if err != nil {
		t.Fatal(err)
	}
	defer im2.Close()
	g = newFake(t, testMemory)
	if err := im2.Fill(g); err != nil {
		t.Fatal(err)
	}
	same(t, "filled from files", f.state(t), g.state(t))
	// What the image names has to be in the layers.
	if _, err := Open(sink, k, layers[:1]); !refused(err) {
		t.Errorf("a layer is missing: %v", err)
	}
}

// TestManyAlike: memory full of pages that begin alike takes no longer.
func TestManyAlike(t *testing.T) {
	f, layer := newFake(t, testMemory), memfd(t)
	b := make([]byte, pageSize)
	b[0] = 1
	for n := range 2000 {
		le.PutUint32(b[1000:], uint32(n))
		f.write(t, 6<<20+uint64(n)*pageSize, b)
		if _, err := layer.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := snapshot.Seal(layer); err != nil {
		t.Fatal(err)
	}
	layers := []monitor.Layer{{File: layer, Size: 2000 * pageSize}}
	k := testKey()
	k.Layers = make([][32]byte, 1)
	sink := memfd(t)
	if info, err := Capture(sink, f, layers, snapshot.Meta{Key: k}); err != nil || info.Pages+info.Shared != 2000 {
		t.Errorf("%+v, %v", info, err)
	}
}
