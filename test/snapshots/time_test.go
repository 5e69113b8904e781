// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"net"
	"testing"
	"time"
)

// TestClocks: in an instance made from a snapshot that lay for a while the time of day is right, monotonic time has not gone back, and a timer that
// was armed before fires, and not too early.
func TestClocks(t *testing.T) {
	n := start(t)
	for _, k := range kinds {
		t.Run(k.isolation, func(t *testing.T) {
			name := "clocks-" + k.isolation
			deploy(t, n, name, state(t), k.isolation, map[string]string{"ARM": "1500"})
			snapshotted(t, n, name)
			due := call(t, n, name, "/clocks", "").number(t, "started") + 1500*int64(time.Millisecond)
			time.Sleep(2 * time.Second) // so that it is clear which clock goes by what
			var last int64
			for range 3 {
				from := time.Now()
				a := call(t, n, name, "/clocks", "")
				to := time.Now()
				if at := time.Unix(0, a.number(t, "realtime")); at.Before(from.Add(-100*time.Millisecond)) || at.After(to.Add(100*time.Millisecond)) {
					t.Errorf("time of day %v, between %v and %v", at, from, to)
				}
				mono, started := a.number(t, "monotonic"), a.number(t, "started")
				if mono < started || a.number(t, "boottime") < mono {
					t.Errorf("monotonic time %d, boot time %d, started at %d", mono, a.number(t, "boottime"), started)
				}
				if k.isolation == "rewind" && mono <= last {
					t.Errorf("monotonic time %d, it was %d", mono, last)
				}
				last = mono
				e := call(t, n, name, "/expired", "")
				if e.number(t, "expired") != 1 || e.number(t, "monotonic") < due {
					t.Errorf("timer due at %d: %d times at %d", due, e.number(t, "expired"), e.number(t, "monotonic"))
				}
				if k.isolation == "rewind" {
					last = e.number(t, "monotonic")
				}
			}
		})
	}
}

// TestOutbound: a connection that the program had at its snapshot is reset in each copy, at once.
func TestOutbound(t *testing.T) {
	n := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	for _, k := range kinds {
		t.Run(k.isolation, func(t *testing.T) {
			name := "outbound-" + k.isolation
			deploy(t, n, name, state(t), k.isolation, map[string]string{"PEER": l.Addr().String()})
			for _, a := range answers(t, n, name, "/outbound", k.isolation) {
				if got := a.lines(t)["peer"]; got != "ECONNRESET" {
					t.Errorf("the connection says %s, want ECONNRESET", got)
				}
			}
		})
	}
}

// TestOwnNames: copies have names of their own; all else that tells processes apart is the snapshot's.
func TestOwnNames(t *testing.T) {
	n := start(t)
	deploy(t, n, "names", state(t), "fresh", nil)
	hosts := map[string]bool{}
	for _, a := range answers(t, n, "names", "/ids", "fresh") {
		l := a.lines(t)
		if hosts[l["host"]] || l["host"] != l["host file"] || l["host"] == "" {
			t.Errorf("host %q, in its file %q", l["host"], l["host file"])
		}
		hosts[l["host"]] = true
		if l["pid"] != "1" {
			t.Errorf("pid %s, want 1", l["pid"])
		}
		if l["generation"] == "ok 0" {
			t.Error("generation 0 in a copy")
		}
	}
}

// TestNoSnapshot: who wants none has none, and instances are made without.
func TestNoSnapshot(t *testing.T) {
	n := start(t)
	deploy(t, n, "off", state(t), "fresh", map[string]string{"UNIFAAS_SNAPSHOT": "off"})
	deploy(t, n, "manual", state(t), "fresh", map[string]string{"UNIFAAS_SNAPSHOT": "manual"}) // never says that it is ready
	for _, name := range []string{"off", "manual"} {
		for range 3 {
			if a := call(t, n, name, "/ids", ""); a.origin != "boot" || a.lines(t)["generation"] != "ok 0" {
				t.Errorf("%s: made from %q, %q", name, a.origin, a.text)
			}
		}
		if d := describe(t, n, name); d.Snapshot != 0 {
			t.Errorf("%s: a snapshot of %d bytes", name, d.Snapshot)
		}
	}
}

// TestMemoryBack: what a program frees is the host's again.
func TestMemoryBack(t *testing.T) {
	n := start(t)
	deploy(t, n, "memory", state(t), "reuse", nil)
	memory := func() int64 {
		for _, i := range describe(t, n, "memory").Instances {
			return i.Memory
		}
		return 0
	}
	call(t, n, "memory", "/", "")
	call(t, n, "memory", "/alloc?64", "")
	eventually(t, "64 MiB in use", func() bool { return memory() >= 64<<20 })
	call(t, n, "memory", "/free", "")
	eventually(t, "the memory is given back", func() bool { return memory() < 32<<20 })
}
