// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// cpuidPage is what CPUID tells guests, in the form of struct ufs_cpuid. It is the same for all vCPUs of a host, so the first one is
// asked and the rest get a copy.
type cpuidPage struct {
	once sync.Once
	page []byte
	err  error
}

// write puts the page into the shared area. Preconditions: CPUID, XCR0 and CR4 of the vCPU fd are set, as leaves depend on them.
func (c *cpuidPage) write(fd int, shared *guestmem.Area) error {
	c.once.Do(func() { c.page, c.err = readCPUID(fd) })
	if c.err != nil {
		return c.err
	}
	return shared.WriteAt(c.page, abi.CPUIDOff)
}

func readCPUID(fd int) ([]byte, error) {
	t := kvmabi.CPUID{Nent: kvmabi.CPUIDMax}
	if _, err := ioctlPtr(fd, kvmabi.GetCPUID2, &t); err != nil {
		return nil, fmt.Errorf("KVM_GET_CPUID2: %w", err)
	}
	if t.Nent > abi.CPUIDMax {
		t.Nent = 0 // more than fit: guests execute the instruction
	}
	p := abi.CPUID{Count: t.Nent}
	for i, e := range t.Entries[:t.Nent] {
		p.Entries[i] = abi.CPUIDEntry{Function: e.Function, Index: e.Index, Indexed: e.Flags & cpuidIndexed,
			EAX: e.EAX, EBX: e.EBX, ECX: e.ECX, EDX: e.EDX}
	}
	var b bytes.Buffer
	err := binary.Write(&b, binary.LittleEndian, &p)
	return b.Bytes(), err
}
