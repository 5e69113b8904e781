// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// Delta writes what a sandbox's state differs from the image in to sink, from its start, and gives the length. Errors wrap ErrBusy if
// messages are under way. The sandbox stays as it is.
func (im *Image) Delta(sb monitor.Stateful, link snapshot.Link, sink *os.File) (int64, error) {
	if err := im.fits(sb); err != nil {
		return 0, err
	}
	ram, area := sb.RAM(), sb.Shared()
	if err := emptyRings(area, link); err != nil {
		return 0, err
	}
	m := snapshot.Meta{Key: im.meta.Key, Link: link}
	var err error
	if m.CPU, err = sb.SaveCPU(); err != nil {
		return 0, err
	}
	if m.Mono, m.Host, err = monotonic(sb); err != nil {
		return 0, err
	}
	w := newWriter(sink, &m, im.sum)
	if err := im.differing(ram, w); err != nil {
		return 0, err
	}
	shared, err := saveShared(area)
	if err != nil {
		return 0, err
	}
	first := uint32(ram.Size() / pageSize)
	for i := range uint32(usedPages) {
		at := i * pageSize
		if _, err := w.page(first+i, shared[at:at+pageSize], im.shared[at:at+pageSize]); err != nil {
			return 0, err
		}
	}
	return w.finish()
}

// monotonic is CLOCK_MONOTONIC, the guest's and the host's.
func monotonic(sb monitor.Stateful) (guest, host uint64, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, 0, fmt.Errorf("read the clock: %w", err)
	}
	host = uint64(ts.Nano())
	return host + sb.MonoOffset(), host, nil
}

// differing gives w all pages of RAM that the host or the image has memory for; the others are zero in both.
func (im *Image) differing(ram *guestmem.Area, w *writer) error {
	c := cursor{spans: im.spans}
	return blocks(ram, func(first uint32, b, there []byte) error {
		for i := range there {
			page := first + uint32(i)
			image := c.page(page)
			if there[i]&1 == 0 && image == nil {
				continue
			}
			differs, err := w.page(page, b[i*pageSize:(i+1)*pageSize], image)
			if err != nil {
				return err
			}
			if differs {
				im.setHot(page)
			}
		}
		return nil
	})
}

// blocks calls f for each 2 MiB of RAM, in order: its memory, and for each page whether the host has memory for it (bit 0).
func blocks(ram *guestmem.Area, f func(first uint32, b, there []byte) error) error {
	var there [guestmem.HugeSize / pageSize]byte
	for off := uint64(0); off < ram.Size(); off += guestmem.HugeSize {
		if err := ram.Present(off, there[:]); err != nil {
			return err
		}
		b, err := ram.Bytes(off, guestmem.HugeSize)
		if err != nil {
			return err
		}
		if err := f(uint32(off/pageSize), b, there[:]); err != nil {
			return err
		}
	}
	return nil
}
