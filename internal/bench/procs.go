// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// family is a process with all its descendants.
func family(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// After the name in parentheses, which may have any character: state, parent.
		at := bytes.LastIndexByte(text, ')')
		if at < 0 {
			continue
		}
		f := strings.Fields(string(text[at+1:]))
		child, err1 := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if len(f) > 1 && err1 == nil {
			if parent, err := strconv.Atoi(f[1]); err == nil {
				children[parent] = append(children[parent], child)
			}
		}
	}
	all := []int{pid}
	for at := 0; at < len(all); at++ {
		all = append(all, children[all[at]]...)
	}
	return all, nil
}

// cpuTime is what all threads of processes have run for.
func cpuTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, name := range tasks {
			text, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

const (
	settleLook  = 10 * time.Millisecond
	settleRest  = 300 * time.Microsecond // of CPU time in settleLook: what idle Go processes and their tickers use
	settleLimit = 5 * time.Second
)

// settle waits until a node and its tenders do nothing: what they prepare for the next request is there, as it would be after any pause.
func settle(ctx context.Context, pid int) error {
	deadline := time.Now().Add(settleLimit)
	var before time.Duration
	for calm := 0; calm < 3; {
		pids, err := family(pid)
		if err != nil {
			return err
		}
		now := cpuTime(pids)
		if d := now - before; d >= 0 && d < settleRest {
			calm++
		} else {
			calm = 0
		}
		before = now
		if time.Now().After(deadline) {
			return nil // it is always busy: this is its steady state
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleLook):
		}
	}
	return nil
}
