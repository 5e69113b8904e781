// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// What SaveCPU gives begins with these.
const (
	stateMagic   = 0x55504356 // "VCPU"
	stateVersion = 1
)

// cpuHead is the fixed part of a state; XSave bytes of an XSAVE area in the standard form follow, zeros at its end left off.
type cpuHead struct {
	Magic    uint32
	Version  uint32
	Regs     kvmabi.Regs
	FSBase   uint64
	GSBase   uint64
	CR2      uint64
	CR3      uint64
	XCR0     uint64
	Segments [4]uint16 // selectors of DS, ES, FS, GS
	XSave    uint32
	Pad      uint32
}

// cpuHeadSize is the size of an encoded cpuHead.
const cpuHeadSize = 8 + 18*8 + 5*8 + 4*2 + 8

// Flags register.
const (
	flagsSet  = 0x2      // always
	flagsMay  = 0x250fd5 // what POPF and IRET can change at CPL3: CF PF AF ZF SF TF DF OF NT RF AC ID; and IF, which SYSCALL clears
	userLimit = 1 << 47  // end of the lower half of the address space, where all of a guest lies
)

// Places in an XSAVE area.
const (
	xsaveMXCSR    = 24
	xsaveOwn      = 464 // not state: left to software
	xsaveHeader   = 512
	xsaveStart    = 576
	mxcsrMay      = 0xffff
	xsaveRegion   = 4096
	xsaveReserved = xsaveHeader + 16
)

// encode appends the state to b.
func (c *cpuHead) encode(b, xsave []byte) ([]byte, error) {
	c.Magic, c.Version = stateMagic, stateVersion
	xsave = bytes.TrimRight(xsave, "\x00")
	if len(xsave) < xsaveStart { // header included, even of an area in its initial state
		xsave = xsave[:xsaveStart]
	}
	c.XSave = uint32(len(xsave))
	b, err := binary.Append(b, binary.LittleEndian, c)
	return append(b, xsave...), err
}

// decodeCPU takes a state apart, which may come from anywhere, and checks all of it: what is let through can stand in the registers of a vCPU at CPL3 whose
// RAM has memory bytes and whose XCR0 is xcr0.
func decodeCPU(state []byte, xcr0, memory uint64) (*cpuHead, []byte, error) {
	c := &cpuHead{}
	if len(state) < cpuHeadSize {
		return nil, nil, fmt.Errorf("state of a vCPU: %d bytes, need at least %d", len(state), cpuHeadSize)
	}
	if _, err := binary.Decode(state, binary.LittleEndian, c); err != nil {
		return nil, nil, fmt.Errorf("state of a vCPU: %w", err)
	}
	xsave := state[cpuHeadSize:]
	if err := c.check(xcr0, memory); err != nil {
		return nil, nil, fmt.Errorf("state of a vCPU: %w", err)
	}
	if uint64(c.XSave) != uint64(len(xsave)) {
		return nil, nil, fmt.Errorf("state of a vCPU: %d bytes of XSAVE area, it says %d", len(xsave), c.XSave)
	}
	if err := checkXSave(xsave, xcr0); err != nil {
		return nil, nil, fmt.Errorf("state of a vCPU: %w", err)
	}
	return c, xsave, nil
}

func (c *cpuHead) check(xcr0, memory uint64) error {
	if c.Magic != stateMagic || c.Pad != 0 {
		return fmt.Errorf("it is none (magic 0x%x)", c.Magic)
	}
	if c.Version != stateVersion {
		return fmt.Errorf("version %d, this monitor knows %d", c.Version, stateVersion)
	}
	if f := c.Regs.RFLAGS; f&flagsSet != flagsSet || f&^(flagsSet|flagsMay) != 0 {
		return fmt.Errorf("flags 0x%x are none of a program", f)
	}
	if c.Regs.RIP >= userLimit {
		return fmt.Errorf("instruction pointer 0x%x is outside of the address space", c.Regs.RIP)
	}
	for _, a := range []struct {
		name string
		v    uint64
	}{{"FS base", c.FSBase}, {"GS base", c.GSBase}} {
		if !canonical(a.v) {
			return fmt.Errorf("%s 0x%x is not canonical", a.name, a.v)
		}
	}
	if c.CR3%pageSize != 0 || c.CR3 >= memory {
		return fmt.Errorf("page tables at 0x%x, outside of %d MiB of RAM", c.CR3, memory>>20)
	}
	for i, s := range c.Segments {
		if s > 3 && s != abi.UserSS {
			return fmt.Errorf("%s holds 0x%x, which is no data segment", segmentNames()[i], s)
		}
	}
	if c.XCR0 != xcr0 {
		return fmt.Errorf("XCR0 0x%x, guests have 0x%x here: another CPU", c.XCR0, xcr0)
	}
	return nil
}

func segmentNames() [4]string { return [4]string{"DS", "ES", "FS", "GS"} }

func canonical(v uint64) bool { return int64(v<<16)>>16 == int64(v) }

// checkXSave refuses what XRSTOR would fail on.
func checkXSave(x []byte, xcr0 uint64) error {
	if len(x) < xsaveStart || len(x) > xsaveRegion {
		return fmt.Errorf("XSAVE area of %d bytes: need %d to %d", len(x), xsaveStart, xsaveRegion)
	}
	le := binary.LittleEndian
	if m := le.Uint32(x[xsaveMXCSR:]); m&^mxcsrMay != 0 {
		return fmt.Errorf("MXCSR 0x%x has bits that no CPU has", m)
	}
	if b := le.Uint64(x[xsaveHeader:]); b&^xcr0 != 0 {
		return fmt.Errorf("XSAVE area with components 0x%x, guests have 0x%x", b, xcr0)
	}
	if c := le.Uint64(x[xsaveHeader+8:]); c != 0 {
		return fmt.Errorf("XSAVE area in compacted form 0x%x", c)
	}
	for _, b := range x[xsaveReserved:xsaveStart] {
		if b != 0 {
			return fmt.Errorf("XSAVE area with something where nothing may be")
		}
	}
	return nil
}

// sregs are base, as at boot, with what a program can change. Preconditions: c was checked.
func (c *cpuHead) sregs(base *kvmabi.Sregs) kvmabi.Sregs {
	s := *base
	for i, seg := range []*kvmabi.Segment{&s.DS, &s.ES, &s.FS, &s.GS} {
		if c.Segments[i] <= 3 {
			*seg = kvmabi.Segment{Selector: c.Segments[i], Unusable: 1}
		}
	}
	s.FS.Base, s.GS.Base = c.FSBase, c.GSBase
	s.CR2, s.CR3 = c.CR2, c.CR3
	return s
}
