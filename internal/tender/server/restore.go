// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/tender/wire"
)

// firstStream is how long a guest whose state was put in waits for its first stream before it runs without: usually one is under way, and
// one entry is cheaper than two.
const firstStream = 2 * time.Millisecond

// origin is what an instance is made of, unless it boots.
type origin struct {
	image    *state.Image
	parked   *os.File // nil: only the image
	off, len int64
}

// announce tells the node of an instance that is made of a snapshot, before its state is there: what is dialled meanwhile waits, and all is in
// the ring when the guest runs. Preconditions: in.mu is held.
func (in *instance) announce(l *snapshot.Link) {
	in.host.out.send(&wire.Started{Instance: in.id})
	in.announced = true
	if !in.table.away {
		in.table.setAhead(l)
	}
	for _, port := range l.Ports {
		in.table.listening[port] = true
		in.host.out.send(&wire.Listening{Instance: in.id, Port: port, Stamps: wire.Stamps{Create: in.stamps.Create}})
	}
}

// restore puts the state in. This is the vCPU thread; the rings are shut.
func (in *instance) restore(o *origin) error {
	sb, ok := in.sb.(monitor.Stateful)
	if !ok {
		return errNoSnapshot
	}
	start := in.host.clock.now()
	m, entries, err := in.fill(sb, o)
	if err != nil {
		return err
	}
	link, mono, kind := m.Link, m.Mono, uint32(abi.RestoreClone)
	if o.parked != nil {
		kind = abi.RestoreWake
	} else if in.host.states.track && in.rewinder == nil {
		if in.rewinder, err = state.NewRewinder(o.image, sb); err != nil {
			return err
		}
	}
	if o.parked != nil { // it has slept
		mono += max(uint64(start), m.Host) - m.Host
	}
	sb.RunAt(mono)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ahead = int64(sb.MonoOffset())
	in.table.next = max(in.table.next, link.Next)
	in.stamps.State = in.host.clock.now() - start
	in.untold = true
	if o.parked != nil {
		in.announce(&link)
	} else if in.rewinder != nil {
		in.rewindsOver(&wire.Rewound{Instance: in.id}) // it did not run yet
	}
	if err := in.back(&link); err != nil {
		return err
	}
	return in.resume(&link, kind, entries)
}

// fill puts memory and vCPU in, and gives the entries of page tables that the guest has to store first.
func (in *instance) fill(sb monitor.Stateful, o *origin) (m snapshot.Meta, entries []abi.Entry, err error) {
	switch {
	case in.used == nil:
		m = *o.image.Meta()
		if err = o.image.Fill(sb); err == nil && o.parked != nil {
			m, err = o.image.Apply(sb, o.parked, o.off, o.len)
		}
		return m, nil, err
	case o.parked != nil: // which is never rewound
		return o.image.ApplyAgain(sb, o.parked, o.off, o.len)
	}
	in.rewinder = in.used.rewinder
	return *o.image.Meta(), in.used.entries, nil
}

// resume lets a guest go on whose state was put in: it finds what it has to do first in its ring, then what has come meanwhile.
// Preconditions: in.mu is held, the rings are shut.
func (in *instance) resume(l *snapshot.Link, kind uint32, entries []abi.Entry) error {
	in.link.restore(l)
	in.console.restore(l)
	in.table.outbound = true // the guest may still speak of streams that it has lost
	in.link.shut = false
	if err := in.reseed(); err != nil {
		return err
	}
	if err := in.putTables(entries); err != nil {
		return err
	}
	if err := in.putRestore(kind, l.Ahead); err != nil {
		return err
	}
	_, err := in.push()
	return err
}

// reseed gives the guest new random numbers.
func (in *instance) reseed() error {
	var seed [len(abi.Ctl{}.Seed)]byte
	rand.Read(seed[:])
	a := in.link.area
	if err := a.WriteAt(seed[:], abi.CtlSeed); err != nil {
		return err
	}
	a.Store64(abi.CtlSeedSeq, a.Load64(abi.CtlSeedSeq)+1)
	return nil
}

func (in *instance) putTables(entries []abi.Entry) error {
	const most = abi.MsgMax / int(abi.EntrySize)
	for len(entries) > 0 {
		n := min(len(entries), most)
		p := in.link.scratch[:0]
		for _, e := range entries[:n] {
			p = binary.LittleEndian.AppendUint64(p, e.PA)
			p = binary.LittleEndian.AppendUint64(p, e.Value)
		}
		in.link.took(len(p))
		if err := in.mustPut(abi.MsgTables, 0, p); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (in *instance) putRestore(kind, stream uint32) error {
	var generation [8]byte
	rand.Read(generation[:])
	p := append(make([]byte, 0, 128), generation[:]...)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(in.hostname)))
	p = binary.LittleEndian.AppendUint32(p, stream)
	return in.mustPut(abi.MsgRestore, kind, append(p, in.hostname...))
}

// mustPut puts what has to fit into a ring that was empty.
func (in *instance) mustPut(typ uint16, arg uint32, p []byte) error {
	ok, err := in.link.put(typ, 0, arg, p)
	if err == nil && !ok {
		err = fmt.Errorf("no room for a message of type %d in an empty ring", typ)
	}
	return err
}

// await waits a little for the first stream of a guest whose state was put in. Preconditions: in.mu is held.
func (in *instance) await() {
	deadline := in.host.clock.now() + int64(firstStream)
	for !in.ended && in.rewinds == 0 && len(in.table.streams) == in.table.unbound() && in.signals == 0 {
		wait := time.Duration(deadline - in.host.clock.now())
		if wait <= 0 {
			return
		}
		if err := in.look(wait); err != nil {
			in.fail(err)
			return
		}
		if _, err := in.push(); err != nil {
			in.fail(err)
			return
		}
	}
}

// tellRestored says what putting the state in took, once the guest has run. Preconditions: in.mu is held.
func (in *instance) tellRestored() {
	if in.untold {
		in.untold = false
		in.host.out.send(&wire.Restored{Instance: in.id, VM: in.stamps.Create - in.asked, State: in.stamps.State})
	}
}
