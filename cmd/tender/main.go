// SPDX-License-Identifier: Apache-2.0

// Command tender is the process that runs the instances of one function. It is a program of its own, not a verb, so that what it
// consists of, and what the runtime sets up when it starts, is only what it needs; unifaas carries it and starts it from memory.
package main

import (
	"fmt"
	"os"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm"
	"unifaas.dev/internal/tender/server"
)

func main() { os.Exit(server.Main(openMonitor)) }

func openMonitor(name string, device *os.File) (monitor.Monitor, error) {
	switch name {
	case "", "auto", "kvm":
		m := &kvm.Monitor{Device: device}
		return m, m.Probe()
	}
	return nil, fmt.Errorf("monitor %q is not known: use auto or kvm", name)
}
