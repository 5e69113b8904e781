// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestCPU: what a process has used grows while it works, and what its threads have waited for never shrinks.
func TestCPU(t *testing.T) {
	c := exec.Command("sh", "-c", "while :; do :; done")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	deadline := time.Now().Add(30 * time.Second)
	last := time.Duration(0)
	for CPU(c.Process.Pid) < 50*time.Millisecond {
		if d := Delay(c.Process.Pid); d < last {
			t.Fatalf("%v after %v", d, last)
		} else {
			last = d
		}
		if time.Now().After(deadline) {
			t.Fatal("it uses no CPU")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if CPU(1<<30) != 0 || Delay(1<<30) != 0 {
		t.Error("a process that is not there")
	}
	if CPU(os.Getpid()) < 0 {
		t.Error("negative")
	}
}
