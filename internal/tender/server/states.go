// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/tender/wire"
)

// states is what a tender knows of snapshots: the one that its instances can start from, or who is going to be it.
type states struct {
	key    snapshot.Key
	layers []monitor.Layer
	track  bool // instances will be rewound
	// pristine: what is taken is the state before the first request, and no other.
	pristine bool
	port     uint16 // where requests come; 0: anywhere

	mu    sync.Mutex
	image *state.Image // nil: there is none
	sink  *os.File     // where one is wanted; nil: nowhere
	owner *instance    // whose state it will be
	tries int          // instances of which none could be taken so far
	skip  int          // so many boot before the next attempt: each holds requests for a while
}

// maxSkip bounds states.skip.
const maxSkip = 63

// errNoSnapshot is why an instance is not made of one, parked or rewound.
var errNoSnapshot = fmt.Errorf("%w: this tender has none", snapshot.ErrForeign)

// open takes over the snapshot of a Load.
func (st *states) open(f *os.File) error {
	im, err := state.Open(f, st.key, st.layers)
	if err != nil {
		return err
	}
	st.mu.Lock()
	st.image = im
	st.mu.Unlock()
	return nil
}

// get gives the snapshot; nil: there is none.
func (st *states) get() *state.Image {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.image
}

// claim makes an instance that boots the one whose state is taken, if none is yet.
func (st *states) claim(in *instance) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sink == nil || st.owner != nil {
		return false
	}
	if st.skip > 0 {
		st.skip--
		return false
	}
	st.owner = in
	return true
}

// release is the end of an instance: another one may be the first.
func (st *states) release(in *instance) {
	st.mu.Lock()
	if st.owner == in {
		st.owner = nil
	}
	st.mu.Unlock()
}

// postpone says that an instance could not be taken: another one may be, later.
func (st *states) postpone(in *instance) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owner == in {
		st.owner = nil
		st.tries++
		st.skip = min(1<<min(st.tries, 10)-1, maxSkip)
	}
}

// taken ends the search. The sink is closed.
func (st *states) taken(im *state.Image) {
	st.mu.Lock()
	if st.sink != nil {
		st.sink.Close()
	}
	st.sink, st.owner, st.image = nil, nil, im
	st.mu.Unlock()
}

// close: Preconditions: all instances are gone.
func (st *states) close() {
	st.taken(nil)
}

// top is the end of what an image has in RAM.
func top(im *state.Image) int64 {
	m := im.Meta()
	var end uint32
	if n := len(m.Data); n > 0 {
		end = m.Data[n-1].Page + m.Data[n-1].Pages
	}
	if n := len(m.Shared); n > 0 {
		end = max(end, m.Shared[n-1].RAM+m.Shared[n-1].Pages)
	}
	return int64(end) * smallPage
}

// kindOf says what an error about states is, for the node.
func kindOf(err error) uint8 {
	switch {
	case errors.Is(err, snapshot.ErrDamaged):
		return wire.ErrorDamaged
	case errors.Is(err, snapshot.ErrForeign):
		return wire.ErrorForeign
	}
	return wire.ErrorOther
}
