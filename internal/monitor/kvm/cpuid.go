// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"

	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// State components of XCR0 that a guest may have: x87, SSE, AVX, and the three of AVX-512. AMX would make every thread
// carry 8 KiB more, and needs permission from the host.
const (
	xcrX87SSE = 1<<0 | 1<<1
	xcrAVX    = 1 << 2
	xcrAVX512 = 1<<5 | 1<<6 | 1<<7
)

// cpuidIndexed says that the index of an entry means something.
const cpuidIndexed = 1

// features are what a vCPU is set up with.
type features struct {
	xcr0 uint64
	cr4  uint64
	// cr4Native are bits that KVM does not offer but that hold for code at CPL3 anyway, see restrictCPUID. Setting them
	// only makes CPUID tell programs so: a program that does not see OSXSAVE uses no AVX.
	cr4Native uint64
}

// restrictCPUID turns what the host supports into what guests see, in place: one CPU without the features that need CPL0,
// an interrupt controller or state that the library OS does not keep.
//
// A KVM that runs CPL3 code natively on shadow page tables (PVM) may not offer FSGSBASE and XSAVE, refuse their bits in
// CR4, and yet have them work, as the host's own CR4 counts. native are the CR4 bits that this process runs with.
func restrictCPUID(c *kvmabi.CPUID, native uint64) (features, error) {
	if c.Nent > kvmabi.CPUIDMax {
		return features{}, fmt.Errorf("KVM_GET_SUPPORTED_CPUID: %d entries", c.Nent)
	}
	f := features{xcr0: xcrX87SSE, cr4: cr4Always}
	var xstate uint64
	for _, e := range c.Entries[:c.Nent] {
		switch {
		case e.Function == 1 && e.ECX&(1<<26) != 0:
			f.cr4 |= cr4OSXSAVE
		case e.Function == 7 && e.Index == 0 && e.EBX&1 != 0:
			f.cr4 |= cr4FSGSBASE
		case e.Function == 0xd && e.Index == 0:
			xstate = uint64(e.EDX)<<32 | uint64(e.EAX)
		}
	}
	f.cr4Native = native &^ f.cr4
	if (f.cr4|native)&cr4FSGSBASE == 0 {
		return features{}, fmt.Errorf("%s: guests cannot have FSGSBASE: need Intel Ivy Bridge, AMD Zen 2 or newer", device)
	}
	if xstate&xcrX87SSE != xcrX87SSE {
		return features{}, fmt.Errorf("%s: guests cannot have XSAVE: need a newer CPU", device)
	}
	if xstate&xcrAVX != 0 {
		f.xcr0 |= xcrAVX
		if xstate&xcrAVX512 == xcrAVX512 {
			f.xcr0 |= xcrAVX512
		}
	}
	kept := c.Entries[:0]
	for _, e := range c.Entries[:c.Nent] {
		if restrictLeaf(&e, f.xcr0) && (e.EAX|e.EBX|e.ECX|e.EDX != 0 || e.Function == 0xb) { // absent ones read as zeros anyway
			kept = append(kept, e)
		}
	}
	c.Nent = uint32(len(kept))
	setXsaveSize(kept, f.xcr0)
	return f, nil
}

// restrictLeaf edits one entry; false drops it, which reads as zeros.
func restrictLeaf(e *kvmabi.CPUIDEntry, xcr0 uint64) bool {
	switch e.Function {
	case 1:
		e.EBX = e.EBX&0x0000ffff | 1<<16              // APIC id 0, one logical CPU
		e.ECX &^= 1<<3 | 1<<5 | 1<<15 | 1<<21 | 1<<24 // MONITOR, VMX, PDCM, x2APIC, TSC deadline
		e.ECX |= 1 << 31                              // a hypervisor is here
		e.EDX &^= 1<<7 | 1<<9 | 1<<14 | 1<<21 | 1<<28 // MCE, APIC, MCA, DS, HTT
	case 4:
		if e.EAX&0x1f == 0 {
			return false
		}
		e.EAX &= 0x3fff // caches belong to one CPU
	case 7:
		switch e.Index {
		case 0:
			e.EBX &^= 1<<2 | 1<<4 | 1<<11 | 1<<14 | 1<<25          // SGX, HLE, RTM, MPX, PT
			e.ECX &^= 1<<3 | 1<<4 | 1<<5 | 1<<7 | 1<<16            // PKU, OSPKE, WAITPKG, shadow stacks, LA57
			e.EDX &^= 1<<5 | 1<<16 | 1<<20 | 1<<22 | 1<<24 | 1<<25 // UINTR, TSXLDTRK, IBT, AMX
		case 1:
			e.EAX &^= 1<<17 | 1<<21 | 1<<26 // FRED, AMX-FP16, LAM
			e.EDX &^= 1<<5 | 1<<8 | 1<<19   // AVX-NE-CONVERT stays; AMX-COMPLEX, AVX10
		default:
			return false
		}
	case 0xb:
		return topology(e)
	case 0xd:
		switch {
		case e.Index == 0:
			e.EAX, e.EDX = uint32(xcr0), uint32(xcr0>>32)
		case e.Index == 1:
			e.EAX &= 1<<0 | 1<<1 | 1<<2 // XSAVEOPT, XSAVEC, XGETBV(1); XSAVES is for CPL0, XFD for AMX
			e.ECX, e.EDX = 0, 0
		case e.Index >= 64 || xcr0&(1<<e.Index) == 0:
			return false
		}
	case 0x40000000:
		// 12 bytes of name: "UniFaaS\0\0\0\0\0". No paravirtual leaf follows.
		e.EAX, e.EBX, e.ECX, e.EDX = 0x40000000, 0x46696e55, 0x00536161, 0
	case 5, 6, 9, 0xa, 0xf, 0x10, 0x12, 0x14, 0x1a, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x23, 0x24:
		return false // MWAIT, power, counters, resource control, SGX, tracing, hybrid, AMX, v2 topology, history reset, TDX, AVX10
	case 0x80000001:
		e.ECX &^= 1<<1 | 1<<2 | 1<<3 | 1<<10 | 1<<12 | 1<<15 | 1<<22 | 1<<23 | 1<<24 | 1<<28 | 1<<29 // SVM, APIC, IBS, counters, MWAITX
		e.EDX &^= 1 << 9
	case 0x80000008:
		e.ECX = 0
	case 0x8000001d:
		e.EAX &= 0x3fff
	case 0x8000001e:
		e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
	case 0x8000000a, 0x8000001b, 0x8000001c, 0x8000001f, 0x80000022, 0x80000026:
		return false // SVM, IBS, LWP, SEV, counters, topology
	default:
		if e.Function > 0x40000000 && e.Function < 0x80000000 {
			return false
		}
	}
	return true
}

// topology is leaf 0xb for one core with one thread.
func topology(e *kvmabi.CPUIDEntry) bool {
	switch e.Index {
	case 0:
		e.EAX, e.EBX, e.ECX, e.EDX = 0, 1, 0x100, 0
	case 1:
		e.EAX, e.EBX, e.ECX, e.EDX = 0, 1, 0x201, 0
	default:
		return false
	}
	e.Flags |= cpuidIndexed
	return true
}

// setXsaveSize puts the largest size of an XSAVE area with xcr0 into leaf 0xd; KVM keeps the current size itself.
func setXsaveSize(entries []kvmabi.CPUIDEntry, xcr0 uint64) {
	size := uint32(512 + 64)
	for _, e := range entries {
		if e.Function == 0xd && e.Index >= 2 && xcr0&(1<<e.Index) != 0 {
			size = max(size, e.EAX+e.EBX)
		}
	}
	for i := range entries {
		if entries[i].Function == 0xd && entries[i].Index == 0 {
			entries[i].EBX, entries[i].ECX = size, size
		}
	}
}
