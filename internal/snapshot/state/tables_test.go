// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
)

// guest is a fake whose RAM has a library OS's header and page tables, as far as package state looks at them.
type guest struct {
	*fake
	root, pdpt, pd, pt, other uint64 // addresses of tables: a root, below its window; a table of the program; a second root
}

func newGuest(t testing.TB) *guest {
	f := newFake(t, testMemory)
	g := &guest{fake: f, root: abi.TablesPA, pdpt: abi.TablesPA + 0x1000, pd: abi.TablesPA + 0x2000, pt: abi.TablesPA + 0x40000, other: abi.TablesPA + 0x41000}
	h := abi.LibosHeader{Magic: abi.Magic, Version: abi.Version, TextEnd: abi.LibosVA + 0x5000, End: 0x20a000, BootTables: abi.TablesPA}
	b, err := binary.Append(nil, le, &h)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, 0, b)
	g.entry(t, g.root, windowFirst, g.pdpt|7)
	g.entry(t, g.root, windowFirst+2, g.pdpt|7)
	g.entry(t, g.other, windowFirst, g.pdpt|7)
	g.entry(t, g.other, windowFirst+2, g.pdpt|7)
	g.entry(t, g.pdpt, 0, g.pd|7)
	g.entry(t, g.pd, 0, 0|0x87)
	g.entry(t, g.root, 0, g.pt|7)
	for i := range 512 {
		g.entry(t, g.pt, i, uint64(i)<<12|7)
	}
	return g
}

func (g *guest) entry(t testing.TB, table uint64, slot int, v uint64) {
	t.Helper()
	g.write(t, table+uint64(slot)*8, le.AppendUint64(nil, v))
}

func (g *guest) rewinder(t testing.TB) *Rewinder {
	t.Helper()
	sink := memfd(t)
	if _, err := Capture(sink, g, nil, snapshot.Meta{Key: testKey()}); err != nil {
		t.Fatal(err)
	}
	im, err := Open(sink, testKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	rw, err := NewRewinder(im, g)
	if err != nil {
		t.Fatal(err)
	}
	return rw
}

// TestTables: page tables are put back by the guest, entry by entry; RAM is not written there.
func TestTables(t *testing.T) {
	g := newGuest(t)
	rw := g.rewinder(t)
	want := g.state(t)
	g.entry(t, g.pt, 3, 0)
	g.entry(t, g.pt, 511, 0x1234007)
	g.entry(t, g.root, 5, 0x500007)        // a slot of the program's
	g.entry(t, abi.TablesEnd-4096, 0, 0x7) // a table that was none
	g.entry(t, g.pt, 9, 9<<12|7)           // as it was
	before := all(t, g.ram)
	res, err := rw.Rewind()
	if err != nil {
		t.Fatal(err)
	}
	if res.Forgot || len(res.Entries) != 4 || g.forgot != 0 {
		t.Fatalf("%+v, forgot %d times", res, g.forgot)
	}
	same(t, "memory of tables", before[abi.TablesPA:abi.TablesEnd], all(t, g.ram)[abi.TablesPA:abi.TablesEnd])
	for i := 1; i < len(res.Entries); i++ {
		if res.Entries[i].PA <= res.Entries[i-1].PA {
			t.Errorf("entries are not in order: %+v", res.Entries)
		}
	}
	g.store(t, res.Entries)
	same(t, "rewound", want, g.state(t))
}

// TestTablesForgotten: where the guest could not be asked, or should not, they are written here, and KVM forgets what it knew.
func TestTablesForgotten(t *testing.T) {
	for name, change := range map[string]func(g *guest){
		"tables elsewhere":         func(g *guest) { g.shared.Store64(abi.CtlTablesOut, 1) },
		"window of a root":         func(g *guest) { g.entry(t, g.root, windowFirst, 0x600007) },
		"window of another root":   func(g *guest) { g.entry(t, g.other, windowEnd-1, 0x600007) },
		"root that is no more":     func(g *guest) { g.write(t, g.other, make([]byte, pageSize)) },
		"table below the window":   func(g *guest) { g.entry(t, g.pdpt, 7, 0x600007) },
		"mapping of the libos":     func(g *guest) { g.entry(t, g.pd, 0, 0x400087) },
		"more than the guest does": func(g *guest) { g.write(t, abi.TablesPA+0x100000, make([]byte, 0)); many(t, g) },
	} {
		g := newGuest(t)
		rw := g.rewinder(t)
		want := g.state(t)
		g.entry(t, g.pt, 3, 0)
		change(g)
		res, err := rw.Rewind()
		if err != nil {
			t.Fatal(err)
		}
		if !res.Forgot || len(res.Entries) != 0 || g.forgot != 1 {
			t.Errorf("%s: %d entries, forgot %v, %d times", name, len(res.Entries), res.Forgot, g.forgot)
		}
		same(t, name, want, g.state(t))
	}
}

func many(t testing.TB, g *guest) {
	for n := range entriesMax + 1 {
		g.entry(t, abi.TablesPA+0x80000, n, uint64(n)<<12|7)
	}
}

// TestLoaded: what the monitor put into a fresh sandbox is not left where the image has zeros.
func TestLoaded(t *testing.T) {
	g := newGuest(t)
	im := g.rewinder(t).im
	fresh := newFake(t, testMemory)
	fresh.write(t, 0, make([]byte, 0x5000))
	for _, off := range []uint64{0x4000, 0x4fff, 0x200000, 0x209000, abi.TablesPA + 0x5000, abi.TablesPA + abi.BootTables*pageSize - 8} {
		fresh.write(t, off, []byte{1})
	}
	if err := im.Fill(fresh); err != nil {
		t.Fatal(err)
	}
	same(t, "filled", g.state(t), fresh.state(t))
}

// TestChanged: memory that was given back to the host is put back, too.
func TestChanged(t *testing.T) {
	g := newGuest(t)
	g.write(t, 8<<20, []byte("kept"))
	rw := g.rewinder(t)
	want := g.state(t)
	if err := g.ram.Discard(8<<20, 2<<20); err != nil {
		t.Fatal(err)
	}
	rw.Changed(8<<20, 2<<20)
	if _, err := rw.Rewind(); err != nil {
		t.Fatal(err)
	}
	same(t, "rewound", want, g.state(t))
	rw.Changed(0, 1<<40) // more than there is
	rw.Changed(1<<63, 1<<63)
}

// TestWatchAgain: pages that stop changing leave the set, and come back when they change again.
func TestWatchAgain(t *testing.T) {
	g := newGuest(t)
	rw := g.rewinder(t)
	want := g.state(t)
	count := func() (n int) {
		for page := range uint64(testMemory / pageSize) {
			if g.written[page/64]>>(page%64)&1 != 0 {
				n++
			}
		}
		return n
	}
	for range 50 {
		g.write(t, 7<<20, make([]byte, 20*pageSize+1)) // written, but with what was there
	}
	for i := range 2*idleMin + 1 {
		g.write(t, 12<<20, []byte{byte(i) + 1})
		if _, err := rw.Rewind(); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != 1 {
		t.Errorf("%d pages are known as written, want the one that is", n)
	}
	g.write(t, 7<<20, []byte("again"))
	if _, err := rw.Rewind(); err != nil {
		t.Fatal(err)
	}
	same(t, "rewound", want, g.state(t))
}

// TestScan: bytes that a guest has put into its rings without saying so are gone after a few rewinds.
func TestScan(t *testing.T) {
	g := newGuest(t)
	rw := g.rewinder(t)
	for _, off := range []uint64{abi.RxOff + 5, abi.TxOff + abi.TxSize - 1, abi.SharedSize - 1} {
		if err := g.shared.WriteAt([]byte{7}, off); err != nil {
			t.Fatal(err)
		}
	}
	for range (abi.SharedSize-abi.RxOff)/pageSize/scanStep + 1 {
		if _, err := rw.Rewind(); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range all(t, g.shared)[abi.RxOff:] {
		if v != 0 {
			t.Fatalf("byte %d at 0x%x", v, abi.RxOff+i)
		}
	}
}

// TestRootOfDelta: a parked instance may run in tables whose root is of after the snapshot. Where that root is not there yet, nothing could
// store it.
func TestRootOfDelta(t *testing.T) {
	g := newGuest(t)
	im := g.rewinder(t).im
	root := uint64(abi.TablesPA + 0x50000)
	g.entry(t, root, windowFirst, g.pdpt|7)
	g.entry(t, root, windowFirst+2, g.pdpt|7)
	g.entry(t, root, 3, g.pt|7)
	want := g.state(t)
	sink := memfd(t)
	n, err := im.Delta(g, im.meta.Link, sink)
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []bool{false, true} {
		h := newFake(t, testMemory)
		if err := im.Fill(h); err != nil {
			t.Fatal(err)
		}
		if there { // from an instance before, but for a slot of the program's
			h.write(t, root, all(t, g.ram)[root:root+pageSize])
			h.write(t, root+3*8, make([]byte, 8))
		}
		_, entries, err := im.ApplyAgain(h, sink, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		if there != (len(entries) == 1) || there != (h.forgot == 0) {
			t.Errorf("root there: %v; %d entries, forgot %d times", there, len(entries), h.forgot)
		}
		h.store(t, entries)
		same(t, "woken", want, h.state(t))
	}
}
