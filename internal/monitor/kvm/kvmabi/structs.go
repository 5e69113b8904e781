// SPDX-License-Identifier: Apache-2.0

// Package kvmabi declares the part of <linux/kvm.h> that the KVM monitor uses; its test compares it with the header.
package kvmabi

// UserspaceMemoryRegion is struct kvm_userspace_memory_region.
type UserspaceMemoryRegion struct {
	Slot          uint32
	Flags         uint32
	GuestPhysAddr uint64
	MemorySize    uint64
	UserspaceAddr uint64
}

// Regs is struct kvm_regs.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment is struct kvm_segment.
type Segment struct {
	Base                           uint64
	Limit                          uint32
	Selector                       uint16
	Type                           uint8
	Present, DPL, DB, S, L, G, AVL uint8
	Unusable                       uint8
	Padding                        uint8
}

// DTable is struct kvm_dtable.
type DTable struct {
	Base    uint64
	Limit   uint16
	Padding [3]uint16
}

// Sregs is struct kvm_sregs.
type Sregs struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                DTable
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	InterruptBitmap         [4]uint64
}

// VCPUEvents is struct kvm_vcpu_events.
type VCPUEvents struct {
	Exception struct {
		Injected, Nr, HasErrorCode, Pending uint8
		ErrorCode                           uint32
	}
	Interrupt struct {
		Injected, Nr, Soft, Shadow uint8
	}
	NMI struct {
		Injected, Pending, Masked, Pad uint8
	}
	SIPIVector uint32
	Flags      uint32
	SMI        struct {
		SMM, Pending, SMMInsideNMI, LatchedInit uint8
	}
	TripleFault struct {
		Pending uint8
	}
	Reserved            [26]uint8
	ExceptionHasPayload uint8
	ExceptionPayload    uint64
}

// SyncRegs is struct kvm_sync_regs.
type SyncRegs struct {
	Regs   Regs
	Sregs  Sregs
	Events VCPUEvents
}

// Run is struct kvm_run. Control is request_interrupt_window, immediate_exit and padding as one word, so that it can be
// stored atomically; see ImmediateExit.
type Run struct {
	Control                    uint32
	Padding1                   [4]uint8
	ExitReason                 uint32
	ReadyForInterruptInjection uint8
	IfFlag                     uint8
	Flags                      uint16
	CR8                        uint64
	APICBase                   uint64
	Exit                       [256]uint8 // the union: see MMIO and InternalError
	ValidRegs                  uint64
	DirtyRegs                  uint64
	Sync                       SyncRegs
	SyncPadding                [2048 - SyncRegsSize]uint8
}

// SyncRegsSize is the size of SyncRegs.
const SyncRegsSize = 144 + 312 + 64

// ImmediateExit is the value of Run.Control with immediate_exit set.
const ImmediateExit = 0x100

// MMIO is the mmio member of the union in struct kvm_run.
type MMIO struct {
	PhysAddr uint64
	Data     [8]uint8
	Len      uint32
	IsWrite  uint8
	Padding  [3]uint8
}

// InternalError is the internal member of the union in struct kvm_run.
type InternalError struct {
	Suberror uint32
	Ndata    uint32
	Data     [16]uint64
}

// MemoryFault is the memory_fault member of the union in struct kvm_run.
type MemoryFault struct {
	Flags uint64
	GPA   uint64
	Size  uint64
}

// FailEntry is the fail_entry member of the union in struct kvm_run.
type FailEntry struct {
	HardwareEntryFailureReason uint64
	CPU                        uint32
	Padding                    uint32
}

// IO is the io member of the union in struct kvm_run.
type IO struct {
	Direction  uint8
	Size       uint8
	Port       uint16
	Count      uint32
	DataOffset uint64
}

// MSREntry is struct kvm_msr_entry.
type MSREntry struct {
	Index    uint32
	Reserved uint32
	Data     uint64
}

// MSRs is struct kvm_msrs with room for those that the monitor sets.
type MSRs struct {
	NMSRs   uint32
	Pad     uint32
	Entries [16]MSREntry
}

// CPUIDEntry is struct kvm_cpuid_entry2.
type CPUIDEntry struct {
	Function           uint32
	Index              uint32
	Flags              uint32
	EAX, EBX, ECX, EDX uint32
	Padding            [3]uint32
}

// CPUIDMax is more entries than any host offers.
const CPUIDMax = 256

// CPUID is struct kvm_cpuid2.
type CPUID struct {
	Nent    uint32
	Padding uint32
	Entries [CPUIDMax]CPUIDEntry
}

// XCR is struct kvm_xcr.
type XCR struct {
	XCR      uint32
	Reserved uint32
	Value    uint64
}

// XCRs is struct kvm_xcrs.
type XCRs struct {
	NrXCRs  uint32
	Flags   uint32
	XCRs    [16]XCR
	Padding [16]uint64
}

// MSRFilterRange is struct kvm_msr_filter_range; Bitmap is an address, of a bit for each register: 1 lets it through.
type MSRFilterRange struct {
	Flags  uint32
	NMSRs  uint32
	Base   uint32
	Pad    uint32
	Bitmap uint64
}

// MSRFilter is struct kvm_msr_filter.
type MSRFilter struct {
	Flags  uint32
	Pad    uint32
	Ranges [16]MSRFilterRange
}

// XSave is struct kvm_xsave: an XSAVE area in the standard form, zero behind the last component.
type XSave struct {
	Region [4096]uint8
}

// DebugRegs is struct kvm_debugregs.
type DebugRegs struct {
	DB       [4]uint64
	DR6, DR7 uint64
	Flags    uint64
	Reserved [9]uint64
}

// DirtyLog is struct kvm_dirty_log; Bitmap is an address, of a bit for each page of the slot, in words of 64.
type DirtyLog struct {
	Slot     uint32
	Padding1 uint32
	Bitmap   uint64
}

// ClearDirtyLogRange is struct kvm_clear_dirty_log: FirstPage is a multiple of 64, NumPages too but at the end of the slot.
type ClearDirtyLogRange struct {
	Slot      uint32
	NumPages  uint32
	FirstPage uint64
	Bitmap    uint64
}

// DeviceAttr is struct kvm_device_attr.
type DeviceAttr struct {
	Flags uint32
	Group uint32
	Attr  uint64
	Addr  uint64
}

// Cap is struct kvm_enable_cap.
type Cap struct {
	Cap   uint32
	Flags uint32
	Args  [4]uint64
	Pad   [64]uint8
}
