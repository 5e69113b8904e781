// SPDX-License-Identifier: Apache-2.0

package unikernel

import (
	"os"
	"syscall"
	"testing"
	"time"

	libos "unifaas.dev/guest"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/testkit"
)

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// standing is the process ids of tenders that stand ready.
func (r *Runtime) standing() (pids []int) {
	r.blanks.mu.Lock()
	defer r.blanks.mu.Unlock()
	for _, b := range r.blanks.ready {
		pids = append(pids, b.PID())
	}
	return pids
}

func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

func TestBlankTenders(t *testing.T) {
	testkit.NeedKVM(t)
	program := testkit.Built(t, "build/examples/c-hello", "examples")
	r := &Runtime{Monitor: "kvm", Libos: libos.Libos(), Blanks: 2}
	defer r.Close()
	r.Ready()
	until(t, "two tenders do not stand ready", func() bool { return len(r.standing()) == 2 })
	before := r.standing()
	start := func(memory int64) node.Tender {
		f, size, m, err := image.FromELF(program)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		tn, err := r.StartTender(t.Context(), node.TenderConfig{Name: "t", Layers: []image.Layer{{File: f, Size: size}}, Manifest: m, Memory: memory,
			Port: 8080, Env: []string{"PORT=8080"}, OnLine: func(_, _, _ string, _ time.Time) {}})
		if err != nil {
			t.Fatal(err)
		}
		g, err := tn.Start(t.Context(), node.Start{ID: "i", Hostname: "h"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.WaitListen(t.Context()); err != nil {
			t.Error(err)
		}
		return tn
	}
	a := start(blankMemory)
	if a.PID() != before[0] && a.PID() != before[1] {
		t.Errorf("tender %d is none of those that stood ready: %d", a.PID(), before)
	}
	b := start(32 << 20) // another size: the process is taken all the same
	if b.PID() == a.PID() || b.PID() != before[0] && b.PID() != before[1] {
		t.Errorf("tender %d is none of those that stood ready: %d", b.PID(), before)
	}
	until(t, "those that were taken are not replaced", func() bool { return len(r.standing()) == 2 })
	// One that was killed is not taken.
	for _, pid := range r.standing() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	c := start(blankMemory)
	for _, tn := range []node.Tender{a, b, c} {
		tn.Close()
	}
	until(t, "the killed ones are not replaced", func() bool {
		r.Ready()
		n := 0
		for _, pid := range r.standing() {
			if !gone(pid) {
				n++
			}
		}
		return n == 2
	})
	// When memory is short there are none, and afterwards some again.
	was := r.Reserved()
	r.Hold(false)
	until(t, "they are there while memory is short", func() bool {
		for _, pid := range was {
			if !gone(pid) {
				return false
			}
		}
		return len(r.standing()) == 0
	})
	r.Hold(true)
	until(t, "they are not made again", func() bool { return len(r.standing()) == 2 })
	last := r.standing()
	r.Close()
	for _, pid := range last {
		if !gone(pid) {
			t.Errorf("tender %d is there after Close", pid)
		}
	}
	if n := len(r.standing()); n != 0 {
		t.Errorf("%d stand ready after Close", n)
	}
	// Still of use, without.
	start(blankMemory).Close()
}

// TestNoBlankTenders: none is made where nobody asked, and one that cannot be made is not tried without end.
func TestNoBlankTenders(t *testing.T) {
	r := &Runtime{Monitor: "kvm", Exe: os.DevNull, Blanks: 2}
	r.Ready()
	until(t, "it is tried without end", func() bool {
		r.blanks.mu.Lock()
		defer r.blanks.mu.Unlock()
		return !r.blanks.due
	})
	r.Close()
	r = &Runtime{Monitor: "kvm"}
	r.Ready()
	if r.blanks.due || len(r.standing()) != 0 {
		t.Error("blank tenders are made")
	}
	r.Close()
}
