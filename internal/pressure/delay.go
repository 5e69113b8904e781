// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// Delay is how long the threads of a process have waited for a CPU, all together; 0 if it is gone or the kernel does not say.
func Delay(pid int) (d time.Duration) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, t := range threads {
		text, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if err != nil {
			continue
		}
		if f := bytes.Fields(text); len(f) == 3 {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			d += time.Duration(n)
		}
	}
	return d
}
