// SPDX-License-Identifier: Apache-2.0

package tendertest

import (
	"encoding/binary"
	"net/netip"

	"unifaas.dev/abi"
)

// Addr is the payload of a CONNECT.
func Addr(to netip.AddrPort) []byte {
	b := make([]byte, abi.AddrSize)
	binary.LittleEndian.PutUint16(b, 6)
	a := to.Addr().As16()
	if to.Addr().Is4() {
		binary.LittleEndian.PutUint16(b, 4)
		a4 := to.Addr().As4()
		a = [16]byte{}
		copy(a[:], a4[:])
	}
	binary.LittleEndian.PutUint16(b[2:], to.Port())
	copy(b[8:], a[:])
	return b
}

// Outbound is a stream that a guest asked for.
type Outbound struct {
	ID       uint32
	Answered bool
	Errno    uint32 // of CONNECTED
	Data     [][]byte
	EOF      bool
	Reset    bool
	Why      uint32   // errno of the RESET
	Errors   []uint32 // that were pending
	Credit   uint32   // bytes that may still be sent
}

// Outbounds are the streams that a guest asked for.
type Outbounds struct {
	g    *Guest
	m    map[uint32]*Outbound
	next uint32
}

// NewOutbounds makes the first of them have the lowest id.
func NewOutbounds(g *Guest) *Outbounds {
	return &Outbounds{g: g, m: map[uint32]*Outbound{}, next: abi.ConnGuest}
}

// Connect asks for a stream.
func (o *Outbounds) Connect(proto uint32, to netip.AddrPort) *Outbound {
	s := &Outbound{ID: o.next, Credit: abi.ConnWindow}
	o.next++
	o.m[s.ID] = s
	o.g.Send(abi.MsgConnect, s.ID, proto, Addr(to))
	return s
}

// Take handles one message, and grants at once what it brought.
func (o *Outbounds) Take() {
	m := o.g.Next()
	s := o.m[m.Conn]
	if s == nil {
		return
	}
	switch m.Type {
	case abi.MsgConnected:
		s.Answered, s.Errno = true, m.Arg
	case abi.MsgData:
		s.Data = append(s.Data, m.Data)
		o.g.Send(abi.MsgCredit, s.ID, m.Len, nil)
	case abi.MsgEOF:
		s.EOF = true
	case abi.MsgReset:
		s.Reset, s.Why = true, m.Arg
	case abi.MsgError:
		s.Errors = append(s.Errors, m.Arg)
	case abi.MsgCredit:
		s.Credit += m.Arg
	}
}

// Write sends bytes as far as there is credit, and returns the rest.
func (o *Outbounds) Write(s *Outbound, p []byte) []byte {
	n := min(len(p), int(s.Credit), 32<<10)
	if n == 0 {
		return p
	}
	o.g.Send(abi.MsgData, s.ID, 0, p[:n])
	s.Credit -= uint32(n)
	return p[n:]
}

// Bytes is all that came.
func (s *Outbound) Bytes() (b []byte) {
	for _, d := range s.Data {
		b = append(b, d...)
	}
	return b
}
