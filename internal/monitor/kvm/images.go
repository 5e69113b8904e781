// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// layerKey names the content of a file, as long as nobody writes to it. The time is there because the number of a
// deleted file is used again.
type layerKey struct {
	dev, ino uint64
	size     int64
	changed  unix.Timespec
}

type imageKey [abi.LayersMax]layerKey

// images holds each image once for all sandboxes of a Monitor. What was mapped stays until the Monitor is closed: a tender has one
// image, and its next instance wants it at once.
type images struct {
	mu   sync.Mutex
	area map[imageKey]*guestmem.Area
}

// get returns the area of an image, which the caller must not close.
func (im *images) get(layers []monitor.Layer) (*guestmem.Area, error) {
	var key imageKey
	var files []guestmem.File
	for i, l := range layers {
		var st unix.Stat_t
		if err := unix.Fstat(int(l.File.Fd()), &st); err != nil {
			return nil, fmt.Errorf("image %s: %w", l.File.Name(), err)
		}
		// Touching what is not there would end the guest much later.
		if st.Size < l.Size {
			return nil, fmt.Errorf("image %s: %d bytes, expected %d: build it again", l.File.Name(), st.Size, l.Size)
		}
		key[i] = layerKey{dev: st.Dev, ino: st.Ino, size: l.Size, changed: st.Ctim}
		files = append(files, guestmem.File{File: l.File, Size: uint64(l.Size)})
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	if a := im.area[key]; a != nil {
		return a, nil
	}
	a, err := guestmem.MapFiles(abi.ImageGPA, files)
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
