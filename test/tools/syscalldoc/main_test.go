// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"unifaas.dev/internal/testkit"
)

func TestPageIsCurrent(t *testing.T) {
	root := testkit.Root(t)
	calls, err := read(filepath.Join(root, "guest/sys"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "docs/syscalls.md"))
	if err != nil || string(got) != string(page(calls)) {
		t.Errorf("docs/syscalls.md is not what guest/sys says: run make docs (%v)", err)
	}
}

// TestNumbers compares the table with the kernel's own header.
func TestNumbers(t *testing.T) {
	var text []byte
	for _, p := range []string{"/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"} {
		if b, err := os.ReadFile(p); err == nil {
			text = b
		}
	}
	if text == nil {
		testkit.Missing(t, "no asm/unistd_64.h: install linux-libc-dev")
	}
	linux := map[int]string{}
	for _, m := range regexp.MustCompile(`#define __NR_(\w+) (\d+)`).FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		linux[n] = m[1]
	}
	calls, err := read(filepath.Join(testkit.Root(t), "guest/sys"))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 100 {
		t.Errorf("only %d calls were found", len(calls))
	}
	for _, c := range calls {
		if name, ok := linux[c.nr]; ok && name != c.name {
			t.Errorf("%s: call %d is %s, not %s", c.file, c.nr, name, c.name)
		}
	}
}
