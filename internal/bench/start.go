// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"

	"unifaas.dev/internal/gateway/api"
)

// runStart measures requests that find no instance.
func runStart(ctx context.Context, o *Options) ([]Row, error) {
	p, err := startPair(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var rows []Row
	for _, name := range httpCases() {
		rs, err := startCase(ctx, o, p, name, o.rounds(100, 3))
		if err != nil {
			return nil, err
		}
		rows = append(rows, rs...)
	}
	return rows, nil
}

// startCase measures one program. Two functions are made of it where there are snapshots: one that has none, and is booted each time.
func startCase(ctx context.Context, o *Options, p *pair, name string, rounds int) ([]Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	boots := name + "-boot"
	if err := p.kvm.deploy(ctx, boots, prog, api.DeployRequest{Env: map[string]string{snapshotEnv: "off"}}); err != nil {
		return nil, err
	}
	if err := p.deploy(ctx, name, prog); err != nil {
		return nil, err
	}
	defer remove(p, name, boots)
	runc, end := runcLane(ctx, prog, "boot")
	defer end()
	plain := coldLane(p.plain, name, "boot", p.plain.empty)
	lanes := []*lane{
		coldLane(p.kvm, boots, "boot", p.kvm.empty),
		coldLane(p.kvm, name, "cold", p.kvm.empty).from("snapshot"),
		coldLane(p.kvm, name, "cold_new_tender", p.kvm.noTender).from("snapshot"),
		plain, runc,
	}
	if err := p.kvm.snapshot(ctx, name); err != nil {
		var cannot *unableError
		if !errors.As(err, &cannot) {
			return nil, err
		}
		lanes[1].skip, lanes[2].skip = cannot.why, cannot.why
	}
	if err := turns(ctx, o, name, rounds, lanes); err != nil {
		return nil, err
	}
	if err := count(ctx, o, lanes); err != nil {
		return nil, err
	}
	var rows []Row
	for _, l := range lanes {
		rows = append(rows, l.row(name))
	}
	// For a plain process there is nothing colder than its start.
	cold := plain.row(name)
	cold.Metric = "cold"
	return append(rows, cold, skipped(name, Process, "cold_new_tender", "has no tender: see cold"),
		skipped(name, Runc, "cold", "runc has no snapshots here: see boot"), skipped(name, Runc, "cold_new_tender", "has no tender: see boot")), nil
}

// coldLane calls a function that has no instance; the connection to the gateway is there before the clock runs.
func coldLane(h *host, function, metric string, empty func(context.Context, string) error) *lane {
	return &lane{system: h.system, metric: metric,
		ready: func(ctx context.Context) error {
			if err := empty(ctx, function); err != nil {
				return err
			}
			if err := settle(ctx, h.PID()); err != nil {
				return err
			}
			return h.connect(ctx)
		},
		once: func(ctx context.Context) (sample, error) {
			a, err := h.call(ctx, function)
			if err != nil {
				return sample{}, err
			}
			t, steps, err := a.timing()
			if err == nil && !t.Cold {
				err = fmt.Errorf("%s had an instance", function)
			}
			return sample{us: us(a.took), origin: t.Origin, steps: steps}, err
		}}
}

// remove takes functions away again, so that later cases have the machine to themselves.
func remove(p *pair, names ...string) {
	for _, h := range p.hosts() {
		for _, n := range names {
			h.Client.Remove(context.Background(), n) // at the latest the node's end does it
		}
	}
}
