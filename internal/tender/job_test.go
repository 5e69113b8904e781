// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/tender/tendertest"
)

// job waits for the next program that is to be started, and takes nothing else.
func job(g *tendertest.Guest) uint32 {
	for {
		if m := g.Next(); m.Type == abi.MsgSpawn {
			return m.Conn
		}
	}
}

// jobs are guests that start programs. Those with a report lie, and are ended for it.
var jobs = map[string]struct {
	program tendertest.Program
	report  string
}{
	"job-honest": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		for {
			c := job(g)
			g.Send(abi.MsgData, c, 0, []byte("out"))
			g.Send(abi.MsgEnded, c, 3<<8, nil)
		}
	}, ""},
	"job-resets": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		for {
			g.Send(abi.MsgReset, job(g), 0, nil)
		}
	}, ""},
	"job-ends-twice": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		c := job(g)
		g.Send(abi.MsgEnded, c, 0, nil)
		g.Send(abi.MsgEnded, c, 0, nil)
		return forever(g)
	}, "which has none"},
	"job-ends-stdout": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		job(g)
		g.Send(abi.MsgEnded, 1, 0, nil)
		return forever(g)
	}, "message of type 38"},
	"job-ends-nothing": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		g.Send(abi.MsgEnded, job(g)+100, 0, nil)
		return forever(g)
	}, "never was"},
	"job-talks-on": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		c := job(g)
		g.Send(abi.MsgEnded, c, 0, nil)
		g.Send(abi.MsgData, c, 0, []byte("more"))
		return forever(g)
	}, "data after the end"},
	"job-exits": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		job(g)
		return 0
	}, "exit status 0"},
	"job-never": {func(g *tendertest.Guest) uint32 { return 7 << 8 }, "exit status 7"},
}

func addJobs(programs map[string]tendertest.Program) {
	for name, j := range jobs {
		programs[name] = j.program
	}
}

func spawning(o *tender.StartOptions) { o.Boot.Flags |= abi.BootSpawn }

// TestJobs: whatever a guest says of its programs, who waits for one gets an answer.
func TestJobs(t *testing.T) {
	for name, want := range jobs {
		t.Run(name, func(t *testing.T) {
			tn := start(t, name, spawning)
			i := boot(t, tn)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for n := range 5 {
				j, err := i.Spawn(ctx, []string{"A=1"})
				if err != nil {
					break // it has ended
				}
				out, _ := io.ReadAll(j)
				status, err := j.Wait(ctx)
				j.Close()
				switch {
				case ctx.Err() != nil:
					t.Fatalf("program %d: nobody tells how it ended", n)
				case name == "job-honest" && (string(out) != "out" || status != 3 || err != nil):
					t.Errorf("program %d: %q, %d, %v", n, out, status, err)
				case name == "job-resets" && status != 126:
					t.Errorf("program %d: %d, %v", n, status, err)
				}
			}
			if want.report == "" {
				return
			}
			if e := exit(t, i); !strings.Contains(e.Reason, want.report) {
				t.Errorf("ended by %q", e.Reason)
			}
		})
	}
}

// TestJobDescriptors: programs that come and go, given up or not, leave nothing open on either side.
func TestJobDescriptors(t *testing.T) {
	tn := start(t, "job-honest", spawning)
	i := boot(t, tn)
	run := func(giveUp bool) {
		j, err := i.Spawn(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if giveUp {
			return
		}
		if _, err := io.ReadAll(j); err != nil {
			t.Fatal(err)
		}
		if status, err := j.Wait(t.Context()); status != 3 || err != nil {
			t.Fatalf("%d, %v", status, err)
		}
	}
	run(false)
	before := [2]int{descriptors(t, os.Getpid()), descriptors(t, tn.PID())}
	for n := range 1000 {
		run(n%3 == 0)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		after := [2]int{descriptors(t, os.Getpid()), descriptors(t, tn.PID())}
		if after[0] <= before[0] && after[1] <= before[1] {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("descriptors here and there: %v before, %v after", before, after)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	l, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}
