// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/tender"
)

func TestEnds(t *testing.T) {
	for _, c := range []struct{ program, kind, reason string }{
		{"segv", tender.Signaled, "signal 11 (SIGSEGV)"},
		{"panic", tender.Panicked, "bug in [31m mm/alloc.c"},
		{"oom", tender.OOM, "memory limit 64 MiB"},
	} {
		e := exit(t, boot(t, start(t, c.program)))
		if e.Kind != c.kind || e.Reason != c.reason || e.Instance != "i1" {
			t.Errorf("%s: got %+v", c.program, e)
		}
	}
}

func TestOutput(t *testing.T) {
	var got outputs
	var last tender.Exit
	tn := start(t, "print", func(o *tender.StartOptions) {
		o.OnOutput = got.add
		o.OnExit = func(e tender.Exit) { last = e }
	})
	e := exit(t, boot(t, tn))
	tn.Close()
	if e.Kind != tender.Exited || e.Code() != 3 || last.Status != 3<<8 {
		t.Errorf("got %+v, %+v", e, last)
	}
	if len(got.lines) != 10001 {
		t.Fatalf("got %d lines", len(got.lines))
	}
	n := 0
	for _, l := range got.lines {
		if l.Stream == 2 {
			if l.Line != "done" {
				t.Errorf("stderr: %q", l.Line)
			}
			continue
		}
		if l.Line != fmt.Sprintf("line %d", n) || l.Instance != "i1" || time.Since(l.Time) > time.Minute {
			t.Fatalf("line %d is %+v", n, l)
		}
		n++
	}
}

func TestLoadError(t *testing.T) {
	_, err := tender.Start(t.Context(), tender.StartOptions{Exe: self, Monitor: "broken"})
	if err == nil || err.Error() != "/dev/kvm is missing: load the kvm module" {
		t.Errorf("got %v", err)
	}
}

func TestBootError(t *testing.T) {
	tn := start(t, "no-such")
	for range 2 {
		if _, err := tn.Boot(t.Context(), "i1", "h", nil); err == nil || err.Error() != `no program "no-such"` {
			t.Errorf("got %v", err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	var got outputs
	tn := start(t, "env", func(o *tender.StartOptions) {
		o.OnOutput = got.add
		o.Boot.Env = []string{"A=1", "B=2", "BIG=" + strings.Repeat("x", 200<<10)}
	})
	i, err := tn.Boot(t.Context(), "i1", "myhost", []string{"B=3", "C=" + strings.Repeat("y", 100<<10)})
	if err != nil {
		t.Fatal(err)
	}
	exit(t, i)
	tn.Close()
	var lines []string
	for _, l := range got.lines {
		lines = append(lines, l.Line)
	}
	want := "A=1 BIG=xxxxxxxxxxxxxxxx B=3 C=yyyyyyyyyyyyyyyyyy myhost"
	if s := strings.Join(lines, " "); s != want {
		t.Errorf("got %q", s)
	}
}

func TestKillLoop(t *testing.T) {
	i := boot(t, start(t, "loop"))
	time.Sleep(20 * time.Millisecond)
	begin := time.Now()
	i.Kill("timeout of 20ms")
	e := exit(t, i)
	if e.Kind != tender.Killed || e.Reason != "timeout of 20ms" {
		t.Errorf("got %+v", e)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("took %v", d)
	}
	if e.Stats.Ticks == 0 {
		t.Error("nobody looked at the guest")
	}
}

func TestPreemptSlices(t *testing.T) {
	if e := exit(t, boot(t, start(t, "busy"))); e.Code() != 0 {
		t.Errorf("preempted %d times in 200 ms", e.Code())
	}
}

func TestSignal(t *testing.T) {
	i := boot(t, start(t, "echo"))
	listening(t, i)
	i.Signal(15)
	if e := exit(t, i); e.Kind != tender.Signaled || e.Code() != 143 {
		t.Errorf("got %+v", e)
	}
}

func TestTenderKilled(t *testing.T) {
	tn := start(t, "echo")
	i, k := boot(t, tn), boot(t, tn)
	listening(t, i)
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := syscall.Kill(tn.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, i := range []*tender.Instance{i, k} {
		if e := exit(t, i); e.Kind != tender.TenderDied || e.Reason != "tender was killed by signal 9 (SIGKILL)" {
			t.Errorf("got %+v", e)
		}
	}
	<-tn.Done()
	if _, err := tn.Boot(t.Context(), "x", "h", nil); err == nil {
		t.Error("a dead tender boots an instance")
	}
	var ee *tender.ExitError
	if _, err := i.Dial(t.Context(), 8080); !errors.As(err, &ee) {
		t.Errorf("dial: %v", err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read: %d, %v", n, err)
	}
}

// TestTenderHangs stops a tender's process: nothing that it is told may wait for it for ever.
func TestTenderHangs(t *testing.T) {
	hung := func() *tender.Tender {
		return start(t, "echo", func(o *tender.StartOptions) { o.Patience = 300 * time.Millisecond })
	}
	stop := func(tn *tender.Tender) {
		if err := syscall.Kill(tn.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	tn := hung()
	i := boot(t, tn)
	stop(tn)
	i.Kill("test")
	if e := exit(t, i); e.Kind != tender.TenderDied || e.Reason != "tender did not end an instance within 300ms" {
		t.Errorf("got %+v", e)
	}
	tn = hung()
	stop(tn)
	if _, err := tn.Boot(t.Context(), "i1", "h", nil); err == nil || !strings.Contains(err.Error(), "tender did not start an instance within 300ms") {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	tn := start(t, "loop")
	i := boot(t, tn)
	pid := tn.PID()
	for range 2 {
		if err := tn.Close(); err != nil {
			t.Error(err)
		}
	}
	if e := exit(t, i); e.Kind != tender.Killed {
		t.Errorf("got %+v", e)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d: %v", pid, err)
	}
}

func TestGiveUpBoot(t *testing.T) {
	tn := start(t, "echo")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tn.Boot(ctx, "i1", "h", nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	listening(t, boot(t, tn))
}

func TestStats(t *testing.T) {
	i := boot(t, start(t, "echo"))
	listening(t, i)
	s, err := i.Stats(t.Context())
	if err != nil || s.Memory != 1<<20 || s.Exits == 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	i.Kill("done")
	exit(t, i)
	if _, err := i.Stats(t.Context()); err == nil {
		_ = err // the last statistics are fine too
	}
}

// TestEmptyProcess looks at what a tender has from its parent.
func TestEmptyProcess(t *testing.T) {
	t.Setenv("SECRET", "1")
	tn := start(t, "echo")
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", tn.PID()))
	if err != nil || len(env) != 0 {
		t.Errorf("environment %q, %v", env, err)
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tn.PID()))
	if err != nil || cwd != "/" {
		t.Errorf("working directory %q, %v", cwd, err)
	}
}
