// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"time"

	"unifaas.dev/internal/gateway/api"
)

// rewindMetrics in the order of tables.
var rewindMetrics = []string{"latency", "latency_reuse", "added", "throughput", "pages", "rewind_time"}

// runRewind measures functions whose every invocation meets the snapshot: against the same function that keeps its state, and against a container for
// every invocation.
func runRewind(ctx context.Context, o *Options) ([]Row, error) {
	h, err := startHost(ctx, o, KVM)
	if err != nil {
		return nil, err
	}
	defer h.stop()
	var rows []Row
	for _, name := range httpCases() {
		rs, err := rewindCase(ctx, o, h, name)
		if err != nil {
			return nil, err
		}
		rows = append(rows, rs...)
	}
	return rows, nil
}

func rewindCase(ctx context.Context, o *Options, h *host, name string) ([]Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	each := 700 * time.Millisecond
	if o.Small {
		each = 50 * time.Millisecond
	}
	rewound, one := name+"-rewind", 1
	four := 4
	if err := h.deploy(ctx, name, prog, api.DeployRequest{}); err != nil {
		return nil, err
	}
	defer h.Client.Remove(context.Background(), name)
	rows := skippedAll(name, Process, "a process cannot be put back", rewindMetrics...)
	for _, m := range rewindMetrics {
		if m != "throughput" {
			rows = append(rows, skipped(name, Runc, m, "a container for every invocation: see throughput, and boot in suite start"))
		}
	}
	fleet, err := newFleet(ctx, prog)
	if err == nil {
		defer fleet.remove()
	} else {
		rows = append(rows, skipped(name, Runc, "throughput", errorLine(err)))
	}
	if err := h.deploy(ctx, rewound, prog, api.DeployRequest{Isolation: "rewind", Concurrency: &one, Max: &four}); err != nil {
		return append(rows, skippedAll(name, KVM, errorLine(err), rewindMetrics...)...), nil
	}
	defer h.Client.Remove(context.Background(), rewound)
	if why := h.snapshot(ctx, rewound); why != nil {
		return append(rows, skippedAll(name, KVM, errorLine(why), rewindMetrics...)...), nil
	}

	var plain, back, added, rate, containers samples
	before, err := h.rewinds(ctx, rewound)
	if err != nil {
		return nil, err
	}
	for i := range o.rounds(8, 1) {
		o.Progress("%s: round %d", name, i+1)
		// Bursts, not single calls by turns: the rewind after one call must not be hidden by the other function's.
		a, _, err := load(ctx, h.URL(name), 1, each)
		if err != nil {
			return nil, h.explain(err)
		}
		b, _, err := load(ctx, h.URL(rewound), 1, each)
		if err != nil {
			return nil, h.explain(err)
		}
		_, r, err := load(ctx, h.URL(rewound), 16, each)
		if err != nil {
			return nil, h.explain(err)
		}
		plain, back, rate = append(plain, a...), append(back, b...), append(rate, r)
		added = append(added, b.quantile(0.5)-a.quantile(0.5))
		if fleet != nil {
			r, err := fleet.rate(ctx, 2*each)
			if err != nil {
				return nil, err
			}
			containers = append(containers, r)
		}
	}
	after, err := h.rewinds(ctx, rewound)
	if err != nil {
		return nil, err
	}
	rows = append(rows, back.row(name, KVM, "latency", "us"), plain.row(name, KVM, "latency_reuse", "us"), added.row(name, KVM, "added", "us"), rate.row(name, KVM, "throughput", "1/s"))
	if fleet != nil {
		r := containers.row(name, Runc, "throughput", "1/s")
		r.Note = "runc: a container for every invocation, one at a time for each core"
		rows = append(rows, r)
	}
	return append(rows, after.since(before).rows(name)...), nil
}

// rewindCount is what a function's rewinds have taken since the node started.
type rewindCount struct {
	n, pages int64
	took     time.Duration
}

func (c rewindCount) since(b rewindCount) rewindCount {
	return rewindCount{c.n - b.n, c.pages - b.pages, c.took - b.took}
}

// rows are means: the node adds up.
func (c rewindCount) rows(name string) []Row {
	if c.n == 0 {
		return skippedAll(name, KVM, "nothing was rewound", "pages", "rewind_time")
	}
	mean := func(metric, unit string, sum float64) Row {
		r := single(name, KVM, metric, unit, sum/float64(c.n))
		r.N, r.Note = int(c.n), metric+" is the mean of "+strconv.FormatInt(c.n, 10)+" rewinds"
		return r
	}
	return []Row{mean("pages", "pages", float64(c.pages)), mean("rewind_time", "us", us(c.took))}
}

// fleet is containers of one program, a bundle for each core.
type fleet struct{ bundles []*bundle }

func newFleet(ctx context.Context, source string) (*fleet, error) {
	f := &fleet{}
	for range max(2, runtime.NumCPU()) {
		b, err := newBundle(ctx, source)
		if err != nil {
			f.remove()
			return nil, err
		}
		f.bundles = append(f.bundles, b)
	}
	return f, nil
}

// rate is how many calls a second are answered if each gets a container of its own, for about the time d.
func (f *fleet) rate(ctx context.Context, d time.Duration) (float64, error) {
	var wg sync.WaitGroup
	counts, errs := make([]int, len(f.bundles)), make([]error, len(f.bundles))
	start := time.Now()
	for i, b := range f.bundles {
		wg.Go(func() {
			for time.Since(start) < d || counts[i] == 0 {
				if _, errs[i] = b.boot(ctx); errs[i] != nil {
					return
				}
				counts[i]++
			}
		})
	}
	wg.Wait()
	took, n := time.Since(start), 0
	for i := range counts {
		if errs[i] != nil {
			return 0, errs[i]
		}
		n += counts[i]
	}
	return float64(n) / took.Seconds(), nil
}

func (f *fleet) remove() {
	for _, b := range f.bundles {
		b.remove()
	}
}
