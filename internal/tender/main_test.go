// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/tender/server"
	"unifaas.dev/internal/tender/tendertest"
)

// TestMain is also the tender process of these tests, with a monitor whose guests are Go functions.
func TestMain(m *testing.M) {
	addOutbound(programs)
	addHostile(programs)
	addFiles(programs)
	addJobs(programs)
	if len(os.Args) > 1 && os.Args[1] == "tender" {
		os.Exit(server.Main(func(name string, device *os.File) (monitor.Monitor, error) {
			if name == "kvm" {
				return &kvm.Monitor{Device: device}, nil
			}
			if name == "broken" {
				return nil, errors.New("/dev/kvm is missing:\nload the kvm module")
			}
			return tendertest.Monitor{Programs: programs}, nil
		}))
	}
	os.Exit(m.Run())
}

const self = "/proc/self/exe" // TestMain

var programs = map[string]tendertest.Program{
	"echo":  tendertest.Echo(8080),
	"print": tendertest.Print(10000),
	"cat":   tendertest.Cat,
	"loop":  tendertest.Loop,
	"panic": func(g *tendertest.Guest) uint32 {
		g.End(monitor.Exit{Kind: monitor.ExitPanic, Report: "bug in\x1b[31m mm/alloc.c\nrax=0"})
		return 0
	},
	"oom": func(g *tendertest.Guest) uint32 {
		g.End(monitor.Exit{Kind: monitor.ExitOOM, Report: "memory limit"})
		return 0
	},
	"segv": func(g *tendertest.Guest) uint32 { return 11 },
	"busy": func(g *tendertest.Guest) uint32 {
		g.SetRunnable(1)
		for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
			g.Spin()
		}
		if n := g.Preempts(); n < 5 || n > 30 {
			return uint32(n) << 8
		}
		return 0
	},
	"free-well": freeWell,
	"env": func(g *tendertest.Guest) uint32 {
		for _, kv := range g.Config.Boot.Env {
			g.Send(abi.MsgData, abi.ConnStdout, 0, []byte(kv[:min(len(kv), 20)]+"\n"))
		}
		g.Send(abi.MsgData, abi.ConnStdout, 0, []byte(g.Config.Boot.Hostname))
		return 0
	},
	"tardy": func(g *tendertest.Guest) uint32 {
		for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
			g.Spin()
		}
		return tendertest.Echo(8080)(g)
	},
	"final-words": func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 8080, nil)
		for {
			if m := g.Next(); m.Type == abi.MsgOpen {
				g.Send(abi.MsgData, m.Conn, 0, []byte("goodbye"))
				return 0
			}
		}
	},
}

// outputs collects lines.
type outputs struct {
	mu    sync.Mutex
	lines []tender.Output
}

func (o *outputs) add(l tender.Output) {
	o.mu.Lock()
	o.lines = append(o.lines, l)
	o.mu.Unlock()
}

func start(t *testing.T, program string, change ...func(*tender.StartOptions)) *tender.Tender {
	t.Helper()
	o := tender.StartOptions{Exe: self, Monitor: "auto", Libos: []byte("libos"), Memory: 64 << 20, Boot: monitor.Boot{Program: program}}
	for _, f := range change {
		f(&o)
	}
	tn, err := tender.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tn.Close() })
	return tn
}

func boot(t *testing.T, tn *tender.Tender) *tender.Instance {
	t.Helper()
	i, err := tn.Boot(t.Context(), "i1", "host", nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func exit(t *testing.T, i *tender.Instance) tender.Exit {
	t.Helper()
	select {
	case <-i.Done():
		return i.Exit()
	case <-time.After(10 * time.Second):
		t.Fatal("the instance does not end")
		panic("not reached")
	}
}

func listening(t *testing.T, i *tender.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := i.WaitListen(ctx, 8080); err != nil {
		t.Fatal(err)
	}
}
