// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender"
)

// limitFiles changes how many descriptors a process may have, and gives what undoes that.
func limitFiles(t *testing.T, pid int, n uint64) (undo func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	set := func(cur uint64) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: old.Max}, nil); err != nil {
			t.Error(err)
		}
	}
	set(n)
	return func() { set(old.Cur) }
}

// TestNoDescriptors: a tender without room for descriptors loses what they came for, and no instance.
func TestNoDescriptors(t *testing.T) {
	tn := start(t, "echo")
	i := boot(t, tn)
	listening(t, i)
	undo := limitFiles(t, tn.PID(), 4)
	for range 3 {
		c, err := i.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("read %d, %v", n, err)
		}
		c.Close()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "i2", Stdin: null}); err == nil || !strings.Contains(err.Error(), "descriptors") {
		t.Errorf("boot: %v", err)
	}
	undo()
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	if err := echo(c, random(1000)); err != nil {
		t.Error(err)
	}
}

// shortEgress makes connections that the tender has no room for.
type shortEgress struct{ shorten func() }

func (e *shortEgress) Connect(context.Context, string, bool, netip.AddrPort) (*os.File, syscall.Errno) {
	e.shorten()
	f, err := os.Open(os.DevNull)
	if err != nil {
		return nil, syscall.EIO
	}
	return f, 0
}
func (*shortEgress) Loopback() bool { return false }
func (*shortEgress) Forget(string)  {}

func TestNoDescriptorsToConnect(t *testing.T) {
	var got outputs
	var tn *tender.Tender
	ready := make(chan struct{})
	e := &shortEgress{func() {
		<-ready
		limitFiles(t, tn.PID(), 4)
	}}
	tn = start(t, "out-try", func(o *tender.StartOptions) {
		o.Egress, o.OnOutput = e, got.add
		o.Boot.Env = []string{"TO=192.0.2.1:80"}
	})
	close(ready)
	if x := exit(t, boot(t, tn)); x.Kind != tender.Exited {
		t.Errorf("%+v", x)
	}
	tn.Close()
	if len(got.lines) != 1 || got.lines[0].Line != "tcp 105 udp 105" {
		t.Errorf("%+v", got.lines)
	}
}
