// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mapped is the line of /proc/self/maps for an address.
func mapped(t *testing.T, addr uint64) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && addr >= from && addr < to {
			return line
		}
	}
	return ""
}

func TestWindow(t *testing.T) {
	w, err := NewWindow(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	name := filepath.Join(t.TempDir(), "shown")
	if err := os.WriteFile(name, make([]byte, 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []uint64{0, HugeSize, 1<<30 - 12288} {
		if err := w.Map(off, f, 10000); err != nil {
			t.Fatal(err)
		}
		if l := mapped(t, w.HostAddr()+off); !strings.Contains(l, "r--s") || !strings.Contains(l, name) {
			t.Errorf("at 0x%x: %s", off, l)
		}
		if err := w.Unmap(off, 10000); err != nil {
			t.Fatal(err)
		}
		if l := mapped(t, w.HostAddr()+off); !strings.Contains(l, "---p") {
			t.Errorf("at 0x%x after Unmap: %s", off, l)
		}
	}
	for _, c := range [][2]uint64{{1, 4096}, {0, 0}, {1 << 30, 4096}, {1<<30 - 4096, 4097}, {1 << 63, 4096}, {4096, ^uint64(0)}} {
		if err := w.Map(c[0], f, c[1]); !errors.Is(err, ErrRange) {
			t.Errorf("map at %x: %v", c, err)
		}
		if err := w.Unmap(c[0], c[1]); !errors.Is(err, ErrRange) {
			t.Errorf("unmap at %x: %v", c, err)
		}
	}
	w.Close()
	if err := w.Map(0, f, 4096); !errors.Is(err, ErrRange) {
		t.Errorf("map after Close: %v", err)
	}
}
