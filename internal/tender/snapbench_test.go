// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bufio"
	"context"
	"fmt"
	"sort"
	"testing"
	"time"

	"unifaas.dev/internal/tender"
)

// BenchmarkClone is a new instance of a snapshot, from the command to its first answer; a shell stands ready.
func BenchmarkClone(b *testing.B) {
	for _, program := range []string{"c-hello", "go-hello"} {
		b.Run(program, func(b *testing.B) {
			tn, _, _ := captured(b, program, func(o *tender.StartOptions) { o.Shells = 1 })
			var all []time.Duration
			var state, start, dial time.Duration
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				time.Sleep(30 * time.Millisecond) // the next shell
				b.StartTimer()
				begin := time.Now()
				i, err := tn.BootWith(context.Background(), tender.BootOptions{ID: fmt.Sprint(n), Hostname: "h", From: tender.FromSnapshot})
				if err != nil {
					b.Fatal(err)
				}
				start += time.Since(begin)
				c, err := i.Dial(b.Context(), 8080)
				if err != nil {
					b.Fatal(err)
				}
				dial += time.Since(begin)
				if err := exchange(c, bufio.NewReader(c)); err != nil {
					b.Fatal(err)
				}
				all = append(all, time.Since(begin))
				b.StopTimer()
				timing, _ := i.WaitListen(b.Context(), 8080)
				state += timing.State
				c.Close()
				i.Kill("done")
				<-i.Done()
				b.StartTimer()
			}
			sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
			n := float64(len(all))
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(all[len(all)*9/10].Microseconds()), "p90-us")
			b.ReportMetric(float64(state.Microseconds())/n, "state-us")
			b.ReportMetric(float64(start.Microseconds())/n, "started-us")
			b.ReportMetric(float64(dial.Microseconds())/n, "dialled-us")
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
			for b.Loop() {
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
				r := <-done
				took += r.Took
				pages += r.Pages
				entries += r.Entries
			}
			n := float64(b.N)
			b.ReportMetric(float64(took.Microseconds())/n, "rewind-us")
			b.ReportMetric(float64(pages)/n, "pages")
			b.ReportMetric(float64(entries)/n, "entries")
		})
	}
}
