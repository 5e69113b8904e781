// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// metaMax is the longest Meta of a delta, which lists no pages.
const metaMax = 128 << 10

// Apply puts what Delta wrote, n bytes at off, into a sandbox that was filled and has not run since; it gives Link and Mono. Errors wrap
// ErrDamaged or ErrForeign; the sandbox is of no use then.
func (im *Image) Apply(sb monitor.Stateful, f *os.File, off, n int64) (snapshot.Meta, error) {
	if err := im.fits(sb); err != nil {
		return snapshot.Meta{}, err
	}
	m, err := im.apply(sb, &target{ram: sb.RAM()}, f, off, n)
	if err != nil {
		return snapshot.Meta{}, fmt.Errorf("parked instance: %w", err)
	}
	return *m, nil
}

func (im *Image) apply(sb monitor.Stateful, to *target, f *os.File, off, n int64) (*snapshot.Meta, error) {
	if off < 0 || n < deltaHeader || off > 1<<62 || n > 1<<62 {
		return nil, fmt.Errorf("%w: %d bytes", snapshot.ErrDamaged, n)
	}
	var h [deltaHeader]byte
	if _, err := f.ReadAt(h[:], off); err != nil {
		return nil, fmt.Errorf("%w: %w", snapshot.ErrDamaged, err)
	}
	if string(h[:8]) != deltaMagic || crc32.Checksum(h[:deltaHeader-4], castagnoli) != le.Uint32(h[deltaHeader-4:]) {
		return nil, fmt.Errorf("%w: its head", snapshot.ErrDamaged)
	}
	if v := le.Uint32(h[8:]); v != snapshot.Format {
		return nil, fmt.Errorf("%w: format %d, not %d", snapshot.ErrForeign, v, snapshot.Format)
	}
	if le.Uint64(h[24:]) != im.sum {
		return nil, fmt.Errorf("%w: it was parked with another snapshot", snapshot.ErrForeign)
	}
	meta, records := int64(le.Uint32(h[12:])), le.Uint64(h[16:])
	if meta > metaMax || meta > n-deltaHeader || records != uint64(n-deltaHeader-meta) {
		return nil, fmt.Errorf("%w: %d bytes of description and %d of pages in %d", snapshot.ErrDamaged, meta, records, n)
	}
	r := newReader(f, off+deltaHeader, n-deltaHeader)
	b, err := r.take(int(meta))
	if err != nil {
		return nil, err
	}
	m, err := snapshot.DecodeMeta(b)
	if err != nil {
		return nil, err
	}
	if what := m.Key.Differs(im.meta.Key); what != "" {
		return nil, fmt.Errorf("%w: %s", snapshot.ErrForeign, what)
	}
	shared, err := im.records(to, r)
	if err != nil {
		return nil, err
	}
	if r.sum != le.Uint32(h[32:]) {
		return nil, fmt.Errorf("%w: its checksum", snapshot.ErrDamaged)
	}
	if err := putShared(sb.Shared(), shared, &m.Link); err != nil {
		return nil, err
	}
	if err := sb.LoadCPU(m.CPU); err != nil {
		return nil, err
	}
	return m, nil
}

// records applies all of them, and gives what is kept of the shared area.
func (im *Image) records(to *target, r *reader) (shared []byte, err error) {
	ramPages := to.ram.Size() / pageSize
	shared = append(shared, im.shared...)
	for next := uint64(0); ; {
		kind, err := r.byte()
		if err != nil {
			return nil, err
		}
		if kind == recordEnd {
			if !r.done() {
				return nil, fmt.Errorf("%w: bytes after its end", snapshot.ErrDamaged)
			}
			return shared, nil
		}
		skip, err := r.number()
		if err != nil {
			return nil, err
		}
		n, err := r.number()
		if err != nil {
			return nil, err
		}
		first, pages := next+skip, n
		if kind == recordDiff {
			pages = 1
		}
		next = first + pages
		if pages == 0 || next > ramPages+usedPages || first < ramPages && next > ramPages {
			return nil, fmt.Errorf("%w: %d pages at page 0x%x", snapshot.ErrDamaged, pages, first)
		}
		for first < next {
			var b []byte
			here := next - first
			if first < ramPages {
				if b, here, err = to.run(first, here); err != nil {
					return nil, err
				}
			} else {
				b = shared[(first-ramPages)*pageSize : (next-ramPages)*pageSize]
			}
			first += here
			switch kind {
			case recordZero:
				clear(b)
			case recordRaw:
				err = r.fill(b)
			case recordDiff:
				err = r.patch(b, n)
			default:
				err = fmt.Errorf("%w: record of kind %d", snapshot.ErrDamaged, kind)
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// patch applies the n bytes of a recordDiff to the image's page, which Fill has put there.
func (r *reader) patch(page []byte, n uint64) error {
	if n > diffMax {
		return fmt.Errorf("%w: difference of %d bytes", snapshot.ErrDamaged, n)
	}
	d, err := r.take(int(n))
	if err != nil {
		return err
	}
	at := uint64(0)
	for len(d) > 0 {
		skip, a := binary.Uvarint(d)
		if a <= 0 {
			return fmt.Errorf("%w: difference of a page", snapshot.ErrDamaged)
		}
		n, b := binary.Uvarint(d[a:])
		if b <= 0 {
			return fmt.Errorf("%w: difference of a page", snapshot.ErrDamaged)
		}
		d = d[a+b:]
		if skip > pageSize || n > pageSize || at+skip+n > pageSize || n > uint64(len(d)) {
			return fmt.Errorf("%w: difference of a page", snapshot.ErrDamaged)
		}
		at += skip
		copy(page[at:], d[:n])
		at, d = at+n, d[n:]
	}
	return nil
}

// reader reads a stretch of a file once, summing it up.
type reader struct {
	from *io.SectionReader
	buf  []byte // read, not yet used: buf[at:]
	at   int
	sum  uint32
}

func newReader(f *os.File, off, n int64) *reader {
	return &reader{from: io.NewSectionReader(f, off, n), buf: make([]byte, 0, min(n, spillSize))}
}

// more reads on. Preconditions: all of buf was used.
func (r *reader) more() error {
	n, err := r.from.Read(r.buf[:cap(r.buf)])
	r.buf, r.at = r.buf[:n], 0
	r.sum = crc32.Update(r.sum, castagnoli, r.buf)
	if n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: %w", snapshot.ErrDamaged, err)
	}
	return nil
}

func (r *reader) byte() (byte, error) {
	if r.at == len(r.buf) {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	r.at++
	return r.buf[r.at-1], nil
}

func (r *reader) number() (n uint64, err error) {
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: a number is too long", snapshot.ErrDamaged)
}

// fill reads len(p) bytes. Large ones do not go through buf.
func (r *reader) fill(p []byte) error {
	for len(p) > 0 {
		if r.at == len(r.buf) {
			if len(p) >= spillSize {
				n, err := io.ReadFull(r.from, p)
				r.sum = crc32.Update(r.sum, castagnoli, p[:n])
				if err != nil {
					return fmt.Errorf("%w: %w", snapshot.ErrDamaged, err)
				}
				return nil
			}
			if err := r.more(); err != nil {
				return err
			}
		}
		n := copy(p, r.buf[r.at:])
		p, r.at = p[n:], r.at+n
	}
	return nil
}

// take reads n bytes, at most spillSize; they are good until the next call.
func (r *reader) take(n int) ([]byte, error) {
	if r.at+n <= len(r.buf) {
		r.at += n
		return r.buf[r.at-n : r.at], nil
	}
	b := make([]byte, n)
	return b, r.fill(b)
}

func (r *reader) done() bool {
	if r.at < len(r.buf) {
		return false
	}
	n, _ := r.from.Read(make([]byte, 1))
	return n == 0
}
