// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

const (
	// entriesMax is how many entries of page tables the guest is asked to store; with more, it is cheaper to have the tables forgotten.
	entriesMax = 8192

	tablesFirst = abi.TablesPA / pageSize
	tablesEnd   = abi.TablesEnd / pageSize
)

// Result says what a rewind consisted of.
type Result struct {
	Pages   int         // copied back
	Entries []abi.Entry // for the guest to store, before all else (abi.MsgTables); good until the next Rewind
	Forgot  bool        // page tables were written here, and the guest lost all translations for it
}

// Rewinder puts one sandbox back to an image, again and again. Pages that were written stay known as written: they are the same few at each
// request, and to look at each of them each time costs less than to be told. One that has not changed for long is watched again.
type Rewinder struct {
	im    *Image
	sb    monitor.Stateful
	guard guard
	bits  []uint64 // scratch: pages written
	more  []uint64 // pages that only Changed named
	idle  []uint8  // by page: for how many rewinds it was as in the image
	times int      // rewinds so far
	trim  int      // at which of them pages that stopped changing are watched again
	shown []bool   // by page of the shared area: the image has something there
	scan  uint64   // the page of the rings' part to look at next

	entries []abi.Entry
}

// idleMin is the number of rewinds after which pages that did not change are watched again for the first time; then after twice as many, and
// so on. To compare such a page costs 0.3 us each time; to watch some hundred pages again takes milliseconds once, and requests that then write them wait.
const idleMin = 32

// NewRewinder begins to watch a sandbox, which equals the image now.
func NewRewinder(im *Image, sb monitor.Stateful) (*Rewinder, error) {
	if err := im.fits(sb); err != nil {
		return nil, err
	}
	words := (sb.RAM().Size()/pageSize + 63) / 64
	r := &Rewinder{im: im, sb: sb, guard: newGuard(im.bootPage(), im.page), bits: make([]uint64, words), more: make([]uint64, words), idle: make([]uint8, words*64), trim: idleMin}
	for at := 0; at < len(im.shared); at += pageSize {
		r.shown = append(r.shown, at == abi.CtlOff || !bytes.Equal(im.shared[at:at+pageSize], zeroPage[:]))
	}
	if err := sb.Track(); err != nil {
		return nil, err
	}
	return r, nil
}

// Changed tells that [off, off+n) of RAM was changed by other means than the guest's and the monitor's: memory given back to the host.
func (r *Rewinder) Changed(off, n uint64) {
	for p := off / pageSize; p < min((off+n+pageSize-1)/pageSize, uint64(len(r.more))*64); p++ {
		r.more[p/64] |= 1 << (p % 64)
	}
}

// Rewind puts RAM, the shared area and the vCPU back. Page tables are not written, but for Forgot: Entries says what to. Rings are
// empty, and what was in them is zero. After an error the sandbox is of no use.
func (r *Rewinder) Rewind() (res Result, err error) {
	clear(r.bits)
	if err := r.sb.Written(r.bits); err != nil {
		return res, err
	}
	for i, w := range r.more {
		r.bits[i] |= w
		r.more[i] = 0
	}
	ok := !r.im.out && r.sb.Shared().Load64(abi.CtlTablesOut) == 0
	if ok {
		if ok, err = r.compareTables(); err != nil {
			return res, err
		}
	}
	if res.Pages, err = r.copyBack(!ok); err != nil {
		return res, err
	}
	if ok {
		res.Entries = r.entries
	} else {
		res.Forgot = true
		if err := r.sb.ForgetTables(); err != nil {
			return res, err
		}
	}
	if err := r.resetShared(); err != nil {
		return res, err
	}
	if r.times++; r.times == r.trim {
		if err := r.watchAgain(); err != nil {
			return res, err
		}
	}
	return res, r.sb.LoadCPU(r.im.meta.CPU)
}

// copyBack puts back the pages in bits that differ, and gives their number.
func (r *Rewinder) copyBack(tables bool) (n int, err error) {
	ram := r.sb.RAM()
	c := cursor{spans: r.im.spans}
	for i, w := range r.bits {
		for ; w != 0; w &= w - 1 {
			page := uint32(i*64 + bits.TrailingZeros64(w))
			if !tables && page >= tablesFirst && page < tablesEnd {
				continue
			}
			b, err := ram.Bytes(uint64(page)*pageSize, pageSize)
			if err != nil {
				return n, err
			}
			image := c.page(page)
			if image == nil {
				image = zeroPage[:]
			}
			// Comparing costs what copying does, the memory has to be read either way.
			if bytes.Equal(b, image) {
				r.idle[page] = max(r.idle[page], r.idle[page]+1) // 255 stays
				continue
			}
			if r.idle[page] = 0; !r.im.isHot(page) {
				r.im.setHot(page)
			}
			copy(b, image)
			n++
		}
	}
	return n, nil
}

// watchAgain has the sandbox tell again of pages that have not changed since the last time. They equal the image now.
func (r *Rewinder) watchAgain() error {
	any, long := uint64(0), uint8(min(r.trim/2, 255))
	r.trim *= 2
	for i, w := range r.bits {
		for ; w != 0; w &= w - 1 {
			if n := bits.TrailingZeros64(w); r.idle[i*64+n] < long {
				r.bits[i] &^= 1 << n
			} else {
				r.idle[i*64+n] = 0
			}
		}
		any |= r.bits[i]
	}
	if any == 0 {
		return nil
	}
	return r.sb.Untouch(r.bits)
}

// compareTables collects the entries of page tables that differ from the image's; false if the guest cannot be asked to store them.
func (r *Rewinder) compareTables() (bool, error) {
	r.entries = r.entries[:0]
	c := cursor{spans: r.im.spans}
	for page := uint32(tablesFirst); page < tablesEnd; page++ {
		if r.bits[page/64]&(1<<(page%64)) == 0 {
			continue
		}
		b, err := r.sb.RAM().Bytes(uint64(page)*pageSize, pageSize)
		if err != nil {
			return false, err
		}
		image := c.page(page)
		if image == nil {
			image = zeroPage[:]
		}
		for at := 0; at < pageSize; at += 8 {
			v := binary.LittleEndian.Uint64(image[at:])
			if binary.LittleEndian.Uint64(b[at:]) == v {
				continue
			}
			if r.guard.holds(page, at/8) || len(r.entries) == entriesMax {
				return false, nil
			}
			r.entries = append(r.entries, abi.Entry{PA: uint64(page)*pageSize + uint64(at), Value: v})
		}
	}
	return true, nil
}

// scanStep is how many pages of the rings' part of the shared area a rewind looks at, beside those that were in use.
const scanStep = 8

// resetShared puts the shared area back, and zeroes what was in the rings since the image. A guest that does not keep to the
// indices can leave bytes elsewhere in the rings; these are found within 56 rewinds.
func (r *Rewinder) resetShared() error {
	a, l := r.sb.Shared(), &r.im.meta.Link
	for _, ring := range []struct{ off, size, from, to uint64 }{
		{abi.RxOff, abi.RxSize, l.RxHead, a.Load64(abi.CtlRxHead)},
		{abi.TxOff, abi.TxSize, l.TxTail, a.Load64(abi.CtlTxHead)},
	} {
		b, err := a.Bytes(ring.off, ring.size)
		if err != nil {
			return err
		}
		from, n := ring.from%ring.size, ring.to-ring.from
		switch {
		case n >= ring.size:
			clear(b)
		case from+n > ring.size:
			clear(b[from:])
			clear(b[:from+n-ring.size])
		default:
			clear(b[from : from+n])
		}
	}
	for n := range uint64(usedPages) {
		if r.shown[n] {
			if err := putSharedPage(a, r.im.shared, n); err != nil {
				return err
			}
		} else if err := wipe(a, n); err != nil {
			return err
		}
	}
	setLink(a, l)
	for range scanStep {
		if err := wipe(a, usedPages+r.scan); err != nil {
			return err
		}
		r.scan = (r.scan + 1) % (abi.SharedSize/pageSize - usedPages)
	}
	return nil
}

// wipe zeroes a page of the shared area that most often is zero.
func wipe(a *guestmem.Area, n uint64) error {
	if n == abi.ClockOff/pageSize {
		return nil
	}
	b, err := a.Bytes(n*pageSize, pageSize)
	if err == nil && !bytes.Equal(b, zeroPage[:]) {
		clear(b)
	}
	return err
}
