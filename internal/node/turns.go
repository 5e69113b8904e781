// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turnLimit is how long a turn is one. Who takes longer mostly waits for something else than a CPU, and must not hold up everybody.
const turnLimit = time.Second

// turns limits how many instances are started at once. Starting is work for a CPU: more at once than there are CPUs only makes all of them
// later, and enough of them starve what already runs. Who waits gets a turn when a function with fewer starts by weight does not want it.
type turns struct {
	most int

	mu      sync.Mutex
	used    int
	held    map[*pool]int
	waiting []*turn // oldest first
}

type turn struct {
	p      *pool
	weight int
	ready  chan struct{} // closed when it is granted
}

// take waits for a turn. What it returns ends it; so does turnLimit.
func (t *turns) take(ctx context.Context, p *pool, weight int) (over func(), err error) {
	if err := t.wait(ctx, p, weight); err != nil {
		return nil, err
	}
	once := sync.OnceFunc(func() { t.done(p) })
	limit := time.AfterFunc(turnLimit, once)
	return func() {
		limit.Stop()
		once()
	}, nil
}

func (t *turns) wait(ctx context.Context, p *pool, weight int) error {
	t.mu.Lock()
	if t.used < t.most && len(t.waiting) == 0 {
		t.grant(p)
		t.mu.Unlock()
		return nil
	}
	w := &turn{p, max(weight, 1), make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	at := slices.Index(t.waiting, w)
	if at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	t.mu.Unlock()
	if at < 0 { // it was granted meanwhile
		t.done(p)
	}
	return ctx.Err()
}

// grant: Preconditions: mu is held.
func (t *turns) grant(p *pool) {
	if t.held == nil {
		t.held = map[*pool]int{}
	}
	t.used++
	t.held[p]++
}

// done ends a turn and gives it to the next.
func (t *turns) done(p *pool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used--
	if t.held[p]--; t.held[p] == 0 {
		delete(t.held, p)
	}
	for t.used < t.most && len(t.waiting) > 0 {
		next := 0
		for n, w := range t.waiting { // the first of those with the smallest share
			if t.held[w.p]*t.waiting[next].weight < t.held[t.waiting[next].p]*w.weight {
				next = n
			}
		}
		w := t.waiting[next]
		t.waiting = slices.Delete(t.waiting, next, next+1)
		t.grant(w.p)
		close(w.ready)
	}
}
