// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"unifaas.dev/internal/tender"
)

// find looks for bytes in all memory that a process can write.
func find(t *testing.T, pid int, what []byte) (at []string) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, 1<<20+len(what))
	for _, line := range strings.Split(string(maps), "\n") {
		var from, to uint64
		var perm string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); n != 3 || !strings.HasPrefix(perm, "rw") {
			continue
		}
		for off := from; off < to; off += 1 << 20 {
			n, _ := mem.ReadAt(buf[:min(uint64(len(buf)), to-off)], int64(off))
			if i := bytes.Index(buf[:n], what); i >= 0 && !inSignalFrame(mem, int64(off)+int64(i)) {
				at = append(at, fmt.Sprintf("0x%x in %s", off+uint64(i), line))
			}
		}
	}
	return at
}

// inSignalFrame reports whether bytes are among the vector registers that a signal has put on a thread's stack for signals: the next one there
// goes over them, but the kernel says when that is. Such an area ends with a mark.
func inSignalFrame(mem *os.File, at int64) bool {
	var after [512]byte
	n, _ := mem.ReadAt(after[:], at)
	return bytes.Contains(after[:n], []byte("SXPF"))
}

// TestRewindForgets: after a rewind nothing of a request is in the guest's memory or the tender's.
func TestRewindForgets(t *testing.T) {
	tn, first, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Snapshots.Rewind = true })
	for _, i := range []*tender.Instance{first, clone(t, tn, "c")} {
		for range 3 {
			secret := "secret-" + rand.Text() + rand.Text()
			answers(t, i, "quiet "+secret, secret)
			if len(find(t, tn.PID(), []byte(secret))) == 0 {
				t.Fatal("the search finds nothing")
			}
			rewound(t, i)
			for _, at := range find(t, tn.PID(), []byte(secret)) {
				t.Errorf("%s: still at %s", i.ID(), at)
			}
			answers(t, i, "count", "1")
		}
	}
}
