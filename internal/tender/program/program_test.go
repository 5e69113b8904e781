// SPDX-License-Identifier: Apache-2.0

package program_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender/program"
)

// TestFile: it can be executed, by whoever has it, and never changed. Without a socket there is nothing for it to do.
func TestFile(t *testing.T) {
	f, err := program.File()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := program.File(); again != f || err != nil {
		t.Errorf("a second file: %v", err)
	}
	if _, err := unix.Pwrite(int(f.Fd()), []byte{0}, 0); err != unix.EPERM {
		t.Errorf("it can be written to: %v", err)
	}
	if err := f.Truncate(0); err == nil {
		t.Error("it can be cut")
	}
	var stderr bytes.Buffer
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	cmd.Path = fmt.Sprintf("/proc/%d/fd/%d", unix.Getpid(), f.Fd())
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !strings.HasPrefix(stderr.String(), "tender: ") {
		t.Errorf("%v, and said %q", err, stderr.String())
	}
}
