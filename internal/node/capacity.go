// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// rotateAfter is how long a function that has no running instance waits for room before it takes the place of one that has had its own for
// longer: where there are more functions than places they take turns.
const rotateAfter = 500 * time.Millisecond

// capacity is the room that a node's functions share: running instances and the memory that they take. Where it is full, each function gets its
// share by weight; what one does not use is the others'. What a function has is measured by the scarcer of the two, as part of the whole.
//
// Lock order: pool.mu, capacity.mu.
type capacity struct {
	most   int   // instances that are not parked; 0: as memory allows
	budget int64 // bytes; 0: no bound

	mu       sync.Mutex
	running  int
	accounts map[*pool]*account
}

// account is what one pool has. It belongs to capacity.mu.
type account struct {
	running  int
	yielding int   // of these, on their way out for somebody else
	each     int64 // bytes of one
	weight   int
	hungry   time.Time // since when it waits for room; zero: it does not
	gained   time.Time // when it got its last one
}

// open makes an account.
func (c *capacity) open(p *pool, weight int) *account {
	a := &account{weight: max(weight, 1), each: guessEach}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accounts == nil {
		c.accounts = map[*pool]*account{}
	}
	c.accounts[p] = a
	return a
}

// shut is the end of a pool: it waits for nothing any more. What still runs counts until it is given back.
func (c *capacity) shut(p *pool) {
	c.mu.Lock()
	delete(c.accounts, p)
	c.mu.Unlock()
}

// note keeps what a pool was seen to take.
func (c *capacity) note(a *account, each int64, weight int) {
	c.mu.Lock()
	a.each, a.weight = each, max(weight, 1)
	c.mu.Unlock()
}

func (c *capacity) weightOf(a *account) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a.weight
}

// share is what an account with so many running instances has of the node, by weight. Preconditions: mu is held.
func (c *capacity) share(a *account, running int) float64 {
	part := 0.0
	if c.most > 0 {
		part = float64(running) / float64(c.most)
	}
	if c.budget > 0 {
		part = max(part, float64(running)*float64(a.each)/float64(c.budget))
	}
	if c.most <= 0 && c.budget <= 0 {
		part = float64(running)
	}
	return part / float64(a.weight)
}

// take asks for room for one more running instance, which give gives back; used is the memory in use. If there is none the account waits
// for it if it likes to, until sated says otherwise.
func (c *capacity) take(a *account, used int64, now time.Time, wait bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := c.running > 0 && (c.most > 0 && c.running >= c.most || c.budget > 0 && used+a.each > c.budget)
	if full || c.behind(a) {
		if wait && a.hungry.IsZero() {
			a.hungry = now
		}
		return false
	}
	c.running++
	a.running++
	a.gained, a.hungry = now, time.Time{}
	return true
}

// behind reports whether somebody waits for room who would have less than a, both having got some, or the same and waits for longer.
// Preconditions: mu is held.
func (c *capacity) behind(a *account) bool {
	after := c.share(a, a.running+1)
	for _, o := range c.accounts {
		if o == a || o.hungry.IsZero() {
			continue
		}
		if s := c.share(o, o.running+1); s < after || s == after && (a.hungry.IsZero() || o.hungry.Before(a.hungry)) {
			return true
		}
	}
	return false
}

// give gives one back; yielded says that it was asked for.
func (c *capacity) give(a *account, yielded bool) {
	c.mu.Lock()
	c.running--
	a.running--
	if yielded {
		a.yielding--
	}
	c.mu.Unlock()
}

// claim says that an instance is on its way out for somebody else, until give or kept.
func (c *capacity) claim(a *account) {
	c.mu.Lock()
	a.yielding++
	c.mu.Unlock()
}

// kept takes back that an instance was to go for somebody else.
func (c *capacity) kept(a *account) {
	c.mu.Lock()
	a.yielding--
	c.mu.Unlock()
}

// sated says that an account needs no more room.
func (c *capacity) sated(a *account) {
	c.mu.Lock()
	a.hungry = time.Time{}
	c.mu.Unlock()
}

func (c *capacity) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// hungry gives who waits for room, who is to have it first first.
func (c *capacity) hungry() []*pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	type entry struct {
		p     *pool
		share float64
		since time.Time
	}
	var list []entry
	for p, a := range c.accounts {
		if !a.hungry.IsZero() {
			list = append(list, entry{p, c.share(a, a.running+1), a.hungry})
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.share, b.share), a.since.Compare(b.since)) })
	pools := make([]*pool, len(list))
	for n, e := range list {
		pools[n] = e.p
	}
	return pools
}

// victim is who has to let an instance go so that a pool that waits gets its share: who has the most, as long as it has no less than the other
// afterwards. Who has nothing and has waited for long enough takes turns with those that have as much as it would have. nil: nobody has to.
// The victim's account counts the instance as on its way out: give or kept settles that.
func (c *capacity) victim(hungry *pool, now time.Time) *pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.accounts[hungry]
	if h == nil || h.hungry.IsZero() {
		return nil
	}
	after := c.share(h, h.running+1)
	var most, turn *pool
	var left float64
	for p, a := range c.accounts {
		stay := a.running - a.yielding
		if a == h || stay <= 0 {
			continue
		}
		if rest := c.share(a, stay-1); rest >= after && (most == nil || rest > left) {
			most, left = p, rest
		}
		if c.share(a, stay) >= after && (turn == nil || a.gained.Before(c.accounts[turn].gained)) {
			turn = p
		}
	}
	if most == nil && h.running == 0 && now.Sub(h.hungry) >= rotateAfter && turn != nil && now.Sub(c.accounts[turn].gained) >= rotateAfter {
		most = turn
	}
	if most != nil {
		c.accounts[most].yielding++
	}
	return most
}

// owed is how many instances are on their way out for others.
func (c *capacity) owed() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.accounts {
		n += a.yielding
	}
	return n
}
