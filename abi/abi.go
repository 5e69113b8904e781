// SPDX-License-Identifier: Apache-2.0

// Package abi mirrors unifaas_abi.h, the contract between a guest and a monitor; abi_test.go compares the two.
//
// It holds constants and layouts only. The header is the specification: read the comments there.
package abi

const (
	Magic   = 0x53465355
	Version = 4
)

// Guest physical memory.
const (
	RAMGPA      = 0x0
	DoorbellGPA = 0x0800000000
	SharedGPA   = 0x1000000000
	ImageGPA    = 0x2000000000
	FilesGPA    = 0x3000000000
)

// Guest virtual memory.
const (
	LibosVA     = 0x600000000000
	LibosDataVA = 0x600000200000
	SharedVA    = 0x600040000000
	DoorbellVA  = 0x600080000000
	PhysVA      = 0x610000000000
	ImageVA     = 0x620000000000
	FilesVA     = 0x628000000000
	WindowVA    = 0x600000000000
	WindowEnd   = 0x630000000000
	UserEnd     = 0x7ffffffff000
)

// Limits of one sandbox, in bytes.
const (
	RAMMin    = 0x1000000
	RAMMax    = 0x400000000
	ImageMax  = 0x400000000
	FilesMax  = 0x1000000000
	LayersMax = 8
)

// Segment selectors.
const (
	KernelCS = 0x08
	KernelSS = 0x10
	UserSS   = 0x2b
	UserCS   = 0x33
	TSSSel   = 0x38
)

// Shared area: offsets and sizes.
const (
	SharedSize = 0x200000
	CtlOff     = 0x0
	ClockOff   = 0x1000
	ReportOff  = 0x2000
	ReportSize = 0x5000
	CPUIDOff   = 0x7000
	CPUIDMax   = 127
	BootOff    = 0x8000
	BootSize   = 0x38000
	RxOff      = 0x40000
	RxSize     = 0x80000
	TxOff      = 0xc0000
	TxSize     = 0x80000
)

// Doorbells: offsets from DoorbellGPA.
const (
	BellQueue = 0x00
	BellIdle  = 0x08
	BellExit  = 0x10
	BellPanic = 0x18
	BellOOM   = 0x20
)

// IdleReady is a bit of the value of BellIdle.
const IdleReady = 0x1

// Values of BellPanic.
const (
	PanicBug  = 1
	PanicBoot = 2
	PanicTrap = 3
)

// VecPreempt is the vector in an ExcFrame that the monitor, not the CPU, made.
const VecPreempt = 0x20

// Message layout.
const (
	MsgAlign = 16
	MsgMax   = 0x10000
)

// Message types.
const (
	MsgData     = 1
	MsgEOF      = 2
	MsgReset    = 3
	MsgCredit   = 4
	MsgOpen     = 16
	MsgSignal   = 17
	MsgListen   = 32
	MsgUnlisten = 33
	MsgAccepted = 34

	MsgConnect   = 36
	MsgConnected = 20
	MsgError     = 21
	MsgFile      = 37
	MsgFileReply = 22
	MsgSpawn     = 23
	MsgEnded     = 38
	MsgTrace     = 39
	MsgTerminal  = 40

	MsgTables  = 24
	MsgRestore = 25
	MsgFree    = 41
	MsgFreed   = 26
)

// Kinds of MsgRestore.
const (
	RestoreClone  = 1
	RestoreWake   = 2
	RestoreRewind = 3
)

// FreeMax is the number of Ranges in one MsgFree.
const FreeMax = 64

// Kinds of MsgTrace, what its records take, and what they hold of arguments.
const (
	TraceCall       = 1
	TraceUnfinished = 2
	TraceResumed    = 3
	TraceSignal     = 4
	TraceAbsent     = 5
	TraceMax        = 640
	TraceCredit     = 512
	TraceString     = 1
	TraceStrings    = 2
	TraceData       = 3
	TraceAddress    = 4
	Trace4          = 5
	Trace8          = 6
	Trace16         = 7
	TraceAfter      = 8
)

// Streams.
const (
	ConnStdin  = 0
	ConnStdout = 1
	ConnStderr = 2
	ConnFirst  = 16
	ConnWindow = 0x10000
)

// Outbound streams.
const (
	ProtoTCP  = 6
	ProtoUDP  = 17
	DgramMax  = 65507
	ConnGuest = 0x80000000
)

// Requests for files of a host folder, and their limits.
const (
	FileStat    = 1
	FileList    = 2
	FileLink    = 3
	FileMap     = 4
	FileUnmap   = 5
	FileRead    = 6
	FileReadMax = 0xe000
	FileTags    = 64
	FilePath    = 4095
)

// Boot.Flags.
const (
	BootStdinTTY  = 0x1
	BootStdoutTTY = 0x2
	BootStderrTTY = 0x4
	BootStrace    = 0x8
	BootNoPatch   = 0x10
	BootFiles     = 0x20
	BootSpawn     = 0x40
	BootNet       = 0x80
	BootLoopback  = 0x100

	BootSnapManual = 0x200
	BootReadOnly   = 0x400
)

// BootTables is the number of page-table pages at LibosHeader.BootTables.
const BootTables = 48

// The 2 MiB of guest RAM that hold page tables and nothing else.
const (
	TablesPA  = 0x400000
	TablesEnd = 0x600000
)

// LibosHeader is struct ufs_libos_header.
type LibosHeader struct {
	Magic      uint32
	Version    uint32
	Entry      uint64
	ExcEntry   uint64
	LSTAR      uint64
	TextStart  uint64
	TextEnd    uint64
	GDT        uint64
	IDT        uint64
	TSS        uint64
	ExcFrame   uint64
	BootTables uint64
	End        uint64
}

// ExcFrame is struct ufs_exc_frame.
type ExcFrame struct {
	CR2    uint64
	RAX    uint64
	Vector uint64
	Error  uint64
	RIP    uint64
	CS     uint64
	RFLAGS uint64
	RSP    uint64
	SS     uint64
}

// Ctl is struct ufs_ctl.
type Ctl struct {
	Preempt  uint32
	RxWanted uint32
	SeedSeq  uint64
	Seed     [48]byte

	NextTimer uint64
	Runnable  uint32
	TxWanted  uint32
	RAMUsed   uint64
	RAMLibos  uint64
	Syscalls  uint64
	Traps     uint64
	Faults    uint64
	TablesOut uint64

	RxHead    uint64
	RxHeadPad [7]uint64
	RxTail    uint64
	RxTailPad [7]uint64
	TxHead    uint64
	TxHeadPad [7]uint64
	TxTail    uint64
	TxTailPad [7]uint64

	TSCEntry  uint64
	TSCExec   uint64
	TSCUser   uint64
	TSCListen uint64
	TSCPad    [4]uint64
}

// Clock is struct ufs_clock.
type Clock struct {
	Seq      uint32
	Shift    uint32
	TSCBase  uint64
	Mult     uint64
	MonoSec  uint64
	MonoNsec uint64
	RealSec  uint64
	RealNsec uint64
	MonoNS   uint64
	RealOff  uint64
	BootOff  uint64
	TSCKHz   uint64
}

// CPUIDEntry is struct ufs_cpuid_entry.
type CPUIDEntry struct {
	Function uint32
	Index    uint32
	Indexed  uint32
	EAX      uint32
	EBX      uint32
	ECX      uint32
	EDX      uint32
	Pad      uint32
}

// CPUID is struct ufs_cpuid.
type CPUID struct {
	Count   uint32
	Pad     [7]uint32
	Entries [CPUIDMax]CPUIDEntry
}

// Boot is struct ufs_boot.
type Boot struct {
	Magic      uint32
	Version    uint32
	Size       uint32
	Flags      uint32
	RAMSize    uint64
	ImageSize  uint64
	Argc       uint32
	Envc       uint32
	Argv       uint32
	Envp       uint32
	Program    uint32
	Cwd        uint32
	Hostname   uint32
	UID        uint32
	GID        uint32
	MaxFiles   uint32
	OverlayMax uint64
	Layers     uint32
	MaxProcs   uint32
	Layer      [LayersMax]Layer
	Trace      uint32
	TraceCalls uint32
}

// Layer is struct ufs_layer.
type Layer struct {
	Offset uint64
	Size   uint64
}

// Trace is struct ufs_trace.
type Trace struct {
	TID uint32
	Pad uint32
	NR  uint64
	Arg [6]uint64
	Ret uint64
}

// Addr is struct ufs_addr.
type Addr struct {
	Family uint16
	Port   uint16
	Scope  uint32
	Addr   [16]byte
}

// Terminal is struct ufs_terminal.
type Terminal struct {
	Iflag uint32
	Oflag uint32
	Lflag uint32
	Rows  uint16
	Cols  uint16
	Cc    [19]uint8
	Pad   uint8
}

// FileReq is struct ufs_file_req.
type FileReq struct {
	Inode uint64
	From  uint64
	Len   uint32
	Pad   uint32
}

// FileStatReply is struct ufs_file_stat.
type FileStatReply struct {
	Inode   uint64
	Size    uint64
	Blocks  uint64
	RDev    uint64
	AtimeNS uint64
	MtimeNS uint64
	CtimeNS uint64
	Mode    uint32
	Nlink   uint32
	UID     uint32
	GID     uint32
}

// FileEntry is struct ufs_file_entry.
type FileEntry struct {
	Stat    FileStatReply
	NameLen uint32
	Pad     uint32
}

// FileMapReply is struct ufs_file_map.
type FileMapReply struct {
	Offset uint64
	Size   uint64
}

// Msg is struct ufs_msg.
type Msg struct {
	Len   uint32
	Type  uint16
	Flags uint16
	Conn  uint32
	Arg   uint32
}

// Entry is struct ufs_entry.
type Entry struct {
	PA    uint64
	Value uint64
}

// Restore is struct ufs_restore.
type Restore struct {
	Generation uint64
	Hostname   uint32
	Stream     uint32
}

// Range is struct ufs_range.
type Range struct {
	PA   uint64
	Size uint64
}
