// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

const (
	testXCR0 = 0xe7
	testRAM  = 64 << 20
)

// testState is a state as a program has it.
func testState(t testing.TB, edit func(c *cpuHead, x []byte)) []byte {
	t.Helper()
	c := &cpuHead{XCR0: testXCR0, CR3: abi.TablesPA, FSBase: 0x7fff_0000_0000, GSBase: 0xffff_8000_0000_0000,
		Regs:     kvmabi.Regs{RIP: abi.LibosVA + 100, RFLAGS: 0x246, RSP: ^uint64(0)},
		Segments: [4]uint16{0, abi.UserSS, 3, 0}}
	x := make([]byte, xsaveRegion)
	binary.LittleEndian.PutUint32(x[xsaveMXCSR:], 0x1f80)
	binary.LittleEndian.PutUint64(x[xsaveHeader:], 7)
	x[700] = 1
	if edit != nil {
		edit(c, x)
	}
	state, err := c.encode(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestCPUState(t *testing.T) {
	if n := binary.Size(cpuHead{}); n != cpuHeadSize {
		t.Fatalf("head of %d bytes, constant %d", n, cpuHeadSize)
	}
	state := testState(t, nil)
	if len(state) != cpuHeadSize+701 {
		t.Errorf("%d bytes", len(state))
	}
	c, x, err := decodeCPU(state, testXCR0, testRAM)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.encode(nil, x)
	if err != nil || !bytes.Equal(again, state) {
		t.Errorf("encoded again it differs, %v", err)
	}
	base := startSregs(&abi.LibosHeader{BootTables: 0x240000, GDT: 1, IDT: 2, TSS: 3}, cr4Always)
	s := c.sregs(&base)
	if s.FS.Base != c.FSBase || s.GS.Base != c.GSBase || s.CR3 != abi.TablesPA || s.DS.Unusable != 1 || s.ES != base.ES {
		t.Errorf("%+v", s)
	}
	// Nothing else comes from the state.
	s.FS, s.GS, s.DS, s.CR3, s.CR2 = base.FS, base.GS, base.DS, base.CR3, base.CR2
	if !reflect.DeepEqual(s, base) {
		t.Errorf("%+v, want %+v", s, base)
	}
	// An area in its initial state is all zeros but for the x87 and SSE parts' defaults; its header stays.
	if _, _, err := decodeCPU(testState(t, func(_ *cpuHead, x []byte) { clear(x) }), testXCR0, testRAM); err != nil {
		t.Error(err)
	}
}

func TestCPUStateRefused(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		want string
		edit func(c *cpuHead, x []byte)
	}{
		{"flags", func(c *cpuHead, _ []byte) { c.Regs.RFLAGS = 0 }},
		{"flags", func(c *cpuHead, _ []byte) { c.Regs.RFLAGS |= 3 << 12 }},
		{"flags", func(c *cpuHead, _ []byte) { c.Regs.RFLAGS |= 1 << 17 }},
		{"flags", func(c *cpuHead, _ []byte) { c.Regs.RFLAGS |= 1 << 63 }},
		{"instruction pointer", func(c *cpuHead, _ []byte) { c.Regs.RIP = userLimit }},
		{"FS base", func(c *cpuHead, _ []byte) { c.FSBase = userLimit }},
		{"GS base", func(c *cpuHead, _ []byte) { c.GSBase = 1 << 63 }},
		{"page tables", func(c *cpuHead, _ []byte) { c.CR3 |= 1 }},
		{"page tables", func(c *cpuHead, _ []byte) { c.CR3 = testRAM }},
		{"page tables", func(c *cpuHead, _ []byte) { c.CR3 = abi.SharedGPA }},
		{"page tables", func(c *cpuHead, _ []byte) { c.CR3 |= 1 << 63 }},
		{"DS", func(c *cpuHead, _ []byte) { c.Segments[0] = abi.KernelSS }},
		{"GS", func(c *cpuHead, _ []byte) { c.Segments[3] = 0xffff }},
		{"XCR0", func(c *cpuHead, _ []byte) { c.XCR0 = 7 }},
		{"MXCSR", func(_ *cpuHead, x []byte) { le.PutUint32(x[xsaveMXCSR:], 1<<16) }},
		{"components", func(_ *cpuHead, x []byte) { le.PutUint64(x[xsaveHeader:], 1<<9) }},
		{"components", func(_ *cpuHead, x []byte) { le.PutUint64(x[xsaveHeader:], 1<<63) }},
		{"compacted", func(_ *cpuHead, x []byte) { le.PutUint64(x[xsaveHeader+8:], 1<<63|7) }},
		{"nothing may be", func(_ *cpuHead, x []byte) { x[xsaveHeader+16] = 1 }},
		{"nothing may be", func(_ *cpuHead, x []byte) { x[xsaveStart-1] = 1 }},
	} {
		if _, _, err := decodeCPU(testState(t, c.edit), testXCR0, testRAM); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	state := testState(t, nil)
	for _, c := range []struct {
		want  string
		state []byte
	}{
		{"need at least", nil},
		{"need at least", state[:cpuHeadSize-1]},
		{"it says", state[:len(state)-1]},
		{"it says", append(bytes.Clone(state), 0)},
		{"none (magic", append([]byte{1}, state[1:]...)},
		{"version 2", append(append(bytes.Clone(state[:4]), 2), state[5:]...)},
		{"need 576", func() []byte { s := bytes.Clone(state[:cpuHeadSize]); le.PutUint32(s[cpuHeadSize-8:], 0); return s }()},
	} {
		if _, _, err := decodeCPU(c.state, testXCR0, testRAM); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

// FuzzCPUState: whatever is decoded holds no more than a program may have, and is encoded the same again.
func FuzzCPUState(f *testing.F) {
	f.Add(testState(f, nil))
	f.Add(testState(f, func(c *cpuHead, x []byte) { c.Segments = [4]uint16{}; clear(x) }))
	f.Fuzz(func(t *testing.T, state []byte) {
		c, x, err := decodeCPU(state, testXCR0, testRAM)
		if err != nil {
			return
		}
		const privileged = 3<<12 | 1<<17 | 1<<19 | 1<<20 // IOPL VM VIF VIP
		if c.Regs.RFLAGS&privileged != 0 || c.Regs.RIP>>47 != 0 || c.CR3 >= testRAM || c.CR3&0xfff != 0 || len(x) > xsaveRegion {
			t.Errorf("%+v", c)
		}
		base := startSregs(&abi.LibosHeader{}, cr4Always)
		s := c.sregs(&base)
		if s.CS != base.CS || s.SS != base.SS || s.CR0 != base.CR0 || s.CR4 != base.CR4 || s.EFER != base.EFER || s.GDT != base.GDT || s.IDT != base.IDT || s.TR != base.TR {
			t.Errorf("%+v", s)
		}
		if again, err := c.encode(nil, x); err != nil || !bytes.Equal(bytes.TrimRight(again, "\x00"), bytes.TrimRight(state, "\x00")) {
			// Zeros at the end and their count may differ.
			if err != nil || len(again) > len(state) {
				t.Errorf("encoded again it differs: %v", err)
			}
		}
	})
}

// TestClockAt: the page of a guest that was told what time it is: its monotonic time is that, the time of day the host's.
func TestClockAt(t *testing.T) {
	c := &clock{area: newArea(t, abi.SharedGPA, abi.SharedSize), ticker: newTicker()}
	c.refresh()
	_, mono := now()
	real := c.page.MonoNS + c.page.RealOff
	const day = 86400e9
	for _, at := range []uint64{mono + day, mono / 2, 1e9, mono} {
		c.runAt(at)
		if c.page.MonoNS < at || c.page.MonoNS > at+60e9 {
			t.Errorf("guest at %d, not %d", c.page.MonoNS, at)
		}
		if d := c.page.MonoNS + c.page.RealOff - real; d > 60e9 {
			t.Errorf("time of day jumped by %d ns", int64(d))
		}
		was := c.page.MonoNS
		if c.refresh(); c.page.MonoNS < was {
			t.Errorf("time went back from %d to %d", was, c.page.MonoNS)
		}
	}
	c.runAt(^uint64(0)) // of a hostile state
	if c.page.MonoNS < latest || c.page.MonoNS > latest+60e9 {
		t.Errorf("guest at %d", c.page.MonoNS)
	}
}
