// SPDX-License-Identifier: Apache-2.0

// Package unikernel is the node's real runtime: tender processes that run instances as unikernels. It only translates
// between the two; neither side knows the other's types.
package unikernel

import (
	"context"
	"strings"
	"sync"

	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/layermem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/tender"
)

// maxFiles is RLIMIT_NOFILE of programs, the same as with "unifaas run".
const maxFiles = 20000

// Runtime starts tenders. Who sets Blanks or calls Ready has to call Close.
type Runtime struct {
	Monitor string // auto, kvm, process
	Exe     string // of tenders, for tests
	Libos   []byte
	Blanks  int // tenders to hold ready for functions that have none yet

	layers  layermem.Cache // one copy of a layer for all tenders
	once    sync.Once
	pool    *egress.Pool
	blanks  blanks
	sumOnce sync.Once
	sum     [32]byte // of Libos
}

// Name is the monitor's.
func (r *Runtime) Name() string { return r.Monitor }

func (r *Runtime) setup() {
	r.once.Do(func() {
		r.pool = egress.NewPool()
		r.blanks.want, r.blanks.memory = r.Blanks, blankMemory
		r.blanks.make = func(memory int64) (*tender.Blank, error) {
			return tender.Prepare(tender.BlankOptions{Monitor: r.Monitor, Exe: r.Exe, Libos: r.Libos, Memory: memory})
		}
	})
}

// Ready begins to make what stands ready; the first StartTender does otherwise.
func (r *Runtime) Ready() {
	r.setup()
	r.blanks.fill(0)
}

// Reserved are the processes that stand ready.
func (r *Runtime) Reserved() []int {
	r.setup()
	return r.blanks.pids()
}

// Hold has processes stand ready, or none while memory is short.
func (r *Runtime) Hold(hold bool) {
	r.setup()
	r.blanks.hold(hold)
}

// Close ends what stands ready; it returns when no process of that is left. Tenders that were started are their owners' to close.
func (r *Runtime) Close() error {
	r.setup()
	r.blanks.close()
	return nil
}

// StartTender starts the process for one revision, or takes one that stands ready.
func (r *Runtime) StartTender(ctx context.Context, c node.TenderConfig) (node.Tender, error) {
	rules, err := egress.Parse(c.Egress)
	if err != nil {
		return nil, err
	}
	r.setup()
	var held []*layermem.Ref
	release := func() {
		for _, r := range held {
			r.Close()
		}
	}
	key, ok := r.Key(c)
	snapshots := tender.Snapshots{Key: key, Image: c.Snapshot.Image, Sink: c.Snapshot.Sink, Rewind: c.Snapshot.Rewind, Port: uint16(c.Port),
		Pristine: c.Snapshot.Pristine, OnTaken: c.Snapshot.OnTaken, OnLater: c.Snapshot.OnLater, OnRefused: c.Snapshot.OnRefused}
	if !ok {
		snapshots = tender.Snapshots{}
	}
	t, err := tender.Start(ctx, tender.StartOptions{
		Name: c.Name, Monitor: r.Monitor, Exe: r.Exe, Libos: r.Libos, Memory: c.Memory, Shells: 1, Boot: boot(&c),
		Blank: r.blanks.take(c.Memory), Snapshots: snapshots,
		Prepare: func(o *tender.StartOptions) error {
			for _, l := range c.Layers {
				ref := r.layers.Get(l)
				held = append(held, ref)
				o.Layers = append(o.Layers, monitor.Layer{File: ref.Layer.File, Size: ref.Layer.Size})
			}
			return nil
		},
		Egress: r.pool.Broker(rules),
		OnOutput: func(o tender.Output) {
			stream := "stdout"
			if o.Stream == 2 {
				stream = "stderr"
			}
			c.OnLine(o.Instance, stream, strings.ToValidUTF8(o.Line, "?"), o.Time)
		},
	})
	if err != nil {
		release()
		return nil, err
	}
	go func() {
		<-t.Done()
		release()
	}()
	return &process{Tender: t, port: c.Port, memory: c.Memory}, nil
}
