// SPDX-License-Identifier: Apache-2.0

// Package abi compares programs on Linux with the same programs in the guest: what they print and how they end.
package abi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/testkit"
)

// tcase is one run of a program. Programs without a line in special run once, without arguments.
type tcase struct {
	args  []string
	stdin []byte
}

var special = map[string][]tcase{
	"fatal": cases("segv", "abort", "ill", "fpe", "trap", "bus", "term", "kill", "pipe", "rt", "alarm", "exit3", "exit256",
		"_exit", "thread", "mainexit", "blockedsegv", "ignoredsegv", "nosigstack"),
	"exec": {{}, {args: []string{"self"}}},
	"stdio": {
		{},
		{args: []string{"one", "two words", "", "ünï"}, stdin: []byte("short input\n")},
		{stdin: bytes.Repeat([]byte("0123456789abcdef"), 1<<16)},
	},
	"goend": cases("panic", "nil", "deadlock", "overflow", "exit"),
}

func cases(args ...string) []tcase {
	var cs []tcase
	for _, a := range args {
		cs = append(cs, tcase{args: []string{a}})
	}
	return cs
}

const limit = 60 * time.Second

type result struct {
	out, err string
	status   int // as a shell gives it
}

func TestABI(t *testing.T) {
	testkit.NeedKVM(t)
	unifaas := testkit.Unifaas(t)
	known := readKnown(t)
	for _, kind := range []string{"glibc", "musl", "go"} {
		dir := testkit.Built(t, filepath.Join("build/abi", kind), "abi-programs")
		progs, err := os.ReadDir(dir)
		if err != nil || len(progs) == 0 {
			t.Fatalf("no programs in %s: %v", dir, err)
		}
		for _, p := range progs {
			name := p.Name()
			cs := special[name]
			if cs == nil {
				cs = []tcase{{}}
			}
			for _, c := range cs {
				label := strings.Join(append([]string{kind, name}, c.args...), "/")
				t.Run(label, func(t *testing.T) {
					t.Parallel()
					prog := filepath.Join(dir, name)
					guestArgs := append([]string{"run", "--env", "ABI_TEST=1", "--", prog}, c.args...)
					agree(t, func() []difference {
						return compare(t, name, run(t, c, prog, c.args...), run(t, c, unifaas, guestArgs...), known)
					})
				})
			}
		}
	}
}

// run runs one command in an empty folder with a small environment.
func run(t *testing.T, c tcase, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"ABI_TEST=1", "PATH=/usr/bin:/bin", "HOME=/root"}
	cmd.Stdin = bytes.NewReader(c.stdin)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Logf("%s %s: no end within %v", filepath.Base(name), strings.Join(args, " "), limit) // its status differs
	} else if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	status := ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	return result{out.String(), errb.String(), status}
}

// check is one line of output: its name with a count, since names repeat, and its value.
type check struct{ key, name, value string }

func checks(out string) []check {
	var cs []check
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			name, value = line, ""
		}
		seen[name]++
		cs = append(cs, check{fmt.Sprintf("%s #%d", name, seen[name]), name, value})
	}
	return cs
}

// difference is one check whose result in the guest is not Linux's.
type difference struct{ check, text string }

const (
	maxShown = 40
	attempts = 3 // programs race with themselves too, natively as in the guest: what differs is what differs each time
)

// agree fails with the differences that every attempt shows, and tells of the others.
func agree(t *testing.T, attempt func() []difference) {
	t.Helper()
	left := attempt()
	for n := 1; n < attempts && len(left) > 0; n++ {
		again := map[string]string{}
		for _, d := range attempt() {
			again[d.check] = d.text
		}
		var both []difference
		for _, d := range left {
			if text, ok := again[d.check]; ok {
				both = append(both, difference{d.check, text})
			} else {
				t.Logf("differed in some attempts only: %s", d.text)
			}
		}
		left = both
	}
	for _, d := range left[:min(len(left), maxShown)] {
		t.Error(d.text)
	}
	if len(left) > maxShown {
		t.Errorf("and %d more", len(left)-maxShown)
	}
}

func compare(t *testing.T, prog string, native, guest result, known map[string]string) (bad []difference) {
	t.Helper()
	got := map[string]string{}
	for _, c := range checks(guest.out) {
		got[c.key] = c.value
	}
	allowed := 0
	show := func(check, format string, args ...any) {
		bad = append(bad, difference{check, fmt.Sprintf("%.100s: ", check) + fmt.Sprintf(format, args...)})
	}
	want := checks(native.out)
	for _, c := range want {
		v, ok := got[c.key]
		delete(got, c.key)
		switch {
		case ok && v == c.value:
		case known[prog+"|"+c.name] != "":
			allowed++
		case !ok:
			show(c.key, "Linux says %.100q, the guest nothing", c.value)
		default:
			show(c.key, "Linux says %.100q, the guest %.100q", c.value, v)
		}
	}
	for k, v := range got {
		show(k, "only the guest says %.100q", v)
	}
	if native.status != guest.status {
		show("exit status", "%d on Linux, %d in the guest", native.status, guest.status)
	}
	if len(bad) > 0 && guest.err != "" {
		t.Logf("the guest's stderr:\n%s", guest.err[max(0, len(guest.err)-4000):])
	}
	t.Logf("%d checks, %d known to differ, %d wrong", len(want), allowed, len(bad))
	return bad
}

// readKnown reads known.txt: "PROGRAM | CHECK | why it may differ".
func readKnown(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("known.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 3 || f[2] == "" {
			t.Fatalf("known.txt: %q is not PROGRAM | CHECK | why", line)
		}
		known[f[0]+"|"+f[1]] = f[2]
	}
	return known
}
