// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/snapshot"
)

// Runtime makes tenders. The real one starts jailed processes that run unikernels; tests and measurements have others.
type Runtime interface {
	Name() string // as listings show it: kvm, process, process-plain
	StartTender(ctx context.Context, c TenderConfig) (Tender, error)
	// Key is what a snapshot of such an instance has to fit; false: this runtime makes none.
	Key(c TenderConfig) (snapshot.Key, bool)
}

// Reserve is a Runtime that holds processes ready for functions that have none yet.
type Reserve interface {
	Reserved() (pids []int)
	Hold(hold bool) // false: none, and what there is ends
}

// TenderConfig is what all instances of one revision share.
type TenderConfig struct {
	Name     string        // for listings of processes
	Layers   []image.Layer // of the image, lowest first; their files stay open until Close has returned
	Manifest image.Manifest
	Memory   int64
	Env      []string // K=V, whole
	Port     int
	Egress   []string // rules: where programs may connect to
	// ReadOnlyRoot: programs write below /tmp only.
	ReadOnlyRoot bool
	Spawn        bool // the program is run once for each request: Guest.Spawn, not Dial
	// OnLine is called for each line that an instance prints; it never blocks.
	OnLine func(instance, stream, text string, at time.Time)

	Snapshot SnapshotUse
}

// SnapshotUse says what a tender does about snapshots. The files are needed until StartTender returns.
type SnapshotUse struct {
	Image *os.File // sealed, what instances start from; nil: there is none
	// Sink is an empty memory file for the state of the first instance that is initialised, which is handed out only then; nil: no snapshot
	// is wanted. Image is nil then. Afterwards the tender's instances can start from it too.
	Sink *os.File
	// OnTaken is called once, if Sink is not nil and the tender lives that long: the snapshot is complete, or why there will be none.
	OnTaken func(snapshot.Info, error)
	// OnLater is called before that, perhaps several times: why there is none yet. It is tried again.
	OnLater func(error)
	// Pristine: no snapshot is taken of an instance that has had a request. Without it, one that could not be taken before the first request
	// may have in it what requests left.
	Pristine bool
	// OnRefused is called when Image does not fit after all; the tender's instances boot.
	OnRefused func(error)
	Manual    bool // the program says when it is initialised
	Rewind    bool // instances will be rewound
}

// Origin is what an instance is made of.
type Origin int

const (
	FromBoot     Origin = iota // the image, from the start
	FromSnapshot               // the tender's snapshot: SnapshotUse
	FromParked                 // what Guest.Park wrote; needs the same snapshot
)

// Start says how to make an instance.
type Start struct {
	ID       string
	Hostname string
	Origin   Origin
	Parked   *os.File // for FromParked; needed until Tender.Start returns
	Off, Len int64    // where in it
}

// ErrBusyGuest is why an instance cannot be parked now: it has streams open, or runs.
var ErrBusyGuest = errors.New("instance is busy")

// Rewound says what a rewind took.
type Rewound struct {
	Pages   int           // copied back
	Entries int           // of page tables, stored by the guest
	Took    time.Duration // of the vCPU's time
}

// Tender runs the instances of one revision.
type Tender interface {
	// Start makes an instance; its program runs. An error that wraps snapshot.ErrDamaged or snapshot.ErrForeign says that it can be tried
	// FromBoot.
	Start(ctx context.Context, s Start) (Guest, error)
	// Keep says how many shells to hold ready for Start, beside the instances; none after StartTender.
	Keep(shells int)
	PID() int
	Done() <-chan struct{} // closed when the tender is gone, and all its instances with it
	Close() error          // ends all instances; returns when no process is left
}

// Guest is one instance as its tender shows it.
type Guest interface {
	// WaitListen waits until the program listens. An *ExitError says that it ended instead. What is made from a snapshot may be said to
	// listen before its state is there; the timing is whole when it has answered.
	WaitListen(ctx context.Context) (BootTiming, error)
	// Restored is closed when the state that it is made of is there, or it has ended. It is for what is made from a snapshot.
	Restored() <-chan struct{}
	Dial(ctx context.Context) (net.Conn, error)
	// Spawn runs the program once more. Preconditions: TenderConfig.Spawn.
	Spawn(ctx context.Context, env []string) (Job, error)
	// Rewind puts the instance back to the tender's snapshot, whatever it does; its streams are gone. It returns at once: what is dialled
	// afterwards meets the snapshot. then is told when it is done; an error is the end of the instance. With dial it gives such a stream,
	// for less than Dial costs, or nil if there can be none.
	Rewind(dial bool, then func(Rewound, error)) net.Conn
	// Park writes what differs from the tender's snapshot to sink, from its start, and ends the instance; bytes is how much that is. After
	// an error that wraps ErrBusyGuest the instance goes on.
	Park(ctx context.Context, sink *os.File) (bytes int64, err error)
	Signal(signo int)
	Kill(reason string)
	Done() <-chan struct{}
	Exit() Exit // Preconditions: Done is closed
	Usage(ctx context.Context) (Usage, error)
}

// Job is one run of a program: its standard input and output. CloseWrite ends the input; Close before the program's end kills it.
type Job interface {
	net.Conn
	CloseWrite() error
	// Wait returns the exit status, 128+N for signal N. Preconditions: all output was read.
	Wait(ctx context.Context) (int, error)
}

// BootTiming is what making an instance consisted of.
type BootTiming struct {
	VM      time.Duration // sandbox made
	State   time.Duration // snapshot and delta put in; FromBoot: 0
	Libos   time.Duration // library OS ready
	Program time.Duration // program listens
}

// Usage is what an instance uses.
type Usage struct {
	Memory  int64         // bytes of host memory behind it
	Guest   int64         // bytes of guest RAM handed out, 0 where there is no guest
	Libos   int64         // of these, the library OS's own
	CPU     time.Duration // since it was made
	Private int64         // bytes of host memory that only this instance has, without its share of the tender's own
}

// How an instance ended.
const (
	ExitNormal = "exit"   // by itself
	ExitSignal = "signal" // a crash
	ExitOOM    = "oom"    // memory limit
	ExitFault  = "fault"  // library OS, sandbox or tender broke
	ExitKilled = "killed" // by the node
)

// Exit says how an instance ended.
type Exit struct {
	Kind   string
	Status int    // exit status, 128+N for signal N
	Reason string // one line
	Report string // several lines for the log
	Last   string // contract lambda: the last line on standard error of an instance that did not start
}

// ExitError is an instance that ended while something was wanted of it.
type ExitError struct{ Exit Exit }

func (e *ExitError) Error() string { return e.Exit.Reason }

// Images opens images by digest; *image.Store is one.
type Images interface {
	Open(ref string) ([]image.Layer, image.Manifest, error)
}

// Log takes lines of functions; *logs.Book is one behind a small adapter.
type Log interface {
	Line(function, instance, stream, text string, at time.Time)
}
