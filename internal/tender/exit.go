// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"syscall"
	"time"

	"unifaas.dev/internal/tender/wire"
)

// How an instance ended: Exit.Kind.
const (
	Exited     = "exit"        // the program exited
	Signaled   = "signal"      // the program was ended by a signal
	OOM        = "oom"         // memory limit
	Panicked   = "panic"       // the library OS gave up
	Fault      = "fault"       // the sandbox broke
	Protocol   = "protocol"    // the guest broke the queue protocol
	Killed     = "killed"      // by Kill or Close
	TenderDied = "tender-died" // the tender process is gone
	Parked     = "parked"      // by Park
)

// Exit says how an instance ended.
type Exit struct {
	Instance string
	Kind     string
	Status   int    // wait status as wait4 gives it, for Exited and Signaled
	Reason   string // one line
	Report   string // several lines, or nothing
	Timing   Timing
	Stats    Stats
	Lost     [2]syscall.Errno // why standard output and error did not take all; 0: they did, or their reader had gone
}

// Code is the exit status a shell would show: 128+N for signal N, 137 for the memory limit, else 1.
func (e Exit) Code() int {
	switch e.Kind {
	case Exited:
		return e.Status >> 8 & 0xff
	case Signaled:
		return 128 + e.Status&0x7f
	case OOM, Killed:
		return 137
	}
	return 1
}

// ExitError is an instance that ended while something was wanted of it.
type ExitError struct{ Exit Exit }

func (e *ExitError) Error() string { return "instance ended: " + e.Exit.Reason }

// Timing is what a start consisted of. What follows Enter is told by the guest.
type Timing struct {
	VM      time.Duration // sandbox made
	State   time.Duration // snapshot put in; 0: it booted
	Enter   time.Duration // first entry until the library OS's first instruction
	Boot    time.Duration // library OS ready
	Program time.Duration // program loaded, first instruction
	Listen  time.Duration // until it listened; 0 if it did not
	Run     time.Duration // first instruction of the program until its end; 0 while it runs
	Total   time.Duration // asked for until told to listen; 0 if it did not
}

func timingOf(s *wire.Stamps) Timing {
	between := func(a, b int64) time.Duration {
		if a == 0 || b < a {
			return 0
		}
		return time.Duration(b - a)
	}
	return Timing{
		Enter:   between(s.Enter, s.Entry),
		Boot:    between(s.Entry, s.Exec),
		Program: between(s.Exec, s.User),
		Listen:  between(s.User, s.Listen),
		Run:     between(s.User, s.End),
	}
}

// Stats are an instance's statistics. The first five come from the guest.
type Stats struct {
	RAMUsed  uint64 // bytes of guest RAM handed out
	RAMLibos uint64 // of these, the library OS's own
	Syscalls uint64
	Traps    uint64 // system calls that did not come through a patched site
	Faults   uint64

	Memory   int64 // bytes of host memory behind guest RAM
	Private  int64 // bytes of host memory that only this instance has
	CPU      time.Duration
	Exits    uint64 // returns from the guest
	Ticks    uint64 // looks at the guest while it ran
	Preempts uint64
	Streams  int    // open now
	Accepted uint64 // streams ever
}

func statsOf(c *wire.Counters) Stats {
	return Stats{RAMUsed: c.RAMUsed, RAMLibos: c.RAMLibos, Syscalls: c.Syscalls, Traps: c.Traps, Faults: c.Faults, Memory: c.Memory, Private: c.Private,
		CPU: time.Duration(c.CPU), Exits: c.Exits, Ticks: c.Ticks, Preempts: c.Preempts, Streams: int(c.Streams), Accepted: c.Accepted}
}

func (i *Instance) exitOf(m *wire.Exited) Exit {
	kinds := [...]string{wire.KindExit: Exited, wire.KindSignal: Signaled, wire.KindOOM: OOM, wire.KindPanic: Panicked,
		wire.KindFault: Fault, wire.KindProtocol: Protocol, wire.KindKilled: Killed}
	i.mu.Lock()
	timing := i.timing(timingOf(&m.Stamps))
	i.mu.Unlock()
	return Exit{Instance: i.id, Kind: kinds[m.Kind], Status: int(m.Status), Reason: m.Reason, Report: m.Report,
		Timing: timing, Stats: statsOf(&m.Counters),
		Lost: [2]syscall.Errno{syscall.Errno(m.Lost[0]), syscall.Errno(m.Lost[1])}}
}
