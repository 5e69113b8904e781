// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := &progress{from: strings.NewReader(strings.Repeat("x", 1000)), to: &out, what: "upload x", size: 500} // the file grew
	if n, err := io.Copy(io.Discard, p); err != nil || n != 1000 {
		t.Fatal(n, err)
	}
	p.Close()
	if got := out.String(); !strings.HasPrefix(got, "\rupload x [##############################] ") || !strings.HasSuffix(got, "\r\033[K") {
		t.Errorf("%q", got)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	from := showProgress(file, "x", 1<<40, strings.NewReader("abc"))
	io.Copy(io.Discard, from)
	from.Close()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("drew into a file: %v", info)
	}
}
