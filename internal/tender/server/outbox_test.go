// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender/wire"
)

// TestOutboxLimits: output that waits for the node keeps no port from being heard of, and neither queues without end.
func TestOutboxLimits(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0]) // ends the goroutine that sends
	defer unix.Close(fds[1])
	o := &outbox{fd: fds[0]}
	defer unix.Shutdown(fds[0], unix.SHUT_RDWR)
	fill := func(m wire.Message, limit int) (n int) {
		for o.offer(m, limit) {
			if n++; n > 1<<20 {
				t.Fatalf("no limit to %T", m)
			}
		}
		return n
	}
	fill(&wire.Output{Instance: 1, Stream: 1, Data: make([]byte, 4096)}, maxOutput)
	if !o.offer(&wire.Listening{Instance: 2, Port: 8080}, maxPortsQueued) {
		t.Error("a port finds no room behind output")
	}
	if n := fill(&wire.Unlistening{Instance: 1, Port: 80}, maxPortsQueued); n == 0 {
		t.Error("a second port finds no room")
	}
}
