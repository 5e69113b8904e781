// SPDX-License-Identifier: Apache-2.0

// Package unikernel is the node's real runtime: tender processes that run instances as unikernels. It only translates
// between the two; neither side knows the other's types.
package unikernel

import (
	"os"
	"unifaas.dev/internal/snapshot"

	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/layermem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/units"
)

// maxFiles is RLIMIT_NOFILE of programs, the same as with "unifaas run".
const maxFiles = 20000

// Runtime starts tenders.
type Runtime struct {
	Monitor string // auto, kvm, process
	Exe     string // of tenders, for tests
	Libos   []byte

	layers layermem.Cache // one copy of a layer for all tenders
	once   sync.Once
	pool   *egress.Pool
}

// Name is the monitor's.
func (r *Runtime) Name() string { return r.Monitor }

// StartTender starts the process for one revision.
func (r *Runtime) StartTender(ctx context.Context, c node.TenderConfig) (node.Tender, error) {
	rules, err := egress.Parse(c.Egress)
	if err != nil {
		return nil, err
	}
	r.once.Do(func() { r.pool = egress.NewPool() })
	var held []*layermem.Ref
	release := func() {
		for _, r := range held {
			r.Close()
		}
	}
	var flags uint32
	if c.Spawn {
		flags |= abi.BootSpawn
	}
	t, err := tender.Start(ctx, tender.StartOptions{
		Name: c.Name, Monitor: r.Monitor, Exe: r.Exe, Libos: r.Libos, Memory: c.Memory, Shells: true,
		Boot: monitor.Boot{
			Program: c.Manifest.Program, Args: c.Manifest.Args, Env: c.Env, Cwd: c.Manifest.Cwd, UID: c.Manifest.UID, GID: c.Manifest.GID,
			MaxFiles: maxFiles, OverlayMax: uint64(c.Memory) / 2, Flags: flags,
		},
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

// Key says that there are no snapshots yet.
func (r *Runtime) Key(node.TenderConfig) (snapshot.Key, bool) { return snapshot.Key{}, false }

// Keep is fixed: one shell.
func (p *process) Keep(int) {}

type process struct {
	*tender.Tender
	port   int
	memory int64
}

func (p *process) Start(ctx context.Context, s node.Start) (node.Guest, error) {
	if s.Origin != node.FromBoot {
		return nil, snapshot.ErrForeign
	}
	i, err := p.Tender.Boot(ctx, s.ID, s.Hostname, nil)
	if err != nil {
		return nil, p.translate(err)
	}
	return &guest{i, p}, nil
}

// translate makes the node's error of the tender's where the instance ended.
func (p *process) translate(err error) error {
	var exit *tender.ExitError
	if errors.As(err, &exit) {
		return &node.ExitError{Exit: p.exit(exit.Exit)}
	}
	return err
}

func (p *process) exit(e tender.Exit) node.Exit {
	x := node.Exit{Status: e.Code(), Reason: e.Reason, Report: e.Report}
	switch e.Kind {
	case tender.Exited:
		x.Kind = node.ExitNormal
	case tender.Signaled:
		x.Kind = node.ExitSignal
	case tender.OOM:
		x.Kind = node.ExitOOM
		if limit := fmt.Sprintf("memory limit %d MiB", p.memory/units.MiB); !strings.Contains(x.Reason, limit) {
			x.Reason = limit
		}
	case tender.Killed:
		x.Kind = node.ExitKilled
	default:
		x.Kind = node.ExitFault
	}
	return x
}

type guest struct {
	*tender.Instance
	p *process
}

func (g *guest) WaitListen(ctx context.Context) (node.BootTiming, error) {
	t, err := g.Instance.WaitListen(ctx, g.p.port)
	if err != nil {
		return node.BootTiming{}, g.p.translate(err)
	}
	return node.BootTiming{VM: t.VM + t.Enter, Libos: t.Boot, Program: t.Program + t.Listen}, nil
}

func (g *guest) Rewind(then func(node.Rewound, error)) { then(node.Rewound{}, errors.ErrUnsupported) }

func (g *guest) Park(context.Context, *os.File) (int64, error) { return 0, errors.ErrUnsupported }

func (g *guest) Dial(ctx context.Context) (net.Conn, error) { return g.Instance.Dial(ctx, g.p.port) }

func (g *guest) Spawn(ctx context.Context, env []string) (node.Job, error) {
	j, err := g.Instance.Spawn(ctx, env)
	if err != nil {
		return nil, g.p.translate(err)
	}
	return &job{j, g.p}, nil
}

type job struct {
	*tender.Job
	p *process
}

func (j *job) Wait(ctx context.Context) (int, error) {
	status, err := j.Job.Wait(ctx)
	return status, j.p.translate(err)
}

func (g *guest) Exit() node.Exit { return g.p.exit(g.Instance.Exit()) }

func (g *guest) Usage(ctx context.Context) (node.Usage, error) {
	s, err := g.Stats(ctx)
	return node.Usage{Memory: s.Memory, Guest: int64(s.RAMUsed), Libos: int64(s.RAMLibos), CPU: time.Duration(s.CPU)}, err
}
