// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm"
	"unifaas.dev/internal/tender/server"
)

// tenderMain is the hidden verb "tender": the process that package tender starts.
func tenderMain() int { return server.Main(openMonitor) }

func openMonitor(name string, device *os.File) (monitor.Monitor, error) {
	switch name {
	case "", "auto", "kvm":
		m := &kvm.Monitor{Device: device}
		return m, m.Probe()
	}
	return nil, fmt.Errorf("monitor %q is not known: use auto or kvm", name)
}
