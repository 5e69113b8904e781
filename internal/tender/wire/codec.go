// SPDX-License-Identifier: Apache-2.0

package wire

import "encoding/binary"

// encoder writes little-endian numbers and length-prefixed bytes.
type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)   { e.b = append(e.b, v) }
func (e *encoder) u16(v uint16) { e.b = binary.LittleEndian.AppendUint16(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) i64(v int64)  { e.u64(uint64(v)) }

// text writes at most limit bytes of s.
func (e *encoder) text(s string, limit int) {
	s = s[:min(len(s), limit)]
	e.u32(uint32(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(p []byte) {
	e.u32(uint32(len(p)))
	e.b = append(e.b, p...)
}

func (e *encoder) list(l []string) {
	e.u32(uint32(len(l)))
	for _, s := range l {
		e.text(s, MaxBody)
	}
}

// decoder is the opposite. The first error stays and makes everything after it zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.err = malformed("cut short: %d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() uint8 {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) i64() int64 { return int64(d.u64()) }

func (d *decoder) raw(limit int) []byte {
	n := d.u32()
	if d.err == nil && n > uint32(limit) {
		d.err = malformed("field of %d bytes, at most %d", n, limit)
	}
	return d.take(int(n))
}

func (d *decoder) text(limit int) string { return string(d.raw(limit)) }

func (d *decoder) bytes(limit int) []byte { return append([]byte(nil), d.raw(limit)...) }

func (d *decoder) list() []string {
	n := d.u32()
	if d.err == nil && uint64(n)*4 > uint64(len(d.b)) {
		d.err = malformed("list of %d entries in %d bytes", n, len(d.b))
	}
	if d.err != nil || n == 0 {
		return nil
	}
	l := make([]string, 0, n)
	for range n {
		l = append(l, d.text(MaxBody))
	}
	if d.err != nil {
		return nil
	}
	return l
}
