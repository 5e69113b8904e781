// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
)

// Messages of blank tenders, snapshots, rewind and park.
const (
	TypePrepare = 9 + iota // commands
	TypeRewind
	TypePark
	TypeKeep
)

// Events.
const (
	TypePrepared = 72 + iota
	TypeSnapshotted
	TypeRestored
	TypeRewound
	TypeParked
)

// What an error is about, beside its text.
const (
	ErrorNone    = iota
	ErrorOther   //
	ErrorDamaged // snapshot.ErrDamaged
	ErrorForeign // snapshot.ErrForeign
	ErrorBusy    // the instance has streams open or runs; it goes on
	errorEnd
)

// Prepare makes a tender of which no function is known yet; Load follows when one is. Descriptors: the library OS, then /dev/kvm if
// HasKVM.
type Prepare struct {
	Monitor   string
	Memory    int64 // of the sandbox that is made ready
	LibosSize int64
	HasKVM    bool
}

// Prepared answers Prepare; Error is empty if it worked.
type Prepared struct{ Error string }

// Snapshot is the part of Load about snapshots. Descriptors: the image if HasImage, the sink if HasSink.
type Snapshot struct {
	Key      snapshot.Key // but for Features, which the tender knows itself
	HasImage bool         // instances can start from it
	HasSink  bool         // an empty file for the state of the first instance that is initialised
	Track    bool         // instances will be rewound
	Pristine bool         // no state is taken of an instance that has had a request
	Port     uint16       // where requests come: a program that does not listen there is not initialised; 0: any port
}

// Origins of an instance.
const (
	FromBoot = iota
	FromSnapshot
	FromParked
	originEnd
)

// Snapshotted ends what Load.HasSink began: the file is complete, or says why there will be none; if Later, why there is none yet.
type Snapshotted struct {
	Error string
	Later bool
	Pages uint32
	// Shared and Bytes as in snapshot.Info.
	Shared uint32
	Bytes  int64
	Took   int64 // ns
}

// Restored tells what putting a state in took. Started and Listening of such an instance come before it: what is dialled meanwhile waits.
type Restored struct {
	Instance uint32
	VM       int64 // ns until the sandbox was there
	State    int64 // ns until its state was in it
}

// Rewind puts an instance back to the tender's snapshot. Its streams are closed, those of later commands meet the snapshot. With a Port
// it is a Dial as well, and has its descriptor: one message, so that the vCPU wakes once for the two.
type Rewind struct {
	Instance uint32
	Port     uint16 // 0: no stream
}

// Rewound answers each Rewind, in order. With an Error the instance ends. There is none for an instance that has ended.
type Rewound struct {
	Instance uint32
	Error    string
	Pages    uint32
	Entries  uint32
	Took     int64 // ns
}

// Park writes what differs from the tender's snapshot to its descriptor and ends the instance.
type Park struct{ Instance uint32 }

// Parked answers Park. Without an error it is the last event of the instance. There is none for an instance that has ended otherwise.
type Parked struct {
	Instance uint32
	Kind     uint8 // Error*
	Error    string
	Bytes    int64
}

// Keep says how many sandboxes to hold ready.
type Keep struct{ Shells uint16 }

func newSnapshot(typ byte) Message {
	switch typ {
	case TypePrepare:
		return new(Prepare)
	case TypePrepared:
		return new(Prepared)
	case TypeSnapshotted:
		return new(Snapshotted)
	case TypeRestored:
		return new(Restored)
	case TypeRewind:
		return new(Rewind)
	case TypeRewound:
		return new(Rewound)
	case TypePark:
		return new(Park)
	case TypeParked:
		return new(Parked)
	case TypeKeep:
		return new(Keep)
	}
	return nil
}

func (*Prepare) wireType() byte     { return TypePrepare }
func (*Prepared) wireType() byte    { return TypePrepared }
func (*Snapshotted) wireType() byte { return TypeSnapshotted }
func (*Restored) wireType() byte    { return TypeRestored }
func (*Rewind) wireType() byte      { return TypeRewind }
func (*Rewound) wireType() byte     { return TypeRewound }
func (*Park) wireType() byte        { return TypePark }
func (*Parked) wireType() byte      { return TypeParked }
func (*Keep) wireType() byte        { return TypeKeep }

func (d *decoder) errorKind() uint8 {
	k := d.u8()
	if k >= errorEnd && d.err == nil {
		d.err = malformed("error of kind %d", k)
	}
	return k
}

func (d *decoder) size() int64 {
	n := d.i64()
	if n < 0 && d.err == nil {
		d.err = malformed("size %d", n)
	}
	return n
}

func (m *Prepare) put(e *encoder) {
	e.text(m.Monitor, MaxText)
	e.i64(m.Memory)
	e.i64(m.LibosSize)
	e.bool(m.HasKVM)
}

func (m *Prepare) get(d *decoder) {
	m.Monitor = d.text(MaxText)
	m.Memory = d.i64()
	m.LibosSize = d.i64()
	m.HasKVM = d.bool()
}

func (m *Prepared) put(e *encoder) { e.text(m.Error, MaxText) }
func (m *Prepared) get(d *decoder) { m.Error = d.text(MaxText) }

func (m *Snapshot) put(e *encoder) {
	k := &m.Key
	e.b = append(e.b, k.Libos[:]...)
	e.u32(k.ABI)
	e.text(k.Features, MaxText)
	e.i64(k.Memory)
	e.u8(uint8(len(k.Layers)))
	for i := range k.Layers {
		e.b = append(e.b, k.Layers[i][:]...)
	}
	e.b = append(e.b, k.Program[:]...)
	e.bool(m.HasImage)
	e.bool(m.HasSink)
	e.bool(m.Track)
	e.bool(m.Pristine)
	e.u16(m.Port)
}

func (m *Snapshot) get(d *decoder) {
	k := &m.Key
	copy(k.Libos[:], d.take(len(k.Libos)))
	k.ABI = d.u32()
	k.Features = d.text(MaxText)
	k.Memory = d.i64()
	n := d.u8()
	if n > abi.LayersMax && d.err == nil {
		d.err = malformed("snapshot of %d layers", n)
	}
	for i := uint8(0); i < n && d.err == nil; i++ {
		var l [32]byte
		copy(l[:], d.take(len(l)))
		k.Layers = append(k.Layers, l)
	}
	copy(k.Program[:], d.take(len(k.Program)))
	m.HasImage = d.bool()
	m.HasSink = d.bool()
	m.Track = d.bool()
	m.Pristine = d.bool()
	m.Port = d.u16()
	if m.HasImage && m.HasSink && d.err == nil {
		d.err = malformed("snapshot that is both there and wanted")
	}
}

func (m *Snapshotted) put(e *encoder) {
	e.text(m.Error, MaxText)
	e.bool(m.Later)
	e.u32(m.Pages)
	e.u32(m.Shared)
	e.i64(m.Bytes)
	e.i64(m.Took)
}

func (m *Snapshotted) get(d *decoder) {
	m.Error = d.text(MaxText)
	if m.Later = d.bool(); m.Later && m.Error == "" && d.err == nil {
		d.err = malformed("a snapshot that is there, later")
	}
	m.Pages = d.u32()
	m.Shared = d.u32()
	m.Bytes = d.size()
	m.Took = d.i64()
}

func (m *Restored) put(e *encoder) { e.u32(m.Instance); e.i64(m.VM); e.i64(m.State) }
func (m *Restored) get(d *decoder) {
	m.Instance = d.u32()
	m.VM = d.i64()
	m.State = d.i64()
}

func (m *Rewind) put(e *encoder) { e.u32(m.Instance); e.u16(m.Port) }
func (m *Rewind) get(d *decoder) { m.Instance = d.u32(); m.Port = d.u16() }

func (m *Rewound) put(e *encoder) {
	e.u32(m.Instance)
	e.text(m.Error, MaxText)
	e.u32(m.Pages)
	e.u32(m.Entries)
	e.i64(m.Took)
}

func (m *Rewound) get(d *decoder) {
	m.Instance = d.u32()
	m.Error = d.text(MaxText)
	m.Pages = d.u32()
	m.Entries = d.u32()
	m.Took = d.i64()
}

func (m *Park) put(e *encoder) { e.u32(m.Instance) }
func (m *Park) get(d *decoder) { m.Instance = d.u32() }

func (m *Parked) put(e *encoder) {
	e.u32(m.Instance)
	e.u8(m.Kind)
	e.text(m.Error, MaxText)
	e.i64(m.Bytes)
}

func (m *Parked) get(d *decoder) {
	m.Instance = d.u32()
	m.Kind = d.errorKind()
	m.Error = d.text(MaxText)
	m.Bytes = d.size()
}

func (m *Keep) put(e *encoder) { e.u16(m.Shells) }
func (m *Keep) get(d *decoder) { m.Shells = d.u16() }
