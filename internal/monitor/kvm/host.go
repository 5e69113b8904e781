// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

const device = "/dev/kvm"

// host is what is the same for all virtual machines: asked once, as every question costs.
type host struct {
	images  images // one copy for all sandboxes
	spares  spares
	file    *os.File
	runSize int
	cpuid   kvmabi.CPUID // what guests get to see
	features
	cpuidPage cpuidPage // the same as guests find it in memory
	enforcePV bool      // KVM can be told to refuse its own paravirtual registers and calls
	ticker    *ticker
}

// openHost opens /dev/kvm, or takes over file, and checks that it can do what the monitor needs.
func openHost(file *os.File) (_ *host, err error) {
	if file == nil {
		if file, err = os.OpenFile(device, os.O_RDWR, 0); err != nil {
			return nil, openError(err)
		}
		defer func() {
			if err != nil {
				file.Close()
			}
		}()
	}
	fd := int(file.Fd())
	v, err := ioctl(fd, kvmabi.GetAPIVersion, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: not a KVM device (%w): look at what is mounted there", file.Name(), err)
	}
	if v != kvmabi.APIVersion {
		return nil, fmt.Errorf("%s: KVM API version %d, need %d", file.Name(), v, kvmabi.APIVersion)
	}
	for _, c := range []struct {
		nr   uintptr
		bits int
		name string
	}{
		{kvmabi.CapUserMemory, 1, "KVM_CAP_USER_MEMORY"},
		{kvmabi.CapReadonlyMem, 1, "KVM_CAP_READONLY_MEM"},
		{kvmabi.CapXCRs, 1, "KVM_CAP_XCRS"},
		{kvmabi.CapMSRFilter, 1, "KVM_CAP_X86_MSR_FILTER"},
		{kvmabi.CapXSave, 1, "KVM_CAP_XSAVE"},
		{kvmabi.CapDebugRegs, 1, "KVM_CAP_DEBUGREGS"},
		{kvmabi.CapManualDirtyLog, kvmabi.ManualProtect, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"},
		{kvmabi.CapImmediateExit, 1, "KVM_CAP_IMMEDIATE_EXIT"},
		{kvmabi.CapVCPUEvents, 1, "KVM_CAP_VCPU_EVENTS"},
		{kvmabi.CapVCPUAttributes, 1, "KVM_CAP_VCPU_ATTRIBUTES"}, // of all these the youngest: Linux 5.16
		{kvmabi.CapSyncRegs, kvmabi.SyncRegsBit | kvmabi.SyncSregsBit | kvmabi.SyncEventsBit, "KVM_CAP_SYNC_REGS"},
	} {
		r, err := ioctl(fd, kvmabi.CheckExtension, c.nr)
		if err != nil || r&c.bits != c.bits {
			return nil, fmt.Errorf("%s: this kernel's KVM lacks %s: use Linux 5.16 or newer", file.Name(), c.name)
		}
	}
	h := &host{file: file}
	if r, err := ioctl(fd, kvmabi.CheckExtension, kvmabi.CapEnforcePV); err == nil && r > 0 {
		h.enforcePV = true
	}
	if h.runSize, err = ioctl(fd, kvmabi.GetVCPUMmapSize, 0); err != nil {
		return nil, fmt.Errorf("%s: KVM_GET_VCPU_MMAP_SIZE: %w", file.Name(), err)
	}
	h.cpuid.Nent = kvmabi.CPUIDMax
	if _, err = ioctlPtr(fd, kvmabi.GetSupportedCPUID, &h.cpuid); err != nil {
		return nil, fmt.Errorf("%s: KVM_GET_SUPPORTED_CPUID: %w", file.Name(), err)
	}
	if h.features, err = restrictCPUID(&h.cpuid, nativeCR4()); err != nil {
		return nil, err
	}
	h.ticker = newTicker()
	return h, nil
}

// nativeCR4 are the bits of CR4 that user space of this machine notices: may it use WRFSBASE and XGETBV?
func nativeCR4() uint64 {
	const atHWCAP2, bitFSGSBASE = 26, 1 << 1
	var bits uint64
	if cpu.X86.HasOSXSAVE {
		bits |= cr4OSXSAVE
	}
	aux, err := unix.Auxv()
	if err != nil {
		return bits
	}
	for _, a := range aux {
		if a[0] == atHWCAP2 && a[1]&bitFSGSBASE != 0 {
			bits |= cr4FSGSBASE
		}
	}
	return bits
}

// openError says what to do about a /dev/kvm that does not open.
func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open %s: no such file: load the kvm_intel or kvm_amd module and enable virtualization (see unifaas doctor)", device)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %s: permission denied: run as root or get access to it (see unifaas doctor)", device)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open %s: the CPU offers no virtualization: enable it in the firmware or the hypervisor", device)
	}
	return fmt.Errorf("open %s: %w", device, errors.Unwrap(err))
}
