// SPDX-License-Identifier: Apache-2.0

package state

import (
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

// sharedParts are the stretches that a state consists of, beside ctl's words below.
var sharedParts = [...][2]uint64{{seedEnd, abi.ClockOff}, {clockEnd, abi.RxOff}}

// putShared puts in what saveShared gave; both rings are empty then, at these indices; their bytes stay. fresh: the number of the seed
// is the state's too; otherwise the area's own has only grown since.
func putShared(a *guestmem.Area, saved []byte, l *snapshot.Link, fresh bool) error {
	for _, p := range sharedParts {
		if err := a.WriteAt(saved[p[0]:p[1]], p[0]); err != nil {
			return err
		}
	}
	a.Store32(abi.CtlPreempt, 0)
	a.Store32(abi.CtlRxWanted, 0)
	if fresh {
		a.Store64(abi.CtlSeedSeq, le.Uint64(saved[abi.CtlSeedSeq:]))
	}
	a.Store64(abi.CtlRxHead, l.RxHead)
	a.Store64(abi.CtlRxTail, l.RxHead)
	a.Store64(abi.CtlTxHead, l.TxTail)
	a.Store64(abi.CtlTxTail, l.TxTail)
	return nil
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
