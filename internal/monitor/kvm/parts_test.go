// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

func newArea(t *testing.T, gpa guestmem.GuestAddr, size uint64) *guestmem.Area {
	t.Helper()
	a, err := guestmem.New(gpa, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// walk translates va as the CPU does; flags are those of the leaf.
func walk(t *testing.T, ram *guestmem.Area, root, va uint64) (pa, flags uint64, ok bool) {
	t.Helper()
	table := root
	for level := 4; ; level-- {
		shift := 12 + 9*(level-1)
		e := ram.Load64(table + va>>shift&511*8)
		if e&ptePresent == 0 {
			return 0, 0, false
		}
		if e&pteUser == 0 || e&pteAccessed == 0 {
			t.Errorf("entry 0x%x for 0x%x at level %d: not user or not accessed", e, va, level)
		}
		addr := e &^ uint64(pteNX) &^ 0xfff
		if level == 1 || e&pteHuge != 0 {
			off := va & (1<<shift - 1)
			return addr + off, e & (pteWrite | pteNX | pteDirty), true
		}
		table = addr
	}
}

// TestTables builds the largest tables there can be and walks them.
func TestTables(t *testing.T) {
	const root = 0x240000
	m := &memory{ram: newArea(t, abi.RAMGPA, abi.RAMMax), image: newArea(t, abi.ImageGPA, abi.ImageMax)}
	if err := m.buildTables(&elfx.Libos{Header: abi.LibosHeader{BootTables: root}}); err != nil {
		t.Fatal(err)
	}
	const rx, rw, ro = pteDirty, pteDirty | pteWrite | pteNX, pteDirty | pteNX
	for _, c := range []struct{ va, pa, flags uint64 }{
		{abi.LibosVA, 0, rx},
		{abi.LibosVA + 0x1fffff, 0x1fffff, rx},
		{abi.LibosDataVA, 0x200000, rw},
		{abi.LibosDataVA + 0x1fffff, 0x3fffff, rw},
		{abi.SharedVA, abi.SharedGPA, rw},
		{abi.SharedVA + abi.SharedSize - 1, abi.SharedGPA + abi.SharedSize - 1, rw},
		{abi.DoorbellVA, abi.DoorbellGPA, rw},
		{abi.PhysVA, 0, rw},
		{abi.PhysVA + abi.RAMMax - 1, abi.RAMMax - 1, rw},
		{abi.ImageVA, abi.ImageGPA, ro},
		{abi.ImageVA + abi.ImageMax - 1, abi.ImageGPA + abi.ImageMax - 1, ro},
	} {
		if pa, flags, ok := walk(t, m.ram, root, c.va); !ok || pa != c.pa || flags != c.flags {
			t.Errorf("0x%x: 0x%x, flags 0x%x, %v; want 0x%x, 0x%x", c.va, pa, flags, ok, c.pa, c.flags)
		}
	}
	for _, va := range []uint64{0, 0x400000, abi.LibosVA - 1, abi.LibosDataVA + 0x200000, abi.SharedVA + abi.SharedSize, abi.DoorbellVA + 4096,
		abi.PhysVA + abi.RAMMax, abi.ImageVA + abi.ImageMax, abi.WindowEnd, abi.UserEnd} {
		if pa, _, ok := walk(t, m.ram, root, va); ok {
			t.Errorf("0x%x is mapped to 0x%x", va, pa)
		}
	}
	small := &memory{ram: newArea(t, abi.RAMGPA, abi.RAMMin)}
	if err := small.buildTables(&elfx.Libos{Header: abi.LibosHeader{BootTables: root}}); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := walk(t, small.ram, root, abi.ImageVA); ok {
		t.Error("no image, but it is mapped")
	}
	if _, _, ok := walk(t, small.ram, root, abi.PhysVA+abi.RAMMin); ok {
		t.Error("mapped behind the end of RAM")
	}
}

func TestBootBlock(t *testing.T) {
	c := &monitor.Config{Memory: 64 << 20, Layers: []monitor.Layer{{Size: 99}, {Size: 2<<20 + 1}, {Size: 5}}, Boot: monitor.Boot{
		Program: "/bin/prog", Args: []string{"prog", "", "a b"}, Env: []string{"A=B", "C="}, Cwd: "/tmp", Hostname: "host",
		UID: 1, GID: 2, MaxFiles: 3, OverlayMax: 4, Flags: abi.BootStrace}}
	b, err := bootBlock(c)
	if err != nil {
		t.Fatal(err)
	}
	var h abi.Boot
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	strs := func(off, n uint32) (list []string) {
		rest := b[off:]
		for range n {
			s, r, ok := bytes.Cut(rest, []byte{0})
			if !ok {
				t.Fatal("string without end")
			}
			list, rest = append(list, string(s)), r
		}
		return list
	}
	for _, c := range []struct {
		off, n uint32
		want   []string
	}{{h.Argv, h.Argc, c.Boot.Args}, {h.Envp, h.Envc, c.Boot.Env}, {h.Program, 1, []string{"/bin/prog"}}, {h.Cwd, 1, []string{"/tmp"}},
		{h.Hostname, 1, []string{"host"}}} {
		if got := strs(c.off, c.n); strings.Join(got, "|") != strings.Join(c.want, "|") || len(got) != len(c.want) {
			t.Errorf("strings %q, want %q", got, c.want)
		}
	}
	if int(h.Size) != len(b) || h.Magic != abi.Magic || h.Version != abi.Version || h.RAMSize != 64<<20 || h.ImageSize != 6<<20+5 ||
		h.UID != 1 || h.GID != 2 || h.MaxFiles != 3 || h.OverlayMax != 4 || h.Flags != abi.BootStrace {
		t.Errorf("%+v", h)
	}
	if h.Layers != 3 || h.Layer != [abi.LayersMax]abi.Layer{{Size: 99}, {Offset: 2 << 20, Size: 2<<20 + 1}, {Offset: 6 << 20, Size: 5}} {
		t.Errorf("layers %+v", h.Layer)
	}
}

// supported is a host's CPUID with everything.
func supported() *kvmabi.CPUID {
	c := &kvmabi.CPUID{}
	add := func(f, i, v uint32) {
		c.Entries[c.Nent] = kvmabi.CPUIDEntry{Function: f, Index: i, EAX: v, EBX: v, ECX: v, EDX: v}
		c.Nent++
	}
	const all = ^uint32(0)
	for f := range uint32(0x25) {
		add(f, 0, all)
	}
	for f := range uint32(0x27) {
		add(0x80000000+f, 0, all)
	}
	add(7, 1, all)
	for i := uint32(1); i < 64; i++ {
		add(0xd, i, 64*i)
	}
	add(0x40000000, 0, all)
	add(0x40000001, 0, all)
	return c
}

func leaf(c *kvmabi.CPUID, f, i uint32) kvmabi.CPUIDEntry {
	for _, e := range c.Entries[:c.Nent] {
		if e.Function == f && e.Index == i {
			return e
		}
	}
	return kvmabi.CPUIDEntry{}
}

func TestRestrictCPUID(t *testing.T) {
	c := supported()
	f, err := restrictCPUID(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	if f.xcr0 != 0xe7 || f.cr4 != cr4Always|cr4FSGSBASE|cr4OSXSAVE {
		t.Errorf("features %+v", f)
	}
	for _, x := range []struct {
		name      string
		f, i      uint32
		reg, bits uint32 // register 0 to 3
		want      bool
	}{
		{"MONITOR", 1, 0, 2, 1 << 3, false},
		{"VMX", 1, 0, 2, 1 << 5, false},
		{"TSC deadline", 1, 0, 2, 1 << 24, false},
		{"hypervisor", 1, 0, 2, 1 << 31, true},
		{"AVX", 1, 0, 2, 1 << 28, true},
		{"HTT", 1, 0, 3, 1 << 28, false},
		{"FSGSBASE", 7, 0, 1, 1, true},
		{"RTM", 7, 0, 1, 1 << 11, false},
		{"AVX-512F", 7, 0, 1, 1 << 16, true},
		{"PKU", 7, 0, 2, 1 << 3, false},
		{"WAITPKG", 7, 0, 2, 1 << 5, false},
		{"AMX", 7, 0, 3, 1<<22 | 1<<24 | 1<<25, false},
		{"XSAVES", 0xd, 1, 0, 1 << 3, false},
		{"SVM", 0x80000001, 0, 2, 1 << 2, false},
		{"MWAITX", 0x80000001, 0, 2, 1 << 29, false},
		{"long mode", 0x80000001, 0, 3, 1 << 29, true},
	} {
		e := leaf(c, x.f, x.i)
		if got := [4]uint32{e.EAX, e.EBX, e.ECX, e.EDX}[x.reg]&x.bits != 0; got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
	for _, f := range []uint32{5, 0xa, 0x12, 0x14, 0x1d, 0x1e, 0x8000000a, 0x8000001f, 0x40000001} {
		if e := leaf(c, f, 0); e.EAX|e.EBX|e.ECX|e.EDX != 0 {
			t.Errorf("leaf 0x%x is there", f)
		}
	}
	if e := leaf(c, 0xd, 0); e.EAX != 0xe7 || e.EDX != 0 || e.ECX != 64*7*2 {
		t.Errorf("leaf 0xd: %+v", e)
	}
	if e := leaf(c, 0xd, 17); e.EAX != 0 {
		t.Errorf("AMX state is there: %+v", e)
	}
}

func TestRestrictCPUIDRefuses(t *testing.T) {
	c := supported()
	for i := range c.Entries[:c.Nent] {
		if c.Entries[i].Function == 7 {
			c.Entries[i].EBX = 0
		}
	}
	without := *c
	if _, err := restrictCPUID(c, 0); err == nil || !strings.Contains(err.Error(), "FSGSBASE") {
		t.Errorf("no FSGSBASE: %v", err)
	}
	if f, err := restrictCPUID(&without, cr4FSGSBASE); err != nil || f.cr4&cr4FSGSBASE != 0 {
		t.Errorf("FSGSBASE of the host only: %+v, %v", f, err)
	}
	if _, err := restrictCPUID(&kvmabi.CPUID{}, cr4FSGSBASE); err == nil || !strings.Contains(err.Error(), "XSAVE") {
		t.Errorf("no XSAVE: %v", err)
	}
	if _, err := restrictCPUID(&kvmabi.CPUID{Nent: kvmabi.CPUIDMax + 1}, cr4FSGSBASE); err == nil {
		t.Error("too many entries were taken")
	}
}

// TestClockForward renews the page at odd moments: guest time never goes back and stays with the host's.
func TestClockForward(t *testing.T) {
	c := &clock{area: newArea(t, abi.SharedGPA, abi.SharedSize), ticker: newTicker()}
	for i := range 200 {
		old := c.page
		c.refresh()
		if old.MonoNS != 0 && guestTime(&c.page, c.page.TSCBase) < guestTime(&old, c.page.TSCBase) {
			t.Fatalf("renewal %d: time went back by %d ns", i, guestTime(&old, c.page.TSCBase)-guestTime(&c.page, c.page.TSCBase))
		}
		time.Sleep(time.Duration(i%5) * 100 * time.Microsecond)
		tsc, mono := now()
		if off := int64(guestTime(&c.page, tsc) - mono); off > 100_000 || off < -100_000 {
			t.Fatalf("renewal %d: off by %d ns", i, off)
		}
	}
	if seq := c.area.Load32(abi.ClockSeq); seq != 400 {
		t.Errorf("sequence number %d", seq)
	}
	if c.page.Mult >= 1<<32 || c.page.Shift > 32 {
		t.Errorf("mult 0x%x, shift %d", c.page.Mult, c.page.Shift)
	}
}

// TestClockAhead: a guest that is ahead runs slower, it does not jump back; one that is behind jumps.
func TestClockAhead(t *testing.T) {
	c := &clock{area: newArea(t, abi.SharedGPA, abi.SharedSize), ticker: newTicker()}
	c.refresh()
	normal := c.page.Mult
	c.page.MonoNS += 5e6
	before := guestTime(&c.page, rdtsc())
	c.refresh()
	if guestTime(&c.page, c.page.TSCBase) < before {
		t.Error("time went back")
	}
	if slow := 1 - float64(c.page.Mult)/float64(normal); slow < maxSlow*0.9 || slow > maxSlow*1.1 {
		t.Errorf("runs slower by %g", slow)
	}
	c.page.MonoNS -= 5e9
	c.refresh()
	tsc, mono := now()
	if off := int64(guestTime(&c.page, tsc) - mono); off > 100_000 || off < -100_000 {
		t.Errorf("still off by %d ns", off)
	}
}

func TestTicker(t *testing.T) {
	k := &ticker{tsc: 1000, mono: 5000}
	k.setKHz(2_000_000)
	if r := k.rate(2000, 6000); r != 0.5 {
		t.Errorf("rate %g", r)
	}
	// After two seconds of measuring the counter turns out a little faster than it is called.
	if r := k.rate(1000+4_000_400_000, 5000+2_000_000_000); r >= 0.5 || r < 0.4999 {
		t.Errorf("rate %g", r)
	}
	// A counter that jumped is not believed, now or later.
	if r := k.rate(1000, 5000+3_000_000_000); r != 0.5 {
		t.Errorf("rate %g after a jump", r)
	}
	if r := k.rate(1000+4_000_000_000, 5000+5_000_000_000); r != 0.5 {
		t.Errorf("rate %g after the jump", r)
	}
}

// TestPanicText: the first line says what the library OS said, and no more than a line of it.
func TestPanicText(t *testing.T) {
	for _, c := range []struct {
		code         uint32
		report, want string
	}{
		{abi.PanicBug, "cannot mount the image: no magic\nlast system calls:", "the library OS gave up: cannot mount the image: no magic"},
		{abi.PanicBug, "", "the library OS gave up: a bug"},
		{abi.PanicTrap, "rip 0", "the library OS gave up: an exception in itself"},
	} {
		if got := panicText(c.code, c.report); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := panicText(abi.PanicBug, strings.Repeat("é", 5000)); len(got) > 250 || !utf8.ValidString(got) {
		t.Errorf("got %d bytes", len(got))
	}
}
