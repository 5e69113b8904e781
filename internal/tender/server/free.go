// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// frees is memory that the guest has given back, by 2 MiB blocks, until it was told that this is done.
type frees struct {
	out  map[uint64]bool
	owed [][]byte // payloads of FREED that found no room
}

func (f *frees) waiting() bool { return len(f.owed) > 0 }

// clear forgets what a guest wants that is no more.
func (f *frees) clear() { *f = frees{} }

// free is the guest's FREE. Nothing is given back before all of it was checked.
func (in *instance) free(payload []byte) error {
	sb, ok := in.sb.(monitor.Stateful)
	if !ok {
		return violated("memory given back where it cannot be")
	}
	ram := sb.RAM()
	f := &in.frees
	if f.out == nil {
		f.out = map[uint64]bool{}
	}
	for p := payload; len(p) > 0; p = p[abi.RangeSize:] {
		pa, size := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		if pa%hugePage != 0 || size%hugePage != 0 || size == 0 || pa < abi.TablesEnd || pa > ram.Size() || size > ram.Size()-pa {
			return violated("memory 0x%x, %d bytes, given back", pa, size)
		}
		for b := pa; b < pa+size; b += hugePage {
			if f.out[b] {
				return violated("memory 0x%x given back twice", b)
			}
			f.out[b] = true
		}
	}
	for p := payload; len(p) > 0; p = p[abi.RangeSize:] {
		pa, size := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		if err := ram.Discard(pa, size); err != nil {
			return err
		}
		if in.rewinder != nil {
			in.rewinder.Changed(pa, size)
		}
	}
	f.owed = append(f.owed, append([]byte(nil), payload...))
	return in.settleFrees()
}

// settleFrees tells the guest what was done. Preconditions: in.mu is held.
func (in *instance) settleFrees() error {
	f := &in.frees
	for len(f.owed) > 0 {
		payload := f.owed[0]
		ok, err := in.link.put(abi.MsgFreed, 0, 0, payload)
		if err != nil || !ok {
			return err
		}
		f.owed = f.owed[1:]
		for p := payload; len(p) > 0; p = p[abi.RangeSize:] {
			pa, size := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
			for b := pa; b < pa+size; b += hugePage {
				delete(f.out, b)
			}
		}
	}
	f.owed = nil
	return nil
}
