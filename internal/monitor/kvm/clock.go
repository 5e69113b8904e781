// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"math/bits"
	"sync"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

// clock writes the clock page of one guest. The guest's time never goes back: where it got ahead of the host's
// CLOCK_MONOTONIC it runs slower until the host has caught up, where it fell behind it jumps.
type clock struct {
	area   *guestmem.Area
	ticker *ticker
	seq    uint32
	page   abi.Clock // what the guest was told last; MonoNS 0: nothing yet
	real   uint64    // ns, the host's CLOCK_REALTIME - CLOCK_MONOTONIC, as in page
	boot   uint64    // the same of CLOCK_BOOTTIME
	ahead  uint64    // ns modulo 2^64, what the guest's CLOCK_MONOTONIC is ahead of the host's
}

// latest is how far a guest's CLOCK_MONOTONIC may be made to go: beyond, a signed number of nanoseconds gets short (292 years). A state from
// anywhere asks for it.
const latest = 1 << 62

// runAt makes the guest's CLOCK_MONOTONIC ns now. Preconditions: its memory knows of no later moment.
func (c *clock) runAt(ns uint64) {
	_, mono := now()
	c.ahead = min(ns, latest) - mono // modulo 2^64
	c.page.MonoNS = 0
	c.refresh()
}

// maxSlow is the largest part by which guest time runs slower than the host's, as the kernel's own clocks do.
const maxSlow = 500e-6

// refresh writes the page anew. Not safe for concurrent use.
func (c *clock) refresh() {
	// The sequence number is odd before the time is taken: a guest that reads meanwhile starts again, so that none can have
	// used the old rate for a moment that the new one covers.
	c.area.Store32(abi.ClockSeq, c.seq+1)
	c.page = c.next()
	c.area.Store32(abi.ClockShift, c.page.Shift)
	c.area.Store64(abi.ClockTSCBase, c.page.TSCBase)
	c.area.Store64(abi.ClockMonoSec, c.page.MonoSec)
	c.area.Store64(abi.ClockMonoNsec, c.page.MonoNsec)
	c.area.Store64(abi.ClockRealSec, c.page.RealSec)
	c.area.Store64(abi.ClockRealNsec, c.page.RealNsec)
	c.area.Store64(abi.ClockMonoNS, c.page.MonoNS)
	c.area.Store64(abi.ClockMult, c.page.Mult)
	c.area.Store64(abi.ClockRealOff, c.page.RealOff)
	c.area.Store64(abi.ClockBootOff, c.page.BootOff)
	c.area.Store64(abi.ClockTSCKHz, c.page.TSCKHz)
	c.seq += 2
	c.area.Store32(abi.ClockSeq, c.seq)
}

// next computes the page.
func (c *clock) next() abi.Clock {
	tsc, mono := now()
	rate := c.ticker.rate(tsc, mono)
	mono += c.ahead
	khz := uint64(1e6/rate + 0.5)
	if c.page.MonoNS != 0 {
		if guest := guestTime(&c.page, tsc); guest > mono {
			rate *= 1 - min(float64(guest-mono)/1e9, maxSlow)
			mono = guest
		}
	}
	p := abi.Clock{TSCBase: tsc, MonoNS: mono, Shift: 32, TSCKHz: khz}
	for rate*float64(uint64(1)<<p.Shift) >= 1<<32 {
		p.Shift--
	}
	p.Mult = uint64(rate * float64(uint64(1)<<p.Shift))
	c.real, c.boot = offset(unix.CLOCK_REALTIME, c.real), offset(unix.CLOCK_BOOTTIME, c.boot)
	// Of these two the guest's CLOCK_BOOTTIME goes on with its CLOCK_MONOTONIC; the time of day is everybody's.
	p.RealOff, p.BootOff = c.real-c.ahead, c.boot
	const second = 1e9
	p.MonoSec, p.MonoNsec = mono/second, mono%second
	p.RealSec, p.RealNsec = (mono+p.RealOff)/second, (mono+p.RealOff)%second
	return p
}

// offset is clock id minus CLOCK_MONOTONIC; was is what it was. The two cannot be read in one moment: a difference from was that
// the time between can explain is none, or the guest's clocks would go back.
func offset(id int32, was uint64) uint64 {
	best, off := ^uint64(0), uint64(0)
	for range 3 {
		a := clockNS(unix.CLOCK_MONOTONIC)
		v := clockNS(id)
		if took := clockNS(unix.CLOCK_MONOTONIC) - a; took < best {
			best, off = took, v-a-took/2
		}
	}
	if off-was+best <= 2*best {
		return was
	}
	return off
}

// guestTime is what a guest computes from page p at tsc.
func guestTime(p *abi.Clock, tsc uint64) uint64 {
	hi, lo := bits.Mul64(tsc-p.TSCBase, p.Mult)
	return p.MonoNS + (hi<<(64-p.Shift) | lo>>p.Shift)
}

// ticker knows how long a tick of the TSC takes, better the longer it exists.
type ticker struct {
	mu        sync.Mutex
	tsc, mono uint64  // where measuring started
	known     float64 // ns a tick, as KVM says; 0: it did not
}

func newTicker() *ticker {
	t := &ticker{}
	t.tsc, t.mono = now()
	return t
}

// setKHz tells the frequency that KVM names.
func (t *ticker) setKHz(khz int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if khz > 0 {
		t.known = 1e6 / float64(khz)
	}
}

// rate is in ns a tick. A second of measuring is better than KVM's figure, which is rounded and knows nothing of how
// the kernel disciplines CLOCK_MONOTONIC.
func (t *ticker) rate(tsc, mono uint64) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	const enough = 1e9
	for t.known == 0 && mono < t.mono+enough/100 {
		tsc, mono = now() // 10 ms of spinning, on kernels that do not tell
	}
	if mono < t.mono+enough && t.known != 0 {
		return t.known
	}
	measured := float64(mono-t.mono) / float64(tsc-t.tsc)
	if t.known != 0 && (measured > t.known*1.001 || measured < t.known*0.999) {
		// The counter jumped: the host itself was restored or moved. Start again.
		t.tsc, t.mono = tsc, mono
		return t.known
	}
	return measured
}

// now is one moment on both clocks, the closest of a few readings.
func now() (tsc, mono uint64) {
	best := ^uint64(0)
	for range 3 {
		a := rdtsc()
		m := clockNS(unix.CLOCK_MONOTONIC)
		if b := rdtsc(); b-a < best {
			best, tsc, mono = b-a, a+(b-a)/2, m
		}
	}
	return tsc, mono
}

func clockNS(id int32) uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0
	}
	return uint64(ts.Nano())
}
