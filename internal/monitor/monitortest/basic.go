// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"strings"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

func (s *suite) exitStatus(t *testing.T) {
	for _, v := range []uint32{0, 7 << 8, 255 << 8, 9, 139, 0xffffffff} {
		s.start(t, doExit, v).expect(monitor.ExitDone, v)
	}
}

func (s *suite) doorbells(t *testing.T) {
	b := s.start(t, doBells, abi.IdleReady)
	b.expect(monitor.ExitQueue, 0)
	b.expect(monitor.ExitIdle, abi.IdleReady)
	b.expect(monitor.ExitQueue, 0)
	b.expect(monitor.ExitDone, 7<<8)
	if _, err := b.Run(); err == nil {
		t.Error("Run after the end")
	}
}

// reports: the guest's text is there, without what could confuse a terminal.
func (s *suite) reports(t *testing.T) {
	b := s.start(t, doPanic, abi.PanicTrap)
	e := b.expect(monitor.ExitPanic, abi.PanicTrap)
	if !strings.Contains(e.Report, "boo?") || strings.ContainsRune(e.Report, 0x1b) {
		t.Errorf("report %q", e.Report)
	}
	if !strings.Contains(strings.ToLower(e.Report), "rip") {
		t.Errorf("report without registers: %q", e.Report)
	}
	b = s.start(t, doOOM, 0)
	e = b.run()
	if e.Kind != monitor.ExitOOM || !strings.Contains(e.Report, "boo?") {
		t.Errorf("out of memory: %+v", e)
	}
}

// badDoorbells end the guest, whatever is wrong with them.
func (s *suite) badDoorbells(t *testing.T) {
	for n := range uint32(5) {
		b := s.start(t, doBadBell, n)
		e := b.run()
		if e.Kind != monitor.ExitFault || e.Report == "" {
			t.Errorf("store %d: %+v", n, e)
		}
		if _, err := b.Run(); err == nil {
			t.Error("Run after a fault")
		}
	}
}
