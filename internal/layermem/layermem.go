// SPDX-License-Identifier: Apache-2.0

// Package layermem keeps image layers in memory, once for the whole machine: sealed memory files of huge pages, which every tender
// maps. A page of a shared library then exists once, and a guest reaches it through a 2 MiB mapping that costs one fault.
//
// It knows nothing of what is in a layer, and never changes one.
package layermem

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/image"
)

// defaultGrace is how long a layer stays that nobody uses: a function that scales down and up again finds it.
const defaultGrace = 30 * time.Second

// Cache holds layers by digest. The zero value works.
type Cache struct {
	// Limit bounds the bytes of one layer, Total those of all: what exceeds them is used from its file. 0: an eighth and a quarter
	// of this machine's memory.
	Limit, Total int64
	// Grace is how long a layer stays after its last user; 0: a default, negative: not at all.
	Grace time.Duration

	mu      sync.Mutex
	entries map[string]*entry
	used    int64
	closed  bool
}

// entry is one layer. Cache.mu guards all but what ready announces.
type entry struct {
	digest string
	size   int64
	users  int
	timer  *time.Timer // runs while there are no users

	ready chan struct{} // closed when layer or err is there
	layer image.Layer
	err   error
}

// Ref is one use of a layer.
type Ref struct {
	Layer image.Layer // its File is the memory file, which stays open until Close, or the one that Get was given

	once  sync.Once
	close func()
}

// Close ends the use. Idempotent; the error is nil.
func (r *Ref) Close() error {
	r.once.Do(r.close)
	return nil
}

// Get gives a layer in memory, or the layer itself where memory is short; l.File must stay open until the Ref is closed. A layer
// without a digest is held for its one user.
func (c *Cache) Get(l image.Layer) *Ref {
	e, first := c.enter(l)
	if e == nil {
		return plain(l)
	}
	if first {
		e.layer, e.err = Load(l)
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		c.leave(e)
		return plain(l)
	}
	return &Ref{Layer: e.layer, close: func() { c.leave(e) }}
}

// Load copies a layer into memory. The caller closes the file, and l's.
func Load(l image.Layer) (image.Layer, error) {
	f, err := load(l.File, l.File.Name(), l.Size)
	if err != nil {
		return image.Layer{}, err
	}
	l.File = f
	return l, nil
}

func plain(l image.Layer) *Ref { return &Ref{Layer: l, close: func() {}} }

// enter finds or makes the entry of a layer and counts a user; first is who has to fill it. nil: not in memory.
func (c *Cache) enter(l image.Layer) (_ *entry, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[l.Digest]; e != nil && e.size == l.Size {
		e.users++
		if e.timer != nil {
			e.timer.Stop()
			e.timer = nil
		}
		return e, false
	}
	limit, total := c.bounds()
	if c.closed || l.Size <= 0 || l.Size > limit || l.Size > total-c.used || c.entries[l.Digest] != nil {
		return nil, false
	}
	e := &entry{digest: l.Digest, size: l.Size, users: 1, ready: make(chan struct{})}
	c.used += e.size
	if l.Digest != "" {
		if c.entries == nil {
			c.entries = map[string]*entry{}
		}
		c.entries[l.Digest] = e
	}
	return e, true
}

// leave ends one use of an entry.
func (c *Cache) leave(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	grace := c.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	if c.closed || grace < 0 || e.err != nil || e.digest == "" {
		c.drop(e)
		return
	}
	var t *time.Timer
	t = time.AfterFunc(grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.timer == t { // else someone came back, and perhaps left again
			c.drop(e)
		}
	})
	e.timer = t
}

// drop forgets an entry and frees its memory, once no tender maps it any more. Preconditions: c.mu is held, nobody uses it.
func (c *Cache) drop(e *entry) {
	e.timer = nil
	c.used -= e.size
	if c.entries[e.digest] == e {
		delete(c.entries, e.digest)
	}
	if e.layer.File != nil {
		e.layer.File.Close()
	}
}

// Close drops what nobody uses, and from now on everything as soon as nobody does.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, e := range c.entries {
		if e.timer != nil {
			e.timer.Stop()
			c.drop(e)
		}
	}
}

// Used is the number of bytes held.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// bounds: Preconditions: c.mu is held.
func (c *Cache) bounds() (limit, total int64) {
	if c.Limit == 0 || c.Total == 0 {
		var si unix.Sysinfo_t
		if unix.Sysinfo(&si) == nil {
			ram := int64(si.Totalram) * int64(si.Unit)
			if c.Limit == 0 {
				c.Limit = ram / 8
			}
			if c.Total == 0 {
				c.Total = ram / 4
			}
		}
	}
	return c.Limit, c.Total
}
