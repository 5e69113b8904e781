// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOutside: on a machine that is none of ours, nothing happens.
func TestOutside(t *testing.T) {
	if err := Ready(); err != nil {
		t.Error(err)
	}
	AfterRestore(func(uint64) { t.Error("a hook runs") })
	Check()
	if n := Generation(); n != 0 {
		t.Errorf("generation %d", n)
	}
	w := httptest.NewRecorder()
	Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("answer %d", w.Code)
	}
}

// TestRand: a wiped page is what a copy of the process sees: other numbers than the original gives, which goes on as it would have.
func TestRand(t *testing.T) {
	s := &source{alive: wipedWord()}
	if s.alive == nil {
		t.Skip("no memory that is wiped here")
	}
	s.Uint64()
	if atomic.LoadUint32(s.alive) != 1 {
		t.Fatal("the page is not in use")
	}
	kept := *s.gen
	want := []uint64{kept.Uint64(), kept.Uint64()}
	if got := s.Uint64(); got != want[0] {
		t.Errorf("without a restore: %x, want %x", got, want[0])
	}
	atomic.StoreUint32(s.alive, 0)
	if got := []uint64{s.Uint64(), s.Uint64()}; slices.Contains(got, want[1]) || got[0] == got[1] {
		t.Errorf("after a restore: %x, before it %x came next", got, want[1])
	}
	r := Rand()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				if n := r.IntN(10); n < 0 || n > 9 {
					t.Errorf("IntN(10) = %d", n)
				}
			}
		})
	}
	all.Wait()
}

// TestHooks: each hook once for each restore, before whoever asks goes on.
func TestHooks(t *testing.T) {
	alive := wipedWord()
	if alive == nil {
		t.Skip("no memory that is wiped here")
	}
	s := &state{alive: alive, dev: &device{}}
	ran := 0
	s.hooks = append(s.hooks, func(uint64) { ran++ }, func(uint64) { ran++ })
	for restores := range 3 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				s.check()
				if atomic.LoadUint32(alive) == 0 {
					t.Error("check returns before the hooks have run")
				}
			})
		}
		all.Wait()
		if ran != 2*(restores+1) {
			t.Fatalf("%d hooks ran after %d restores", ran, restores+1)
		}
		atomic.StoreUint32(alive, 0)
	}
}

func BenchmarkRand(b *testing.B) {
	r := Rand()
	for b.Loop() {
		r.Uint64()
	}
}
