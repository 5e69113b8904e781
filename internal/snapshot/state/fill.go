// SPDX-License-Identifier: Apache-2.0

package state

import (
	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// Fill puts the image's state into a sandbox that never ran: RAM, shared area, vCPU. What the monitor itself has put into RAM of a fresh
// sandbox, the library OS and first page tables, may be there; all else is zero. The clock and the seed stay the sandbox's own; the
// number of the seed is the image's: the next seed has the next. After an error the sandbox is of no use.
func (im *Image) Fill(sb monitor.Stateful) error {
	if err := im.fits(sb); err != nil {
		return err
	}
	ram := sb.RAM()
	if err := im.clearLoaded(ram); err != nil {
		return err
	}
	for i := range im.spans {
		s := &im.spans[i]
		dst, err := ram.Bytes(uint64(s.page)*pageSize, uint64(s.pages)*pageSize)
		if err != nil {
			return err
		}
		copy(dst, s.bytes)
	}
	if err := putShared(sb.Shared(), im.shared, &im.meta.Link); err != nil {
		return err
	}
	return sb.LoadCPU(im.meta.CPU)
}

// clearLoaded zeroes what a fresh sandbox may have where the image has zeros.
func (im *Image) clearLoaded(ram *guestmem.Area) error {
	h := &im.header
	for _, r := range [][2]uint64{
		{0, h.TextEnd - abi.LibosVA},
		{guestmem.HugeSize, h.End},
		{h.BootTables, h.BootTables + abi.BootTables*pageSize},
	} {
		c := cursor{spans: im.spans}
		first, end := r[0]/pageSize, roundUp(min(r[1], abi.TablesEnd), pageSize)/pageSize
		for p := first; p < end; p++ {
			if c.page(uint32(p)) != nil {
				continue
			}
			b, err := ram.Bytes(p*pageSize, pageSize)
			if err != nil {
				return err
			}
			clear(b)
		}
	}
	return nil
}
