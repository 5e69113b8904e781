// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"runtime"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// Options say what a monitor is like.
type Options struct {
	// NoTables: guests cannot edit page tables (the monitor does not use those in RAM).
	NoTables bool
	// NoTraps: privileged instructions reach the guest in another form than the CPU's exceptions.
	NoTraps bool
	// NoState: sandboxes are not monitor.Stateful.
	NoState bool
	// Slow stretches all timeouts.
	Slow int
}

// suite runs tests against one monitor.
type suite struct {
	m     monitor.Monitor
	o     Options
	guest []byte
}

// Run runs the suite. The monitor is probed first; one that does not work here skips it.
func Run(t *testing.T, m monitor.Monitor, o Options) {
	if err := m.Probe(); err != nil {
		t.Skipf("monitor %s: %v", m.Name(), err)
	}
	if o.Slow == 0 {
		o.Slow = 1
	}
	s := &suite{m: m, o: o, guest: Guest(t)}
	for _, c := range []struct {
		name string
		f    func(*testing.T)
		skip bool
	}{
		{"ExitStatus", s.exitStatus, false},
		{"Doorbells", s.doorbells, false},
		{"Reports", s.reports, false},
		{"BadDoorbells", s.badDoorbells, false},
		{"Kick", s.kick, false},
		{"KickStorm", s.kickStorm, false},
		{"Preempt", s.preempt, false},
		{"PreemptResume", s.preemptResume, false},
		{"PreemptLibos", s.preemptLibos, false},
		{"PreemptFaulting", s.preemptFaulting, o.NoTraps},
		{"Exceptions", s.exceptions, o.NoTraps},
		{"TripleFault", s.tripleFault, o.NoTraps},
		{"Syscall", s.syscall, o.NoTraps},
		{"Holes", s.holes, o.NoTables},
		{"CPU", s.cpu, false},
		{"Clock", s.clock, false},
		{"Memory", s.memory, false},
		{"Image", s.image, false},
		{"Files", s.files, o.NoTables},
		{"FilesCutShort", s.filesCutShort, o.NoTables},
		{"Echo", s.echo, false},
		{"HostileStorm", s.hostileStorm, false},
		{"HostileScribble", s.hostileScribble, false},
		{"HostileKernel", s.hostileKernel, o.NoTraps},
		{"HostileIndices", s.hostileIndices, false},
		{"StateLoad", s.stateLoad, o.NoState},
		{"StateInterrupted", s.stateInterrupted, o.NoState},
		{"StateTables", s.stateTables, o.NoState || o.NoTables},
		{"StateStale", s.stateStale, o.NoState || o.NoTables},
		{"StateBlocks", s.stateBlocks, o.NoState || o.NoTables},
		{"StateRefused", s.stateRefused, o.NoState},
		{"StateTainted", s.stateTainted, o.NoState || o.NoTraps},
		{"StateClock", s.stateClock, o.NoState},
		{"Track", s.track, o.NoState},
		{"TrackHost", s.trackHost, o.NoState},
		{"Refused", s.refused, false},
		{"Close", s.close, false},
		{"Parallel", s.parallel, false},
		{"Leaks", s.leaks, false},
	} {
		if c.skip {
			continue
		}
		t.Run(c.name, c.f)
	}
}

const testMemory = 32 << 20

// config is for the payload's test number do with its parameter.
func (s *suite) config(do, param uint32) monitor.Config {
	return monitor.Config{
		Memory: testMemory,
		Libos:  s.guest,
		Boot:   monitor.Boot{Program: "/test", Args: []string{"test", "arg"}, Env: []string{"A=B"}, Cwd: "/", Hostname: "test", UID: do, GID: param, MaxFiles: 64},
	}
}

// box is a sandbox under test, with a timeout that ends its Run.
type box struct {
	monitor.Sandbox
	t     *testing.T
	timer *time.Timer
}

// create makes a sandbox that is closed, and kicked after a while, by itself.
func (s *suite) create(t *testing.T, c monitor.Config) *box {
	t.Helper()
	sb, err := s.m.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Sandbox: sb, t: t}
	b.timer = time.AfterFunc(time.Duration(s.o.Slow)*10*time.Second, func() {
		t.Error("timeout")
		sb.Kick()
	})
	runtime.LockOSThread()
	t.Cleanup(func() {
		b.timer.Stop()
		if err := sb.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		runtime.UnlockOSThread()
	})
	return b
}

// start is create for a test without further configuration.
func (s *suite) start(t *testing.T, do, param uint32) *box {
	t.Helper()
	return s.create(t, s.config(do, param))
}

// run is Run that must not fail.
func (b *box) run() monitor.Exit {
	b.t.Helper()
	e, err := b.Run()
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// expect runs and checks how Run ends.
func (b *box) expect(kind monitor.ExitKind, value uint32) monitor.Exit {
	b.t.Helper()
	e := b.run()
	if e.Kind != kind || e.Value != value {
		b.t.Fatalf("exit kind %d, value 0x%x; want %d, 0x%x\n%s", e.Kind, e.Value, kind, value, e.Report)
	}
	return e
}

func (b *box) note64(off uint64) uint64 { return b.Shared().Load64(off) }
func (b *box) note32(off uint64) uint32 { return b.Shared().Load32(off) }

// vector is the exit value of a guest that ends by an exception.
func vector(n uint32) uint32 { return n << 8 }

// after runs f on another goroutine in a while; the test waits for it.
func after(t *testing.T, d time.Duration, f func()) {
	done := make(chan struct{})
	time.AfterFunc(d, func() { f(); close(done) })
	t.Cleanup(func() { <-done })
}

const userCS, userSS = abi.UserCS, abi.UserSS
