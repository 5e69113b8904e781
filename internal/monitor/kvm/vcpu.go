// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// Control registers of the guest, which never change. No SMEP or SMAP: all pages are user pages.
const (
	cr0         = 0x80050033                 // PG AM WP NE ET MP PE
	cr4Always   = 1<<5 | 1<<7 | 1<<9 | 1<<10 // PAE PGE OSFXSR OSXMMEXCPT
	cr4FSGSBASE = 1 << 16
	cr4OSXSAVE  = 1 << 18
	efer        = 1<<0 | 1<<8 | 1<<10 | 1<<11 // SCE LME LMA NXE
)

// rflagsStart has the interrupt flag set, as programs see it under Linux, though nothing interrupts this vCPU.
const rflagsStart = 0x202

// Model-specific registers.
const (
	msrSTAR   = 0xc0000081
	msrLSTAR  = 0xc0000082
	msrSFMASK = 0xc0000084
	msrTSCAux = 0xc0000103
)

// sfmask are the flags that SYSCALL clears: TF IF DF IOPL NT AC.
const sfmask = 0x47700

// apicBase is what a boot processor has after reset; without an interrupt controller it means nothing.
const apicBase = 0xfee00900

// vcpu is one virtual CPU and the page it shares with the monitor.
type vcpu struct {
	fd    *os.File
	raw   int // its number: os.File.Fd costs a lock
	page  []byte
	run   *kvmabi.Run
	ran   bool         // it has been in the guest
	sregs kvmabi.Sregs // as at boot
}

func newVCPU(h *host, vm int) (_ *vcpu, err error) {
	fd, err := ioctl(vm, kvmabi.CreateVCPU, 0)
	if err != nil {
		return nil, fmt.Errorf("KVM_CREATE_VCPU: %w", err)
	}
	v := &vcpu{fd: os.NewFile(uintptr(fd), "vcpu"), raw: fd}
	if v.page, err = unix.Mmap(fd, 0, h.runSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		v.close()
		return nil, fmt.Errorf("map struct kvm_run: %w", err)
	}
	v.run = runPage(v.page)
	return v, nil
}

func (v *vcpu) close() error {
	var err error
	if v.page != nil {
		err = unix.Munmap(v.page)
		v.page, v.run = nil, nil
	}
	return errors.Join(err, v.fd.Close())
}

// setup brings the vCPU to the first instruction of the library OS.
func (v *vcpu) setup(h *host, l *elfx.Libos) error {
	fd := int(v.fd.Fd())
	// First what CR4 and XCR0 depend on.
	if _, err := ioctlPtr(fd, kvmabi.SetCPUID2, &h.cpuid); err != nil {
		return fmt.Errorf("KVM_SET_CPUID2: %w", err)
	}
	// A hostile guest can get to CPL0. It finds no paravirtual interface of KVM there, as CPUID names none.
	if h.enforcePV {
		c := kvmabi.Cap{Cap: kvmabi.CapEnforcePV, Args: [4]uint64{1}}
		if _, err := ioctlPtr(fd, kvmabi.EnableCap, &c); err != nil {
			return fmt.Errorf("KVM_CAP_ENFORCE_PV_FEATURE_CPUID: %w", err)
		}
	}
	if err := v.setXCR0(h.xcr0); err != nil {
		return err
	}
	m := startMSRs(&l.Header)
	if n, err := ioctlPtr(fd, kvmabi.SetMSRs, &m); err != nil || n < int(m.NMSRs)-1 { // a CPU without RDTSCP has no TSC_AUX
		return fmt.Errorf("KVM_SET_MSRS: %d of %d were taken: %v", n, m.NMSRs, err)
	}
	if err := v.setTSCOffset(); err != nil {
		return err
	}
	sregs := startSregs(&l.Header, h.cr4|h.cr4Native)
	if _, err := ioctlPtr(fd, kvmabi.SetSregs, &sregs); err != nil {
		sregs.CR4 = h.cr4 // refused, as they may be: the bits work without
		if _, err := ioctlPtr(fd, kvmabi.SetSregs, &sregs); err != nil {
			return fmt.Errorf("KVM_SET_SREGS: %w", err)
		}
	}
	v.sregs = sregs
	v.run.Sync.Regs = kvmabi.Regs{RIP: l.Header.Entry, RFLAGS: rflagsStart}
	v.run.DirtyRegs = kvmabi.SyncRegsBit
	v.run.ValidRegs = kvmabi.SyncRegsBit
	return nil
}

func (v *vcpu) setXCR0(xcr0 uint64) error {
	x := kvmabi.XCRs{NrXCRs: 1}
	x.XCRs[0].Value = xcr0
	if _, err := ioctlPtr(v.raw, kvmabi.SetXCRs, &x); err != nil {
		return fmt.Errorf("KVM_SET_XCRS 0x%x: %w", xcr0, err)
	}
	return nil
}

// setTSCOffset makes the guest's time stamp counter the host's, as the clock page wants it.
func (v *vcpu) setTSCOffset() error {
	if err := ioctlAttr(v.raw, kvmabi.VCPUTSCCtrl, kvmabi.VCPUTSCOffset, 0); err != nil {
		return fmt.Errorf("KVM_VCPU_TSC_OFFSET: %w", err)
	}
	return nil
}

// startMSRs are the registers that differ from those of a fresh vCPU. The last one is not there on every CPU.
func startMSRs(h *abi.LibosHeader) (m kvmabi.MSRs) {
	put := func(index uint32, data uint64) {
		m.Entries[m.NMSRs] = kvmabi.MSREntry{Index: index, Data: data}
		m.NMSRs++
	}
	// SYSRET takes its selectors from 0x23: SS 0x2b, CS 0x33.
	put(msrSTAR, (abi.UserSS-8)<<48|abi.KernelCS<<32)
	put(msrLSTAR, h.LSTAR)
	put(msrSFMASK, sfmask)
	put(msrTSCAux, 0) // CPU number 0 for RDTSCP and RDPID
	return m
}

// startSregs is long mode at CPL3 with the tables of the library OS.
func startSregs(h *abi.LibosHeader, cr4 uint64) kvmabi.Sregs {
	code := kvmabi.Segment{Limit: 0xffffffff, Selector: abi.UserCS, Type: 0xb, Present: 1, DPL: 3, S: 1, L: 1, G: 1}
	data := kvmabi.Segment{Limit: 0xffffffff, Selector: abi.UserSS, Type: 3, Present: 1, DPL: 3, DB: 1, S: 1, G: 1}
	return kvmabi.Sregs{
		CS: code, DS: data, ES: data, FS: data, GS: data, SS: data,
		TR:       kvmabi.Segment{Base: h.TSS, Limit: 0x67, Selector: abi.TSSSel, Type: 0xb, Present: 1},
		LDT:      kvmabi.Segment{Type: 2, Limit: 0xffff, Unusable: 1},
		GDT:      kvmabi.DTable{Base: h.GDT, Limit: 0x47},
		IDT:      kvmabi.DTable{Base: h.IDT, Limit: 0xfff},
		CR0:      cr0,
		CR3:      h.BootTables,
		CR4:      cr4,
		EFER:     efer,
		APICBase: apicBase,
	}
}
