// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"io"
	"testing"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender"
)

func options(program string) tender.StartOptions {
	return tender.StartOptions{Exe: self, Libos: make([]byte, 256<<10), Memory: 64 << 20, Boot: monitor.Boot{Program: program}}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		tn, err := tender.Start(b.Context(), options("echo"))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		tn.Close()
		b.StartTimer()
	}
}

func benchInstance(b *testing.B, program string) *tender.Instance {
	tn, err := tender.Start(b.Context(), options(program))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tn.Close() })
	i, err := tn.Boot(b.Context(), "i", "h", nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := i.WaitListen(b.Context(), 8080); err != nil {
		b.Fatal(err)
	}
	return i
}

// BenchmarkExchange is one request and response on a stream that is open.
func BenchmarkExchange(b *testing.B) {
	i := benchInstance(b, "echo")
	c, err := i.Dial(b.Context(), 8080)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	msg, back := make([]byte, 200), make([]byte, 200)
	for b.Loop() {
		if _, err := c.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, back); err != nil {
			b.Fatal(err)
		}
	}
	s, _ := i.Stats(b.Context())
	b.ReportMetric(float64(s.Exits)/float64(b.N), "exits/op")
	b.ReportMetric(float64(s.Ticks)/float64(b.N), "ticks/op")
}

func BenchmarkDial(b *testing.B) {
	i := benchInstance(b, "echo")
	for b.Loop() {
		c, err := i.Dial(b.Context(), 8080)
		if err != nil {
			b.Fatal(err)
		}
		if err := echo(c, []byte("x")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is the throughput of one stream, there and back.
func BenchmarkStream(b *testing.B) {
	i := benchInstance(b, "echo")
	data := make([]byte, 8<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		c, err := i.Dial(b.Context(), 8080)
		if err != nil {
			b.Fatal(err)
		}
		if err := echo(c, data); err != nil {
			b.Fatal(err)
		}
	}
}
