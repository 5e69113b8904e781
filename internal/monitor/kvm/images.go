// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

// imageCopyMax is the largest image that is copied into huge pages. A larger one is mapped from its file: each of its pages then
// costs every sandbox a shadow fault at first use (2 to 30 µs here), but nothing is held twice.
const imageCopyMax = 64 << 20

// imageKey names the content of an image file, as long as nobody writes to it. The time is there because the number of a
// deleted file is used again.
type imageKey struct {
	dev, ino uint64
	size     int64
	changed  unix.Timespec
}

// images holds each image once for all sandboxes of a Monitor. What was mapped stays until the Monitor is closed: a tender has one
// image, and its next instance wants it at once.
type images struct {
	mu   sync.Mutex
	area map[imageKey]*guestmem.Area
}

// get returns the area of an image, which the caller must not close.
func (im *images) get(f *os.File, size int64) (*guestmem.Area, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("image %s: %w", f.Name(), err)
	}
	// Touching what is not there would end the guest much later.
	if st.Size < size {
		return nil, fmt.Errorf("image %s: %d bytes, expected %d: build it again", f.Name(), st.Size, size)
	}
	key := imageKey{dev: st.Dev, ino: st.Ino, size: size, changed: st.Ctim}
	im.mu.Lock()
	defer im.mu.Unlock()
	if a := im.area[key]; a != nil {
		return a, nil
	}
	load := guestmem.CopyFile
	if size > imageCopyMax {
		load = guestmem.MapFile
	}
	a, err := load(abi.ImageGPA, f, uint64(size))
	if err != nil {
		return nil, err
	}
	if im.area == nil {
		im.area = make(map[imageKey]*guestmem.Area)
	}
	im.area[key] = a
	return a, nil
}

// close unmaps everything. Preconditions: all sandboxes are closed.
func (im *images) close() {
	im.mu.Lock()
	defer im.mu.Unlock()
	for _, a := range im.area {
		a.Close()
	}
	im.area = nil
}
