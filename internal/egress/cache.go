// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxCached   = 1024
	keepFound   = ttl * time.Second
	keepMissing = 5 * time.Second
)

// found is what is known about one key.
type found struct {
	code    dnsmessage.RCode
	addrs   []netip.Addr              // of TypeA, which stands for both kinds of addresses
	records []dnsmessage.ResourceBody // of all other types
}

type key struct {
	typ  dnsmessage.Type
	name string
}

// source is where answers come from.
type source interface {
	lookup(ctx context.Context, k key) found
}

// cache asks its source once for those who ask at the same time, and keeps answers for a moment. It belongs to one function:
// none can tell what another has asked for.
type cache struct {
	source source

	mu      sync.Mutex
	entries map[key]*entry
}

type entry struct {
	done  chan struct{} // closed when found is there
	found found
	until time.Time // zero: not there yet
}

func newCache(s source) *cache { return &cache{source: s, entries: map[key]*entry{}} }

// get returns what the source says. If ctx ends first the answer is a failure, and the question goes on for others.
func (c *cache) get(ctx context.Context, k key, now time.Time) found {
	c.mu.Lock()
	e := c.entries[k]
	if e != nil && !e.until.IsZero() && !now.Before(e.until) {
		e = nil
	}
	if e == nil {
		e = &entry{done: make(chan struct{})}
		c.makeRoom(now)
		c.entries[k] = e
		go c.fill(k, e)
	}
	c.mu.Unlock()
	select {
	case <-e.done:
		return e.found
	case <-ctx.Done():
		return found{code: dnsmessage.RCodeServerFailure}
	}
}

func (c *cache) fill(k key, e *entry) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	f := c.source.lookup(ctx, k)
	keep := keepMissing
	if f.code == dnsmessage.RCodeSuccess && len(f.addrs)+len(f.records) > 0 {
		keep = keepFound
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.found = f
	e.until = time.Now().Add(keep)
	close(e.done)
	if f.code == dnsmessage.RCodeServerFailure && c.entries[k] == e {
		delete(c.entries, k)
	}
}

// makeRoom drops what is old, or anything if nothing is. Preconditions: c.mu is held.
func (c *cache) makeRoom(now time.Time) {
	if len(c.entries) < maxCached {
		return
	}
	for k, e := range c.entries {
		if !e.until.IsZero() && !now.Before(e.until) {
			delete(c.entries, k)
		}
	}
	for k := range c.entries {
		if len(c.entries) < maxCached {
			return
		}
		delete(c.entries, k) // those who wait for it still get it
	}
}
