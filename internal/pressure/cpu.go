// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// tickHz is in what the kernel counts CPU time of processes, on every architecture: USER_HZ.
const tickHz = 100

// CPU is the time that a process has used, 0 if it is gone.
func CPU(pid int) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	at := bytes.LastIndexByte(text, ')') // its name may hold anything
	if at < 0 {
		return 0
	}
	f := bytes.Fields(text[at+1:])
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(f[11]), 10, 64)
	system, _ := strconv.ParseInt(string(f[12]), 10, 64)
	return time.Duration(user+system) * (time.Second / tickHz)
}
