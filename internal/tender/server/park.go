// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"os"
	"time"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

// parkWait is how long an instance may take to come to rest: its program has just been told that its idle connections are closed, and closes its
// own ends.
const parkWait = 50 * time.Millisecond

// parking is a Park under way.
type parking struct {
	sink  *os.File
	timer *time.Timer // gives it up
	begun bool        // the state is being taken
}

// park is the command. It owns the descriptor.
func (s *Server) park(id uint32, fd int) {
	sink := os.NewFile(uintptr(fd), "parked")
	taken := s.with(id, func(in *instance) {
		if in.ended {
			sink.Close()
			return
		}
		if in.parking != nil {
			sink.Close()
			in.parked(wire.ErrorBusy, "instance is being parked already", 0)
			return
		}
		p := &parking{sink: sink}
		in.parking = p
		p.timer = time.AfterFunc(parkWait, func() {
			in.mu.Lock()
			defer in.mu.Unlock()
			if in.parking == p && !p.begun && !in.ended {
				in.parkOver()
				in.parked(wire.ErrorBusy, "instance is busy: "+in.business(), 0)
			}
		})
		in.wakeSleeper()
	})
	if !taken {
		sink.Close()
	}
}

// parked is the answer. Preconditions: in.mu is held.
func (in *instance) parked(kind uint8, why string, bytes int64) {
	in.host.out.send(&wire.Parked{Instance: in.id, Kind: kind, Error: why, Bytes: bytes})
}

// parkOver ends a Park. Preconditions: in.mu is held.
func (in *instance) parkOver() {
	p := in.parking
	if p == nil {
		return
	}
	in.parking = nil
	p.timer.Stop()
	p.sink.Close()
}

// business says why an instance cannot be parked. Preconditions: in.mu is held.
func (in *instance) business() string {
	switch {
	case in.capture != nil:
		return "it is not initialised"
	case in.running.Load():
		return "it runs"
	case !in.console.idle():
		return "its output is on the way"
	}
	if why := in.quiescent(); why != "" {
		return why
	}
	if in.table.nwaiting+len(in.table.jobs) > 0 {
		return "streams are waiting"
	}
	return ""
}

// parkNow parks the instance if it is at rest. This is the vCPU thread, the guest is in IDLE. Preconditions: in.mu is held.
func (in *instance) parkNow() {
	p := in.parking
	if p == nil || in.business() != "" {
		return
	}
	im := in.host.states.get()
	sb, ok := in.sb.(monitor.Stateful)
	switch {
	case im == nil || !ok:
		in.parkOver()
		in.parked(wire.ErrorForeign, "there is no snapshot to park against", 0)
		return
	case in.host.states.track:
		in.parkOver()
		in.parked(wire.ErrorOther, "an instance that is rewound holds nothing: end it", 0)
		return
	}
	p.begun = true
	link := in.saveLink()
	in.link.shut = true
	in.mu.Unlock()
	n, err := im.Delta(sb, link, p.sink)
	in.mu.Lock()
	in.link.shut = in.rewinds > 0
	in.parkOver()
	if in.ended {
		return
	}
	switch why := in.business(); {
	case err != nil:
		in.parked(wire.ErrorOther, oneLine(fmt.Errorf("park an instance: %w", err)), 0)
	case why != "": // something has come meanwhile
		in.parked(wire.ErrorBusy, "instance is busy: "+why, 0)
	default:
		in.parkedBytes = n
		in.conclude(ending{kind: kindParked})
		return
	}
	in.after(nil)
}
