// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/recent"
)

func call(id string) recent.Call {
	return recent.Call{Function: "f", ID: id, Method: "GET", At: time.Now(), Took: 1500 * time.Microsecond, Status: 200, Timing: node.Timing{Instance: "i", Cold: true, Origin: "boot", Queue: 7}}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(path, nil, func(s string) { t.Error(s) })
	if err != nil {
		t.Fatal(err)
	}
	l.Add(call("first\n\"one\""))
	l.flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Add(call("second"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Add(call("third")) // nobody is there any more
	for file, want := range map[string]string{path + ".1": "first\n\"one\"", path: "second"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got line
		if err := json.Unmarshal(text, &got); err != nil || got.Request != want || got.TookUS != 1500 || got.Instance != "i" || !got.Cold || got.QueueUS != 7 || bytes.Count(text, []byte("\n")) != 1 {
			t.Errorf("%s: %s %v", file, text, err)
		}
	}
	if _, err := Open(filepath.Join(path, "x"), nil, nil); err == nil || !strings.Contains(err.Error(), "--access-log") {
		t.Errorf("a file below a file: %v", err)
	}
}

// stuck is a disk that takes nothing until it is told to.
type stuck struct {
	free chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.Buffer.Write(p)
}

// TestStuckDisk: nobody waits, memory stays bounded, and what is lost is counted.
func TestStuckDisk(t *testing.T) {
	disk := &stuck{free: make(chan struct{})}
	l, err := Open("-", disk, func(s string) { t.Error(s) })
	if err != nil {
		t.Fatal(err)
	}
	c := call(strings.Repeat("x", 1000))
	const all = 12000
	for range all {
		l.Add(c)
	}
	l.mu.Lock()
	waiting, lost := len(l.buf), l.lost
	l.mu.Unlock()
	if waiting > bufferMax || lost == 0 {
		t.Errorf("%d bytes wait, %d lines are lost", waiting, lost)
	}
	close(disk.free)
	l.Close()
	written, counted := 0, 0
	in := bufio.NewScanner(&disk.Buffer)
	for in.Scan() {
		var x struct {
			Request string
			Lost    int
		}
		if err := json.Unmarshal(in.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		if counted += x.Lost; x.Request != "" {
			written++
		}
	}
	if written+counted != all {
		t.Errorf("%d lines and %d lost ones of %d", written, counted, all)
	}
}
