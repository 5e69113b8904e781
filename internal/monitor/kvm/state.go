// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

var _ monitor.Stateful = (*sandbox)(nil)

// RAM implements monitor.Stateful.
func (s *sandbox) RAM() *guestmem.Area { return s.mem.ram }

// Features implements monitor.Stateful. The hash is over the CPUID page: what programs and their run-time libraries choose code by.
func (s *sandbox) Features() string {
	sum := sha256.Sum256(s.host.cpuidPage.page)
	return fmt.Sprintf("kvm xcr0=%x cr4=%x cpuid=%x", s.host.xcr0, s.host.cr4|s.host.cr4Native, sum[:16])
}

// SaveCPU implements monitor.Stateful.
func (s *sandbox) SaveCPU() ([]byte, error) {
	if s.ended || s.over {
		return nil, errEnded
	}
	v := s.vcpu
	// One call for all of this: each costs what it takes KVM to load the vCPU, whatever it is for.
	v.run.ValidRegs = kvmabi.SyncRegsBit | kvmabi.SyncSregsBit | kvmabi.SyncEventsBit
	err := v.settle()
	v.run.ValidRegs = kvmabi.SyncRegsBit
	if err != nil {
		return nil, err
	}
	sr := &v.run.Sync.Sregs
	if pending(&v.run.Sync.Events) {
		return nil, errors.New("save a vCPU: an exception is on its way")
	}
	if sr.CS.Selector != abi.UserCS || sr.SS.Selector != abi.UserSS {
		return nil, fmt.Errorf("save a vCPU: it is in code segment 0x%x: an exception is being handled", sr.CS.Selector)
	}
	xcr0 := s.host.xcr0
	if s.canXSETBV() {
		var x kvmabi.XCRs
		if _, err := ioctlPtr(v.raw, kvmabi.GetXCRs, &x); err != nil {
			return nil, fmt.Errorf("KVM_GET_XCRS: %w", err)
		}
		xcr0 = x.XCRs[0].Value
	}
	var xs kvmabi.XSave
	if _, err := ioctlPtr(v.raw, kvmabi.GetXSave, &xs); err != nil {
		return nil, fmt.Errorf("KVM_GET_XSAVE: %w", err)
	}
	clear(xs.Region[xsaveOwn:xsaveHeader])
	c := &cpuHead{
		Regs: v.run.Sync.Regs, FSBase: sr.FS.Base, GSBase: sr.GS.Base, CR2: sr.CR2, CR3: sr.CR3, XCR0: xcr0,
		Segments: [4]uint16{sr.DS.Selector, sr.ES.Selector, sr.FS.Selector, sr.GS.Selector},
	}
	state, err := c.encode(make([]byte, 0, 1024), xs.Region[:])
	if err != nil {
		return nil, err
	}
	// What could not be put in again is better known now.
	if _, _, err := decodeCPU(state, s.host.xcr0, s.mem.ram.Size()); err != nil {
		return nil, fmt.Errorf("save a vCPU: %w", err)
	}
	return state, nil
}

// LoadCPU implements monitor.Stateful.
func (s *sandbox) LoadCPU(state []byte) error {
	if s.ended {
		return errEnded
	}
	v := s.vcpu
	c, xsave, err := decodeCPU(state, s.host.xcr0, s.mem.ram.Size())
	if err != nil {
		return err
	}
	if v.ran {
		if err := s.reset(); err != nil {
			return err
		}
	}
	var xs kvmabi.XSave
	copy(xs.Region[:], xsave)
	if _, err := ioctlPtr(v.raw, kvmabi.SetXSave, &xs); err != nil {
		return fmt.Errorf("KVM_SET_XSAVE: %w", err)
	}
	// The next KVM_RUN takes these, then completes an MMIO store that is pending, which changes no register: like this one call less.
	v.run.Sync.Regs = c.Regs
	v.run.Sync.Sregs = c.sregs(&v.sregs)
	v.run.DirtyRegs = kvmabi.SyncRegsBit | kvmabi.SyncSregsBit
	if v.ran {
		v.run.Sync.Events = kvmabi.VCPUEvents{Flags: kvmabi.EventNMIPending | kvmabi.EventShadow}
		v.run.DirtyRegs |= kvmabi.SyncEventsBit
	}
	s.over = false
	return nil
}

// settle completes what the last exit left pending, an MMIO store, and puts the registers that were written into the vCPU; nothing of the guest
// runs. Requests stay: Run clears immediate_exit before it looks for them.
func (v *vcpu) settle() error {
	v.leaveAtOnce()
	_, err := ioctl(v.raw, kvmabi.RunVCPU, 0)
	if err != unix.EINTR {
		return fmt.Errorf("KVM_RUN that was to leave at once: %w", cmpError(err))
	}
	return nil
}

// cmpError names the absence of an error.
func cmpError(err error) error {
	if err == nil {
		return errors.New("it entered the guest")
	}
	return err
}

// reset undoes what a guest can do to its vCPU beside what a state has in it. An honest one does nothing of the kind: it takes CPL0, which a
// hostile one can get to. Model-specific registers are none of it, see denyMSRs.
func (s *sandbox) reset() error {
	if s.canXSETBV() {
		if err := s.vcpu.setXCR0(s.host.xcr0); err != nil {
			return err
		}
	}
	d := kvmabi.DebugRegs{DR6: 0xffff0ff0, DR7: 0x400}
	if _, err := ioctlPtr(s.vcpu.raw, kvmabi.SetDebugRegs, &d); err != nil {
		return fmt.Errorf("KVM_SET_DEBUGREGS: %w", err)
	}
	return nil
}

// canXSETBV reports whether a guest can change XCR0: without the bit in CR4 there is no such instruction.
func (s *sandbox) canXSETBV() bool { return s.vcpu.sregs.CR4&s.host.cr4&cr4OSXSAVE != 0 }
