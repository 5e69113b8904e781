// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// Recycle puts a sandbox back to the image, as Rewind does, that ran a state of it and was not watched: all its memory is compared. What
// follows has to be like after Rewind, too. Memory that the image needs none of goes back to the host.
func (im *Image) Recycle(sb monitor.Stateful) (Result, error) {
	if err := im.fatten(sb.RAM()); err != nil {
		return Result{}, err
	}
	r, err := NewRewinder(im, &unwatched{sb, im})
	if err != nil {
		return Result{}, err
	}
	res, err := r.Rewind()
	if err != nil {
		return res, err
	}
	for n := uint64(usedPages); n < abi.SharedSize/pageSize; n++ {
		if err := wipe(sb.Shared(), n); err != nil {
			return res, err
		}
	}
	return res, im.trim(sb.RAM())
}

// fatten makes huge pages again of what Thin made small ones: the next instance is to have it as a new one has. The content stays, that of page
// tables with it.
func (im *Image) fatten(ram *guestmem.Area) error {
	var content []byte
	for off := uint64(0); off < ram.Size(); off += guestmem.HugeSize {
		if !ram.IsSmall(off) {
			continue
		}
		if content == nil {
			content = make([]byte, guestmem.HugeSize)
		}
		if err := ram.ReadAt(content, off); err != nil {
			return err
		}
		if err := ram.MapAnonymous(off, guestmem.HugeSize); err != nil {
			return err
		}
		if err := ram.WriteAt(content, off); err != nil {
			return err
		}
	}
	return nil
}

// unwatched is a sandbox whose written pages are found by comparing.
type unwatched struct {
	monitor.Stateful
	im *Image
}

func (u *unwatched) Track() error { return nil }

func (u *unwatched) Untouch([]uint64) error { return nil }

func (u *unwatched) Written(set []uint64) error {
	c := cursor{spans: u.im.spans}
	return blocks(u.RAM(), func(first uint32, b, there []byte) error {
		for i := range there {
			page := first + uint32(i)
			image := c.page(page)
			switch {
			case image == nil && there[i]&1 == 0:
				continue
			case image == nil:
				image = zeroPage[:]
			}
			if !bytes.Equal(b[i*pageSize:(i+1)*pageSize], image) {
				set[page/64] |= 1 << (page % 64)
			}
		}
		return nil
	})
}

// trim gives back the blocks of RAM behind the last one that the image has something in, which are zero now.
func (im *Image) trim(ram *guestmem.Area) error {
	end := uint64(abi.TablesEnd)
	if n := len(im.spans); n > 0 {
		end = max(end, roundUp(uint64(im.spans[n-1].page+im.spans[n-1].pages)*pageSize, guestmem.HugeSize))
	}
	end += guestmem.HugeSize // what instances use next
	if end >= ram.Size() {
		return nil
	}
	return ram.Discard(end, ram.Size()-end)
}
