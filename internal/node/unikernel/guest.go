// SPDX-License-Identifier: Apache-2.0

package unikernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/units"
)

// process is a tender as the node sees it.
type process struct {
	*tender.Tender
	port   int
	memory int64
}

func (p *process) Start(ctx context.Context, s node.Start) (node.Guest, error) {
	o := tender.BootOptions{ID: s.ID, Hostname: s.Hostname}
	switch s.Origin {
	case node.FromSnapshot:
		o.From = tender.FromSnapshot
	case node.FromParked:
		o.From, o.Parked, o.Off, o.Len = tender.FromParked, s.Parked, s.Off, s.Len
	}
	i, err := p.Tender.BootWith(ctx, o)
	if err != nil {
		return nil, p.translate(err)
	}
	return &guest{i, p}, nil
}

// translate makes the node's errors of the tender's.
func (p *process) translate(err error) error {
	var exit *tender.ExitError
	switch {
	case errors.As(err, &exit):
		return &node.ExitError{Exit: p.exit(exit.Exit)}
	case errors.Is(err, tender.ErrBusy):
		return fmt.Errorf("%w: %s", node.ErrBusyGuest, err)
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
	case tender.Killed, tender.Parked:
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

// WaitListen returns at once for an instance of a snapshot, while its state is being put in: what is dialled then is there when the guest
// runs. VM and State are 0 so long; asked again after its first answer it knows them.
func (g *guest) WaitListen(ctx context.Context) (node.BootTiming, error) {
	t, err := g.Instance.WaitListen(ctx, g.p.port)
	if err != nil {
		return node.BootTiming{}, g.p.translate(err)
	}
	return node.BootTiming{VM: t.VM + t.Enter, State: t.State, Libos: t.Boot, Program: t.Program + t.Listen}, nil
}

func (g *guest) Rewind(dial bool, then func(node.Rewound, error)) net.Conn {
	told := func(r tender.Rewound, err error) {
		then(node.Rewound{Pages: r.Pages, Entries: r.Entries, Took: r.Took}, g.p.translate(err))
	}
	if dial {
		return g.Instance.Renew(g.p.port, told)
	}
	g.Instance.Rewind(told)
	return nil
}

func (g *guest) Park(ctx context.Context, sink *os.File) (int64, error) {
	n, err := g.Instance.Park(ctx, sink)
	return n, g.p.translate(err)
}

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
	return node.Usage{Memory: s.Memory, Guest: int64(s.RAMUsed), Libos: int64(s.RAMLibos), CPU: time.Duration(s.CPU), Private: s.Private}, err
}
