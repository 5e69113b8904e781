// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"time"

	"unifaas.dev/internal/pressure"
)

// Spec is what a node has to know about one revision to serve it.
type Spec struct {
	Function    string
	Service     string // what the program is told that it is called; empty: Function
	Revision    string // name of the revision, unique on the node
	Image       string // digest
	Memory      int64  // bytes of guest RAM
	Timeout     time.Duration
	Concurrency int // invocations at once in one instance
	Env         map[string]string
	Egress      []string // rules: where the program may connect to
	Secrets     []Secret // that its instances find as files
	Port        int      // where the program listens
	Stdio       bool     // the program is run once a request, see stdio.go; Port is 0
	Lambda      bool     // the program is the bridge to a Lambda runtime, see lambda.go
	ReadOnly    bool     // programs write below /tmp only
	Fresh       bool     // a new instance for every invocation
	Rewind      bool     // every invocation meets the snapshot
	Serving     Serving
	Scale       Scale
}

// Scale bounds the number of instances, and says how much of the node they are to have. Changing it makes no new revision.
type Scale struct {
	Min int `json:"min"` // kept when idle
	Max int `json:"max"` // made under load

	Queue  int   `json:"queue,omitempty"`  // invocations that may wait; 0: the node's default
	Weight int   `json:"weight,omitempty"` // share of a full node beside other functions; 0: DefaultWeight
	CPU    int64 `json:"cpu,omitempty"`    // thousandths of a CPU that an instance may use; 0: a whole one

	Idle   time.Duration `json:"idle,omitempty"`   // after which instances beyond Min end; 0: the node's
	Zero   bool          `json:"zero,omitempty"`   // those of Min end then, too, until the next invocation
	Live   bool          `json:"live,omitempty"`   // those of Min, at least one, are not parked
	Fixed  bool          `json:"fixed,omitempty"`  // load changes nothing: there are Min instances, at least one when there is an invocation
	Step   int           `json:"step,omitempty"`   // percent of Max that are made at once when one is; 0: as many as are needed
	Metric string        `json:"metric,omitempty"` // what Target is of: see the Metric constants; empty: nothing
	Target float64       `json:"target,omitempty"` // of Metric for one instance
}

// DefaultWeight is the weight of a function that has none of its own.
const DefaultWeight = 100

// weight is Weight, or the default.
func (s Scale) weight() int { return cmp.Or(s.Weight, DefaultWeight) }

// normal is the spec with what follows from other parts of it.
func (s Spec) normal() Spec {
	if s.Fresh || s.Rewind {
		s.Concurrency = 1
	}
	return s
}

// Secret names the value that a secret had at some time.
type Secret struct {
	Namespace, Name string
	Version         uint64
}

// sameProgram reports whether o runs the same instances: only bounds may differ.
func (s Spec) sameProgram(o Spec) bool {
	return s.Function == o.Function && s.Revision == o.Revision && s.Image == o.Image && s.Memory == o.Memory &&
		s.Timeout == o.Timeout && s.Concurrency == o.Concurrency && s.Port == o.Port && s.Stdio == o.Stdio && s.ReadOnly == o.ReadOnly && s.Lambda == o.Lambda && s.Fresh == o.Fresh && s.Rewind == o.Rewind &&
		s.Serving == o.Serving &&
		maps.Equal(s.Env, o.Env) && slices.Equal(s.Egress, o.Egress) && slices.Equal(s.Secrets, o.Secrets)
}

// Defaults of Options.
const (
	DefaultIdle       = 5 * time.Minute
	DefaultPark       = 10 * time.Second
	DefaultStartLimit = 60 * time.Second
	DefaultGrace      = 10 * time.Second
	DefaultWaitLimit  = 60 * time.Second
	DefaultRound      = time.Second
	DefaultQueue      = 1000
	DefaultQueueBytes = 256 << 20
	DefaultInflight   = 10000
)

const (
	tenderIdle     = time.Minute          // after which a tender that runs nothing is dismissed
	floorAtOnce    = 8                    // instances that boot at once for Scale.Min
	shortRewind    = 2 * time.Millisecond // a rewind that is waited for rather than have another instance
	rewindLife     = 20 * time.Second     // of an instance that is rewound: its clock goes on, the program's time-outs count from the snapshot
	scaleUpAfter   = 5 * time.Millisecond // how long an invocation waits for a busy instance before another one is made
	explainWait    = 250 * time.Millisecond
	backoffFirst   = 500 * time.Millisecond // between attempts to keep Scale.Min instances of a program that does not start
	backoffMax     = time.Minute
	idleConnLimit  = time.Second // shorter than the keep-alive time of any common server: they close first otherwise, in the middle of a request
	maxAttempts    = 3           // for a request that no program can have seen
	maxHeaderBytes = 256 << 10
)

// Options are a node's settings; zero values stand for the defaults.
type Options struct {
	Idle       time.Duration // after which an instance beyond Scale.Min is ended
	Park       time.Duration // after which an idle instance is parked; below 0: never
	StartLimit time.Duration // from boot until the program listens
	Round      time.Duration // between two looks at what is used and wanted
	WaitLimit  time.Duration // that an invocation waits for an instance
	Queue      int           // invocations that may wait for one function
	Liveness   time.Duration // between two questions of a liveness probe
	QueueBytes int64         // of the bodies of all that wait; one function may have a quarter of it
	Inflight   int           // invocations at once, those that wait among them
	Instances  int           // that are not parked, of all functions; 0: as memory allows
	Starts     int           // instances that are started at once, of all functions

	Groups    Groups    // nil: tenders have no control groups
	Snapshots Snapshots // nil: none are taken
	// Secret gives what a secret is now; nil: there are none.
	Secret   func(ctx context.Context, s Secret) ([]byte, error)
	Observer Observer // nil: nobody is told

	// MemoryBudget bounds what instances, shells, parked instances and snapshots take together; 0: nothing does.
	MemoryBudget int64
	Pressure     func() pressure.Sample      // nil: nobody knows how the machine does
	TenderMemory func(pid int) int64         // private memory of a process; nil: as the kernel says
	TenderCPU    func(pid int) time.Duration // that it has used; nil: as well
}

func (o Options) withDefaults() Options {
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.Park == 0 {
		o.Park = DefaultPark
	}
	if o.TenderMemory == nil {
		o.TenderMemory = pressure.Private
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.TenderCPU == nil {
		o.TenderCPU = pressure.CPU
	}
	if o.Liveness <= 0 {
		o.Liveness = livenessEvery
	}
	if o.StartLimit <= 0 {
		o.StartLimit = DefaultStartLimit
	}
	if o.WaitLimit <= 0 {
		o.WaitLimit = DefaultWaitLimit
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.Round <= 0 {
		o.Round = DefaultRound
	}
	if o.Inflight <= 0 {
		o.Inflight = DefaultInflight
	}
	if o.Starts <= 0 {
		o.Starts = 2 * runtime.GOMAXPROCS(0)
	}
	return o
}
