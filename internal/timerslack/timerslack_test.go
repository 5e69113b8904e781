// SPDX-License-Identifier: Apache-2.0

package timerslack

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func slack(t *testing.T, tid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	if err != nil {
		t.Skip(err)
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(b)) + "ns")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestThread(t *testing.T) {
	runtime.LockOSThread() // for good: nobody gets this thread
	Thread(Loose)
	if d := slack(t, unix.Gettid()); d != Loose {
		t.Errorf("slack %v", d)
	}
}

func TestMonitor(t *testing.T) {
	tids, err := threads()
	if err != nil || len(tids) < 2 {
		t.Fatal(tids, err)
	}
	before := slack(t, tids[0])
	if err := Monitor(); err != nil {
		t.Skip(err)
	}
	if d := slack(t, tids[1]); d != Loose {
		t.Errorf("slack %v", d)
	}
	if d := slack(t, tids[0]); d != before {
		t.Errorf("the main thread had %v and has %v", before, d)
	}
}
