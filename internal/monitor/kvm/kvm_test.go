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
	monitortest.Run(t, m, monitortest.Options{Slow: slow})
}
