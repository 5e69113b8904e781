// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/binary"
	"fmt"
	"slices"

	"unifaas.dev/abi"
)

// Limits of what a Meta may hold.
const (
	featuresMax = 4 << 10
	cpuMax      = 64 << 10 // the largest XSAVE area of today has 11 KiB
	portsMax    = 1 << 10
)

// pageSize is the unit of extents and runs.
const pageSize = 4096

var le = binary.LittleEndian

// EncodeMeta is the form of a Meta in files.
func EncodeMeta(m *Meta) []byte {
	b := m.Key.append(make([]byte, 0, 512+len(m.CPU)+12*len(m.Shared)+8*len(m.Data)))
	b = appendBytes(b, m.CPU)
	b = le.AppendUint64(b, m.Link.RxHead)
	b = le.AppendUint64(b, m.Link.TxTail)
	b = le.AppendUint32(b, m.Link.Next)
	b = le.AppendUint32(b, uint32(len(m.Link.Ports)))
	for _, p := range m.Link.Ports {
		b = le.AppendUint16(b, p)
	}
	b = le.AppendUint32(b, m.Link.Ahead)
	b = le.AppendUint16(b, m.Link.AheadPort)
	b = le.AppendUint32(b, m.Link.Stdin)
	b = le.AppendUint32(b, m.Link.Window[0])
	b = le.AppendUint32(b, m.Link.Window[1])
	b = append(b, m.Link.Closed)
	b = le.AppendUint64(b, m.Mono)
	b = le.AppendUint64(b, m.Host)
	b = le.AppendUint32(b, uint32(len(m.Shared)))
	for _, e := range m.Shared {
		b = le.AppendUint32(b, e.RAM)
		b = le.AppendUint32(b, e.Image)
		b = le.AppendUint32(b, e.Pages)
	}
	b = le.AppendUint32(b, uint32(len(m.Data)))
	for _, r := range m.Data {
		b = le.AppendUint32(b, r.Page)
		b = le.AppendUint32(b, r.Pages)
	}
	return b
}

func (k *Key) append(b []byte) []byte {
	b = append(b, k.Libos[:]...)
	b = le.AppendUint32(b, k.ABI)
	b = appendBytes(b, []byte(k.Features))
	b = le.AppendUint64(b, uint64(k.Memory))
	b = le.AppendUint32(b, uint32(len(k.Layers)))
	for i := range k.Layers {
		b = append(b, k.Layers[i][:]...)
	}
	return append(b, k.Program[:]...)
}

func appendBytes(b, p []byte) []byte {
	return append(le.AppendUint32(b, uint32(len(p))), p...)
}

// DecodeMeta reads what EncodeMeta wrote; what cannot be of a sandbox is refused. Errors wrap ErrDamaged.
func DecodeMeta(b []byte) (*Meta, error) {
	d := decoder{rest: b}
	m := &Meta{Key: d.key()}
	m.CPU = d.bytes("CPU state", cpuMax)
	m.Link.RxHead, m.Link.TxTail = d.u64(), d.u64()
	m.Link.Next = d.u32()
	for range d.count("ports", portsMax, 2) {
		m.Link.Ports = append(m.Link.Ports, d.u16())
	}
	m.Link.Ahead, m.Link.AheadPort = d.u32(), d.u16()
	m.Link.Stdin = d.u32()
	m.Link.Window = [2]uint32{d.u32(), d.u32()}
	m.Link.Closed = d.u8()
	m.Mono, m.Host = d.u64(), d.u64()
	if n := d.count("shared pages", abi.RAMMax/pageSize, 12); n > 0 {
		m.Shared = make([]Extent, n)
		for i := range m.Shared {
			m.Shared[i] = Extent{RAM: d.u32(), Image: d.u32(), Pages: d.u32()}
		}
	}
	if n := d.count("pages", abi.RAMMax/pageSize, 8); n > 0 {
		m.Data = make([]Run, n)
		for i := range m.Data {
			m.Data[i] = Run{Page: d.u32(), Pages: d.u32()}
		}
	}
	if d.err == nil && len(d.rest) != 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	if d.err == nil {
		d.err = m.check()
	}
	if d.err != nil {
		return nil, d.err
	}
	return m, nil
}

// decoder takes values from the front of rest; after the first error all are zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
}

var zeros [32]byte

func (d *decoder) take(n int) []byte {
	if d.err == nil && n > len(d.rest) {
		d.fail("its description ends early")
	}
	if d.err != nil {
		return zeros[:min(n, len(zeros))]
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) u8() uint8   { return d.take(1)[0] }
func (d *decoder) u16() uint16 { return le.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return le.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return le.Uint64(d.take(8)) }

// count is a number of things of size bytes each, which must all be there.
func (d *decoder) count(what string, most, size int) int {
	n := d.u32()
	if d.err == nil && (int64(n) > int64(most) || int64(n)*int64(size) > int64(len(d.rest))) {
		d.fail("%d %s", n, what)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(what string, most int) []byte {
	n := d.count("bytes of "+what, most, 1)
	return append([]byte(nil), d.take(n)...)
}

func (d *decoder) key() (k Key) {
	copy(k.Libos[:], d.take(32))
	k.ABI = d.u32()
	k.Features = string(d.bytes("CPU features", featuresMax))
	k.Memory = int64(d.u64())
	for range d.count("image layers", abi.LayersMax, 32) {
		k.Layers = append(k.Layers, [32]byte(d.take(32)))
	}
	copy(k.Program[:], d.take(32))
	return k
}

// check refuses what no sandbox has.
func (m *Meta) check() error {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	if m.Key.Memory < abi.RAMMin || m.Key.Memory > abi.RAMMax || m.Key.Memory%(2<<20) != 0 {
		return damaged("memory of %d bytes", m.Key.Memory)
	}
	l := &m.Link
	if l.RxHead%abi.MsgAlign != 0 || l.TxTail%abi.MsgAlign != 0 {
		return damaged("queue indices 0x%x and 0x%x", l.RxHead, l.TxTail)
	}
	if l.Next&abi.ConnGuest != 0 {
		return damaged("stream id 0x%x", l.Next)
	}
	for _, p := range l.Ports {
		if p == 0 {
			return damaged("port 0")
		}
	}
	if l.Ahead != 0 && (l.Ahead < abi.ConnFirst || l.Ahead >= l.Next || !slices.Contains(l.Ports, l.AheadPort)) || l.Ahead == 0 && l.AheadPort != 0 {
		return damaged("stream 0x%x of port %d", l.Ahead, l.AheadPort)
	}
	if l.Closed&^7 != 0 {
		return damaged("console streams 0x%x", l.Closed)
	}
	pages := uint64(m.Key.Memory / pageSize)
	var end uint64
	for _, e := range m.Shared {
		if e.Pages == 0 || uint64(e.RAM) < end || uint64(e.RAM)+uint64(e.Pages) > pages || uint64(e.Image)+uint64(e.Pages) > abi.ImageMax/pageSize {
			return damaged("%d shared pages at page 0x%x of memory and 0x%x of the image", e.Pages, e.RAM, e.Image)
		}
		end = uint64(e.RAM) + uint64(e.Pages)
	}
	end = 0
	shared := m.Shared
	for _, r := range m.Data {
		if r.Pages == 0 || uint64(r.Page) < end || uint64(r.Page)+uint64(r.Pages) > pages {
			return damaged("%d pages at page 0x%x of memory", r.Pages, r.Page)
		}
		end = uint64(r.Page) + uint64(r.Pages)
		for len(shared) > 0 && uint64(shared[0].RAM)+uint64(shared[0].Pages) <= uint64(r.Page) {
			shared = shared[1:]
		}
		if len(shared) > 0 && uint64(shared[0].RAM) < end {
			return damaged("page 0x%x of memory is there twice", max(shared[0].RAM, r.Page))
		}
	}
	return nil
}
