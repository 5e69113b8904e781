// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

func (s *suite) kick(t *testing.T) {
	b := s.start(t, doLoop, 0)
	b.Kick() // before Run
	b.expect(monitor.ExitKick, 0)
	for range 3 {
		after(t, 20*time.Millisecond, b.Kick)
		t0 := time.Now()
		b.expect(monitor.ExitKick, 0)
		if d := time.Since(t0); d > time.Duration(s.o.Slow)*time.Second {
			t.Errorf("kick took %v", d)
		}
	}
}

// kickStorm looks for a kick that gets lost: each must end one Run.
func (s *suite) kickStorm(t *testing.T) {
	b := s.start(t, doLoop, 0)
	var want atomic.Int32
	var wg sync.WaitGroup
	next := make(chan struct{})
	wg.Go(func() {
		for range next {
			for range want.Load() % 7 * 1000 { // hit all places between Run's instructions
				runtime.KeepAlive(b)
			}
			b.Kick()
		}
	})
	for i := range int32(300) {
		want.Store(i)
		next <- struct{}{}
		b.expect(monitor.ExitKick, 0)
	}
	close(next)
	wg.Wait()
}

// frame reads what the guest saw at its last exception or preemption.
func (b *box) frame() abi.ExcFrame {
	b.t.Helper()
	buf := make([]byte, abi.ExcFrameSize)
	if err := b.Shared().ReadAt(buf, noteFrame); err != nil {
		b.t.Fatal(err)
	}
	var f abi.ExcFrame
	if err := binary.Read(bytes.NewReader(buf), binary.LittleEndian, &f); err != nil {
		b.t.Fatal(err)
	}
	return f
}

// preempt: a program gets into the exception handler with all its registers, as if by an exception.
func (s *suite) preempt(t *testing.T) {
	b := s.start(t, doPreempt, 0)
	after(t, 20*time.Millisecond, b.Preempt)
	b.expect(monitor.ExitDone, vector(abi.VecPreempt))
	b.checkPreempted(1)
}

// checkPreempted compares the frame with the registers that the payload sets.
func (b *box) checkPreempted(count uint64) {
	b.t.Helper()
	f := b.frame()
	if f.Vector != abi.VecPreempt || f.CS != userCS || f.SS != userSS || f.CR2 != 0 || f.Error != 0 {
		b.t.Errorf("frame %+v", f)
	}
	if f.RAX != 0x1001 || f.RSP != 0x1010 || f.RIP < abi.LibosVA || f.RIP >= abi.LibosDataVA {
		b.t.Errorf("frame %+v", f)
	}
	const carry, direction = 1 << 0, 1 << 10
	if f.RFLAGS&(carry|direction) != carry|direction {
		b.t.Errorf("flags 0x%x", f.RFLAGS)
	}
	for i := range uint64(14) {
		if v := b.note64(noteRegs + 8*i); v != 0x1002+i {
			b.t.Errorf("register %d is 0x%x", i, v)
		}
	}
	if n := b.note64(noteCount); n != count {
		b.t.Errorf("%d preemptions, want %d", n, count)
	}
}

// preemptResume: programs go on after it, any number of times.
func (s *suite) preemptResume(t *testing.T) {
	const times = 200
	b := s.start(t, doPreempt, times)
	b.preemptUntilEnd(vector(abi.VecPreempt))
	b.checkPreempted(times + 1)
}

// preemptLibos: the library OS is never interrupted, only told.
func (s *suite) preemptLibos(t *testing.T) {
	b := s.start(t, doFlagged, 0)
	after(t, 20*time.Millisecond, b.Preempt)
	b.expect(monitor.ExitDone, 9<<8)
	if n := b.note64(noteCount); n != 0 {
		t.Errorf("%d exceptions", n)
	}
	// Before the first Run it is the library OS that would be interrupted.
	b = s.start(t, doFlagged, 0)
	b.Preempt()
	b.expect(monitor.ExitDone, 9<<8)
}

// preemptUntilEnd preempts all the time while the guest runs to its end.
func (b *box) preemptUntilEnd(status uint32) {
	b.t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				b.Preempt()
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	b.expect(monitor.ExitDone, status)
}

// preemptFaulting: an exception that is on its way is not taken for one of the library OS.
func (s *suite) preemptFaulting(t *testing.T) {
	b := s.start(t, doFaults, 100)
	b.preemptUntilEnd(0)
	t.Logf("%d faults, %d preemptions", b.note64(noteData+8), b.note64(noteCount))
}
