// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net"
	"time"

	"unifaas.dev/internal/image"
)

// Runtime makes tenders. The real one starts jailed processes that run unikernels; tests and measurements have others.
type Runtime interface {
	Name() string // as listings show it: kvm, process, process-plain
	StartTender(ctx context.Context, c TenderConfig) (Tender, error)
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
	Spawn    bool     // the program is run once for each request: Guest.Spawn, not Dial
	// OnLine is called for each line that an instance prints; it never blocks.
	OnLine func(instance, stream, text string, at time.Time)
}

// Tender runs the instances of one revision.
type Tender interface {
	// Boot makes an instance and starts its program.
	Boot(ctx context.Context, id, hostname string) (Guest, error)
	PID() int
	Done() <-chan struct{} // closed when the tender is gone, and all its instances with it
	Close() error          // ends all instances; returns when no process is left
}

// Guest is one instance as its tender shows it.
type Guest interface {
	// WaitListen waits until the program listens. An *ExitError says that it ended instead.
	WaitListen(ctx context.Context) (BootTiming, error)
	Dial(ctx context.Context) (net.Conn, error)
	// Spawn runs the program once more. Preconditions: TenderConfig.Spawn.
	Spawn(ctx context.Context, env []string) (Job, error)
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

// BootTiming is what a boot consisted of.
type BootTiming struct {
	VM      time.Duration // sandbox made
	Libos   time.Duration // library OS ready
	Program time.Duration // program listens
}

// Usage is what an instance uses.
type Usage struct {
	Memory int64         // bytes of host memory behind it
	Guest  int64         // bytes of guest RAM handed out, 0 where there is no guest
	Libos  int64         // of these, the library OS's own
	CPU    time.Duration // since it was made
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
