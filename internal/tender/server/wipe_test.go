// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"testing"
)

// TestWiped: buffers grow and shrink as append has it, and leave nothing where they were.
func TestWiped(t *testing.T) {
	var b, want []byte
	for i := range 200 {
		p := bytes.Repeat([]byte{byte(i + 1)}, i*7%50)
		old := b[:cap(b)]
		b = grow(b, p)
		want = append(want, p...)
		if len(old) > 0 && len(b) > 0 && &old[0] != &b[0] && !bytes.Equal(old, make([]byte, len(old))) {
			t.Fatalf("step %d leaves %v", i, old)
		}
		n := i * 3 % (len(b) + 1)
		b = shift(b, n)
		want = want[n:]
		if !bytes.Equal(b, want) {
			t.Fatalf("step %d: %v, want %v", i, b, want)
		}
		if rest := b[len(b):cap(b)]; !bytes.Equal(rest, make([]byte, len(rest))) {
			t.Fatalf("step %d leaves %v behind the end", i, rest)
		}
	}
}
