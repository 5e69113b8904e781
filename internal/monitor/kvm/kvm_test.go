// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"os"
	"strconv"
	"testing"

	"unifaas.dev/internal/monitor/monitortest"
)

func TestMonitor(t *testing.T) {
	slow, _ := strconv.Atoi(os.Getenv("UNIFAAS_TEST_SLOW"))
	m := &Monitor{}
	defer m.Close()
	// Where KVM has to be there, a skip would hide that it is not.
	if err := m.Probe(); err != nil && os.Getenv("UNIFAAS_TEST_NEED_KVM") != "" {
		t.Fatal(err)
	}
	monitortest.Run(t, m, monitortest.Options{Slow: slow})
}
