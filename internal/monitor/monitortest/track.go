// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"math/rand/v2"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

const testPages = testMemory / guestmem.PageSize

// ownPages are those that the payload itself uses: text, data, tables.
const ownPages = 4 << 20 / guestmem.PageSize

// pageSet is a set of pages of RAM.
type pageSet [testPages / 64]uint64

func (p *pageSet) add(page uint64)      { p[page/64] |= 1 << (page % 64) }
func (p *pageSet) has(page uint64) bool { return p[page/64]>>(page%64)&1 != 0 }

// write makes a doWrite guest write to pages.
func (b *box) write(pages []uint64) {
	b.t.Helper()
	b.Shared().Store64(noteIn, uint64(len(pages)))
	for i, p := range pages {
		b.Shared().Store64(noteIn+8+8*uint64(i), p)
	}
	b.expect(monitor.ExitQueue, 0)
}

func (b *box) written() *pageSet {
	b.t.Helper()
	var p pageSet
	if err := b.stateful().Written(p[:]); err != nil {
		b.t.Fatal(err)
	}
	return &p
}

// checkWritten: none of want is missing, and nothing else is there but what the payload itself uses.
func (b *box) checkWritten(what string, want []uint64) {
	b.t.Helper()
	got := b.written()
	var all pageSet
	for _, p := range want {
		all.add(p)
		if !got.has(p) {
			b.t.Errorf("%s: page %d was written, it is missing", what, p)
		}
	}
	for p := uint64(ownPages); p < testPages; p++ {
		if got.has(p) && !all.has(p) {
			b.t.Errorf("%s: page %d was not written", what, p)
		}
	}
}

func somePages(r *rand.Rand) []uint64 {
	pages := []uint64{ownPages, testPages - 1} // the edges always
	for range 1 + r.IntN(200) {
		pages = append(pages, ownPages+r.Uint64N(testPages-ownPages))
	}
	return pages
}

// track: every page that is written is found, after each Untouch anew, also when the tables were forgotten meanwhile.
func (s *suite) track(t *testing.T) {
	b := s.start(t, doWrite, 0)
	sb := b.stateful()
	var none pageSet
	if sb.Written(none[:]) == nil || sb.Untouch(none[:]) == nil {
		t.Error("pages that are not tracked")
	}
	b.expect(monitor.ExitQueue, 0)
	r := rand.New(rand.NewPCG(3, 4))
	before := somePages(r)
	b.write(before)
	for range 2 { // once more changes nothing
		if err := sb.Track(); err != nil {
			t.Fatal(err)
		}
	}
	b.checkWritten("before", nil)
	for range 20 {
		first, second := somePages(r), somePages(r)
		b.write(first)
		b.checkWritten("first", first)
		b.write(second)
		b.checkWritten("both", append(first, second...))
		all := b.written()
		if err := sb.Untouch(all[:]); err != nil {
			t.Fatal(err)
		}
		b.checkWritten("untouched", nil)
		// Some of them again, of which some are forgotten.
		b.write(first)
		some := &pageSet{}
		var kept []uint64
		for i, p := range first {
			if i%2 == 0 {
				some.add(p)
			}
		}
		for _, p := range first {
			if !some.has(p) {
				kept = append(kept, p)
			}
		}
		if err := sb.Untouch(some[:]); err != nil {
			t.Fatal(err)
		}
		b.checkWritten("some untouched", kept)
		if err := sb.ForgetTables(); err != nil {
			t.Fatal(err)
		}
		b.checkWritten("tables forgotten", kept)
		b.write(second)
		b.checkWritten("written after that", append(kept, second...))
		all = b.written()
		if err := sb.Untouch(all[:]); err != nil {
			t.Fatal(err)
		}
	}
	if sb.Written(none[:1]) == nil || sb.Untouch(none[:1]) == nil {
		t.Error("a set that is too small was taken")
	}
	b.Close()
	if sb.Written(none[:]) == nil || sb.Untouch(none[:]) == nil {
		t.Error("pages of a sandbox that is closed")
	}
}

// trackHost: what the monitor itself writes counts.
func (s *suite) trackHost(t *testing.T) {
	b := s.start(t, doPreempt, 0)
	sb := b.stateful()
	after(t, 20*time.Millisecond, b.Kick)
	b.expect(monitor.ExitKick, 0)
	if err := sb.Track(); err != nil {
		t.Fatal(err)
	}
	ram := make([]byte, testMemory)
	if err := sb.RAM().ReadAt(ram, 0); err != nil {
		t.Fatal(err)
	}
	b.Preempt()
	b.Kick()
	b.expect(monitor.ExitKick, 0) // the frame is written, the guest did not run
	changed := 0
	now := make([]byte, testMemory)
	if err := sb.RAM().ReadAt(now, 0); err != nil {
		t.Fatal(err)
	}
	set := b.written()
	for p := range uint64(testPages) {
		if string(ram[p*4096:(p+1)*4096]) != string(now[p*4096:(p+1)*4096]) {
			changed++
			if !set.has(p) {
				t.Errorf("page %d changed, it is missing", p)
			}
		}
	}
	if changed == 0 {
		t.Error("nothing was written")
	}
	if err := sb.Untouch(set[:]); err != nil {
		t.Fatal(err)
	}
	if *b.written() != (pageSet{}) {
		t.Error("untouched pages are still written")
	}
	b.expect(monitor.ExitDone, vector(abi.VecPreempt))
}
