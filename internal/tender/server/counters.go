// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math/bits"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

// counters: Preconditions: in.mu is held and the sandbox exists.
func (in *instance) counters() wire.Counters {
	a := in.link.area
	return wire.Counters{
		RAMUsed:  a.Load64(abi.CtlRAMUsed),
		RAMLibos: a.Load64(abi.CtlRAMLibos),
		Syscalls: a.Load64(abi.CtlSyscalls),
		Traps:    a.Load64(abi.CtlTraps),
		Faults:   a.Load64(abi.CtlFaults),
		Memory:   in.sb.MemoryUsed(),
		CPU:      max(threadCPU(in.tid)-in.cpu, 0),
		Exits:    in.entries.Load(),
		Ticks:    in.ticks,
		Preempts: in.preempts,
		Streams:  uint32(len(in.table.streams) - in.table.unbound()),
		Accepted: in.table.opened,
	}
}

// private is the memory that only this instance has. Preconditions: in.mu is held and the sandbox exists.
func (in *instance) private() int64 {
	s := in.host
	s.pagemapMu.Lock()
	defer s.pagemapMu.Unlock()
	areas := []*guestmem.Area{in.link.area}
	if sb, ok := in.sb.(monitor.Stateful); ok {
		areas = append(areas, sb.RAM())
	}
	var sum int64
	for _, a := range areas {
		n, err := s.pagemap.PrivateBytes(a)
		if err != nil {
			return in.sb.MemoryUsed() // no /proc: what is shared counts, too
		}
		sum += n
	}
	return sum
}

// readStamps takes over the guest's own time stamps, kept between its first entry and now: it can lie about when, not about
// more. Preconditions: in.mu is held.
func (in *instance) readStamps() {
	now := in.host.clock.now()
	s := &in.stamps.Stamps
	if in.stamps.State != 0 {
		return // they are those of the instance that was the snapshot
	}
	for _, f := range []struct {
		off uint64
		to  *int64
	}{{abi.CtlTSCEntry, &s.Entry}, {abi.CtlTSCExec, &s.Exec}, {abi.CtlTSCUser, &s.User}, {abi.CtlTSCListen, &s.Listen}} {
		if tsc := in.link.area.Load64(f.off); tsc != 0 {
			*f.to = min(max(in.monoOf(tsc)-in.ahead, s.Enter), now)
		}
	}
}

// monoOf turns a time-stamp counter value into CLOCK_MONOTONIC ns by the guest's clock page.
func (in *instance) monoOf(tsc uint64) int64 {
	a := in.link.area
	base := a.Load64(abi.ClockTSCBase)
	mono := int64(a.Load64(abi.ClockMonoNS))
	mult := a.Load64(abi.ClockMult)
	shift := a.Load32(abi.ClockShift) & 63
	if tsc >= base {
		return mono + scale(tsc-base, mult, shift)
	}
	return mono - scale(base-tsc, mult, shift)
}

func scale(n, mult uint64, shift uint32) int64 {
	hi, lo := bits.Mul64(n, mult)
	if hi>>shift != 0 {
		return 0 // nonsense in the clock page
	}
	return int64((lo>>shift | hi<<(64-shift)) & (1<<63 - 1))
}
