// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// ErrBusy is why no state can be taken now.
var ErrBusy = errors.New("its queues are not empty")

// Capture writes a sandbox's state to sink, an empty memory file, which is sealed then. m says what the tender knows: Key, Link and
// Mono. The sandbox goes on as if nothing had happened.
func Capture(sink *os.File, sb monitor.Stateful, layers []monitor.Layer, m snapshot.Meta) (snapshot.Info, error) {
	var none snapshot.Info
	ram, shared := sb.RAM(), sb.Shared()
	if err := emptyRings(shared, m.Link); err != nil {
		return none, err
	}
	if m.Key.Memory != int64(ram.Size()) {
		return none, fmt.Errorf("memory is %d bytes, not %d", ram.Size(), m.Key.Memory)
	}
	cpu, err := sb.SaveCPU()
	if err != nil {
		return none, err
	}
	m.CPU = cpu
	if err := sink.Truncate(m.Key.Memory + abi.SharedSize); err != nil {
		return none, err
	}
	if m.Data, m.Shared, err = classify(ram, layers); err != nil {
		return none, err
	}
	sum, err := writeRAM(sink, ram, m.Data)
	if err != nil {
		return none, err
	}
	b, err := saveShared(shared)
	if err != nil {
		return none, err
	}
	if _, err := sink.WriteAt(b, m.Key.Memory); err != nil {
		return none, fmt.Errorf("write snapshot: %w", err)
	}
	sum.Add(b)
	if err := snapshot.Finish(sink, &m, sum); err != nil {
		return none, err
	}
	if err := snapshot.Seal(sink); err != nil {
		return none, err
	}
	return m.Info(sink)
}

// writeRAM writes these pages, and sums them up.
func writeRAM(sink *os.File, ram *guestmem.Area, data []snapshot.Run) (sum snapshot.Sum, err error) {
	b, err := ram.Bytes(0, ram.Size())
	if err != nil {
		return 0, err
	}
	// What lies in one block is written together.
	const blockPages = snapshot.BlockSize / pageSize
	var parts []snapshot.Run
	var block, pages uint32
	write := func() error {
		defer func() { parts, pages = parts[:0], 0 }()
		if pages >= snapshot.BlockDense {
			return snapshot.WriteBlock(sink, int64(block)*snapshot.BlockSize, func(mem []byte) {
				for _, r := range parts {
					copy(mem[(r.Page%blockPages)*pageSize:], b[int64(r.Page)*pageSize:int64(r.Page+r.Pages)*pageSize])
				}
			})
		}
		for _, r := range parts {
			if _, err := sink.WriteAt(b[int64(r.Page)*pageSize:int64(r.Page+r.Pages)*pageSize], int64(r.Page)*pageSize); err != nil {
				return fmt.Errorf("write snapshot: %w", err)
			}
		}
		return nil
	}
	for _, r := range data {
		sum.AddRun(r)
		sum.Add(b[int64(r.Page)*pageSize : int64(r.Page+r.Pages)*pageSize])
		for r.Pages > 0 {
			if r.Page/blockPages != block {
				if err := write(); err != nil {
					return 0, err
				}
				block = r.Page / blockPages
			}
			n := min(r.Pages, blockPages-r.Page%blockPages)
			parts, pages = append(parts, snapshot.Run{Page: r.Page, Pages: n}), pages+n
			r.Page, r.Pages = r.Page+n, r.Pages-n
		}
	}
	return sum, write()
}

// emptyRings refuses a state with messages under way.
func emptyRings(shared *guestmem.Area, l snapshot.Link) error {
	if shared.Load64(abi.CtlRxTail) != l.RxHead || shared.Load64(abi.CtlTxHead) != l.TxTail {
		return ErrBusy
	}
	return nil
}

// classify finds the pages that are not zero, and which of them layers have.
func classify(ram *guestmem.Area, layers []monitor.Layer) (data []snapshot.Run, shared []snapshot.Extent, err error) {
	err = blocks(ram, func(first uint32, b, there []byte) error {
		for i := range there {
			if there[i]&1 == 0 || bytes.Equal(b[i*pageSize:(i+1)*pageSize], zeroPage[:]) {
				continue
			}
			page := first + uint32(i)
			if n := len(data); n > 0 && data[n-1].Page+data[n-1].Pages == page {
				data[n-1].Pages++
			} else {
				data = append(data, snapshot.Run{Page: page, Pages: 1})
			}
		}
		return nil
	})
	if err != nil || len(layers) == 0 {
		return data, nil, err
	}
	image := mapLayers(layers)
	defer image.close()
	b, err := ram.Bytes(0, ram.Size())
	if err != nil {
		return nil, nil, err
	}
	data, shared = share(b, data, image)
	return data, shared, nil
}
