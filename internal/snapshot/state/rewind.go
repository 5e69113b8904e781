// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"math/bits"

	"unifaas.dev/abi"
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

// Rewinder puts one sandbox back to an image, again and again. The pages that were ever written since the first time are copied back each
// time without asking: they are the same few at each request, and not to ask costs less. All others are still watched.
type Rewinder struct {
	im    *Image
	sb    monitor.Stateful
	guard guard
	bits  []uint64 // scratch: pages written
	more  []uint64 // pages that only Changed named

	entries []abi.Entry
}

// NewRewinder begins to watch a sandbox, which equals the image now.
func NewRewinder(im *Image, sb monitor.Stateful) (*Rewinder, error) {
	if err := im.fits(sb); err != nil {
		return nil, err
	}
	words := (sb.RAM().Size()/pageSize + 63) / 64
	r := &Rewinder{im: im, sb: sb, guard: im.newGuard(), bits: make([]uint64, words), more: make([]uint64, words)}
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
func (r *Rewinder) Rewind() (Result, error) {
	var res Result
	ram, shared := r.sb.RAM(), r.sb.Shared()
	if err := r.sb.Written(r.bits); err != nil {
		return res, err
	}
	for i, w := range r.more {
		r.bits[i] |= w
		r.more[i] = 0
	}
	ok := !r.im.out && shared.Load64(abi.CtlTablesOut) == 0
	if ok {
		var err error
		if ok, err = r.compareTables(); err != nil {
			return res, err
		}
	}
	c := cursor{spans: r.im.spans}
	for i, w := range r.bits {
		for ; w != 0; w &= w - 1 {
			page := uint32(i*64 + bits.TrailingZeros64(w))
			if ok && page >= tablesFirst && page < tablesEnd {
				continue
			}
			b, err := ram.Bytes(uint64(page)*pageSize, pageSize)
			if err != nil {
				return res, err
			}
			if p := c.page(page); p != nil {
				copy(b, p)
			} else {
				clear(b)
			}
			res.Pages++
		}
	}
	if ok {
		res.Entries = r.entries
	} else {
		res.Forgot = true
		if err := r.sb.ForgetTables(); err != nil {
			return res, err
		}
	}
	if err := r.scrub(); err != nil {
		return res, err
	}
	if err := putShared(shared, r.im.shared, &r.im.meta.Link, false); err != nil {
		return res, err
	}
	return res, r.sb.LoadCPU(r.im.meta.CPU)
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

// scrub zeroes what was in the rings since the image.
func (r *Rewinder) scrub() error {
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
	return nil
}
