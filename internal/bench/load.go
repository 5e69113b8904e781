// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// caller is one client with one connection that stays open.
type caller struct{ http *http.Client }

func newCaller() *caller {
	return &caller{&http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true}}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// get is the time from sending a request to the first byte of its answer.
func (c *caller) get(ctx context.Context, url string) (time.Duration, error) {
	var first time.Time
	start := time.Now()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first = time.Now() },
	}), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s: %.200s", url, resp.Status, body)
	}
	return first.Sub(start), nil
}

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

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
