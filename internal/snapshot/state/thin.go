// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"os"
	"sort"
	"sync/atomic"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

const (
	blockPages = guestmem.HugeSize / pageSize
	// thinMin is how many pages of a block have to be gained to give its huge page up.
	thinMin = 64
	// piecesMax bounds the mappings of a sandbox: a process can have 65,530, and a guest decides how its memory is scattered.
	piecesMax = 512
)

// Thin gives back the memory of a sandbox that is as in the image: its pages are then those of the image, which all sandboxes share, until
// they are written. State and content stay. It is for instances that rest: what they use next, they have to fault in page by page.
// Pages that requests are known to write stay the sandbox's own. It returns the number of pages given back.
func (im *Image) Thin(sb monitor.Stateful) (pages int, err error) {
	if err := im.fits(sb); err != nil {
		return 0, err
	}
	ram := sb.RAM()
	t := thinner{im: im, ram: ram, spans: cursor{spans: im.spans}}
	err = blocks(ram, func(first uint32, b, there []byte) error {
		if !ram.IsSmall(uint64(first)*pageSize) && bytes.IndexByte(there, 1) >= 0 {
			return t.block(first, b, there)
		}
		return nil
	})
	if err != nil {
		return t.gained, err
	}
	// The rings are empty most of the time, and what was in them is nobody's.
	a := sb.Shared()
	if a.Load64(abi.CtlRxHead) == a.Load64(abi.CtlRxTail) && a.Load64(abi.CtlTxHead) == a.Load64(abi.CtlTxTail) {
		err = a.Discard(abi.RxOff, abi.SharedSize-abi.RxOff)
	}
	return t.gained, err
}

// thinner is one Thin.
type thinner struct {
	im     *Image
	ram    *guestmem.Area
	spans  cursor
	own    []byte // scratch: pages of a block that stay the sandbox's
	list   []int  // their places in it
	pieces int    // mapped so far
	gained int
}

// block makes a block of the pages that differ, or will, over those of the image.
func (t *thinner) block(first uint32, b, there []byte) error {
	t.own, t.list = t.own[:0], t.list[:0]
	data, had := false, 0
	var layers []piece
	for i := range blockPages {
		page := first + uint32(i)
		image := t.spans.page(page)
		had += int(there[i] & 1)
		p := b[i*pageSize : (i+1)*pageSize]
		if there[i]&1 == 0 && image == nil {
			continue
		}
		want := image
		if want == nil {
			want = zeroPage[:]
		}
		switch same := bytes.Equal(p, want); {
		case !same || image != nil && t.im.isHot(page):
			if !same {
				t.im.setHot(page)
			}
			t.own, t.list = append(t.own, p...), append(t.list, i)
		case image == nil:
		default:
			f, at := t.im.source(page)
			if f == nil { // of a layer that is not in memory
				t.own, t.list = append(t.own, p...), append(t.list, i)
			} else if f == t.im.file {
				data = true
			} else if n := len(layers); n > 0 && layers[n-1].file == f && layers[n-1].place+layers[n-1].pages == i && layers[n-1].at+int64(layers[n-1].pages)*pageSize == at {
				layers[n-1].pages++
			} else {
				layers = append(layers, piece{place: i, pages: 1, file: f, at: at})
			}
		}
	}
	if had < len(t.list)+thinMin || t.pieces+len(layers) > piecesMax {
		return nil
	}
	t.pieces += len(layers)
	base := uint64(first) * pageSize
	if err := t.ram.Small(base); err != nil {
		return err
	}
	if data {
		if err := t.ram.MapPages(base, guestmem.HugeSize, t.im.file, int64(base)); err != nil {
			return err
		}
	}
	for _, l := range layers {
		if err := t.ram.MapPages(base+uint64(l.place)*pageSize, uint64(l.pages)*pageSize, l.file, l.at); err != nil {
			return err
		}
	}
	for n, i := range t.list {
		if err := t.ram.WriteAt(t.own[n*pageSize:(n+1)*pageSize], base+uint64(i)*pageSize); err != nil {
			return err
		}
	}
	t.gained += had - len(t.list)
	return nil
}

// piece is a run of pages of a block that a layer has.
type piece struct {
	place, pages int
	file         *os.File
	at           int64
}

// source is where a page of the image that is not zero can be mapped from; nil: nowhere.
func (im *Image) source(page uint32) (*os.File, int64) {
	list := im.meta.Shared
	if i := sort.Search(len(list), func(i int) bool { return list[i].RAM+list[i].Pages > page }); i < len(list) && list[i].RAM <= page {
		n := list[i].Image + page - list[i].RAM
		for i, first := range im.image.first {
			if n >= first && n-first < im.image.pages[i] && im.image.views[i] != nil {
				return im.image.files[i], int64(n-first) * pageSize
			}
		}
		return nil, 0
	}
	return im.file, int64(page) * pageSize
}

// Pages that were found to differ from the image are hot: the next request is likely to write them.
func (im *Image) setHot(page uint32) { atomic.OrUint64(&im.hot[page/64], 1<<(page%64)) }
func (im *Image) isHot(page uint32) bool {
	return atomic.LoadUint64(&im.hot[page/64])>>(page%64)&1 != 0
}
