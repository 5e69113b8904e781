// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"

	"unifaas.dev/internal/snapshot"
)

// A delta, little-endian: header, Meta, records.
//
//	0   magic            8    format u32          12  length of Meta u32
//	16  length of records u64                     24  number of the image u64
//	32  CRC of Meta and records u32               36  zeros
//	60  CRC of the header so far u32
//
// Records are of pages, in ascending order: those of RAM, then those of the shared area. A page without a record is the image's. A record is
// one byte, what it is, and varints: how many pages lie between the last record's and this one's, and a number.
const (
	deltaHeader = 64
	deltaMagic  = "UFSDELT\n"

	recordEnd  = 0 // nothing follows
	recordZero = 1 // number of pages: they are zero
	recordRaw  = 2 // number of pages, then their bytes
	recordDiff = 3 // length of what follows: pairs of varints, bytes of the image's page that stay and bytes that differ, and these

	// diffMax is the longest recordDiff; a page that needs more is raw.
	diffMax = 3 << 10
	// spillSize is what is written, and read, at once.
	spillSize = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer makes records of pages.
type writer struct {
	sink  *os.File
	image uint64
	meta  int // its length

	buf  []byte // not yet written
	at   int64  // where to
	sum  uint32 // of what is in front of buf
	next uint32 // the page after the last record

	// The record of several pages that may still grow; its bytes are at the end of buf's second half.
	kind         byte
	first, pages uint32
	raw          []byte
}

func newWriter(sink *os.File, m *snapshot.Meta, image uint64) *writer {
	meta := snapshot.EncodeMeta(m)
	return &writer{sink: sink, image: image, meta: len(meta), buf: append(make([]byte, 0, 2*spillSize), meta...), at: deltaHeader}
}

// page adds a page if it differs from the image's, which is nil if that is zero.
func (w *writer) page(n uint32, b, image []byte) (differs bool, err error) {
	if image == nil {
		image = zeroPage[:]
	}
	if bytes.Equal(b, image) {
		return false, nil
	}
	if bytes.Equal(b, zeroPage[:]) {
		return true, w.grow(recordZero, n, nil)
	}
	var diff [diffMax]byte
	d, ok := appendDiff(diff[:0], b, image)
	if !ok {
		return true, w.grow(recordRaw, n, b)
	}
	w.flush()
	w.head(recordDiff, n, uint32(len(d)))
	w.buf = append(w.buf, d...)
	w.next = n + 1
	return true, w.spill()
}

// grow adds a page to a record of several.
func (w *writer) grow(kind byte, n uint32, b []byte) error {
	if w.kind != kind || w.first+w.pages != n || len(w.raw) >= spillSize {
		w.flush()
		w.kind, w.first = kind, n
	}
	w.pages++
	w.raw = append(w.raw, b...)
	return w.spill()
}

// flush ends the record of several pages, if there is one.
func (w *writer) flush() {
	if w.pages == 0 {
		return
	}
	w.head(w.kind, w.first, w.pages)
	w.buf = append(w.buf, w.raw...)
	w.next = w.first + w.pages
	w.pages, w.raw = 0, w.raw[:0]
}

func (w *writer) head(kind byte, page, n uint32) {
	w.buf = binary.AppendUvarint(append(w.buf, kind), uint64(page-w.next))
	w.buf = binary.AppendUvarint(w.buf, uint64(n))
}

// spill writes what has come together, once it is much.
func (w *writer) spill() error {
	if len(w.buf) < spillSize {
		return nil
	}
	return w.write()
}

func (w *writer) write() error {
	w.sum = crc32.Update(w.sum, castagnoli, w.buf)
	if _, err := w.sink.WriteAt(w.buf, w.at); err != nil {
		return fmt.Errorf("write what differs from the snapshot: %w", err)
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// finish ends the delta and gives its length.
func (w *writer) finish() (int64, error) {
	w.flush()
	w.buf = append(w.buf, recordEnd)
	if err := w.write(); err != nil {
		return 0, err
	}
	end := w.at
	h := make([]byte, deltaHeader)
	copy(h, deltaMagic)
	le.PutUint32(h[8:], snapshot.Format)
	le.PutUint32(h[12:], uint32(w.meta))
	le.PutUint64(h[16:], uint64(end)-deltaHeader-uint64(w.meta))
	le.PutUint64(h[24:], w.image)
	le.PutUint32(h[32:], w.sum)
	le.PutUint32(h[deltaHeader-4:], crc32.Checksum(h[:deltaHeader-4], castagnoli))
	if _, err := w.sink.WriteAt(h, 0); err != nil {
		return 0, fmt.Errorf("write what differs from the snapshot: %w", err)
	}
	return end, nil
}

// appendDiff appends the pairs of a recordDiff; false if they do not fit into d's capacity. A gap of two bytes or less does not end a
// stretch: a pair takes as much.
func appendDiff(d, b, image []byte) ([]byte, bool) {
	last, from, to := 0, -1, 0 // last: end of the stretch written before; [from, to) is the one that grows
	put := func() bool {
		if len(d)+6+to-from > cap(d) {
			return false
		}
		d = binary.AppendUvarint(d, uint64(from-last))
		d = binary.AppendUvarint(d, uint64(to-from))
		d = append(d, b[from:to]...)
		last = to
		return true
	}
	for at := 0; at < pageSize; at += 8 {
		x := le.Uint64(b[at:]) ^ le.Uint64(image[at:])
		for x != 0 {
			i := at + bits.TrailingZeros64(x)/8
			if from < 0 {
				from = i
			} else if i > to+2 {
				if !put() {
					return d, false
				}
				from = i
			}
			to = i + 1
			x &^= 0xff << ((i - at) * 8)
		}
	}
	if from >= 0 && !put() {
		return d, false
	}
	return d, true
}
