// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock gives the host's CLOCK_MONOTONIC, the time base of the guest's clock page, through the runtime's cheap time.Now.
type clock struct {
	start time.Time
	mono  int64
}

func newClock() clock {
	var ts unix.Timespec
	// CLOCK_MONOTONIC cannot fail.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return clock{start: time.Now(), mono: ts.Nano()}
}

func (c clock) now() int64 { return c.mono + int64(time.Since(c.start)) }

// threadCPU is the CPU time of a thread of this process, in ns; 0 if it is gone.
func threadCPU(tid int) int64 {
	const perThreadSched = 6 // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
	var ts unix.Timespec
	if tid == 0 || unix.ClockGettime(int32(^tid<<3|perThreadSched), &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// ready asks whether a descriptor is readable or writable right now.
func ready(fd int, events int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(p, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1
	}
}
