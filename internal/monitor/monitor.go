// SPDX-License-Identifier: Apache-2.0

// Package monitor is the seam between a tender and one kind of sandbox: kvm, process or qemu.
//
// A monitor makes sandboxes; a sandbox is guest memory, a shared area and something that runs guest code. It knows
// nothing of sockets, functions or requests: that is the tender's part, through the rings in the shared area.
package monitor

import (
	"os"

	"unifaas.dev/internal/guestmem"
)

// Config says what one sandbox consists of.
type Config struct {
	Memory int64   // guest RAM in bytes, a multiple of 2 MiB, abi.RAMMin to abi.RAMMax
	Libos  []byte  // ELF file of the library OS
	Layers []Layer // lowest first, at most abi.LayersMax; each at the next multiple of 2 MiB of the image area
	Boot   Boot
}

// Layer is one EROFS file system, mapped read-only and shared.
type Layer struct {
	File *os.File
	Size int64 // bytes
}

// Boot is what the library OS is told about the program, see struct ufs_boot.
type Boot struct {
	Program    string   // path in the image
	Args       []string // argv, Args[0] included
	Env        []string // K=V
	Cwd        string
	Hostname   string
	UID, GID   uint32
	MaxFiles   uint32   // RLIMIT_NOFILE
	OverlayMax uint64   // bytes
	Flags      uint32   // abi.Boot*
	Trace      []uint32 // for abi.BootStrace: what to fetch for which call
}

// Monitor makes sandboxes of one kind.
type Monitor interface {
	// Name is "kvm", "process" or "qemu".
	Name() string
	// Probe reports whether this kind works on this machine; the error says what is missing and what to do.
	Probe() error
	// Create makes a sandbox that has not run yet. Errors are one line.
	Create(Config) (Sandbox, error)
}

// Sandbox is one guest. Run must always be called from the same locked OS thread; the other methods from any goroutine.
type Sandbox interface {
	// Run enters the guest until something needs the tender. It handles by itself what needs none.
	Run() (Exit, error)
	// SetBoot replaces what Config.Boot said. Preconditions: Run was not called.
	SetBoot(Boot) error
	// Populate makes the first n bytes of guest RAM, and the shared area, present in host memory before the guest needs them.
	Populate(n int64) error
	// Kick makes a Run in progress, or the next one, return with ExitKick soon.
	Kick()
	// Preempt makes the guest give the CPU to its scheduler: at once if the program runs, else on the way back to
	// it. Run does not return for it.
	Preempt()
	// Shared is the area of control page, clock, boot block and rings.
	Shared() *guestmem.Area
	// RefreshClock writes the clock page anew (also done before a Run that follows a pause of over a second).
	RefreshClock()
	// MapFile shows the first size bytes of a file, read-only, at an offset of the files area, which must be free; UnmapFile takes
	// them away again. The file may be closed afterwards. If it is cut short on the host, a guest that touches what is gone ends by
	// ExitFault.
	MapFile(off uint64, f *os.File, size int64) error
	UnmapFile(off uint64, size int64) error
	// MemoryUsed is the host memory behind guest RAM in bytes.
	MemoryUsed() int64
	// Close frees everything; Run must have returned. Idempotent.
	Close() error
}

// Stateful is a sandbox whose state can be taken out and put in again; snapshots, rewind and park are made of it. Its methods are
// called by whoever calls Run, between two of these, but for RAM.
//
// A state is RAM, the shared area and what SaveCPU gives. Who puts one in writes RAM and the shared area himself. In a sandbox
// that has run, page tables (abi.TablesPA to abi.TablesEnd) are only written through the guest (abi.MsgTables): a KVM with shadow page tables
// does not see what the host writes there. ForgetTables is the slow way around that.
type Stateful interface {
	Sandbox
	// RAM is the memory of the guest.
	RAM() *guestmem.Area
	// SaveCPU gives the state of the vCPU, once what the last exit left pending is complete. Preconditions: Run has returned ExitIdle,
	// ExitQueue or ExitKick.
	SaveCPU() ([]byte, error)
	// Features names what a state depends on beside the library OS: kind of monitor, CPU features that guests see.
	Features() string
	// LoadCPU puts a state in, of this or another sandbox with the same Features. What is not well-formed, or would give the guest
	// more than it gets at boot, is refused. Afterwards Run goes on also in a sandbox where it returned ExitDone.
	LoadCPU(state []byte) error
	// RunAt makes the guest's CLOCK_MONOTONIC ns at this moment, whatever the host's says. Preconditions: RAM knows of no later moment.
	RunAt(ns uint64)
	// MonoOffset is what the guest's CLOCK_MONOTONIC is ahead of the host's, in ns modulo 2^64.
	MonoOffset() uint64
	// Track begins to note which pages of RAM are written, by the guest or by the monitor itself; who writes through RAM() knows.
	Track() error
	// Written sets the bit of each page of RAM that was written since Track, or since Untouch named it: bit n%64 of word n/64.
	Written(bits []uint64) error
	// Untouch forgets that the pages with a bit set were written.
	Untouch(bits []uint64) error
	// ForgetTables makes the next Run read all page tables anew. It costs the guest all translations it has: a third of a millisecond, and
	// a fault for each page it uses.
	ForgetTables() error
}

// ExitKind says why Run returned.
type ExitKind int

const (
	ExitQueue ExitKind = iota // doorbell: look at the rings, then Run again
	ExitIdle                  // doorbell: nothing to run until rx data, or Ctl.NextTimer; Value is of abi.IdleReady
	ExitDone                  // the program ended; Value is its wait status
	ExitPanic                 // the library OS gave up; Report says why
	ExitOOM                   // memory limit hit; Report says more
	ExitKick                  // Kick was called
	ExitFault                 // anything else: triple fault, unknown MMIO, internal error; Report has reason and registers
)

// Exit is the outcome of one Run.
type Exit struct {
	Kind   ExitKind
	Value  uint32
	Report string // several lines; for ExitPanic, ExitOOM and ExitFault, and ExitDone by signal
}
