// SPDX-License-Identifier: Apache-2.0

package wire

// Messages of outbound streams. The tender has no network: the node connects for its guests, or refuses to.
const (
	TypeConnected = 32 // command
	TypeConnect   = 96 // events
	TypeAbort     = 97
)

// MaxAsked bounds the Connects of one instance that wait for their answer.
const MaxAsked = 1024

// Connect asks for a connection. Exactly one Connected answers it, even after an Abort.
type Connect struct {
	Instance uint32
	Token    uint32 // the tender's, repeated by the answer
	UDP      bool
	IPv6     bool
	Port     uint16
	Addr     [16]byte // IPv4: the first four bytes, the rest 0
}

// Abort says that nobody waits for a connection any more.
type Abort struct {
	Instance uint32
	Token    uint32
}

// Connected answers a Connect. Descriptors: the connected socket if Errno is 0.
type Connected struct {
	Instance uint32
	Token    uint32
	Errno    uint16 // of Linux
}

func newEgress(typ byte) Message {
	switch typ {
	case TypeConnected:
		return new(Connected)
	case TypeConnect:
		return new(Connect)
	case TypeAbort:
		return new(Abort)
	}
	return nil
}

func (*Connect) wireType() byte   { return TypeConnect }
func (*Abort) wireType() byte     { return TypeAbort }
func (*Connected) wireType() byte { return TypeConnected }

func (m *Connect) put(e *encoder) {
	e.u32(m.Instance)
	e.u32(m.Token)
	e.bool(m.UDP)
	e.bool(m.IPv6)
	e.u16(m.Port)
	e.b = append(e.b, m.Addr[:]...)
}

func (m *Connect) get(d *decoder) {
	m.Instance = d.u32()
	m.Token = d.u32()
	m.UDP = d.bool()
	m.IPv6 = d.bool()
	m.Port = d.u16()
	copy(m.Addr[:], d.take(len(m.Addr)))
	if !m.IPv6 && [12]byte(m.Addr[4:]) != [12]byte{} && d.err == nil {
		d.err = malformed("IPv4 address of 16 bytes")
	}
}

func (m *Abort) put(e *encoder) { e.u32(m.Instance); e.u32(m.Token) }
func (m *Abort) get(d *decoder) { m.Instance = d.u32(); m.Token = d.u32() }

func (m *Connected) put(e *encoder) { e.u32(m.Instance); e.u32(m.Token); e.u16(m.Errno) }
func (m *Connected) get(d *decoder) {
	m.Instance = d.u32()
	m.Token = d.u32()
	m.Errno = d.u16()
	if m.Errno > 4095 && d.err == nil {
		d.err = malformed("errno %d", m.Errno)
	}
}
