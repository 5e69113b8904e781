// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	want := "/data/unifaas"
	if os.Geteuid() == 0 {
		want = "/var/lib/unifaas"
	}
	if got, err := Resolve(""); err != nil || got != want {
		t.Errorf("%q %v, want %q", got, err, want)
	}
	if got, err := Resolve("x"); err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "x" {
		t.Errorf("%q %v", got, err)
	}
	if os.Geteuid() != 0 {
		t.Setenv("XDG_DATA_HOME", "")
		t.Setenv("HOME", "")
		if got, err := Resolve(""); err == nil {
			t.Errorf("without HOME: %q", got)
		}
	}
}
