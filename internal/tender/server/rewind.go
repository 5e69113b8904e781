// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/tender/wire"
)

// rewind is the command. From here on nothing of before reaches anybody but what the guest has printed; what is dialled afterwards waits in
// the table until the state is back.
func (s *Server) rewind(m *wire.Rewind, fds []int) {
	ok := s.with(m.Instance, func(in *instance) {
		if in.ended {
			wire.CloseAll(fds)
			return
		}
		in.rewinds++
		if in.capture != nil { // all that was dialled is held: the guest knows of none
			in.dropWaiting()
			in.rewindsOver(&wire.Rewound{Instance: m.Instance})
		} else {
			in.link.shut, in.table.away = true, true
			in.signals = 0
			in.dropStreams()
			in.interrupt()
		}
		for _, fd := range fds {
			in.command(in.table.dial(m.Port, fd))
		}
	})
	if !ok {
		wire.CloseAll(fds)
	}
}

// interrupt brings the vCPU thread out of the guest or of its sleep. Preconditions: in.mu is held.
func (in *instance) interrupt() {
	if in.running.Load() {
		in.sb.Kick()
	}
	in.wakeSleeper()
}

// dropStreams closes all streams, of which the guest hears no more.
func (in *instance) dropStreams() {
	for _, s := range in.table.streams {
		if s.job != nil && !s.job.over {
			in.host.out.send(&wire.Ended{Instance: in.id, Token: s.job.token, Status: uint32(unix.SIGKILL)})
		}
	}
	in.table.drop()
	in.dropWaiting()
}

// dropWaiting closes those that the guest has not heard of.
func (in *instance) dropWaiting() {
	for _, j := range in.table.jobs {
		in.host.out.send(&wire.Ended{Instance: in.id, Token: j.token, Status: uint32(unix.SIGKILL)})
	}
	in.table.closeWaiting()
}

// rewindNow puts the state back. This is the vCPU thread, the guest has stopped. Preconditions: in.mu is held.
func (in *instance) rewindNow() {
	start := in.host.clock.now()
	answer := &wire.Rewound{Instance: in.id}
	err := errors.New("it cannot be rewound: its tender has no snapshot for that")
	if r := in.rewinder; r != nil {
		// What the guest has printed goes out.
		if _, e := in.drain(); e != nil {
			in.fail(e)
			return
		}
		in.mu.Unlock()
		var entries []abi.Entry
		res, e := r.Rewind()
		entries, err = res.Entries, e
		in.mu.Lock()
		in.restful = in.restful && err == nil
		answer.Pages, answer.Entries = uint32(res.Pages), uint32(len(entries))
		if err == nil && !in.ended {
			err = in.rewound(&in.host.states.get().Meta().Link, entries)
		}
	}
	if in.ended {
		return
	}
	answer.Took = in.host.clock.now() - start
	if err != nil {
		answer.Error = oneLine(err)
	}
	in.rewindsOver(answer)
	if err != nil {
		in.abort = true
		in.conclude(ending{kind: wire.KindFault, reason: oneLine(err)})
	}
}

// rewindsOver answers all that were asked for, those too that came while the guest did not run: they are met by the same. Preconditions:
// in.mu is held.
func (in *instance) rewindsOver(answer *wire.Rewound) {
	for range in.rewinds {
		in.host.out.send(answer)
	}
	in.rewinds = 0
}

// rewound makes the host's side fit the state that was put back.
func (in *instance) rewound(l *snapshot.Link, entries []abi.Entry) error {
	in.wipe()
	in.frees.clear()
	in.table.relisten(l.Ports, func(on bool, port uint16) {
		var event wire.Message = &wire.Unlistening{Instance: in.id, Port: port}
		if on {
			event = &wire.Listening{Instance: in.id, Port: port, Stamps: in.stamps.Stamps}
		}
		in.host.out.send(event)
	})
	in.stubbornness, in.lastTail = 0, 0
	if err := in.back(l); err != nil {
		return err
	}
	return in.resume(l, abi.RestoreRewind, entries)
}

// back lets streams go on that were dialled after a rewind was asked for: the state is back. The rings are shut, so that they follow the
// restore. Preconditions: in.mu is held.
func (in *instance) back(l *snapshot.Link) error {
	if !in.table.away {
		return nil
	}
	in.table.setAhead(l)
	in.table.away = false
	return in.table.unwait()
}

// wipe clears what may hold bytes of streams that are gone.
func (in *instance) wipe() {
	in.link.wipe()
	for _, b := range in.table.spare[in.table.clean:] {
		clear(b[:cap(b)])
	}
	in.table.clean = len(in.table.spare)
	// What was copied last is in vector registers, and where a kick has put them: on the thread's signal stack. The next signal goes over it.
	in.link.scrub()
	_ = unix.Tgkill(os.Getpid(), in.tid, unix.SIGURG)
}

// drop closes all streams.
func (t *table) drop() {
	for _, s := range t.streams {
		s.silent = true
		s.oweOpen, s.oweEOF, s.oweReset = false, false, false
		t.remove(s)
	}
	if t.net != nil {
		t.net.queue = nil
	}
	clear(t.ready)
	clear(t.flush)
	clear(t.owing)
	t.ready, t.flush, t.owing = t.ready[:0], t.flush[:0], t.owing[:0]
}

// relisten makes the ports those that the guest listens on now; it calls tell for each difference.
func (t *table) relisten(ports []uint16, tell func(on bool, port uint16)) {
	now := make(map[uint16]bool, len(ports))
	for _, p := range ports {
		now[p] = true
		if !t.listening[p] {
			tell(true, p)
		}
	}
	for p := range t.listening {
		if !now[p] {
			tell(false, p)
		}
	}
	t.listening = now
}

// unwait starts what has waited for ports that are listened on.
func (t *table) unwait() error {
	for port := range t.waiting {
		if t.listening[port] {
			if err := t.listen(port); err != nil {
				return err
			}
		}
	}
	if t.listening[spawnPort] {
		return t.startJobs()
	}
	return nil
}
