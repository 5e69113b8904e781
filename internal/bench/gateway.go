// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// gatewayMetrics are what a request costs the process of gateway and node: instances and tenders are processes of their own.
func gatewayMetrics() []struct {
	name, unit, of string
	factor         float64
} {
	return []struct {
		name, unit, of string
		factor         float64
	}{
		{"cpu", "us", "process_cpu_seconds_total", 1e6},
		{"allocs", "count", "go_memstats_mallocs_total", 1},
		{"alloc_bytes", "bytes", "go_memstats_alloc_bytes_total", 1},
	}
}

// runGateway measures what warm requests cost the gateway itself, over one and over sixteen connections.
func runGateway(ctx context.Context, o *Options) ([]Row, error) {
	each := 2 * time.Second
	if o.Small {
		each = 100 * time.Millisecond
	}
	p, err := startPair(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	const name = "c-hello"
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	if err := p.deploy(ctx, name, prog); err != nil {
		return nil, err
	}
	var rows []Row
	for _, conns := range []int{1, 16} {
		label := fmt.Sprintf("%s/%d", name, conns)
		costs := map[string]map[string]samples{KVM: {}, Process: {}}
		for i := range o.rounds(6, 1) {
			o.Progress("%s: round %d of %d", label, i+1, o.rounds(6, 1))
			for _, h := range p.hosts() {
				before, err := h.counters(ctx)
				if err != nil {
					return nil, h.explain(err)
				}
				calls, _, err := load(ctx, h.URL(name), conns, each)
				if err != nil {
					return nil, h.explain(err)
				}
				after, err := h.counters(ctx)
				if err != nil {
					return nil, h.explain(err)
				}
				for _, m := range gatewayMetrics() {
					cost := (after[m.of] - before[m.of]) * m.factor / float64(len(calls)+conns) // load's first calls are not timed
					costs[h.system][m.name] = append(costs[h.system][m.name], cost)
				}
			}
		}
		for _, m := range gatewayMetrics() {
			for _, system := range []string{KVM, Process} {
				rows = append(rows, costs[system][m.name].row(label, system, m.name, m.unit))
			}
			rows = append(rows, skipped(label, Runc, m.name, "to the gateway, a container that is there is the plain process"))
		}
	}
	return rows, nil
}

// counters reads the node's own counters, from where Prometheus does.
func (h *host) counters(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.caller.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", h.Addr, err)
	}
	values := map[string]float64{}
	for _, m := range gatewayMetrics() {
		if list := families[m.of].GetMetric(); len(list) == 1 {
			values[m.of] = list[0].GetCounter().GetValue()
			continue
		}
		return nil, fmt.Errorf("metrics of %s: no %s", h.Addr, m.of)
	}
	return values, nil
}
