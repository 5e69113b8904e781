// SPDX-License-Identifier: Apache-2.0

package wire

import "unifaas.dev/abi"

// One pair of methods a message, field by field in the same order.

func (*Load) wireType() byte        { return TypeLoad }
func (*Start) wireType() byte       { return TypeStart }
func (*Dial) wireType() byte        { return TypeDial }
func (*Kill) wireType() byte        { return TypeKill }
func (*Signal) wireType() byte      { return TypeSignal }
func (*Stats) wireType() byte       { return TypeStats }
func (*Stop) wireType() byte        { return TypeStop }
func (*Loaded) wireType() byte      { return TypeLoaded }
func (*Started) wireType() byte     { return TypeStarted }
func (*Listening) wireType() byte   { return TypeListening }
func (*Unlistening) wireType() byte { return TypeUnlistening }
func (*Output) wireType() byte      { return TypeOutput }
func (*Exited) wireType() byte      { return TypeExited }
func (*StatsReply) wireType() byte  { return TypeStatsReply }

func (e *encoder) bool(v bool) {
	if v {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (d *decoder) bool() bool {
	v := d.u8()
	if v > 1 && d.err == nil {
		d.err = malformed("truth value %d", v)
	}
	return v == 1
}

func (m *Load) put(e *encoder) {
	e.text(m.Monitor, MaxText)
	e.i64(m.Memory)
	e.bool(m.Prepared)
	e.i64(m.LibosSize)
	e.u8(uint8(len(m.Layers)))
	for _, n := range m.Layers {
		e.i64(n)
	}
	e.bool(m.HasKVM)
	e.u16(m.Shells)
	b := &m.Boot
	e.text(b.Program, MaxText)
	e.list(b.Args)
	e.list(b.Env)
	e.text(b.Cwd, MaxText)
	e.u32(b.UID)
	e.u32(b.GID)
	e.u32(b.MaxFiles)
	e.u64(b.OverlayMax)
	e.u32(b.Flags)
	m.Snapshot.put(e)
}

func (m *Load) get(d *decoder) {
	m.Monitor = d.text(MaxText)
	m.Memory = d.i64()
	m.Prepared = d.bool()
	m.LibosSize = d.i64()
	n := d.u8()
	if n > abi.LayersMax && d.err == nil {
		d.err = malformed("image of %d layers", n)
	}
	for i := uint8(0); i < n && d.err == nil; i++ {
		m.Layers = append(m.Layers, d.i64())
	}
	m.HasKVM = d.bool()
	m.Shells = d.u16()
	b := &m.Boot
	b.Program = d.text(MaxText)
	b.Args = d.list()
	b.Env = d.list()
	b.Cwd = d.text(MaxText)
	b.UID = d.u32()
	b.GID = d.u32()
	b.MaxFiles = d.u32()
	b.OverlayMax = d.u64()
	b.Flags = d.u32()
	m.Snapshot.get(d)
}

func (m *Start) put(e *encoder) {
	e.u32(m.Instance)
	e.u8(m.From)
	e.text(m.Hostname, MaxText)
	e.list(m.Env)
	e.u8(m.Stdio)
	e.i64(m.Off)
	e.i64(m.Len)
}

func (m *Start) get(d *decoder) {
	m.Instance = d.u32()
	m.From = d.u8()
	m.Hostname = d.text(MaxText)
	m.Env = d.list()
	m.Stdio = d.u8()
	m.Off = d.size()
	m.Len = d.size()
	if m.From >= originEnd && d.err == nil {
		d.err = malformed("instance of origin %d", m.From)
	}
	if m.Stdio&^(StdinFD|StdoutFD|StderrFD) != 0 && d.err == nil {
		d.err = malformed("stdio bits 0x%x", m.Stdio)
	}
}

func (m *Dial) put(e *encoder) { e.u32(m.Instance); e.u16(m.Port) }
func (m *Dial) get(d *decoder) { m.Instance = d.u32(); m.Port = d.u16() }

func (m *Kill) put(e *encoder) { e.u32(m.Instance); e.text(m.Reason, MaxText) }
func (m *Kill) get(d *decoder) { m.Instance = d.u32(); m.Reason = d.text(MaxText) }

func (m *Signal) put(e *encoder) { e.u32(m.Instance); e.u8(m.Signo) }
func (m *Signal) get(d *decoder) {
	m.Instance = d.u32()
	m.Signo = d.u8()
	if (m.Signo < 1 || m.Signo > 64) && d.err == nil {
		d.err = malformed("signal %d", m.Signo)
	}
}

func (m *Stats) put(e *encoder) { e.u32(m.Instance); e.u32(m.Token) }
func (m *Stats) get(d *decoder) { m.Instance = d.u32(); m.Token = d.u32() }

func (m *Stop) put(*encoder) {}
func (m *Stop) get(*decoder) {}

func (m *Loaded) put(e *encoder) {
	e.text(m.Monitor, MaxText)
	e.text(m.Error, MaxText)
	e.text(m.Features, MaxText)
	e.text(m.Refused, MaxText)
	e.u8(m.Why)
}

func (m *Loaded) get(d *decoder) {
	m.Monitor = d.text(MaxText)
	m.Error = d.text(MaxText)
	m.Features = d.text(MaxText)
	m.Refused = d.text(MaxText)
	m.Why = d.errorKind()
}

func (m *Started) put(e *encoder) {
	e.u32(m.Instance)
	e.u8(m.Kind)
	e.text(m.Error, MaxText)
	e.i64(m.VM)
}

func (m *Started) get(d *decoder) {
	m.Instance = d.u32()
	m.Kind = d.errorKind()
	m.Error = d.text(MaxText)
	m.VM = d.i64()
}

func (s *Stamps) put(e *encoder) {
	for _, v := range []int64{s.Create, s.Enter, s.Entry, s.Exec, s.User, s.Listen, s.End} {
		e.i64(v)
	}
}

func (s *Stamps) get(d *decoder) {
	for _, p := range []*int64{&s.Create, &s.Enter, &s.Entry, &s.Exec, &s.User, &s.Listen, &s.End} {
		*p = d.i64()
	}
}

func (m *Listening) put(e *encoder) { e.u32(m.Instance); e.u16(m.Port); m.Stamps.put(e) }
func (m *Listening) get(d *decoder) { m.Instance = d.u32(); m.Port = d.u16(); m.Stamps.get(d) }

func (m *Unlistening) put(e *encoder) { e.u32(m.Instance); e.u16(m.Port) }
func (m *Unlistening) get(d *decoder) { m.Instance = d.u32(); m.Port = d.u16() }

func (m *Output) put(e *encoder) {
	e.u32(m.Instance)
	e.u8(m.Stream)
	e.i64(m.Time)
	e.bytes(m.Data)
}

func (m *Output) get(d *decoder) {
	m.Instance = d.u32()
	m.Stream = d.u8()
	m.Time = d.i64()
	m.Data = d.bytes(MaxOutput)
	if m.Stream != 1 && m.Stream != 2 && d.err == nil {
		d.err = malformed("output stream %d", m.Stream)
	}
}

func (c *Counters) put(e *encoder) {
	for _, v := range []uint64{c.RAMUsed, c.RAMLibos, c.Syscalls, c.Traps, c.Faults, uint64(c.Memory), uint64(c.Private), uint64(c.CPU), c.Exits, c.Ticks,
		c.Preempts, c.Accepted} {
		e.u64(v)
	}
	e.u32(c.Streams)
}

func (c *Counters) get(d *decoder) {
	c.RAMUsed = d.u64()
	c.RAMLibos = d.u64()
	c.Syscalls = d.u64()
	c.Traps = d.u64()
	c.Faults = d.u64()
	c.Memory = d.i64()
	c.Private = d.i64()
	c.CPU = d.i64()
	c.Exits = d.u64()
	c.Ticks = d.u64()
	c.Preempts = d.u64()
	c.Accepted = d.u64()
	c.Streams = d.u32()
}

func (m *Exited) put(e *encoder) {
	e.u32(m.Instance)
	e.u8(m.Kind)
	e.u32(m.Status)
	e.text(m.Reason, MaxText)
	e.text(m.Report, MaxReport)
	m.Stamps.put(e)
	m.Counters.put(e)
	e.u16(m.Lost[0])
	e.u16(m.Lost[1])
}

func (m *Exited) get(d *decoder) {
	m.Instance = d.u32()
	m.Kind = d.u8()
	m.Status = d.u32()
	m.Reason = d.text(MaxText)
	m.Report = d.text(MaxReport)
	m.Stamps.get(d)
	m.Counters.get(d)
	m.Lost = [2]uint16{d.u16(), d.u16()}
	if m.Kind >= kindEnd && d.err == nil {
		d.err = malformed("end of kind %d", m.Kind)
	}
}

func (m *StatsReply) put(e *encoder) {
	e.u32(m.Instance)
	e.u32(m.Token)
	e.bool(m.OK)
	m.Counters.put(e)
}

func (m *StatsReply) get(d *decoder) {
	m.Instance = d.u32()
	m.Token = d.u32()
	m.OK = d.bool()
	m.Counters.get(d)
}
