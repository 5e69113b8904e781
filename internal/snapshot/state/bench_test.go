// SPDX-License-Identifier: Apache-2.0

package state

import (
	"math/rand/v2"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/snapshot"
)

// typical is a sandbox of 256 MiB with 20 MiB in use, as an interpreter leaves it that waits for its first request.
func typical(b testing.TB) (*fake, snapshot.Meta) {
	b.Helper()
	const memory = 256 << 20
	f := newFake(b, memory)
	if err := f.ram.Populate(0, 32<<20); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, pageSize)
	for page := uint64(0); page < 24<<20/pageSize; page++ {
		if page >= abi.TablesPA/pageSize+100 && page < abi.TablesEnd/pageSize || r.IntN(20) == 0 {
			continue
		}
		for i := 0; i < pageSize; i += 8 {
			le.PutUint64(p[i:], r.Uint64())
		}
		f.write(b, page*pageSize, p)
	}
	k := testKey()
	k.Memory = memory
	return f, snapshot.Meta{Key: k}
}

func typicalImage(b testing.TB) (*fake, *Image) {
	f, m := typical(b)
	sink := memfd(b)
	if _, err := Capture(sink, f, nil, m); err != nil {
		b.Fatal(err)
	}
	im, err := Open(sink, m.Key, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { im.Close() })
	return f, im
}

func BenchmarkCapture(b *testing.B) {
	f, m := typical(b)
	for b.Loop() {
		sink := memfd(b)
		if _, err := Capture(sink, f, nil, m); err != nil {
			b.Fatal(err)
		}
		sink.Close()
	}
}

func BenchmarkCheck(b *testing.B) {
	f, m := typical(b)
	sink := memfd(b)
	if _, err := Capture(sink, f, nil, m); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := snapshot.Check(sink); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	f, m := typical(b)
	sink := memfd(b)
	if _, err := Capture(sink, f, nil, m); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		im, err := Open(sink, m.Key, nil)
		if err != nil {
			b.Fatal(err)
		}
		im.Close()
	}
}

// BenchmarkFill is into memory that is present, by an image that others were made of; cold: by a new one.
func BenchmarkFill(b *testing.B) {
	run := func(b *testing.B, cold bool) {
		f, m := typical(b)
		sink := memfd(b)
		if _, err := Capture(sink, f, nil, m); err != nil {
			b.Fatal(err)
		}
		g := newFake(b, 256<<20)
		if err := g.ram.Populate(0, 32<<20); err != nil {
			b.Fatal(err)
		}
		im, err := Open(sink, m.Key, nil)
		if err != nil {
			b.Fatal(err)
		}
		pages := 0
		for _, s := range im.spans {
			pages += int(s.pages)
		}
		for b.Loop() {
			if cold {
				b.StopTimer()
				im.Close()
				if im, err = Open(sink, m.Key, nil); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			if err := im.Fill(g); err != nil {
				b.Fatal(err)
			}
		}
		im.Close()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pages), "ns/page")
	}
	b.Run("warm", func(b *testing.B) { run(b, false) })
	b.Run("cold", func(b *testing.B) { run(b, true) })
}

// request writes to some pages as a request does.
func request(b testing.TB, f *fake, pages int) {
	r := rand.New(rand.NewPCG(3, 4))
	for range pages {
		page := uint64(r.IntN(24 << 20 / pageSize))
		if page >= tablesFirst && page < tablesEnd {
			continue
		}
		for range 6 {
			f.write(b, page*pageSize+uint64(r.IntN(512))*8, le.AppendUint64(nil, 0x610000000000+r.Uint64N(1<<24)))
		}
	}
}

func BenchmarkDelta(b *testing.B) {
	f, im := typicalImage(b)
	request(b, f, 300)
	sink := memfd(b)
	var n int64
	var err error
	for b.Loop() {
		if n, err = im.Delta(f, im.meta.Link, sink); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/1024, "KiB")
}

func BenchmarkApply(b *testing.B) {
	f, im := typicalImage(b)
	request(b, f, 300)
	sink := memfd(b)
	n, err := im.Delta(f, im.meta.Link, sink)
	if err != nil {
		b.Fatal(err)
	}
	g := newFake(b, f.ram.Size())
	if err := im.Fill(g); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := im.Apply(g, sink, 0, n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRewind(b *testing.B) {
	f, im := typicalImage(b)
	rw, err := NewRewinder(im, f)
	if err != nil {
		b.Fatal(err)
	}
	request(b, f, 300)
	for b.Loop() {
		if _, err := rw.Rewind(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrimitives(b *testing.B) {
	f, m := typical(b)
	sink := memfd(b)
	if _, err := Capture(sink, f, nil, m); err != nil {
		b.Fatal(err)
	}
	g := newFake(b, 256<<20)
	g.ram.Populate(0, 32<<20)
	b.Run("pread20M", func(b *testing.B) {
		for b.Loop() {
			if err := g.ram.ReadFile(0, sink, 0, 20<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memcpy20M", func(b *testing.B) {
		for b.Loop() {
			if err := g.ram.Copy(0, f.ram, 0, 20<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("view20M", func(b *testing.B) {
		v, err := guestmem.NewView(sink, 0, 32<<20)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := g.ram.Copy(0, v, 0, 20<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}
