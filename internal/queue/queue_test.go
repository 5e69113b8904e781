// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

func newShared(t testing.TB) *guestmem.Area {
	t.Helper()
	a, err := guestmem.New(abi.SharedGPA, abi.SharedSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// peer is the guest's side, written without the code under test.
type peer struct {
	a      *guestmem.Area
	rx, tx uint64
}

func newPeer(a *guestmem.Area) *peer { return &peer{a: a} }

func (p *peer) send(t testing.TB, typ uint16, conn, arg uint32, payload []byte) bool {
	t.Helper()
	n := uint64(16+len(payload)+15) &^ 15
	if p.tx+n-p.a.Load64(abi.CtlTxTail) > abi.TxSize {
		return false
	}
	b := make([]byte, n)
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint16(b[4:], typ)
	binary.LittleEndian.PutUint32(b[8:], conn)
	binary.LittleEndian.PutUint32(b[12:], arg)
	copy(b[16:], payload)
	for i := range b {
		if err := p.a.WriteAt(b[i:i+1], abi.TxOff+(p.tx+uint64(i))%abi.TxSize); err != nil {
			t.Fatal(err)
		}
	}
	p.tx += n
	p.a.Store64(abi.CtlTxHead, p.tx)
	return true
}

func (p *peer) receive(t testing.TB) (typ uint16, conn, arg uint32, payload []byte, ok bool) {
	t.Helper()
	if p.a.Load64(abi.CtlRxHead) == p.rx {
		return
	}
	at := func(off, n uint64) []byte {
		b := make([]byte, n)
		for i := range b {
			if err := p.a.ReadAt(b[i:i+1], abi.RxOff+(p.rx+off+uint64(i))%abi.RxSize); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	h := at(0, 16)
	n := uint64(binary.LittleEndian.Uint32(h))
	payload = at(16, n)
	p.rx += (16 + n + 15) &^ 15
	p.a.Store64(abi.CtlRxTail, p.rx)
	return binary.LittleEndian.Uint16(h[4:]), binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:]), payload, true
}

func TestRx(t *testing.T) {
	a := newShared(t)
	rx, p := NewRx(a), newPeer(a)
	if room, err := rx.Room(); err != nil || room != abi.MsgMax {
		t.Errorf("room %d, %v", room, err)
	}
	var sent [][]byte
	for i := uint32(0); i < 2000; i++ {
		b := bytes.Repeat([]byte{byte(i)}, rand.IntN(3000))
		ok, err := rx.Put(abi.MsgData, i, ^i, b)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			sent = append(sent, b)
		}
		if !ok || i%7 == 0 {
			for len(sent) > 0 {
				typ, _, _, got, has := p.receive(t)
				if !has || typ != abi.MsgData || !bytes.Equal(got, sent[0]) {
					t.Fatalf("message %d: type %d, %d bytes, want %d", i, typ, len(got), len(sent[0]))
				}
				sent = sent[1:]
			}
		}
	}
}

// TestRxFull fills the ring to the last byte.
func TestRxFull(t *testing.T) {
	a := newShared(t)
	rx, p := NewRx(a), newPeer(a)
	big := make([]byte, abi.MsgMax)
	for range 3 {
		n := 0
		for {
			room, err := rx.Room()
			if err != nil {
				t.Fatal(err)
			}
			if room < 0 {
				break
			}
			if ok, err := rx.Put(abi.MsgData, 0, 0, big[:room]); !ok || err != nil {
				t.Fatalf("Put of %d with that room: %v, %v", room, ok, err)
			}
			n += room
		}
		if n < abi.RxSize-9*int(abi.MsgSize) {
			t.Errorf("only %d bytes fit", n)
		}
		if ok, err := rx.Put(abi.MsgEOF, 0, 0, nil); ok || err != nil {
			t.Errorf("Put into a full ring: %v, %v", ok, err)
		}
		for {
			if _, _, _, _, ok := p.receive(t); !ok {
				break
			}
		}
		if empty, err := rx.Empty(); !empty || err != nil {
			t.Errorf("empty %v, %v", empty, err)
		}
	}
	if _, err := rx.Put(abi.MsgData, 0, 0, make([]byte, abi.MsgMax+1)); err == nil {
		t.Error("too large a message was taken")
	}
}

func TestRxLies(t *testing.T) {
	for _, tail := range []uint64{1, 16, abi.RxSize, ^uint64(0), 1 << 63} {
		a := newShared(t)
		rx := NewRx(a)
		a.Store64(abi.CtlRxTail, tail)
		ok, err := rx.Put(abi.MsgData, 0, 0, nil)
		if ce := (*CorruptError)(nil); ok || !errors.As(err, &ce) {
			t.Errorf("tail 0x%x: %v, %v", tail, ok, err)
		}
	}
}

func TestTx(t *testing.T) {
	a := newShared(t)
	tx, p := NewTx(a), newPeer(a)
	buf := make([]byte, abi.MsgMax)
	var sent [][]byte
	for i := uint32(0); i < 2000; i++ {
		b := bytes.Repeat([]byte{byte(i)}, rand.IntN(3000))
		ok := p.send(t, abi.MsgData, i, ^i, b)
		if ok {
			sent = append(sent, b)
		}
		if !ok || i%7 == 0 {
			for len(sent) > 0 {
				m, got, ok, err := tx.Next(buf)
				if !ok || err != nil || m.Type != abi.MsgData || m.Conn != ^m.Arg || !bytes.Equal(got, sent[0]) {
					t.Fatalf("message %d: %+v, %v, %v", i, m, ok, err)
				}
				sent = sent[1:]
			}
		}
	}
	if _, _, ok, err := tx.Next(buf); err != nil || ok != (len(sent) > 0) {
		t.Errorf("at the end: %v, %v", ok, err)
	}
	if _, _, _, err := tx.Next(buf[1:]); err == nil {
		t.Error("small buffer was taken")
	}
}

func TestTxLies(t *testing.T) {
	for name, lie := range map[string]func(a *guestmem.Area){
		"head behind":     func(a *guestmem.Area) { a.Store64(abi.CtlTxHead, ^uint64(0)-15) },
		"head too far":    func(a *guestmem.Area) { a.Store64(abi.CtlTxHead, abi.TxSize+16) },
		"head odd":        func(a *guestmem.Area) { a.Store64(abi.CtlTxHead, 17) },
		"half a header":   func(a *guestmem.Area) { a.Store64(abi.CtlTxHead, 8) },
		"length":          func(a *guestmem.Area) { a.Store32(abi.TxOff, abi.MsgMax+1) },
		"length 2^32-1":   func(a *guestmem.Area) { a.Store32(abi.TxOff, ^uint32(0)) },
		"more than put":   func(a *guestmem.Area) { a.Store32(abi.TxOff, 33) },
		"type 0":          func(a *guestmem.Area) { a.Store32(abi.TxOff+4, 0) },
		"type monitor's":  func(a *guestmem.Area) { a.Store32(abi.TxOff+4, abi.MsgOpen) },
		"type unknown":    func(a *guestmem.Area) { a.Store32(abi.TxOff+4, 0xffff) },
		"flags":           func(a *guestmem.Area) { a.Store32(abi.TxOff+4, abi.MsgData|1<<16) },
		"payload on EOF":  func(a *guestmem.Area) { a.Store32(abi.TxOff+4, abi.MsgEOF) },
		"payload, listen": func(a *guestmem.Area) { a.Store32(abi.TxOff+4, abi.MsgListen) },
	} {
		a := newShared(t)
		a.Store32(abi.TxOff, 32)
		a.Store32(abi.TxOff+4, abi.MsgData)
		a.Store64(abi.CtlTxHead, 48)
		lie(a)
		tx := NewTx(a)
		for range 2 { // it stays an error
			_, p, ok, err := tx.Next(make([]byte, abi.MsgMax))
			if ce := (*CorruptError)(nil); ok || p != nil || !errors.As(err, &ce) {
				t.Errorf("%s: %v, %v", name, ok, err)
			}
		}
	}
}

// FuzzTx lets the fuzzer write the control page and the ring, then takes what comes, checking what the tender relies on.
func FuzzTx(f *testing.F) {
	one := make([]byte, 48)
	one[0], one[4] = 32, abi.MsgData
	f.Add(uint64(0), uint64(48), one)
	f.Add(uint64(abi.TxSize-16), uint64(48), one)
	f.Add(uint64(16), ^uint64(0), []byte{0xff})
	a := newShared(f)
	buf := make([]byte, abi.MsgMax)
	zero := make([]byte, abi.TxSize)
	f.Fuzz(func(t *testing.T, start, put uint64, ring []byte) {
		start &^= abi.MsgAlign - 1
		start %= 1 << 40
		if err := a.WriteAt(zero, abi.TxOff); err != nil {
			t.Fatal(err)
		}
		for i := range min(len(ring), abi.TxSize) {
			if err := a.WriteAt(ring[i:i+1], abi.TxOff+(start+uint64(i))%abi.TxSize); err != nil {
				t.Fatal(err)
			}
		}
		tx := NewTx(a)
		tx.index = start
		a.Store64(abi.CtlTxTail, start)
		a.Store64(abi.CtlTxHead, start+put)
		total := uint64(0)
		for range abi.TxSize/abi.MsgAlign + 1 {
			m, p, ok, err := tx.Next(buf)
			if err != nil || !ok {
				if p != nil {
					t.Errorf("payload without a message")
				}
				if a.Load64(abi.CtlTxTail) != start+total {
					t.Errorf("tail moved without a message")
				}
				return
			}
			if len(p) != int(m.Len) || len(p) > abi.MsgMax {
				t.Errorf("payload of %d, header says %d", len(p), m.Len)
			}
			total += padded(uint64(m.Len))
			if total > put {
				t.Fatalf("took %d of %d bytes", total, put)
			}
		}
		t.Error("more messages than fit in a ring")
	})
}

// FuzzRx lets the fuzzer move the guest's index between puts.
func FuzzRx(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	a := newShared(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		a.Store64(abi.CtlRxTail, 0)
		rx := NewRx(a)
		payload := make([]byte, abi.MsgMax)
		for len(script) >= 9 {
			delta := binary.LittleEndian.Uint64(script)
			a.Store64(abi.CtlRxTail, a.Load64(abi.CtlRxTail)+delta)
			before := rx.index
			ok, err := rx.Put(abi.MsgData, 1, 2, payload[:int(script[8])<<8])
			if err != nil {
				return
			}
			if used := rx.index - a.Load64(abi.CtlRxTail); ok && used > abi.RxSize {
				t.Fatalf("0x%x bytes in the ring", used)
			}
			if !ok && rx.index != before {
				t.Fatal("index moved without a message")
			}
			script = script[9:]
		}
	})
}

func BenchmarkTx(b *testing.B) {
	a := newShared(b)
	tx, p := NewTx(a), newPeer(a)
	buf := make([]byte, abi.MsgMax)
	payload := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		p.send(b, abi.MsgData, 1, 0, payload)
		if _, _, ok, err := tx.Next(buf); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
