// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
	"unifaas.dev/internal/units"
)

// lingerStreams is how long the sockets of a program that has ended may take to accept what it wrote last. Its standard
// output, where that is a descriptor, may take as long as it likes.
const lingerStreams = 2 * time.Second

// conclude ends the instance; the first cause counts. Preconditions: in.mu is held.
func (in *instance) conclude(e ending) {
	if !in.end.set {
		e.set = true
		in.end = e
	}
	if !in.ended {
		in.ended = true
		if in.running.Load() {
			in.sb.Kick()
		}
	}
	in.wakeSleeper()
}

// kill ends the instance whatever it does, and does not wait for what it has written. Preconditions: in.mu is held.
func (in *instance) kill(reason string) {
	in.abort = true
	in.conclude(ending{kind: wire.KindKilled, reason: reason})
}

// fail ends the instance for an error of its queues. Preconditions: in.mu is held.
func (in *instance) fail(err error) {
	kind := uint8(wire.KindFault)
	if isViolation(err) {
		kind = wire.KindProtocol
	}
	in.abort = true
	in.conclude(ending{kind: kind, reason: oneLine(err), report: err.Error()})
}

// endingOf reads the last exit of a guest.
func endingOf(exit monitor.Exit, memory int64) ending {
	e := ending{report: exit.Report}
	switch exit.Kind {
	case monitor.ExitDone:
		e.status = exit.Value & 0xffff
		if sig := syscall.Signal(e.status & 0x7f); sig != 0 {
			e.kind = wire.KindSignal
			e.reason = fmt.Sprintf("signal %d", int(sig))
			if name := unix.SignalName(sig); name != "" {
				e.reason += " (" + name + ")"
			}
		} else {
			e.kind = wire.KindExit
			e.reason = fmt.Sprintf("exit status %d", e.status>>8)
		}
	case monitor.ExitOOM:
		e.kind = wire.KindOOM
		e.reason = fmt.Sprintf("memory limit %d MiB", memory/units.MiB)
	case monitor.ExitPanic:
		e.kind = wire.KindPanic
		e.reason = firstLine(exit.Report, "the library OS gave up")
	default:
		e.kind = wire.KindFault
		e.reason = firstLine(exit.Report, "the sandbox broke")
	}
	return e
}

// finish sends what the guest left behind, tells the node and frees everything.
func (in *instance) finish() *shell {
	in.mu.Lock()
	in.stamps.End = in.host.clock.now()
	if in.end.kind != wire.KindProtocol {
		_, _ = in.drain() // output before the end; a lie here changes nothing any more
	}
	in.linger()
	in.readStamps()
	in.host.forget(in)
	// Before the sockets close: whoever sees one end finds the reason already on its way.
	if in.end.kind == kindParked {
		in.parked(wire.ErrorNone, "", in.parkedBytes)
	} else {
		in.host.out.send(in.exited())
	}
	sh := in.leaveShell()
	in.mu.Unlock()
	in.close()
	if sh != nil && !sh.recycle(in.host.states.get()) {
		sh.close()
		sh = nil
	}
	in.host.shells.refill(shellDelay)
	return sh
}

// exited is the last event of an instance. Preconditions: in.mu is held.
func (in *instance) exited() *wire.Exited {
	e := in.end
	return &wire.Exited{Instance: in.id, Kind: e.kind, Status: e.status, Reason: e.reason, Report: e.report,
		Stamps: in.stamps.Stamps, Counters: in.counters(), Lost: in.console.lost()}
}

// linger waits until sockets and console have taken what the program wrote. Preconditions: in.mu is held.
func (in *instance) linger() {
	deadline := in.host.clock.now() + int64(lingerStreams)
	for first := true; first || !in.abort; first = false {
		for i := range in.console.out {
			_ = in.console.write(&in.console.out[i])
		}
		_ = in.table.flushAll()
		wait := 100 * time.Millisecond
		switch {
		case in.console.retrySoon():
			wait = retryOutput
		case in.console.idle() && (!in.table.unsent() || in.host.clock.now() > deadline):
			return
		}
		if in.abort || in.look(wait) != nil {
			return
		}
	}
}

// unsent reports whether a socket has not taken everything yet.
func (t *table) unsent() bool {
	for _, s := range t.streams {
		if len(s.pending) > 0 {
			return true
		}
	}
	return false
}

func (in *instance) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.captureGone()
	in.parkOver()
	in.host.states.release(in)
	if in.table != nil {
		in.table.closeAll()
	}
	for i, fd := range in.stdio {
		if fd >= 0 {
			unix.Close(fd)
			in.stdio[i] = -1
		}
	}
	if in.epfd >= 0 {
		unix.Close(in.epfd)
	}
	if in.evfd >= 0 {
		unix.Close(in.evfd)
	}
	in.epfd, in.evfd = -1, -1
	if in.sb != nil {
		// Nobody is left to tell.
		_ = in.sb.Close()
		in.sb = nil
	}
}

// oneLine makes an error fit the node's one-line messages.
func oneLine(err error) string { return clean(err.Error()) }

// firstLine is the first line of a report, which may be the guest's own words.
func firstLine(report, otherwise string) string {
	line, _, _ := strings.Cut(report, "\n")
	if line = clean(line); line != "" {
		return line
	}
	return otherwise
}

// clean keeps hostile text from playing with terminals and logs.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > 300 {
		s = s[:300]
	}
	return s
}
