// SPDX-License-Identifier: Apache-2.0

package kvmabi

// APIVersion is what KVM_GET_API_VERSION has to answer.
const APIVersion = 12

// Encoding of ioctl numbers: direction, size of the argument, 0xAE, number.
const (
	iocNone  = 0xAE << 8
	iocWrite = 1<<30 | 0xAE<<8
	iocRead  = 2<<30 | 0xAE<<8
	iocBoth  = 3<<30 | 0xAE<<8
)

// Of /dev/kvm.
const (
	GetAPIVersion     = iocNone
	CreateVM          = iocNone | 0x01
	CheckExtension    = iocNone | 0x03
	GetVCPUMmapSize   = iocNone | 0x04
	GetSupportedCPUID = iocBoth | 8<<16 | 0x05
)

// Of a virtual machine.
const (
	CreateVCPU          = iocNone | 0x41
	SetUserMemoryRegion = iocWrite | 32<<16 | 0x46
	GetDirtyLog         = iocWrite | 16<<16 | 0x42
	ClearDirtyLog       = iocBoth | 24<<16 | 0xc0
	SetMSRFilter        = iocWrite | 392<<16 | 0xc6
)

// Of a vCPU.
const (
	RunVCPU       = iocNone | 0x80
	GetRegs       = iocRead | 144<<16 | 0x81
	SetRegs       = iocWrite | 144<<16 | 0x82
	GetSregs      = iocRead | 312<<16 | 0x83
	GetCPUID2     = iocBoth | 8<<16 | 0x91
	SetSregs      = iocWrite | 312<<16 | 0x84
	GetMSRs       = iocBoth | 8<<16 | 0x88
	SetMSRs       = iocWrite | 8<<16 | 0x89
	SetCPUID2     = iocWrite | 8<<16 | 0x90
	GetVCPUEvents = iocRead | 64<<16 | 0x9f
	SetVCPUEvents = iocWrite | 64<<16 | 0xa0
	GetDebugRegs  = iocRead | 128<<16 | 0xa1
	SetDebugRegs  = iocWrite | 128<<16 | 0xa2
	GetXSave      = iocRead | 4096<<16 | 0xa4
	SetXSave      = iocWrite | 4096<<16 | 0xa5
	GetXCRs       = iocRead | 392<<16 | 0xa6
	GetTSCKHz     = iocNone | 0xa3
	SetXCRs       = iocWrite | 392<<16 | 0xa7
	SetDeviceAttr = iocWrite | 24<<16 | 0xe1
	EnableCap     = iocWrite | 104<<16 | 0xa3
)

// Flags of a memory region.
const (
	MemLogDirtyPages = 1
	MemReadonly      = 2
)

// ManualProtect is the option of CapManualDirtyLog by which only ClearDirtyLog forgets that a page was written.
const ManualProtect = 1

// Of an MSR filter and its ranges.
const (
	MSRFilterDeny  = 1
	MSRFilterRead  = 1
	MSRFilterWrite = 2
)

// What VCPUEvents.Flags says is there to be set.
const (
	EventNMIPending = 1
	EventShadow     = 4
)

// Parts of the registers in Run.Sync.
const (
	SyncRegsBit   = 1
	SyncSregsBit  = 2
	SyncEventsBit = 4
)

// Groups and attributes of a vCPU.
const (
	VCPUTSCCtrl   = 0
	VCPUTSCOffset = 0
)

// Extensions.
const (
	CapUserMemory     = 3
	CapReadonlyMem    = 81
	CapXCRs           = 56
	CapSyncRegs       = 74
	CapImmediateExit  = 136
	CapVCPUAttributes = 127
	CapVCPUEvents     = 41
	CapEnforcePV      = 190
	CapMSRFilter      = 189
	CapXSave          = 55
	CapDebugRegs      = 50
	CapManualDirtyLog = 168
)

// Exit reasons.
const (
	ExitUnknown       = 0
	ExitException     = 1
	ExitIO            = 2
	ExitHypercall     = 3
	ExitDebug         = 4
	ExitHLT           = 5
	ExitMMIO          = 6
	ExitIRQWindowOpen = 7
	ExitShutdown      = 8
	ExitFailEntry     = 9
	ExitIntr          = 10
	ExitSetTPR        = 11
	ExitTPRAccess     = 12
	ExitNMI           = 16
	ExitInternalError = 17
	ExitSystemEvent   = 24
	ExitX86RDMSR      = 29
	ExitX86WRMSR      = 30
	ExitX86BusLock    = 33
	ExitMemoryFault   = 39
)

// Suberrors of ExitInternalError.
const (
	InternalErrorEmulation            = 1
	InternalErrorSimulEx              = 2
	InternalErrorDeliveryEv           = 3
	InternalErrorUnexpectedExitReason = 4
)
