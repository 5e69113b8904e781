// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/tendertest"
	"unifaas.dev/internal/tender/wire"
)

// command is one that a broken node sends, with so many descriptors.
type command struct {
	m   wire.Message
	fds int
}

func load(s wire.Snapshot) wire.Message {
	return &wire.Load{Memory: 16 << 20, Boot: monitor.Boot{Program: "p"}, Snapshot: s}
}

// TestBrokenNode: commands that make no sense end the tender, or are answered; no descriptor of theirs is left open.
func TestBrokenNode(t *testing.T) {
	plain := command{load(wire.Snapshot{}), 1}
	for name, c := range map[string]struct {
		commands  []command
		malformed bool
	}{
		"image without descriptor":   {[]command{{load(wire.Snapshot{HasImage: true}), 1}}, true},
		"sink without descriptor":    {[]command{{load(wire.Snapshot{HasSink: true}), 1}}, true},
		"image that is none":         {[]command{{load(wire.Snapshot{HasImage: true}), 2}}, false},
		"prepared that was not":      {[]command{{&wire.Load{Prepared: true}, 0}}, true},
		"prepared twice":             {[]command{{&wire.Prepare{}, 1}, {&wire.Prepare{}, 1}}, true},
		"prepared, then not":         {[]command{{&wire.Prepare{}, 1}, plain}, true},
		"prepared after load":        {[]command{plain, {&wire.Prepare{}, 1}}, true},
		"loaded twice":               {[]command{plain, plain}, true},
		"start before load":          {[]command{{&wire.Start{Instance: 1}, 0}}, true},
		"start before load, blank":   {[]command{{&wire.Prepare{}, 1}, {&wire.Start{Instance: 1}, 0}}, true},
		"no snapshot":                {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromSnapshot}, 0}}, false},
		"parked without descriptor":  {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromParked}, 0}}, true},
		"parked without snapshot":    {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromParked, Len: 1}, 1}}, false},
		"snapshot with console":      {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromSnapshot, Stdio: wire.StdoutFD}, 1}}, true},
		"snapshot with environment":  {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromSnapshot, Env: []string{"A=b"}}, 0}}, true},
		"snapshot with descriptor":   {[]command{plain, {&wire.Start{Instance: 1, From: wire.FromSnapshot}, 1}}, true},
		"instance twice":             {[]command{plain, {&wire.Start{Instance: 1}, 0}, {&wire.Start{Instance: 1}, 0}}, true},
		"park nobody":                {[]command{plain, {&wire.Park{Instance: 9}, 1}}, false},
		"park without descriptor":    {[]command{plain, {&wire.Park{Instance: 9}, 0}}, true},
		"rewind nobody":              {[]command{plain, {&wire.Rewind{Instance: 9}, 0}}, false},
		"rewind with descriptor":     {[]command{plain, {&wire.Rewind{Instance: 9}, 1}}, true},
		"rewind without snapshot":    {[]command{plain, {&wire.Start{Instance: 1}, 0}, {&wire.Rewind{Instance: 1}, 0}}, false},
		"park without snapshot":      {[]command{plain, {&wire.Start{Instance: 1}, 0}, {&wire.Park{Instance: 1}, 1}}, false},
		"keep before load":           {[]command{{&wire.Keep{Shells: 3}, 0}, plain}, false},
		"an event":                   {[]command{plain, {&wire.Parked{Instance: 1}, 0}}, true},
		"keep, then fewer, then end": {[]command{plain, {&wire.Keep{Shells: 4}, 0}, {&wire.Keep{}, 0}, {&wire.Stop{}, 0}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			err := serve(t, c.commands)
			if c.malformed != errors.Is(err, wire.ErrMalformed) || err != nil && !c.malformed {
				t.Errorf("%v", err)
			}
			until(t, "descriptors are left open", func() bool { return descriptors(t) == before })
		})
	}
}

// serve runs a tender on commands.
func serve(t *testing.T, list []command) error {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(fds[1], func(string, *os.File) (monitor.Monitor, error) {
			return tendertest.Monitor{Programs: map[string]tendertest.Program{"": tendertest.Loop, "p": tendertest.Loop}}, nil
		})
	}()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range list {
		with := make([]int, c.fds)
		for i := range with {
			with[i] = int(null.Fd())
		}
		if _, err := wire.Send(fds[0], wire.Encode(nil, c.m), with, true); err != nil {
			break // it has ended
		}
	}
	_ = unix.Shutdown(fds[0], unix.SHUT_WR)
	return <-ended
}

func descriptors(t *testing.T) int {
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}
