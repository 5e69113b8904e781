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
	more := 64
	if o.Small {
		more = 2
	}
	var all samples
	var detail string
	for i := range o.rounds(3, 1) {
		o.Progress("%s on %s: live, round %d", name, system, i+1)
		few, many, err := liveRound(ctx, o, system, name, prog, more)
		if err != nil {
			return Row{}, err
		}
		all = append(all, float64(many.total()-few.total())/float64(more))
		detail = fmt.Sprintf("in the last round %s with 2 and %s with %d", figure(float64(few.total()), "bytes"), figure(float64(many.total()), "bytes"), 2+more)
	}
	r := all.row(name, system, "live_bytes", "bytes")
	r.Note = fmt.Sprintf("node and tenders with %d instances more, divided by them: anonymous memory, shares of files, memory files once, page tables; %s. A shell more or less on one side is in it, divided", more, detail)
	return r, nil
}

// liveRound measures a node of its own: what another round has left ready for the next instances would be taken for theirs.
func liveRound(ctx context.Context, o *Options, system, name, prog string, more int) (few, many usage, err error) {
	h, err := startHost(ctx, o, system, "--park-after", "0") // what is parked is not live
	if err != nil {
		return few, many, err
	}
	defer h.stop()
	most := more + 2
	if err := h.deploy(ctx, name, prog, api.DeployRequest{Max: &most}); err != nil {
		return few, many, err
	}
	if system == KVM {
		// The first instance is booted, and may not share what the others do.
		if err := h.empty(ctx, name); err != nil {
			return few, many, err
		}
		if _, err := h.call(ctx, name); err != nil {
			return few, many, err
		}
		if err := h.empty(ctx, name); err != nil {
			return few, many, err
		}
	}
	if err := h.live(ctx, o, name, 2, &few); err != nil {
		return few, many, err
	}
	return few, many, h.live(ctx, o, name, 2+more, &many)
}

// live has n instances rest and measures the node.
func (h *host) live(ctx context.Context, o *Options, name string, n int, to *usage) error {
	if err := h.scaleTo(ctx, name, n); err != nil {
		return err
	}
	if h.system == KVM {
		if err := o.rest(ctx); err != nil {
			return err
		}
	}
	u, err := used(h.PID())
	*to = u
	return err
}

// liveRest is longer than the time after which idle instances give memory back.
const liveRest = 32 * time.Second

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
