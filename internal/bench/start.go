// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
)

// httpCases are the cases of the suites that call functions.
func httpCases() []string { return []string{"c-hello", "go-hello", "python-hello", "node-hello"} }

// pair is the two nodes that one suite compares: unikernels, and plain processes behind the same gateway.
type pair struct{ kvm, plain *childnode.Node }

func startPair(ctx context.Context, o *Options) (*pair, error) {
	kvm, err := childnode.Start(ctx, o.Exe, "")
	if err != nil {
		return nil, err
	}
	plain, err := childnode.Start(ctx, o.Exe, "", "--runtime", "process-plain")
	if err != nil {
		kvm.Stop()
		return nil, err
	}
	return &pair{kvm, plain}, nil
}

func (p *pair) stop() {
	p.kvm.Stop()
	p.plain.Stop()
}

func (p *pair) deploy(ctx context.Context, name, program string) error {
	one, conc, memory := 1, 100, int64(256<<20)
	q := api.DeployRequest{Max: &one, Concurrency: &conc, Memory: &memory}
	for _, n := range []*childnode.Node{p.kvm, p.plain} {
		if err := n.Deploy(ctx, name, program, q); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// runStart measures requests that find no instance.
func runStart(ctx context.Context, o *Options) ([]Row, error) {
	rounds := 40
	if o.Small {
		rounds = 3
	}
	p, err := startPair(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var rows []Row
	for _, name := range httpCases() {
		rs, err := startCase(ctx, o, p, name, rounds)
		if err != nil {
			return nil, err
		}
		rows = append(rows, rs...)
	}
	return rows, nil
}

func startCase(ctx context.Context, o *Options, p *pair, name string, rounds int) ([]Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	if err := p.deploy(ctx, name, prog); err != nil {
		return nil, err
	}
	b, noRunc := newBundle(ctx, prog)
	if noRunc == nil {
		defer b.remove()
	}
	all := map[string]samples{}
	caller := map[*childnode.Node]*caller{p.kvm: newCaller(), p.plain: newCaller()}
	for _, c := range caller {
		defer c.close()
	}
	for i := range rounds + 1 { // the first round warms caches up and does not count
		o.Progress("%s: round %d of %d", name, i, rounds)
		for _, s := range []struct {
			system string
			n      *childnode.Node
		}{{KVM, p.kvm}, {Process, p.plain}} {
			if err := s.n.Empty(ctx, name); err != nil {
				return nil, err
			}
			// The connection to the gateway is there before the clock runs.
			if _, err := caller[s.n].get(ctx, "http://"+s.n.Addr+"/healthz"); err != nil {
				return nil, err
			}
			t, err := caller[s.n].get(ctx, s.n.URL(name))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.system, cmp.Or(s.n.Died(), err))
			}
			if i > 0 {
				all[s.system] = append(all[s.system], us(t))
			}
		}
		if noRunc == nil {
			var t time.Duration
			if t, noRunc = b.boot(ctx); noRunc == nil && i > 0 {
				all[Runc] = append(all[Runc], us(t))
			}
		}
	}
	rows := []Row{all[KVM].row(name, KVM, "boot", "us"), all[Process].row(name, Process, "boot", "us")}
	if noRunc != nil {
		rows = append(rows, skipped(name, Runc, "boot", errorLine(noRunc)))
	} else {
		rows = append(rows, all[Runc].row(name, Runc, "boot", "us"))
	}
	// For a plain process there is nothing colder than its start.
	rows = append(rows, all[Process].row(name, Process, "cold", "us"), skipped(name, KVM, "cold", "snapshots are not in this version"),
		skipped(name, Runc, "cold", "runc has no snapshots here: see boot"),
		skipped(name, KVM, "cold_new_tender", "snapshots are not in this version"), skipped(name, Process, "cold_new_tender", "has no tender: see cold"),
		skipped(name, Runc, "cold_new_tender", "has no tender: see boot"))
	return rows, nil
}
