// SPDX-License-Identifier: Apache-2.0

package abi

import "unsafe"

// Offsets of the fields of Ctl in the shared area.
const (
	CtlPreempt   = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Preempt))
	CtlRxWanted  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.RxWanted))
	CtlSeedSeq   = CtlOff + uint64(unsafe.Offsetof(Ctl{}.SeedSeq))
	CtlSeed      = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Seed))
	CtlNextTimer = CtlOff + uint64(unsafe.Offsetof(Ctl{}.NextTimer))
	CtlRunnable  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Runnable))
	CtlTxWanted  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TxWanted))
	CtlRAMUsed   = CtlOff + uint64(unsafe.Offsetof(Ctl{}.RAMUsed))
	CtlRAMLibos  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.RAMLibos))
	CtlSyscalls  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Syscalls))
	CtlTraps     = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Traps))
	CtlFaults    = CtlOff + uint64(unsafe.Offsetof(Ctl{}.Faults))
	CtlTablesOut = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TablesOut))
	CtlRxHead    = CtlOff + uint64(unsafe.Offsetof(Ctl{}.RxHead))
	CtlRxTail    = CtlOff + uint64(unsafe.Offsetof(Ctl{}.RxTail))
	CtlTxHead    = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TxHead))
	CtlTxTail    = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TxTail))
	CtlTSCEntry  = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TSCEntry))
	CtlTSCExec   = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TSCExec))
	CtlTSCUser   = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TSCUser))
	CtlTSCListen = CtlOff + uint64(unsafe.Offsetof(Ctl{}.TSCListen))
)

// Offsets of the fields of Clock in the shared area.
const (
	ClockSeq      = ClockOff + uint64(unsafe.Offsetof(Clock{}.Seq))
	ClockShift    = ClockOff + uint64(unsafe.Offsetof(Clock{}.Shift))
	ClockTSCBase  = ClockOff + uint64(unsafe.Offsetof(Clock{}.TSCBase))
	ClockMonoSec  = ClockOff + uint64(unsafe.Offsetof(Clock{}.MonoSec))
	ClockMonoNsec = ClockOff + uint64(unsafe.Offsetof(Clock{}.MonoNsec))
	ClockRealSec  = ClockOff + uint64(unsafe.Offsetof(Clock{}.RealSec))
	ClockRealNsec = ClockOff + uint64(unsafe.Offsetof(Clock{}.RealNsec))
	ClockMonoNS   = ClockOff + uint64(unsafe.Offsetof(Clock{}.MonoNS))
	ClockMult     = ClockOff + uint64(unsafe.Offsetof(Clock{}.Mult))
	ClockRealOff  = ClockOff + uint64(unsafe.Offsetof(Clock{}.RealOff))
	ClockBootOff  = ClockOff + uint64(unsafe.Offsetof(Clock{}.BootOff))
	ClockTSCKHz   = ClockOff + uint64(unsafe.Offsetof(Clock{}.TSCKHz))
)

// Sizes of the structs.
const (
	LibosHeaderSize = uint64(unsafe.Sizeof(LibosHeader{}))
	ExcFrameSize    = uint64(unsafe.Sizeof(ExcFrame{}))
	CtlSize         = uint64(unsafe.Sizeof(Ctl{}))
	ClockSize       = uint64(unsafe.Sizeof(Clock{}))
	CPUIDSize       = uint64(unsafe.Sizeof(CPUID{}))
	BootBlockSize   = uint64(unsafe.Sizeof(Boot{}))
	FileReqSize     = uint64(unsafe.Sizeof(FileReq{}))
	MsgSize         = uint64(unsafe.Sizeof(Msg{}))
	TraceSize       = uint64(unsafe.Sizeof(Trace{}))
	EntrySize       = uint64(unsafe.Sizeof(Entry{}))
	RestoreSize     = uint64(unsafe.Sizeof(Restore{}))
	RangeSize       = uint64(unsafe.Sizeof(Range{}))
	AddrSize        = uint64(unsafe.Sizeof(Addr{}))
	TerminalSize    = uint64(unsafe.Sizeof(Terminal{}))
)
