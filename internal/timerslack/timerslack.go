// SPDX-License-Identifier: Apache-2.0

// Package timerslack says how exactly threads are to be woken by their timers (PR_SET_TIMERSLACK).
//
// It exists for one thread: the Go runtime's monitor, which looks at the scheduler every 20 µs as long as anything runs. Each look costs
// 25 µs and a change of threads on the virtual machines where nodes run, which a request pays for on the way. With slack the kernel lets it
// look when it wakes up for something else anyway, at the latest half a millisecond late.
package timerslack

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Loose is for threads that only look after others.
	Loose = 500 * time.Microsecond
	// Exact is what the kernel gives a process that was started by hand.
	Exact = 50 * time.Microsecond
)

// Thread sets the calling thread's slack; threads and processes that it starts have the same. Preconditions: it is locked.
func Thread(d time.Duration) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0) // without it, it is only less quiet
}

// Monitor makes that of the Go runtime's monitor thread loose. It has to be called early in main: the thread is found as the first that the
// runtime made. It needs CAP_SYS_NICE; without it nothing changes.
func Monitor() error {
	tids, err := threads()
	if err != nil || len(tids) < 2 {
		return err
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", tids[1]), strconv.AppendInt(nil, int64(Loose), 10), 0)
}

// threads lists those of this process, the first ones first.
func threads() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	var tids []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= os.Getpid() { // numbers that began anew are smaller: rather none than the wrong one
			tids = append(tids, n)
		}
	}
	slices.Sort(tids)
	return tids, nil
}
