// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"time"

	"unifaas.dev/internal/gateway/api"
)

// densityCases are the cases of suite density.
func densityCases() []string { return []string{"c-hello", "python-hello"} }

// runDensity measures what instances keep of the host's memory, and how many there can be.
func runDensity(ctx context.Context, o *Options) ([]Row, error) {
	var rows []Row
	for _, name := range densityCases() {
		for _, system := range []string{KVM, Process} {
			r, err := liveCase(ctx, o, system, name)
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
		rows = append(rows, skipped(name, Runc, "live_bytes", "the plain process, beside what the kernel keeps for its namespaces and cgroups"))
		rs, err := parkedCase(ctx, o, name)
		if err != nil {
			return nil, err
		}
		rows = append(rows, rs...)
	}
	return rows, nil
}

// liveCase is the memory of one more instance that is there and does nothing: that of several more, divided.
func liveCase(ctx context.Context, o *Options, system, name string) (Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return Row{}, err
	}
	h, err := startHost(ctx, o, system, "--park-after", "0") // what is parked is not live
	if err != nil {
		return Row{}, err
	}
	defer h.stop()
	more := 32
	if o.Small {
		more = 2
	}
	most := more + 2
	if err := h.deploy(ctx, name, prog, api.DeployRequest{Max: &most}); err != nil {
		return Row{}, err
	}
	if system == KVM {
		// The first instance is booted, and may not share what the others do.
		if err := h.empty(ctx, name); err != nil {
			return Row{}, err
		}
		if _, err := h.call(ctx, name); err != nil {
			return Row{}, err
		}
	}
	var all samples
	// Many first: what the node keeps ready beside them, which follows demand, is there for few of them, too.
	for i := range o.rounds(3, 1) {
		o.Progress("%s on %s: live, round %d", name, system, i+1)
		var at [2]usage
		for j, n := range []int{2 + more, 2} {
			if err := h.scaleTo(ctx, name, n); err != nil {
				return Row{}, err
			}
			if system == KVM {
				if err := o.rest(ctx); err != nil {
					return Row{}, err
				}
			}
			if at[j], err = used(h.PID()); err != nil {
				return Row{}, err
			}
		}
		all = append(all, float64(at[0].total()-at[1].total())/float64(more))
	}
	r := all.row(name, system, "live_bytes", "bytes")
	r.Note = fmt.Sprintf("node and tenders with %d instances more, divided by them: anonymous memory, shares of files, memory files once, page tables", more)
	return r, nil
}

// liveRest is longer than the time after which idle instances give memory back.
const liveRest = 12 * time.Second

func (o *Options) rest(ctx context.Context) error {
	if o.Small {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(liveRest):
		return nil
	}
}

// scaleTo makes or ends instances until there are n, all ready, and the node rests.
func (h *host) scaleTo(ctx context.Context, function string, n int) error {
	if _, err := h.Client.Scale(ctx, function, n); err != nil {
		return h.explain(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		is, err := h.Client.Instances(ctx, function)
		if err != nil {
			return h.explain(err)
		}
		there := 0
		for _, i := range is {
			if i.State == "ready" {
				there++
			}
		}
		if there == n && len(is) == n {
			return settle(ctx, h.PID())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d of %d instances of %s are ready", h.system, there, n, function)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
