// SPDX-License-Identifier: Apache-2.0

package wire

import "unifaas.dev/internal/monitor"

// Load is the first command, Prepare aside: what all instances of this tender are made of.
// Descriptors: the library OS unless Prepared, then one for each layer, then /dev/kvm if HasKVM, then those of Snapshot.
type Load struct {
	Monitor   string // auto, kvm, process
	Memory    int64  // bytes of guest RAM
	Prepared  bool   // library OS and monitor are those of Prepare
	LibosSize int64
	Layers    []int64 // sizes, at most abi.LayersMax
	HasKVM    bool
	Shells    uint16       // sandboxes to hold ready for the next Start
	Boot      monitor.Boot // without host name
	Snapshot  Snapshot
}

// Bits of Start.Stdio: which console streams are descriptors rather than Output events, in this order.
const (
	StdinFD  = 1
	StdoutFD = 2
	StderrFD = 4
)

// Start makes one more instance. Descriptors: one for each bit of Stdio, then what Park wrote if it is FromParked.
type Start struct {
	Instance uint32
	From     uint8 // From*
	Hostname string
	Env      []string // beside those of Load; none but FromBoot
	Stdio    uint8
	Off, Len int64 // where in the file, FromParked
}

// Dial makes its descriptor, one end of a SOCK_STREAM pair, a TCP stream to a port of the guest. If nothing listens there yet
// the stream waits; if it cannot be had the descriptor is closed.
type Dial struct {
	Instance uint32
	Port     uint16
}

// Kill ends an instance now, whatever it does.
type Kill struct {
	Instance uint32
	Reason   string
}

// Signal sends a signal to process 1 of the guest.
type Signal struct {
	Instance uint32
	Signo    uint8
}

// Stats asks for a StatsReply.
type Stats struct {
	Instance uint32
	Token    uint32
}

// Stop ends all instances and the tender.
type Stop struct{}

// Loaded answers Load; Error is empty if it worked.
type Loaded struct {
	Monitor  string
	Error    string
	Features string // of Snapshot.Key, if HasImage
	Refused  string // why Snapshot.HasImage is of no use
	Why      uint8  // of Refused: Error*
}

// Started answers Start; if Error is not empty there is no such instance.
type Started struct {
	Instance uint32
	Kind     uint8 // Error*
	Error    string
	VM       int64 // ns that making the sandbox took, FromBoot
}

// Stamps are moments of an instance's life, CLOCK_MONOTONIC ns of the host; 0: not reached. All but Create and Enter
// come from the guest and are only as honest as it is.
type Stamps struct {
	Create int64 // sandbox about to be made
	Enter  int64 // first entry into the guest
	Entry  int64 // first instruction of the library OS
	Exec   int64 // library OS ready
	User   int64 // first instruction of the program
	Listen int64 // first listen()
	End    int64 // guest left for the last time
}

// Listening says that the program listens on a port.
type Listening struct {
	Instance uint32
	Port     uint16
	Stamps   Stamps
}

// Unlistening says that it no longer does.
type Unlistening struct {
	Instance uint32
	Port     uint16
}

// Output is console output, cut anywhere.
type Output struct {
	Instance uint32
	Stream   uint8 // 1 stdout, 2 stderr
	Time     int64 // unix ns
	Data     []byte
}

// How an instance ended.
const (
	KindExit     = iota // the program exited
	KindSignal          // the program was ended by a signal
	KindOOM             // memory limit
	KindPanic           // the library OS gave up
	KindFault           // the sandbox broke
	KindProtocol        // the guest broke the queue protocol
	KindKilled          // by Kill, Stop
	kindEnd
)

// Exited is the last event of an instance.
type Exited struct {
	Instance uint32
	Kind     uint8
	Status   uint32 // wait status, for KindExit and KindSignal
	Reason   string // one line
	Report   string
	Stamps   Stamps
	Counters Counters
	Lost     [2]uint16 // errno of what standard output and error did not take; 0: they did, or their reader had gone
}

// Counters are an instance's statistics. Those of the first group come from the guest.
type Counters struct {
	RAMUsed  uint64 // bytes of guest RAM handed out
	RAMLibos uint64 // of these, the library OS's own
	Syscalls uint64
	Traps    uint64 // system calls that did not come through a patched site
	Faults   uint64

	Memory   int64  // bytes of host memory behind guest RAM
	Private  int64  // bytes of host memory that only this instance has
	CPU      int64  // ns of CPU time of the vCPU thread
	Exits    uint64 // returns from the guest
	Ticks    uint64 // looks at the guest while it ran
	Preempts uint64
	Streams  uint32 // open now
	Accepted uint64 // streams ever
}

// StatsReply answers Stats; OK is false if there is no such instance any more.
type StatsReply struct {
	Instance uint32
	Token    uint32
	OK       bool
	Counters Counters
}
