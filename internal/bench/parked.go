// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
)

// parkedMetrics in the order of tables.
var parkedMetrics = []string{"parked_bytes", "instances", "wake"}

const (
	densityMemory  = 16 << 30 // that the instances of the target have
	densityReserve = 2 << 30  // of the machine's memory that others keep
	densityMost    = 20000
	parkedBatch    = 16 // instances that are live at most before they are parked
	parkedCallers  = 4
	parkAfter      = time.Minute // by themselves: they are parked before
)

// parkedCase holds as many parked instances as were asked for, or as fit. Each was called once before it was parked, and is called once after all
// are: what it answers shows which one it is and that it has its state.
func parkedCase(ctx context.Context, o *Options, name string) ([]Row, error) {
	rows := skippedAll(name, Process, "has no parked state", parkedMetrics...)
	rows = append(rows, skippedAll(name, Runc, "has no parked state", parkedMetrics...)...)
	mine, err := measureParked(ctx, o, name)
	var cannot *unableError
	if errors.As(err, &cannot) {
		mine, err = skippedAll(name, KVM, cannot.why, parkedMetrics...), nil
	}
	return append(rows, mine...), err
}

func measureParked(ctx context.Context, o *Options, name string) ([]Row, error) {
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	h, err := startHost(ctx, o, KVM, "--park-after", parkAfter.String())
	if err != nil {
		return nil, err
	}
	defer h.stop()
	most := control.MaxInstances
	if err := h.deploy(ctx, name, prog, api.DeployRequest{Max: &most}); err != nil {
		return nil, err
	}
	if err := h.snapshot(ctx, name); err != nil {
		return nil, err
	}
	if err := h.empty(ctx, name); err != nil {
		return nil, err
	}
	c := &crowd{h: h, function: name, calls: map[string]int{}}
	defer c.close()
	for range parkedCallers {
		c.callers = append(c.callers, newCaller())
	}
	// The first ones pay for what all share.
	batch := parkedBatch
	if o.Small {
		batch = 8
	}
	if err := c.grow(ctx, batch); err != nil {
		return nil, err
	}
	if err := settle(ctx, h.PID()); err != nil {
		return nil, err
	}
	first, err := used(h.PID())
	if err != nil {
		return nil, err
	}
	want, all := o.goal(batch), first
	note := ""
	for len(c.calls) < want {
		o.Progress("%s: %d of %d parked", name, len(c.calls), want)
		if err := c.grow(ctx, min(want, len(c.calls)+batch)); err != nil {
			return nil, err
		}
		if all, err = used(h.PID()); err != nil {
			return nil, err
		}
		if all.total() > densityMemory || available() < densityReserve {
			note = fmt.Sprintf("; no more because %s are taken and %s left", figure(float64(all.total()), "bytes"), figure(float64(available()), "bytes"))
			break
		}
	}
	if err := settle(ctx, h.PID()); err != nil {
		return nil, err
	}
	if all, err = used(h.PID()); err != nil {
		return nil, err
	}
	n := len(c.calls)
	o.Progress("%s: waking %d", name, n)
	wakes, err := c.again(ctx)
	if err != nil {
		return nil, err
	}
	bytes := single(name, KVM, "parked_bytes", "bytes", float64(all.total()-first.total())/float64(n-batch))
	bytes.N, bytes.Note = n-batch, fmt.Sprintf("parked_bytes is of node and tenders, between %d parked instances and %d; then they take %s in all", batch, n, figure(float64(all.total()), "bytes"))
	held := single(name, KVM, "instances", "instances", float64(len(wakes)))
	held.Note = fmt.Sprintf("%d instances were parked at once, %d of them answered before and after%s", n, len(wakes), note)
	return []Row{bytes, held, wakes.row(name, KVM, "wake", "us")}, nil
}

// goal is how many instances there are to be. Preconditions: batch are there.
func (o *Options) goal(batch int) int {
	switch {
	case o.Instances > 0:
		return max(o.Instances, 2*batch)
	case o.Small:
		return 2 * batch
	}
	return densityMost
}

// crowd is many instances of one function.
type crowd struct {
	h        *host
	function string
	callers  []*caller

	mu    sync.Mutex
	calls map[string]int // that each instance has answered
}

func (c *crowd) close() {
	for _, k := range c.callers {
		k.close()
	}
}

// grow makes instances until there are n, calls each new one, and waits until all are parked.
func (c *crowd) grow(ctx context.Context, n int) error {
	if _, err := c.h.Client.Scale(ctx, c.function, n); err != nil {
		return c.h.explain(err)
	}
	fresh, err := c.wait(ctx, n-len(c.calls))
	if err != nil {
		return err
	}
	if _, err := c.call(ctx, fresh); err != nil {
		return err
	}
	return c.park(ctx)
}

// park parks all instances.
func (c *crowd) park(ctx context.Context) error {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		running, err := c.h.Client.Park(ctx, c.function)
		if err != nil || running == 0 {
			return c.h.explain(err)
		}
		if time.Now().After(deadline) {
			return unable("%d instances are not parked: %s", running, c.h.said(ctx, c.function, "", "park"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wait waits until n instances are there that were never called, and gives their names.
func (c *crowd) wait(ctx context.Context, n int) ([]string, error) {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		list, err := c.h.Client.SomeInstances(ctx, c.function, 0) // none of those that are parked
		if err != nil {
			return nil, c.h.explain(err)
		}
		var fresh []string
		for _, i := range list {
			if i.State == "ready" && c.calls[i.ID] == 0 {
				fresh = append(fresh, i.ID)
			}
		}
		if len(fresh) >= n {
			return fresh, nil
		}
		if time.Now().After(deadline) {
			return nil, unable("%d of %d instances came to be ready: %s", len(fresh), n, c.h.said(ctx, c.function, "", "end"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// again calls all instances once more, and parks them again by and by.
func (c *crowd) again(ctx context.Context) (took samples, err error) {
	for part := range slices.Chunk(slices.Collect(maps.Keys(c.calls)), parkedBatch) {
		t, err := c.call(ctx, part)
		if err != nil {
			return took, err
		}
		took = append(took, t...)
		if err := c.park(ctx); err != nil {
			return took, err
		}
	}
	return took, nil
}

// call calls instances by name. Each answer has to be the instance's own, and to know of all calls before.
func (c *crowd) call(ctx context.Context, ids []string) (took samples, err error) {
	work := make(chan string)
	var wg sync.WaitGroup
	for _, k := range c.callers {
		wg.Go(func() {
			for id := range work {
				a, e := k.call(ctx, c.h.URL(c.function), http.Header{api.HeaderInstance: {id}})
				c.mu.Lock()
				if e == nil {
					c.calls[id]++
					e = c.check(id, a)
				}
				if e == nil {
					took = append(took, us(a.took))
				} else if err == nil {
					err = fmt.Errorf("%w (its log: %s; of the function: %s)", e, c.h.said(ctx, c.function, id, ""), c.h.said(ctx, c.function, "", "end"))
				}
				c.mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	wg.Wait()
	return took, c.h.explain(err)
}

// check: Preconditions: mu is held.
func (c *crowd) check(id string, a answer) error {
	if got := a.header.Get(api.HeaderInstance); got != id {
		return unable("instance %s was called, and %s answered", id, got)
	}
	if host := a.header.Get("X-Host"); !strings.HasSuffix(host, id) {
		return fmt.Errorf("instance %s says that its name is %q", id, host)
	}
	if n, want := a.header.Get("X-Calls"), fmt.Sprint(c.calls[id]); n != want {
		return fmt.Errorf("instance %s says that it has answered %s calls, not %s", id, n, want)
	}
	return nil
}
