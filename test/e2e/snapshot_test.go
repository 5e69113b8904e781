// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/gateway/api"
)

const (
	saidFromSnapshot = "started from its snapshot"
	saidTaken        = "snapshot taken"
	saidNotUsed      = "snapshot is not used"
)

// said waits until a function's log has a text n times, and not more often.
func said(t *testing.T, n *childnode.Node, name, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var b strings.Builder
		err := n.Client.Logs(t.Context(), client.LogQuery{Function: name, Tail: -1}, func(l api.LogLine) error {
			fmt.Fprintln(&b, l.Text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Count(b.String(), text)
		if got == times {
			return
		}
		if got > times || time.Now().After(deadline) {
			t.Fatalf("the log has %q %d times, want %d:\n%s", text, got, times, &b)
		}
	}
}

func snapshotFiles(t *testing.T, data, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(datadir.Snapshots(data), pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// stored waits until there are so many snapshots on disk, and returns their files.
func stored(t *testing.T, data string, count int) []string {
	t.Helper()
	return files(t, data, "*.snapshot", count)
}

// files waits until there are so many.
func files(t *testing.T, data, pattern string, count int) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		found := snapshotFiles(t, data, pattern)
		if len(found) == count {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files %s among the snapshots, want %d", len(found), pattern, count)
		}
	}
}

// TestSnapshotOutlivesNode: after a crash of the node and after an orderly end, instances start from the snapshot that was taken before.
func TestSnapshotOutlivesNode(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	name := misbehave(t, n, api.DeployRequest{Env: map[string]string{"GREETING": "kept"}})
	wantOK(t, n, name)
	first := stored(t, data, 1)
	for i := range 2 {
		if i == 0 {
			n.Kill()
		} else if err := n.Stop(); err != nil {
			t.Error(err)
		}
		n = startIn(t, data)
		if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != "kept" {
			t.Errorf("restart %d: %d %q", i, code, body)
		}
		said(t, n, name, saidFromSnapshot, i+1)
		if now := stored(t, data, 1); now[0] != first[0] {
			t.Errorf("restart %d: %s became %s", i, first[0], now[0])
		}
	}
	// What nobody needs any more goes.
	if err := n.Client.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	stored(t, data, 0)
	files(t, data, "*.pack", 0)
}

// TestTornSnapshot kills the node while it writes a snapshot. The next one starts, removes what is left of it, and serves.
func TestTornSnapshot(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	torn := 0
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	name := misbehave(t, n, api.DeployRequest{})
	for round := range rounds {
		old := stored(t, data, 1)
		env := map[string]string{"GREETING": "round " + strconv.Itoa(round)} // another key
		r, err := n.Client.Deploy(t.Context(), name, api.DeployRequest{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		// The moment: its first file is there, perhaps without all bytes.
		for deadline := time.Now().Add(time.Minute); ; {
			writing := snapshotFiles(t, data, ".new-*")
			now := snapshotFiles(t, data, "*.snapshot")
			if len(writing) > 0 || len(now) > 1 || len(now) == 1 && now[0] != old[0] {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: no snapshot is written", round)
			}
		}
		n.Kill()
		if len(snapshotFiles(t, data, ".new-*")) > 0 {
			torn++
		}
		n = startIn(t, data)
		files(t, data, ".new-*", 0) // what was left is gone; the revision may be starting, and write anew
		for line := range strings.Lines(n.Stderr()) {
			if !strings.Contains(line, "attempting to recover") { // the state, which was open, too
				t.Errorf("round %d: %s", round, line)
			}
		}
		if _, err := n.Client.AwaitServed(t.Context(), name, r.Wanted.Number); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != env["GREETING"] {
			t.Errorf("round %d: %d %q", round, code, body)
		}
	}
	t.Logf("%d of %d kills left a torn file", torn, rounds)
}

// TestDamagedSnapshot changes and cuts the files of a snapshot while the node is down: they are refused by name, and made again from
// the object that the engine has.
func TestDamagedSnapshot(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	name := misbehave(t, n, api.DeployRequest{Env: map[string]string{"GREETING": "whole"}})
	wantOK(t, n, name)
	stored(t, data, 1)
	flip := func(b []byte, at int) []byte { b[at] ^= 0x10; return b }
	for _, d := range []struct {
		what, pattern string
		change        func(b []byte) []byte
	}{
		{"a page", "*.pack", func(b []byte) []byte { return flip(b, len(b)-5000) }},
		{"the hashes", "*.pack", func(b []byte) []byte { return flip(b, 70) }},
		{"the head of the pack", "*.pack", func(b []byte) []byte { return flip(b, 12) }},
		{"the end of the pack", "*.pack", func(b []byte) []byte { return b[:len(b)-4096] }},
		{"the list", "*.snapshot", func(b []byte) []byte { return flip(b, len(b)/2) }},
		{"half of the list", "*.snapshot", func(b []byte) []byte { return b[:len(b)/2] }},
		{"all of the list", "*.snapshot", func([]byte) []byte { return nil }},
	} {
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		var file string
		for _, file = range snapshotFiles(t, data, d.pattern) {
			b, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, d.change(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		n = startIn(t, data)
		if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != "whole" {
			t.Errorf("%s: %d %q", d.what, code, body)
		}
		said(t, n, name, saidTaken, 1) // it has not booted again
		stored(t, data, 1)
		if d.what == "the hashes" { // they serve to find equal pages: those that are there are as good as before
			continue
		}
		if s := n.Stderr(); !strings.Contains(s, "damaged") || !strings.Contains(s, filepath.Base(file)) {
			t.Errorf("%s: the node says %q", d.what, s)
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = startIn(t, data)
	wantOK(t, n, name)
	said(t, n, name, saidTaken, 1)
	if s := n.Stderr(); s != "" {
		t.Errorf("at last: %s", s)
	}
}
