// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// load calls url over conns connections for a time and returns each latency in µs and how many calls a second there were.
func load(ctx context.Context, url string, conns int, d time.Duration) (samples, float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg, ready sync.WaitGroup
	ready.Add(conns)
	var stop atomic.Bool
	parts := make([]samples, conns)
	begin := make(chan struct{})
	for i := range conns {
		wg.Go(func() {
			c := newCaller()
			defer c.close()
			_, err := c.get(ctx, url) // makes the connection, and the instance
			ready.Done()
			if err != nil {
				cancel(err)
				return
			}
			<-begin
			for !stop.Load() {
				t, err := c.get(ctx, url)
				if err != nil {
					cancel(err)
					return
				}
				parts[i] = append(parts[i], us(t))
			}
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	stop.Store(true)
	wg.Wait()
	took := time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return nil, 0, err
	}
	var all samples
	for _, p := range parts {
		all = append(all, p...)
	}
	return all, float64(len(all)) / took.Seconds(), nil
}
