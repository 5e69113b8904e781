// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/snapshot"
)

// What of the shared area is no part of a state: the seed, and the clock. Of the control page's other words, those that follow
// from Link or belong to the host alone are set, not copied.
const (
	clockEnd = abi.ClockOff + pageSize
	seedEnd  = abi.CtlSeed + uint64(len(abi.Ctl{}.Seed))
)

// putShared puts in what saveShared gave, the number of the seed too. Both rings are empty then; their bytes stay.
func putShared(a *guestmem.Area, saved []byte, l *snapshot.Link) error {
	for n := range uint64(usedPages) {
		if err := putSharedPage(a, saved, n); err != nil {
			return err
		}
	}
	a.Store64(abi.CtlSeedSeq, le.Uint64(saved[abi.CtlSeedSeq:]))
	setLink(a, l)
	return nil
}

// putSharedPage puts in one page, but for what is no part of a state.
func putSharedPage(a *guestmem.Area, saved []byte, n uint64) error {
	off, end := n*pageSize, (n+1)*pageSize
	switch off {
	case abi.ClockOff:
		return nil
	case abi.CtlOff:
		off = seedEnd
	}
	b, err := a.Bytes(off, end-off)
	if err != nil {
		return err
	}
	if s := saved[off:end]; !bytes.Equal(b, s) { // most are as they were
		copy(b, s)
	}
	return nil
}

// setLink makes the rings empty, and clears what the monitor asks of the guest.
func setLink(a *guestmem.Area, l *snapshot.Link) {
	a.Store32(abi.CtlPreempt, 0)
	a.Store32(abi.CtlRxWanted, 0)
	a.Store64(abi.CtlRxHead, l.RxHead)
	a.Store64(abi.CtlRxTail, l.RxHead)
	a.Store64(abi.CtlTxHead, l.TxTail)
	a.Store64(abi.CtlTxTail, l.TxTail)
}

// saveShared copies the part of a shared area that a state consists of; the rest is zero.
func saveShared(a *guestmem.Area) ([]byte, error) {
	b := make([]byte, abi.RxOff)
	if err := a.ReadAt(b, 0); err != nil {
		return nil, err
	}
	le.PutUint32(b[abi.CtlPreempt:], 0)
	le.PutUint32(b[abi.CtlRxWanted:], 0)
	clear(b[abi.CtlSeed:seedEnd])
	clear(b[abi.ClockOff:clockEnd])
	return b, nil
}
