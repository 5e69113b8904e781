// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// stateful is the box's sandbox, which can give its state.
func (b *box) stateful() monitor.Stateful {
	b.t.Helper()
	sb, ok := b.Sandbox.(monitor.Stateful)
	if !ok {
		b.t.Fatalf("%T keeps no state", b.Sandbox)
	}
	return sb
}

// saved is all of a sandbox at one moment.
type saved struct {
	ram, shared []byte
	cpu         []byte
}

func (b *box) save() *saved {
	b.t.Helper()
	sb := b.stateful()
	v := &saved{ram: make([]byte, sb.RAM().Size()), shared: make([]byte, sb.Shared().Size())}
	var err error
	if v.cpu, err = sb.SaveCPU(); err != nil {
		b.t.Fatal(err)
	}
	for _, err := range []error{sb.RAM().ReadAt(v.ram, 0), sb.Shared().ReadAt(v.shared, 0)} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return v
}

// load puts memory and vCPU back. Where the guest ran already its page tables have to be the same.
func (b *box) load(v *saved) {
	b.t.Helper()
	sb := b.stateful()
	for _, err := range []error{sb.RAM().WriteAt(v.ram, 0), sb.Shared().WriteAt(v.shared, 0), sb.LoadCPU(v.cpu)} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// registers is what doState gets in IN, filled with random but possible values.
type registers struct{ in [1024]byte }

const mayFlags = 0x240cd5 // ID AC OF DF SF ZF AF PF CF; TF would trap

func newRegisters(seed byte) *registers {
	r := &registers{}
	c := rand.NewChaCha8([32]byte{seed})
	c.Read(r.in[:])
	le := binary.LittleEndian
	le.PutUint64(r.in[128:], c.Uint64()&mayFlags&^0x40000|0x202) // not AC: doState's own accesses are not aligned
	le.PutUint64(r.in[136:], c.Uint64()>>17)
	le.PutUint64(r.in[144:], ^(c.Uint64() >> 17)) // the other half of the address space
	le.PutUint64(r.in[256:], math.Float64bits(float64(seed)+0.25))
	le.PutUint16(r.in[264:], 0x037f|uint16(seed&3)<<10)
	le.PutUint32(r.in[268:], 0x1f80|uint32(seed&3)<<13)
	return r
}

// put gives the registers to a guest that is about to read IN.
func (b *box) put(r *registers) {
	b.t.Helper()
	if err := b.Shared().WriteAt(r.in[:], noteIn); err != nil {
		b.t.Fatal(err)
	}
}

// checkRegisters compares what doState found behind its doorbell.
func (b *box) checkRegisters(what string, r *registers) {
	b.t.Helper()
	var out [2048]byte
	if err := b.Shared().ReadAt(out[:], noteOut); err != nil {
		b.t.Fatal(err)
	}
	le := binary.LittleEndian
	for i := range 14 { // RBX to R14
		at := 8 + 8*i
		if at == 120 {
			continue
		}
		if got, want := le.Uint64(out[at:]), le.Uint64(r.in[at:]); got != want {
			b.t.Errorf("%s: register %d is 0x%x, want 0x%x", what, i+1, got, want)
		}
	}
	if rax, r15 := le.Uint64(out[0:]), le.Uint64(out[120:]); rax != abi.IdleReady || r15 != abi.DoorbellVA {
		b.t.Errorf("%s: RAX 0x%x, R15 0x%x", what, rax, r15)
	}
	for i, name := range []string{"flags", "FS base", "GS base"} {
		at := 128 + 8*i
		if got, want := le.Uint64(out[at:]), le.Uint64(r.in[at:]); got != want {
			b.t.Errorf("%s: %s 0x%x, want 0x%x", what, name, got, want)
		}
	}
	for i, want := range []uint16{userCS, userSS, 0, 0, userSS} {
		if got := le.Uint16(out[152+2*i:]); got != want {
			b.t.Errorf("%s: segment register %d is 0x%x, want 0x%x", what, i, got, want)
		}
	}
	fx := out[512:1024]
	if cw := le.Uint16(fx); cw != le.Uint16(r.in[264:]) {
		b.t.Errorf("%s: x87 control word 0x%x", what, cw)
	}
	if m := le.Uint32(fx[24:]); m != le.Uint32(r.in[268:]) {
		b.t.Errorf("%s: MXCSR 0x%x", what, m)
	}
	// The double as the 80 bits of ST0: sign 0, exponent, explicit one.
	want := math.Float64frombits(le.Uint64(r.in[256:]))
	frac, exp := math.Frexp(want)
	if m, e := le.Uint64(fx[32:]), le.Uint16(fx[40:]); m != uint64(math.Ldexp(frac, 64)) || e != uint16(exp-1+16383) {
		b.t.Errorf("%s: ST0 is 0x%x, exponent 0x%x; want %g", what, m, e, want)
	}
	for i := range 16 {
		if !bytes.Equal(fx[160+16*i:][:16], r.in[512+32*i:][:16]) {
			b.t.Errorf("%s: XMM%d differs", what, i)
		}
		if b.note32(noteData) != 0 && !bytes.Equal(out[1024+32*i:][:32], r.in[512+32*i:][:32]) {
			b.t.Errorf("%s: YMM%d differs", what, i)
		}
	}
}

// stateLoad: what is saved in one sandbox goes on in others that never ran, any number of times, and in itself after it ran on: registers of
// all kinds, with the doorbell done.
func (s *suite) stateLoad(t *testing.T) {
	b := s.start(t, doState, abi.IdleReady)
	one, two := newRegisters(1), newRegisters(2)
	b.put(one)
	b.expect(monitor.ExitIdle, abi.IdleReady)
	v := b.save()
	if again := b.save(); !bytes.Equal(again.cpu, v.cpu) {
		t.Error("saved twice, the state differs")
	}
	b.put(two)
	b.expect(monitor.ExitQueue, 0)
	b.checkRegisters("after saving", one)
	b.expect(monitor.ExitIdle, abi.IdleReady)
	b.expect(monitor.ExitQueue, 0)
	b.checkRegisters("with others", two)
	for range 2 {
		other := s.start(t, doExit, 0)
		if f, want := other.stateful().Features(), b.stateful().Features(); f != want || f == "" {
			t.Errorf("features %q, the saved ones are %q", f, want)
		}
		other.load(v)
		other.expect(monitor.ExitQueue, 0)
		other.checkRegisters("in a new sandbox", one)
	}
	// In place: behind a doorbell of each kind, and interrupted anywhere.
	for i := range 3 {
		b.put(two)
		b.expect(monitor.ExitIdle, abi.IdleReady)
		if i > 0 {
			b.expect(monitor.ExitQueue, 0)
		}
		if i == 2 {
			b.Kick()
			b.expect(monitor.ExitKick, 0)
		}
		b.load(v)
		b.expect(monitor.ExitQueue, 0)
		b.checkRegisters("rewound", one)
	}
	t.Logf("features: %s; %d bytes of vCPU, AVX %d", b.stateful().Features(), len(v.cpu), b.note32(noteData))
}

// stateInterrupted: a program that is saved and put back in the middle of its work goes on with all its registers.
func (s *suite) stateInterrupted(t *testing.T) {
	b := s.start(t, doPreempt, 0)
	after(t, 20*time.Millisecond, b.Kick)
	b.expect(monitor.ExitKick, 0)
	v := b.save()
	for _, x := range []*box{b, s.start(t, doExit, 0)} {
		x.load(v)
		after(t, 20*time.Millisecond, x.Preempt)
		x.expect(monitor.ExitDone, vector(abi.VecPreempt))
		x.checkPreempted(1)
	}
}

// stateTables: page tables other than those at boot are used by a new sandbox too.
func (s *suite) stateTables(t *testing.T) {
	b := s.start(t, doCR3, 0)
	b.expect(monitor.ExitIdle, 0)
	v := b.save()
	other := s.start(t, doExit, 0)
	other.load(v)
	for i, x := range []*box{b, other, b} {
		want := uint64(i)*1000 + 7
		x.stateful().RAM().Store64(8<<20, want)
		x.expect(monitor.ExitQueue, 0)
		if got := x.note64(noteData); got != want {
			t.Errorf("sandbox %d read %d, want %d", i, got, want)
		}
		x.expect(monitor.ExitIdle, 0)
	}
}

// stateStale: a page table that the host changes. Where KVM shadows page tables it does not notice: ForgetTables makes it look; what the guest stores
// itself it sees at once.
func (s *suite) stateStale(t *testing.T) {
	const a, b8, c = 8, 10, 12 // MiB
	b := s.start(t, doRemap, a)
	sb := b.stateful()
	for _, mib := range []uint64{a, b8, c} {
		sb.RAM().Store64(mib<<20, mib)
	}
	see := func(what string, want uint64) {
		t.Helper()
		b.expect(monitor.ExitQueue, 0)
		if got := b.note64(noteData); got != want {
			t.Errorf("%s: the guest sees what is at %d MiB, want %d", what, got, want)
		}
	}
	see("at first", a)
	pd := b.note64(noteData + 8)
	const leaf = 0xe7
	for _, tracked := range []bool{false, true} {
		if tracked {
			if err := sb.Track(); err != nil {
				t.Fatal(err)
			}
		}
		sb.RAM().Store64(pd, b8<<20|leaf)
		b.expect(monitor.ExitQueue, 0)
		t.Logf("an entry that the host changed: the guest sees %d MiB, the entry says %d", b.note64(noteData), b8)
		if err := sb.ForgetTables(); err != nil {
			t.Fatal(err)
		}
		see("tables forgotten", b8)
		b.Shared().Store64(noteData+16, c<<20|leaf)
		see("entry stored by the guest", c)
		b.Shared().Store64(noteData+16, a<<20|leaf)
		see("entry stored by the guest again", a)
	}
}

// stateBlocks: blocks of RAM that are exchanged while the guest is out of the way: for a file, which it can write to without changing it, and for nothing.
func (s *suite) stateBlocks(t *testing.T) {
	const mib = 8
	b := s.start(t, doRemap, mib)
	ram := b.stateful().RAM()
	see := func(what string, want uint64) {
		t.Helper()
		b.expect(monitor.ExitQueue, 0)
		if got := b.note64(noteData); got != want {
			t.Errorf("%s: the guest sees 0x%x, want 0x%x", what, got, want)
		}
	}
	ram.Store64(mib<<20, 5)
	see("memory", 5)
	f, content := hostFile(t, 7, 2<<20)
	first := binary.LittleEndian.Uint64(content)
	if err := ram.MapFilePrivate(mib<<20, 2<<20, f, 0); err != nil {
		t.Fatal(err)
	}
	see("a file", first)
	ram.Store64(mib<<20, 6)
	see("a page that the host wrote", 6)
	if err := ram.Discard(mib<<20, 2<<20); err != nil {
		t.Fatal(err)
	}
	see("memory that was given back", 0)

	w := s.start(t, doWrite, 0)
	ram = w.stateful().RAM()
	if err := ram.MapFilePrivate(mib<<20, 2<<20, f, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.stateful().Track(); err != nil {
		t.Fatal(err)
	}
	w.expect(monitor.ExitQueue, 0)
	const page = mib<<20/4096 + 3
	w.write([]uint64{page})
	w.checkWritten("pages of a file", []uint64{page})
	got := make([]byte, 2<<20)
	if err := ram.ReadAt(got, mib<<20); err != nil {
		t.Fatal(err)
	}
	content[3*4096]++ // what the guest did
	if !bytes.Equal(got, content) {
		t.Error("the guest's memory differs")
	}
	content[3*4096]--
	if now, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the guest changed the file, %v", err)
	}
}

// stateRefused: states that are not well-formed are refused by name; those that are, whatever is in them, run and end or are stopped.
func (s *suite) stateRefused(t *testing.T) {
	b := s.start(t, doState, abi.IdleReady)
	b.put(newRegisters(3))
	b.expect(monitor.ExitIdle, abi.IdleReady)
	v := b.save()
	for n := range v.cpu {
		if err := b.stateful().LoadCPU(v.cpu[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d were taken", n, len(v.cpu))
		} else if n == 100 && err.Error() == "" {
			t.Error("an error without text")
		}
	}
	if b.stateful().LoadCPU(append(bytes.Clone(v.cpu), 0)) == nil {
		t.Error("a byte too many was taken")
	}
	taken := 0
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 / s.o.Slow {
		hostile := bytes.Clone(v.cpu)
		for range 1 + r.IntN(3) {
			hostile[r.IntN(len(hostile))] ^= 1 << r.IntN(8)
		}
		x := s.start(t, doExit, 0)
		sb := x.stateful()
		for _, err := range []error{sb.RAM().WriteAt(v.ram, 0), sb.Shared().WriteAt(v.shared, 0)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if sb.LoadCPU(hostile) != nil {
			x.Close()
			continue
		}
		taken++
		stop := time.AfterFunc(time.Duration(s.o.Slow)*20*time.Millisecond, x.Kick)
		if e, err := x.Run(); err != nil {
			t.Errorf("Run: %v", err)
		} else if e.Kind == monitor.ExitFault && e.Report == "" {
			t.Errorf("no report: %+v", e)
		}
		stop.Stop()
		x.Close()
	}
	// The one that was refused so often is none the worse for it.
	if err := b.stateful().LoadCPU(v.cpu); err != nil {
		t.Fatal(err)
	}
	b.expect(monitor.ExitQueue, 0)
	b.checkRegisters("after refusals", newRegisters(3))
	t.Logf("%d of %d hostile states were taken", taken, 200/s.o.Slow)
}

// stateTainted: what a hostile guest did to its CPU at CPL0 is gone once it is put back.
func (s *suite) stateTainted(t *testing.T) {
	b := s.start(t, doTaint, 0)
	b.expect(monitor.ExitIdle, 0)
	b.Shared().Store64(noteData, 0)
	v := b.save()
	b.Shared().Store64(noteData, 1)
	if e := b.run(); e.Kind != monitor.ExitQueue {
		t.Fatalf("%+v", e)
	}
	b.expect(monitor.ExitQueue, 0)
	t.Logf("XCR0 0x%x after setting it to 1 at CPL0", b.note32(noteData+24))
	b.load(v)
	b.expect(monitor.ExitDone, 0)
	if cs := b.note64(noteData + 16); cs != userCS { // where program_syscall leaves it
		t.Errorf("the system call returned with CS 0x%x", cs)
	}
	if x, dr0, dr3 := b.note32(noteData+24), b.note64(noteData+32), b.note64(noteData+40); x&3 != 3 || dr0 != 0 || dr3 != 0 {
		t.Errorf("XCR0 0x%x, DR0 0x%x, DR3 0x%x", x, dr0, dr3)
	}
}

// stateClock: a guest's monotonic clock goes on from where it is told, never back; its time of day stays the host's.
func (s *suite) stateClock(t *testing.T) {
	b := s.start(t, doClock, 0) // ends if its time goes back
	sb := b.stateful()
	run := func() (guest, host uint64) {
		for was := b.note64(noteData + 8); b.note64(noteData+8) == was; {
			after(t, 20*time.Millisecond, b.Kick)
			b.expect(monitor.ExitKick, 0)
		}
		return b.note64(noteData + 8), monotonic(t)
	}
	if guest, host := run(); guest > host || sb.MonoOffset() != 0 {
		t.Errorf("guest %d, host %d, offset %d", guest, host, sb.MonoOffset())
	}
	for range 3 {
		from := monotonic(t) + sb.MonoOffset() + uint64(time.Hour)
		sb.RunAt(from)
		guest, host := run()
		off := sb.MonoOffset()
		if guest < from || guest > host+off || off < uint64(time.Hour)-uint64(time.Minute) || guest > from+uint64(time.Minute) {
			t.Errorf("from %d: guest %d, host %d, offset %d", from, guest, host, off)
		}
		c := b.Shared()
		real := int64(c.Load64(abi.ClockMonoNS) + c.Load64(abi.ClockRealOff))
		if d := time.Since(time.Unix(0, real)); d < -time.Second || d > time.Minute {
			t.Errorf("time of day is off by %v", d)
		}
		if sec, nsec := c.Load64(abi.ClockRealSec), c.Load64(abi.ClockRealNsec); int64(sec*1e9+nsec) != real || nsec >= 1e9 {
			t.Errorf("time of day %d.%09d, want %d", sec, nsec, real)
		}
		if sec, nsec := c.Load64(abi.ClockMonoSec), c.Load64(abi.ClockMonoNsec); sec*1e9+nsec != c.Load64(abi.ClockMonoNS) || nsec >= 1e9 {
			t.Errorf("monotonic time %d.%09d", sec, nsec)
		}
	}
	sb.RunAt(math.MaxUint64) // of a hostile snapshot
	run()
	run()
}
