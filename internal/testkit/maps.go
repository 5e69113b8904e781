// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// LayerInodes are the memory files of image layers that a tender maps, one for each mapping: shared, and only to be read.
func LayerInodes(t testing.TB, pid int) (inodes []string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "r--s" && strings.Contains(f[5], "memfd:") && !strings.Contains(f[5], "memfd:unifaas-snapshot") {
			inodes = append(inodes, f[4])
		}
	}
	return inodes
}
