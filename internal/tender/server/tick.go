// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"unifaas.dev/abi"
)

// pace is what the ticker remembers of an instance. Only the ticker's goroutine touches it, under the instance's mutex.
type pace struct {
	entries  uint64        // entries into the guest at the last look
	interval time.Duration // current distance of looks
	timer    uint64        // the due timer that the guest was preempted for
	last     int64         // when it was preempted
}

// tick is one look of the ticker: when to look again, false if the guest does not run.
func (in *instance) tick() (time.Duration, bool) {
	entries := in.entries.Load()
	if !in.running.Load() && entries == in.pace.entries {
		return 0, false
	}
	fresh := entries != in.pace.entries
	in.pace.entries = entries
	if !in.running.Load() {
		return tickLong, true
	}
	// The vCPU thread holds it only while it does the same work.
	if !in.mu.TryLock() {
		return tickShort, true
	}
	defer in.mu.Unlock()
	if !in.running.Load() || in.ended {
		return tickLong, true
	}
	in.ticks++
	if fresh {
		in.pace.interval = tickShort
	}
	in.link.pushed = false
	moved, err := in.poll()
	if err != nil {
		in.fail(err)
		return tickLong, true
	}
	now := in.host.clock.now()
	pushed := in.link.pushed
	if pushed || in.preemptDue(now) {
		in.pace.last = now
		in.preempts++
		in.sb.Preempt()
	}
	if moved || pushed {
		in.pace.interval = tickShort
	} else {
		in.pace.interval = min(2*in.pace.interval, tickLong)
	}
	d := in.pace.interval
	if timer, ok := in.nextTimer(); ok && timer > now {
		d = min(d, max(time.Duration(timer-now), tickLeast))
	}
	return d, true
}

// preemptDue reports whether the guest's scheduler should get the CPU: a timer is due, or others wait for it.
func (in *instance) preemptDue(now int64) bool {
	since := now - max(in.pace.last, in.entered)
	if timer, ok := in.nextTimer(); ok && timer <= now {
		// Once for each timer: a guest in the middle of a system call sees to it on its own.
		if uint64(timer) != in.pace.timer || since >= int64(timeSlice) {
			in.pace.timer = uint64(timer)
			return true
		}
	}
	return since >= int64(timeSlice) && in.link.area.Load32(abi.CtlRunnable) > 0
}

// nextTimer is when the guest wants to run next, CLOCK_MONOTONIC ns of the host. Zero is a guest that has not come that far.
func (in *instance) nextTimer() (int64, bool) {
	v := in.link.area.Load64(abi.CtlNextTimer)
	if v == 0 || v >= 1<<63 {
		return 0, false
	}
	return int64(v) - in.ahead, true
}
