// SPDX-License-Identifier: Apache-2.0

package server

// grow is append for bytes that an instance may be rewound from: memory that it leaves for more room is cleared.
func grow(b, p []byte) []byte {
	if cap(b)-len(b) >= len(p) {
		return append(b, p...)
	}
	n := append(make([]byte, 0, max(2*cap(b), len(b)+len(p))), b...)
	clear(b[:cap(b)])
	return append(n, p...)
}

// shift takes n bytes from the front and clears what they leave.
func shift(b []byte, n int) []byte {
	rest := append(b[:0], b[n:]...)
	clear(b[len(rest):])
	return rest
}
