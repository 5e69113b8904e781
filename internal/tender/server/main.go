// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// SocketFD is where the node puts the tender's end of the socket pair.
const SocketFD = 3

// Main is the tender process. Its standard error is a bounded memory file that the node reads when the tender is gone.
func Main(open Open) int {
	setName("unifaas-tender") // it was executed from memory, by a number
	// The heap is small and mostly idle; what counts is that many tenders fit into a machine.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(64 << 20)
	// A vCPU thread that comes back from the guest must find a free P: waiting for one costs two thread switches.
	runtime.GOMAXPROCS(max(8, 2*runtime.NumCPU()))
	if err := Serve(SocketFD, open); err != nil {
		fmt.Fprintln(os.Stderr, "tender:", err)
		return 1
	}
	return 0
}
