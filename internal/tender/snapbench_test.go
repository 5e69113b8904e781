// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"unifaas.dev/internal/tender"
)

// BenchmarkClone is a new instance of a snapshot, from the command to its first answer; a shell stands ready.
func BenchmarkClone(b *testing.B) {
	for _, program := range []string{"c-hello", "go-hello"} {
		b.Run(program, func(b *testing.B) {
			tn, _, _ := captured(b, program, func(o *tender.StartOptions) { o.Shells = 1 })
			var all, state, start, dial []time.Duration
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				time.Sleep(30 * time.Millisecond) // the next shell
				b.StartTimer()
				begin := time.Now()
				i, err := tn.BootWith(context.Background(), tender.BootOptions{ID: fmt.Sprint(n), Hostname: "h", From: tender.FromSnapshot})
				if err != nil {
					b.Fatal(err)
				}
				start = append(start, time.Since(begin))
				c, err := i.Dial(b.Context(), 8080)
				if err != nil {
					b.Fatal(err)
				}
				dial = append(dial, time.Since(begin))
				if err := exchange(c, bufio.NewReader(c)); err != nil {
					b.Fatal(err)
				}
				all = append(all, time.Since(begin))
				b.StopTimer()
				timing, _ := i.WaitListen(b.Context(), 8080)
				state = append(state, timing.State)
				c.Close()
				i.Kill("done")
				<-i.Done()
				b.StartTimer()
			}
			for _, m := range []struct {
				name string
				list []time.Duration
			}{{"", all}, {"started-", start}, {"dialled-", dial}, {"state-", state}} {
				slices.Sort(m.list)
				b.ReportMetric(float64(m.list[len(m.list)/2].Microseconds()), m.name+"p50-us")
				b.ReportMetric(float64(m.list[len(m.list)/10].Microseconds()), m.name+"p10-us")
			}
		})
	}
}

// BenchmarkRewind is a request and a rewind, one after the other, each on a stream of its own.
func BenchmarkRewind(b *testing.B) {
	for _, program := range []string{"c-hello", "go-hello"} {
		b.Run(program, func(b *testing.B) {
			tn, _, _ := captured(b, program, func(o *tender.StartOptions) { o.Snapshots.Rewind = true })
			i := clone(b, tn, "r")
			var took time.Duration
			var pages, entries int
			var all []time.Duration
			for b.Loop() {
				begin := time.Now()
				c, err := i.Dial(b.Context(), 8080)
				if err != nil {
					b.Fatal(err)
				}
				if err := exchange(c, bufio.NewReader(c)); err != nil {
					b.Fatal(err)
				}
				c.Close()
				done := make(chan tender.Rewound, 1)
				i.Rewind(func(r tender.Rewound, err error) { done <- r })
				all = append(all, time.Since(begin))
				time.Sleep(100 * time.Microsecond) // the caller's turn
				r := <-done
				took += r.Took
				pages += r.Pages
				entries += r.Entries
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(all[len(all)/10].Microseconds()), "p10-us")
			n := float64(b.N)
			b.ReportMetric(float64(took.Microseconds())/n, "rewind-us")
			b.ReportMetric(float64(pages)/n, "pages")
			b.ReportMetric(float64(entries)/n, "entries")
		})
	}
}
