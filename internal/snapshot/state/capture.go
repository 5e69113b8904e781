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
		return none, fmt.Errorf("take a snapshot: memory is %d bytes, not %d", ram.Size(), m.Key.Memory)
	}
	cpu, err := sb.SaveCPU()
	if err != nil {
		return none, err
	}
	m.CPU = cpu
	if err := sink.Truncate(m.Key.Memory + abi.SharedSize); err != nil {
		return none, fmt.Errorf("take a snapshot: %w", err)
	}
	if m.Data, m.Shared, err = classify(ram, layers); err != nil {
		return none, err
	}
	var sum snapshot.Sum
	for _, r := range m.Data {
		b, err := ram.Bytes(uint64(r.Page)*pageSize, uint64(r.Pages)*pageSize)
		if err != nil {
			return none, err
		}
		if _, err := sink.WriteAt(b, int64(r.Page)*pageSize); err != nil {
			return none, fmt.Errorf("write snapshot: %w", err)
		}
		sum.AddRun(r)
		sum.Add(b)
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

// emptyRings refuses a state with messages under way.
func emptyRings(shared *guestmem.Area, l snapshot.Link) error {
	if shared.Load64(abi.CtlRxTail) != l.RxHead || shared.Load64(abi.CtlTxHead) != l.TxTail {
		return ErrBusy
	}
	return nil
}

// classify finds the pages that are not zero.
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
	return data, shared, err
}
