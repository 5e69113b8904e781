// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"time"
)

// runWarm measures an instance that is there, over one and over sixteen connections.
func runWarm(ctx context.Context, o *Options) ([]Row, error) {
	each := 700 * time.Millisecond
	if o.Small {
		each = 50 * time.Millisecond
	}
	p, err := startPair(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var rows []Row
	for _, name := range httpCases() {
		for _, conns := range []int{1, 16} {
			label := fmt.Sprintf("%s/%d", name, conns)
			rs, err := warmCase(ctx, o, p, name, label, conns, o.rounds(6, 1), each)
			if err != nil {
				return nil, err
			}
			rows = append(rows, rs...)
		}
	}
	return rows, nil
}

func warmCase(ctx context.Context, o *Options, p *pair, name, label string, conns, rounds int, each time.Duration) ([]Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	if err := p.deploy(ctx, name, prog); err != nil {
		return nil, err
	}
	latency, throughput := map[string]samples{}, map[string]samples{}
	for i := range rounds {
		o.Progress("%s: round %d of %d", label, i+1, rounds)
		for _, h := range p.hosts() {
			l, t, err := load(ctx, h.URL(name), conns, each)
			if err != nil {
				return nil, h.explain(err)
			}
			latency[h.system] = append(latency[h.system], l...)
			throughput[h.system] = append(throughput[h.system], t)
		}
	}
	const why = "to the gateway, a container that is there is the plain process"
	return []Row{
		latency[KVM].row(label, KVM, "latency", "us"), latency[Process].row(label, Process, "latency", "us"), skipped(label, Runc, "latency", why),
		throughput[KVM].row(label, KVM, "throughput", "1/s"), throughput[Process].row(label, Process, "throughput", "1/s"), skipped(label, Runc, "throughput", why),
	}, nil
}
