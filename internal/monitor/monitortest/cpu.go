// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// exceptions reach the guest's handler at CPL3 with a full frame.
func (s *suite) exceptions(t *testing.T) {
	for _, c := range []struct {
		name       string
		fault      uint32
		vector     uint32
		error, cr2 uint64
	}{
		{"ud2", faultUD2, 6, 0, 0},
		{"hlt", faultHLT, 13, 0, 0},
		{"mov cr3", faultCR3, 13, 0, 0},
		{"out", faultOUT, 13, 0, 0},
		{"jump to unmapped", faultJump, 14, 0x14, 0x7000},
		{"write to unmapped", faultWrite, 14, 6, 0x7000000},
		{"write to text", faultText, 14, 7, abi.LibosVA + abi.LibosHeaderSize},
		{"int3", faultINT3, 3, 0, 0},
		{"divide by zero", faultDiv, 0, 0, 0},
		{"rdmsr", faultRDMSR, 13, 0, 0},
		{"non-canonical address", faultNonCanonical, 13, 0, 0},
		{"cli", faultCLI, 13, 0, 0},
	} {
		b := s.start(t, doException, c.fault)
		e := b.run()
		f := b.frame()
		if e.Kind != monitor.ExitDone || e.Value != vector(c.vector) {
			t.Errorf("%s: %+v, frame %+v", c.name, e, f)
			continue
		}
		if f.Vector != uint64(c.vector) || f.Error != c.error || f.CS != userCS || f.SS != userSS || c.vector == 14 && f.CR2 != c.cr2 {
			t.Errorf("%s: frame %+v", c.name, f)
		}
		if rbp := b.note64(noteRegs + 40); rbp != 0x1234500 {
			t.Errorf("%s: rbp 0x%x", c.name, rbp)
		}
	}
}

// tripleFault: a guest without handlers ends with a report.
func (s *suite) tripleFault(t *testing.T) {
	for _, fault := range []uint32{faultUD2, faultHLT, faultJump, faultINT3, faultNonCanonical} {
		e := s.start(t, doTriple, fault).run()
		if e.Kind != monitor.ExitFault || !strings.Contains(e.Report, "triple fault") || !strings.Contains(e.Report, "rip") {
			t.Errorf("fault %d: %+v", fault, e)
		}
	}
}

// syscall: SYSCALL arrives at the library OS, at either privilege level, and goes back with its flags.
func (s *suite) syscall(t *testing.T) {
	b := s.start(t, doSyscall, 0)
	b.expect(monitor.ExitDone, 0)
	if cs := b.note64(noteData + 8); cs != abi.KernelCS && cs != userCS {
		t.Errorf("entered with CS 0x%x", cs)
	} else {
		t.Logf("SYSCALL enters with CS 0x%x", cs)
	}
	if cs := b.note64(noteData + 16); cs != userCS {
		t.Errorf("returned with CS 0x%x", cs)
	}
}

// cpu: privilege, flags, extended state and what CPUID says.
func (s *suite) cpu(t *testing.T) {
	b := s.start(t, doCPU, 0x40000000)
	b.expect(monitor.ExitQueue, 0)
	b.expect(monitor.ExitDone, 0)
	if s.m.Name() == "kvm" {
		var name [12]byte
		if err := b.Shared().ReadAt(name[:], noteData+12); err != nil || string(name[:]) != "UniFaaS\x00\x00\x00\x00\x00" {
			t.Errorf("hypervisor is called %q, %v", name, err)
		}
	}
	if x := b.note32(noteData + 24); x&3 != 3 || x&^0xe7 != 0 {
		t.Errorf("XCR0 0x%x", x)
	}
	const interrupts, iopl = 1 << 9, 3 << 12
	if f := b.note64(noteData + 32); f&interrupts == 0 || f&iopl != 0 {
		t.Errorf("flags 0x%x", f)
	}
	const fs, gs = 0x123456789abc, 0xa9876543
	if f, g, x := b.note64(noteData+40), b.note64(noteData+48), b.note64(noteData+56); f != fs || g != gs || x != gs {
		t.Errorf("after an exit: FS base 0x%x, GS base 0x%x, XMM7 0x%x", f, g, x)
	}
	if cs := b.note64(noteData + 64); cs != userCS {
		t.Errorf("CS 0x%x", cs)
	}
	t.Logf("TSC_AUX %d", b.note64(noteData+72))
}

// clock: the guest's time is the host's, near enough, and never goes back while the page is renewed.
func (s *suite) clock(t *testing.T) {
	b := s.start(t, doClock, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
				b.RefreshClock()
			}
		}
	})
	for range 5 {
		after(t, 100*time.Millisecond, b.Kick)
		before := monotonic(t)
		b.expect(monitor.ExitKick, 0)
		guest, host := b.note64(noteData+8), monotonic(t)
		if guest < before || guest > host {
			t.Errorf("guest time %d is not between %d and %d", guest, before, host)
		}
	}
	close(stop)
	wg.Wait()
	// Without any refresh it must hold as well, by the rate alone.
	after(t, 500*time.Millisecond, b.Kick)
	b.expect(monitor.ExitKick, 0)
	guest, host := b.note64(noteData+8), monotonic(t)
	if off := time.Duration(guest - host); off > time.Millisecond {
		t.Errorf("guest time is ahead by %v", off)
	}
	c := b.Shared()
	realtime := int64(c.Load64(abi.ClockMonoNS) + c.Load64(abi.ClockRealOff))
	if off := time.Since(time.Unix(0, realtime)); off < -time.Second || off > time.Minute {
		t.Errorf("real time is off by %v", off)
	}
	if khz := c.Load64(abi.ClockTSCKHz); khz < 100_000 || khz > 10_000_000 {
		t.Errorf("TSC frequency %d kHz", khz)
	}
}

func monotonic(t *testing.T) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}
