// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

// Tx takes messages of the guest. Not safe for concurrent use.
type Tx struct{ ring }

// NewTx is for a shared area whose rings are still empty.
func NewTx(shared *guestmem.Area) *Tx {
	return &Tx{ring{area: shared, off: abi.TxOff, size: abi.TxSize}}
}

// Index is the end of all that was taken.
func (t *Tx) Index() uint64 { return t.index }

// Resume makes the ring empty at an index that Index gave once: the guest's state of then was put in, the control page with it.
func (t *Tx) Resume(index uint64) { t.index = index }

// Empty reports whether the guest has put nothing that was not taken.
func (t *Tx) Empty() bool { return t.area.Load64(abi.CtlTxHead) == t.index }

// Next takes one message; its payload is copied into buf, which must hold abi.MsgMax bytes. ok is false when there is none.
// An error means that the guest lies and has to end.
func (t *Tx) Next(buf []byte) (m Msg, payload []byte, ok bool, err error) {
	if len(buf) < abi.MsgMax {
		return Msg{}, nil, false, fmt.Errorf("buffer of %d bytes for guest messages: need %d", len(buf), abi.MsgMax)
	}
	head := t.area.Load64(abi.CtlTxHead)
	if head == t.index {
		return Msg{}, nil, false, nil
	}
	used := head - t.index
	if head < t.index || used > t.size || used%abi.MsgAlign != 0 {
		return Msg{}, nil, false, corrupt("tx", "head 0x%x with tail 0x%x", head, t.index)
	}
	var h [abi.MsgSize]byte
	if err := t.read(h[:], t.index); err != nil {
		return Msg{}, nil, false, err
	}
	m = getHeader(&h)
	if err := check(m, used); err != nil {
		return Msg{}, nil, false, err
	}
	payload = buf[:m.Len]
	if err := t.read(payload, t.index+abi.MsgSize); err != nil {
		return Msg{}, nil, false, err
	}
	t.index += padded(uint64(m.Len))
	t.area.Store64(abi.CtlTxTail, t.index)
	return m, payload, true, nil
}

// check refuses a header that no honest guest writes, given the bytes it says it has put in.
func check(m Msg, used uint64) error {
	if m.Len > abi.MsgMax {
		return corrupt("tx", "message of %d bytes, at most %d", m.Len, abi.MsgMax)
	}
	if padded(uint64(m.Len)) > used {
		return corrupt("tx", "message of %d bytes, but only %d were put in", m.Len, used)
	}
	if m.Flags != 0 {
		return corrupt("tx", "message flags 0x%x", m.Flags)
	}
	switch m.Type {
	case abi.MsgData:
		return nil
	case abi.MsgFile:
		if uint64(m.Len) < abi.FileReqSize || uint64(m.Len) > abi.FileReqSize+abi.FilePath {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	case abi.MsgEOF, abi.MsgReset, abi.MsgCredit, abi.MsgListen, abi.MsgUnlisten, abi.MsgAccepted, abi.MsgEnded:
		if m.Len != 0 {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	case abi.MsgFree:
		if m.Len == 0 || uint64(m.Len)%abi.RangeSize != 0 || uint64(m.Len) > abi.FreeMax*abi.RangeSize {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	case abi.MsgTrace:
		if uint64(m.Len) < abi.TraceSize || m.Len > abi.TraceMax {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	case abi.MsgTerminal:
		if uint64(m.Len) != abi.TerminalSize {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	case abi.MsgConnect:
		if uint64(m.Len) != abi.AddrSize {
			return corrupt("tx", "message of type %d with %d bytes of payload", m.Type, m.Len)
		}
		return nil
	}
	return corrupt("tx", "message of unknown type %d", m.Type)
}

// GuestWaits reports whether the guest sleeps until there is room: it has to run again after messages were taken.
func (t *Tx) GuestWaits() bool { return t.area.Load32(abi.CtlTxWanted) != 0 }
