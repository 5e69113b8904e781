// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

// Rx puts messages for the guest. Not safe for concurrent use.
type Rx struct{ ring }

// NewRx is for a shared area whose rings are still empty.
func NewRx(shared *guestmem.Area) *Rx {
	return &Rx{ring{area: shared, off: abi.RxOff, size: abi.RxSize}}
}

// Index is the end of all that was put.
func (r *Rx) Index() uint64 { return r.index }

// Resume makes the ring empty at an index that Index gave once: the guest's state of then was put in, the control page with it.
func (r *Rx) Resume(index uint64) { r.index = index }

// used is how many bytes the guest has not taken yet.
func (r *Rx) used() (uint64, error) {
	tail := r.area.Load64(abi.CtlRxTail)
	if tail > r.index || r.index-tail > r.size {
		return 0, corrupt("rx", "tail 0x%x with head 0x%x", tail, r.index)
	}
	return r.index - tail, nil
}

// Room is the largest payload that Put would take now, at most abi.MsgMax; -1 if not even an empty message fits.
func (r *Rx) Room() (int, error) {
	used, err := r.used()
	if err != nil {
		return 0, err
	}
	// A tail that is no multiple of the alignment is legal for the arithmetic; what it frees is rounded down.
	free := (r.size - used) &^ (abi.MsgAlign - 1)
	if free < abi.MsgSize {
		return -1, nil
	}
	return int(min(free-abi.MsgSize, abi.MsgMax)), nil
}

// Empty reports whether the guest has taken everything.
func (r *Rx) Empty() (bool, error) {
	used, err := r.used()
	return used == 0, err
}

// Put adds a message; false if there is no room for it now (see WantRoom).
func (r *Rx) Put(typ uint16, conn, arg uint32, payload []byte) (bool, error) {
	if len(payload) > abi.MsgMax {
		return false, fmt.Errorf("message of %d bytes for a guest: at most %d", len(payload), abi.MsgMax)
	}
	room, err := r.Room()
	if err != nil || room < len(payload) {
		return false, err
	}
	var h [abi.MsgSize]byte
	putHeader(&h, Msg{Len: uint32(len(payload)), Type: typ, Conn: conn, Arg: arg})
	if err := r.write(h[:], r.index); err != nil {
		return false, err
	}
	if err := r.write(payload, r.index+abi.MsgSize); err != nil {
		return false, err
	}
	r.index += padded(uint64(len(payload)))
	r.area.Store64(abi.CtlRxHead, r.index)
	return true, nil
}

// WantRoom asks the guest for a doorbell once it has taken something (true), or no longer (false). Look at Room again after
// asking: the guest may have taken everything in between.
func (r *Rx) WantRoom(want bool) {
	var v uint32
	if want {
		v = 1
	}
	r.area.Store32(abi.CtlRxWanted, v)
}
