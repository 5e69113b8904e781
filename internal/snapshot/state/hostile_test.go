// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// refused reports whether an error is of the kind after which a function boots instead.
func refused(err error) bool {
	return errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign)
}

func contents(t testing.TB, f *os.File) []byte {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, fi.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parked is a sandbox, its image and its delta.
func parked(t testing.TB, seed uint64) (*fake, *Image, []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	f, im := captured(t, r)
	f.scribble(t, r, 40)
	sink := memfd(t)
	n, err := im.Delta(f, link(f, r), sink)
	if err != nil {
		t.Fatal(err)
	}
	b := contents(t, sink)
	if int64(len(b)) != n {
		t.Fatalf("delta of %d bytes, file of %d", n, len(b))
	}
	return f, im, b
}

func TestDamagedDelta(t *testing.T) {
	_, im, delta := parked(t, 1)
	r := rand.New(rand.NewPCG(1, 6))
	g := newFake(t, testMemory)
	for i := range 400 {
		b := bytes.Clone(delta)
		switch i % 4 {
		case 0:
			b = b[:r.IntN(len(b))]
		case 1:
			b = append(b, make([]byte, 1+r.IntN(100))...)
		default:
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		if i < 600 && i%4 > 1 && r.IntN(2) == 0 { // the head matters most
			b = bytes.Clone(delta)
			b[r.IntN(deltaHeader+100)] ^= 1 << r.IntN(8)
		}
		f := memfd(t)
		if _, err := f.WriteAt(b, 8); err != nil {
			t.Fatal(err)
		}
		if _, err := im.Apply(g, f, 8, int64(len(b))); !refused(err) {
			t.Fatalf("damage %d: %v", i, err)
		}
		f.Close()
	}
	for _, c := range [][2]int64{{-1, 100}, {0, -1}, {0, 1 << 62}, {1 << 62, 100}, {0, 63}, {1, int64(len(delta))}} {
		f := memfd(t)
		f.Write(delta)
		if _, err := im.Apply(g, f, c[0], c[1]); !refused(err) {
			t.Errorf("at %d: %v", c, err)
		}
		f.Close()
	}
	// The delta of an image that only has the same key.
	_, other := captured(t, rand.New(rand.NewPCG(77, 5)))
	f := memfd(t)
	f.Write(delta)
	if _, err := other.Apply(g, f, 0, int64(len(delta))); !errors.Is(err, snapshot.ErrForeign) {
		t.Errorf("delta of another image: %v", err)
	}
}

func TestBadRecords(t *testing.T) {
	_, im := captured(t, rand.New(rand.NewPCG(1, 7)))
	g := newFake(t, testMemory)
	const pages = testMemory/pageSize + usedPages
	num := func(v ...uint64) (b []byte) {
		for _, x := range v {
			for x >= 0x80 {
				b, x = append(b, byte(x)|0x80), x>>7
			}
			b = append(b, byte(x))
		}
		return b
	}
	for name, b := range map[string][]byte{
		"none":             {},
		"unknown":          {9, 0, 1, 0},
		"zero pages":       {recordZero, 0, 0, 0},
		"behind the end":   append([]byte{recordZero}, num(pages, 1)...),
		"over the end":     append([]byte{recordZero}, num(pages-1, 2)...),
		"of two kinds":     append([]byte{recordZero}, num(pages-usedPages-1, 2)...),
		"huge":             append([]byte{recordZero}, num(0, 1<<34)...),
		"skip huge":        append([]byte{recordZero}, num(1<<34, 1)...),
		"long number":      {recordZero, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"raw short":        {recordRaw, 0, 1, 5, 6, 7},
		"raw missing":      {recordRaw, 0},
		"after the end":    {recordEnd, 0},
		"diff long":        append([]byte{recordDiff, 0}, num(diffMax+1)...),
		"diff outside":     append(append([]byte{recordDiff, 0}, num(4)...), append(num(4095, 2), 1, 2)...),
		"diff without":     append(append([]byte{recordDiff, 0}, num(3)...), append(num(4, 2), 1)...),
		"diff half a pair": {recordDiff, 0, 1, 4},
		"diff overflow":    append(append([]byte{recordDiff, 0}, num(20)...), append(num(1<<63, 1<<63), 1)...),
	} {
		f := memfd(t)
		f.Write(b)
		if _, err := im.records(&target{ram: g.ram}, newReader(f, 0, int64(len(b)))); !refused(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeignImage(t *testing.T) {
	f := newFake(t, testMemory)
	sink := memfd(t)
	if _, err := Capture(sink, f, nil, snapshot.Meta{Key: testKey()}); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(k *snapshot.Key){
		"library OS":             func(k *snapshot.Key) { k.Libos[3]++ },
		"ABI version":            func(k *snapshot.Key) { k.ABI++ },
		"CPU features":           func(k *snapshot.Key) { k.Features = "others" },
		"memory":                 func(k *snapshot.Key) { k.Memory *= 2 },
		"number of image layers": func(k *snapshot.Key) { k.Layers = make([][32]byte, 1) },
		"program":                func(k *snapshot.Key) { k.Program[0]++ },
	} {
		k := testKey()
		change(&k)
		_, err := Open(sink, k, nil)
		if !errors.Is(err, snapshot.ErrForeign) || !bytes.Contains([]byte(err.Error()), []byte(what)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	im, err := Open(sink, testKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if err := im.Fill(newFake(t, 2*testMemory)); !errors.Is(err, snapshot.ErrForeign) {
		t.Errorf("fill of more memory: %v", err)
	}
	// A file that is not sealed could become shorter, or other.
	open := memfd(t)
	if _, err := open.Write(contents(t, sink)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(open, testKey(), []monitor.Layer{}); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("file that is not sealed: %v", err)
	}
}

// TestBusy: with messages under way there is no state.
func TestBusy(t *testing.T) {
	f := newFake(t, testMemory)
	for _, l := range []snapshot.Link{{RxHead: 16}, {TxTail: 16}} {
		if _, err := Capture(memfd(t), f, nil, snapshot.Meta{Key: testKey(), Link: l}); !errors.Is(err, ErrBusy) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	_, im := captured(t, rand.New(rand.NewPCG(1, 8)))
	g := newFake(t, testMemory)
	if err := im.Fill(g); err != nil {
		t.Fatal(err)
	}
	l := im.meta.Link
	l.RxHead += 16
	if _, err := im.Delta(g, l, memfd(t)); !errors.Is(err, ErrBusy) {
		t.Errorf("delta: %v", err)
	}
}

// FuzzApply: whatever a delta says, Apply returns and stays inside of the sandbox.
func FuzzApply(f *testing.F) {
	_, im, delta := parked(f, 3)
	g := newFake(f, testMemory)
	meta := int(le.Uint32(delta[12:]))
	f.Add(delta[deltaHeader+meta:])
	f.Add([]byte{recordDiff, 3, 4, 1, 2, 3, 4, recordZero, 0, 9, recordEnd})
	f.Add([]byte{recordZero, 0x80, 0x1f, 7, recordRaw, 0x80, 1, 1})
	sink := memfd(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := sink.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := sink.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := im.records(&target{ram: g.ram}, newReader(sink, 0, int64(len(b)))); err != nil && !refused(err) {
			t.Fatal(err)
		}
	})
}
