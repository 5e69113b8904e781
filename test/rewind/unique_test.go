// SPDX-License-Identifier: Apache-2.0

package rewind

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/testkit"
)

// told is what test/rewind/program/unique.c answers: a line a thing.
func told(t *testing.T, out string) map[string]string {
	t.Helper()
	_, body, ok := strings.Cut(out, "\r\n\r\n")
	if !ok {
		t.Fatalf("answer %q", out)
	}
	m := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(body), "\n") {
		k, v, _ := strings.Cut(l, ": ")
		m[k] = v
	}
	for _, k := range []string{"random", "auxv", "child random", "child auxv"} {
		if len(m[k]) != 32 {
			t.Fatalf("no %s in %q", k, out)
		}
	}
	return m
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, not %q", k, got[k], v)
		}
	}
}

// TestUnique: copies of an instance share no random numbers, no bytes of AT_RANDOM, no memory that says so, and no host name, in any of
// their processes; all else they do. Those that were parked stay what they were.
func TestUnique(t *testing.T) {
	f := newFunction(t, testkit.Built(t, "build/e2e/unique", "e2e-programs"), 64<<20)
	link := f.im.Meta().Link
	seen := map[string]string{}
	fresh := func(m map[string]string, name string, keys ...string) {
		t.Helper()
		for _, k := range keys {
			if was, ok := seen[m[k]]; ok {
				t.Errorf("%s: %s is that of %s", name, k, was)
			}
			seen[m[k]] = name
		}
	}
	hosts := "10.0.2.15\t"
	copied := map[string]string{"wiped": "1", "child wiped": "1", "kept": "kept", "child kept": "Kept", "shared": "shared", "child shared": "shared",
		"uname": "clone", "hostname": "clone", "hosts": hosts + "clone", "signals": "1", "child signals": "0", "cpu": "0"}

	woken := func() map[string]string {
		g := f.fill()
		g.restore(abi.RestoreWake, link, nil, 77)
		return told(t, g.call("/", "x"))
	}
	first, second := woken(), woken()
	for _, m := range []map[string]string{first, second} {
		expect(t, m, with(copied, map[string]string{"wiped": "0", "child wiped": "0", "generation": "77", "read": "77"}))
		fresh(m, "a woken one", "random", "child random")
	}
	fresh(first, "the snapshot", "auxv")
	expect(t, first, map[string]string{"child auxv": first["auxv"]}) // by fork
	expect(t, second, map[string]string{"auxv": first["auxv"], "child auxv": first["child auxv"]})

	for range 2 {
		g := f.clone()
		m := told(t, g.call("/", "x"))
		expect(t, m, with(copied, map[string]string{"generation": "1", "read": "1"}))
		fresh(m, "a copy", "random", "auxv", "child random", "child auxv")
		again := told(t, g.call("/", "x"))
		expect(t, again, map[string]string{"generation": "1", "read": "Resource temporarily unavailable", "signals": "1", "auxv": m["auxv"], "child auxv": m["child auxv"]})
		fresh(again, "a second answer", "random", "child random")
	}

	g := f.fill()
	rw, err := state.NewRewinder(f.im, g.sb)
	if err != nil {
		t.Fatal(err)
	}
	g.restore(abi.RestoreClone, link, nil, 1)
	for round := range 4 {
		m := told(t, g.call("/", "x"))
		want := with(copied, map[string]string{"generation": strconv.Itoa(round + 1), "read": strconv.Itoa(round + 1)})
		expect(t, m, want)
		fresh(m, "a rewound one", "random", "auxv", "child random", "child auxv")
		res, err := rw.Rewind()
		if err != nil {
			t.Fatal(err)
		}
		g.next = link.Next
		g.restore(abi.RestoreRewind, link, res.Entries, uint64(round+2))
	}
}

func with(m, more map[string]string) map[string]string {
	all := maps.Clone(m)
	maps.Copy(all, more)
	return all
}
