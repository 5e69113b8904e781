// SPDX-License-Identifier: Apache-2.0

// Package guestmem is the only code of the host that touches guest memory.
//
// A guest address is a number that the host cannot dereference; an Area is a stretch of host memory that a guest sees
// at a guest address. Every access names an offset and is checked against the size. The guest may change the bytes at
// any moment: copy once with ReadAt, check the copy, use the copy.
package guestmem

import (
	"errors"
	"fmt"
)

// GuestAddr is a guest physical address.
type GuestAddr uint64

// HugeSize is the page size that areas are aligned to.
const HugeSize = 2 << 20

// ErrRange is wrapped by every access outside of its area.
var ErrRange = errors.New("outside of the guest memory area")

// rangeError names the access that did not fit.
func rangeError(off, n, size uint64) error {
	return fmt.Errorf("%w: %d bytes at offset 0x%x of 0x%x", ErrRange, n, off, size)
}

// within reports whether [off, off+n) lies in [0, size).
func within(off, n, size uint64) bool {
	return off <= size && n <= size-off
}
