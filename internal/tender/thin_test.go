// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"testing"
	"time"

	"unifaas.dev/internal/tender"
)

// memory is what is behind an instance's RAM.
func memory(t testing.TB, i *tender.Instance) int64 {
	t.Helper()
	s, err := i.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Memory
}

// TestThin: an instance that rests gives back what its snapshot has, goes on, and can be parked; the sandbox is of use afterwards.
func TestThin(t *testing.T) {
	t.Parallel() // it rests most of the time
	tn, _, _ := captured(t, compile(t, "state"))
	i := clone(t, tn, "rests")
	answers(t, i, "count", "1")
	before := memory(t, i)
	deadline := time.Now().Add(time.Minute)
	for memory(t, i) > before/2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes, %d after a request", memory(t, i), before)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d KiB after a request, then %d", before>>10, memory(t, i)>>10)
	answers(t, i, "count", "2")
	f, n := parked(t, i)
	answers(t, woken(t, tn, "woken", f, n), "count", "3")
	answers(t, clone(t, tn, "another"), "count", "1")
}
