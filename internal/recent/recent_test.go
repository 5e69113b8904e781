// SPDX-License-Identifier: Apache-2.0

package recent_test

import (
	"fmt"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

func TestRings(t *testing.T) {
	var b recent.Book
	at := time.Unix(1_700_000_000, 0)
	for n := range 200 {
		c := recent.Call{Function: "f", ID: fmt.Sprint(n), At: at, Took: time.Millisecond, Status: 200}
		if n < 2 {
			c.Timing = node.Timing{Cold: n == 0, Origin: "boot"}
		}
		b.Add(c)
	}
	calls := b.Calls("f")
	if len(calls) != 50 || calls[0].ID != "199" || calls[49].ID != "150" {
		t.Errorf("%d calls, first %+v", len(calls), calls[0])
	}
	if s := b.Starts("f"); len(s) != 2 || s[0].ID != "1" || s[1].ID != "0" {
		t.Errorf("starts are forgotten with warm calls: %+v", s)
	}
	b.Forget("f")
	if len(b.Calls("f"))+len(b.Starts("f"))+b.Last("f", at).Calls != 0 {
		t.Error("something is left of a function that was forgotten")
	}
	for n := range 2001 {
		b.Add(recent.Call{Function: fmt.Sprint("g", n), At: at, Status: 200})
	}
	if len(b.Calls("g0")) != 0 || len(b.Calls("g1")) != 1 || len(b.Calls("g2000")) != 1 {
		t.Error("not the function that was called longest ago was forgotten")
	}
}

func TestSeries(t *testing.T) {
	var b recent.Book
	at := time.Unix(1_700_000_000, 0) // the begin of a step
	add := func(after time.Duration, status int, took time.Duration, n int) {
		for range n {
			b.Add(recent.Call{Function: "f", At: at.Add(after - took), Took: took, Status: status})
		}
	}
	add(0, 200, 10*time.Millisecond, 90)
	add(0, 500, time.Second, 9)
	add(0, 404, 3*time.Second, 1)
	add(25*time.Second, 0, time.Millisecond, 3)
	s := b.Series("f", at.Add(30*time.Second))
	if len(s) != recent.Steps || !s[recent.Steps-1].At.Equal(at.Add(30*time.Second)) {
		t.Fatalf("%d steps, the last at %v", len(s), s[len(s)-1].At)
	}
	for n, want := range map[int][2]int{4: {100, 9}, 3: {0, 0}, 2: {3, 3}, 1: {0, 0}} {
		if got := s[recent.Steps-n]; got.Calls != want[0] || got.Failed != want[1] {
			t.Errorf("step -%d: %+v, want %v", n, got, want)
		}
	}
	near := func(what string, got, want time.Duration) {
		if got < want*7/10 || got > want*143/100 {
			t.Errorf("%s is %v, want about %v", what, got, want)
		}
	}
	first := s[recent.Steps-4]
	near("p50", first.P50, 10*time.Millisecond)
	near("p95", first.P95, time.Second)
	if l := b.Last("f", at.Add(30*time.Second)); l.Calls != 103 || l.Failed != 12 {
		t.Errorf("last minute: %+v", l)
	}
	if l := b.Last("f", at.Add(2*time.Minute)); l.Calls != 0 || l.P99 != 0 {
		t.Errorf("two minutes later: %+v", l)
	}
	// A quarter of an hour later a step's place is used again.
	add(recent.Steps*recent.StepLength, 200, time.Millisecond, 1)
	if s := b.Series("f", at.Add(recent.Steps*recent.StepLength)); s[recent.Steps-1].Calls != 1 {
		t.Errorf("the step that was used again has %+v", s[recent.Steps-1])
	}
	for _, d := range []time.Duration{0, -time.Second, time.Nanosecond, 300 * time.Hour} { // at the ends of what is counted
		b.Add(recent.Call{Function: "h", At: at, Took: d, Status: 200})
	}
}

func BenchmarkAdd(b *testing.B) {
	var book recent.Book
	c := recent.Call{Function: "f", ID: "0b6f1a2c-0000-4000-8000-000000000000", At: time.Now(), Took: time.Millisecond, Status: 200}
	b.ReportAllocs()
	for b.Loop() {
		book.Add(c)
	}
}
