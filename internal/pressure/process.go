// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Private is how many bytes of memory a process has that belong to no file: what is given back when it ends. 0: there is no such process.
func Private(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0
	}
	return max(resident-shared, 0) * int64(os.Getpagesize())
}

// Proportional is the process's memory in which each page that several have counts in parts. It takes milliseconds for a large process. 0: it
// cannot be had.
func Proportional(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if strings.HasPrefix(string(line), "Pss:") {
			return max(field(line, "Pss:"), 0)
		}
	}
	return 0
}
