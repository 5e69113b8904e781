// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"unifaas.dev/internal/childnode"
)

// sightings are the regions of a process's memory in which something is found, and how often.
func sightings(t *testing.T, pid int, what string) (found map[string]int, scanned int64) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("only root can read the memory of another process: %v", err)
	}
	defer mem.Close()
	found = map[string]int{}
	const context = 1024
	buf := make([]byte, 4<<20)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if strings.HasPrefix(line, "f") { // of the kernel: vsyscall
			continue
		}
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.Contains(line, "[v") { // vvar and vDSO, the kernel's own
			continue
		}
		keep := 0 // bytes of the last piece
		for at := from; at < to; {
			n, err := mem.ReadAt(buf[keep:keep+int(min(int64(len(buf)-keep), to-at))], at)
			if n == 0 {
				if perm[0] == 'r' && err != io.EOF && !strings.Contains(line, "/dev/") && !strings.Contains(line, "anon_inode") {
					if now, e := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); e != nil || strings.Contains(string(now), line) {
						t.Fatalf("read %s at %x: %v", strings.TrimSpace(line), at, err)
					}
					break // unmapped meanwhile
				}
				at = (at + 4096) &^ 4095 // a guard page
				keep = 0
				continue
			}
			piece := buf[:keep+n]
			last := at+int64(n) >= to
			for i := 0; ; i++ {
				next := bytes.Index(piece[i:], []byte(what))
				if next < 0 || i+next >= len(piece)-context && !last { // what comes behind it matters: with the next piece
					break
				}
				if i += next; !saved(piece, i, at-int64(keep)) {
					found[fmt.Sprintf("%s %q", strings.TrimSpace(line), piece[max(0, i-40):i+len(what)])]++
				}
			}
			at += int64(n)
			scanned += int64(n)
			keep = min(context, len(piece))
			copy(buf, piece[len(piece)-keep:])
		}
	}
	return found, scanned
}

// saved: is this among the vector registers that the kernel has put on the stack of one of the tender's own signals? They have the up to 256 bytes that the
// thread copied last, until its next signal; nothing can be read from there but by the tender itself.
func saved(piece []byte, at int, address int64) bool {
	const registers, marker = 416, 464 // offsets: where they end, and FP_XSTATE_MAGIC1
	for start := at - int(address+int64(at))&63; start > at-registers; start -= 64 {
		if start >= 0 && start+512 <= len(piece) && string(piece[start+marker:start+marker+4]) == "SXPF" {
			return true
		}
	}
	return false
}

func secret() string {
	var b [20]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func tender(t *testing.T, n *childnode.Node, name string) int {
	t.Helper()
	for _, i := range describe(t, n, name).Instances {
		if i.TenderPID > 0 {
			return i.TenderPID
		}
	}
	t.Fatalf("%s has no tender", name)
	return 0
}

// TestCanary: a request leaves a secret in every kind of memory that a program has. While it runs, the secret is found in the tender's memory, which
// holds the guest's and all buffers between; after the rewind it is nowhere.
func TestCanary(t *testing.T) {
	n := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	deploy(t, n, "canary", state(t), "rewind", map[string]string{"HOLD": l.Addr().String()})
	snapshotted(t, n, "canary")
	before := call(t, n, "canary", "/ids", "").lines(t)
	pid := tender(t, n, "canary")
	rewinds := int64(2)
	for round := range 3 {
		s := secret()
		if found, _ := sightings(t, pid, s); len(found) > 0 {
			t.Fatalf("found before it was told: %v", found)
		}
		done := make(chan error, 1)
		go func() {
			a, err := try(n, "canary", "/spread", s)
			if err == nil && a.text != s+"\n" {
				err = fmt.Errorf("answer %q", a.text)
			}
			done <- err
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(s))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
			t.Fatalf("the other side got %q: %v", got, err)
		}
		found, scanned := sightings(t, pid, s)
		sum := 0
		for _, n := range found {
			sum += n
		}
		t.Logf("%d MiB: found %d times", scanned>>20, sum)
		if sum < 300 { // two copies of a child's MiB, pages of files, and so on
			t.Fatalf("found only %d times: %.2000v", sum, found)
		}
		c.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		rewinds++
		rewound(t, n, "canary", rewinds)
		if found, scanned = sightings(t, pid, s); len(found) > 0 || scanned < 64<<20 {
			t.Errorf("after rewind %d, in %d MiB: %v", round, scanned>>20, found)
		}
		// More than all buffers hold, to one who reads slowly, and to the log.
		if a, err := try(n, "canary", "/flood?2048", s); err != nil || len(a.text) != 2<<20 {
			t.Fatalf("%d bytes: %v", len(a.text), err)
		}
		rewinds++
		rewound(t, n, "canary", rewinds)
		eventually(t, "what was printed has left", func() bool {
			found, _ = sightings(t, pid, s)
			return len(found) == 0
		})
		after := call(t, n, "canary", "/ids", "").lines(t)
		rewinds++
		rewound(t, n, "canary", rewinds)
		for _, k := range []string{"counter", "children", "files", "descriptors", "kept", "pid", "host"} {
			if after[k] != before[k] {
				t.Errorf("%s is %s, was %s", k, after[k], before[k])
			}
		}
	}
	if got := tender(t, n, "canary"); got != pid {
		t.Errorf("another tender, %d", got)
	}
}
