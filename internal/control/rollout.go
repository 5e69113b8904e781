// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/node"
)

// What is known of a revision.
const (
	Pending  = "pending"  // it is being found out whether it answers
	Ready    = "ready"    // one of its instances has answered
	Failed   = "failed"   // none has: Reason says why
	Replaced = "replaced" // another one was wanted before that was known
)

const (
	maxReason   = 400 // bytes of what is said of a failure
	settleTries = 3   // when others change the same record
)

// serve has the node do what the record says. Preconditions: changing is held, or nobody else is there yet.
func (c *Control) serve(f *Function) {
	serving, wanted := f.Current(), f.Wanted()
	s := c.spec(f, serving)
	if wanted.State != Pending && serving.Number == wanted.Number {
		c.node.Update(s, nil, nil)
		return
	}
	next := c.spec(f, wanted)
	name, created, number := f.Name, f.Created, wanted.Number
	c.node.Update(s, &next, func(err error) { c.settle(name, created, number, err) })
}

// settle notes what became of a revision that was to be served.
func (c *Control) settle(name string, created time.Time, number int, why error) {
	if errors.Is(why, node.ErrClosing) || errors.Is(why, node.ErrReplaced) {
		return // the next start of the node tries again; whoever replaced it has noted that
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	for try := 1; ; try++ {
		f, version, err := c.stored(context.Background(), name)
		if err == nil && (f == nil || !f.Created.Equal(created) || f.Target != number || f.Serving == number) {
			return // it is not wanted any more, or another node was faster
		}
		if err == nil {
			f.outcome(number, why)
			err = c.save(context.Background(), f, version)
		}
		switch {
		case err == nil:
			if why != nil {
				c.line(f, fmt.Sprintf("revision %s failed: %s", RevisionName(name, number), f.Revision(number).Reason))
			}
			return
		case errors.Is(err, store.ErrConflict) && try < settleTries:
		default:
			// What is stored still says that it is pending: the next start of the node finds out once more.
			c.mu.RLock()
			e := c.functions[name]
			c.mu.RUnlock()
			if e == nil {
				return
			}
			now := e.Function.clone()
			if now.Target != number || !now.Created.Equal(created) {
				return
			}
			now.outcome(number, why)
			c.line(now, fmt.Sprintf("what became of revision %s could not be stored: %v", RevisionName(name, number), err))
			c.replace(now, e.version)
			c.serve(now)
			return
		}
	}
}

func (c *Control) line(f *Function, text string) { c.node.Say(f.Name, text) }

// outcome notes how a revision got on that was to be served. Preconditions: f is nobody else's.
func (f *Function) outcome(number int, why error) {
	r := f.Revision(number)
	if r == nil {
		return
	}
	if why == nil {
		if f.Serving != 0 && f.Serving < number && r.After == 0 {
			r.After = f.Serving
		}
		r.State, r.Reason, f.Serving = Ready, "", number
		return
	}
	reason := strings.Join(strings.Fields(strings.ToValidUTF8(why.Error(), "?")), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	r.State, r.Reason = Failed, reason
	if f.Serving != 0 {
		f.Target = f.Serving
	}
}

// want makes a revision the one that is to be served. Preconditions: f is nobody else's.
func (f *Function) want(number int) {
	if old := f.Revision(f.Target); old != nil && old.State == Pending && old.Number != number {
		old.State = Replaced
	}
	f.Target = number
}

// before is the revision that a rollback leads to: the one that is served while another one is to take over, else the one that the current one took
// over from. 0: there is none.
func (f *Function) before() int {
	current := f.Current()
	switch {
	case f.Serving != 0 && f.Target != f.Serving:
		return f.Serving
	case f.Revision(current.After) != nil:
		return current.After
	}
	to := 0
	for _, r := range f.Revisions {
		if r.Number < current.Number && r.State == Ready {
			to = r.Number
		}
	}
	return to
}

// Rollback has an earlier revision served again, like a new one: it takes over when it answers. to 0 is the one before the current one.
func (c *Control) Rollback(ctx context.Context, name string, to int) (*Function, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	old, version, err := c.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, ErrNotFound
	}
	f := old.clone()
	if to == 0 {
		if to = f.before(); to == 0 {
			return nil, invalid("function %s: no revision before %s has ever answered", name, RevisionName(name, f.Current().Number))
		}
	}
	r := f.Revision(to)
	switch {
	case r == nil:
		return nil, invalid("function %s has no revision %d: it has %s", name, to, f.numbers())
	case to == f.Target && r.State != Failed:
		return old, nil
	}
	if err := check(name, r.Config, f.Scale); err != nil {
		return nil, err
	}
	f.want(to)
	if f.Serving != to {
		r.State, r.Reason = Pending, ""
	}
	return f, c.save(ctx, f, version)
}

// Await waits until it is known whether a revision answers, or until ctx ends: then it is still pending.
func (c *Control) Await(ctx context.Context, name string, number int) (Revision, error) {
	for {
		c.mu.RLock()
		e := c.functions[name]
		c.mu.RUnlock()
		if e == nil {
			return Revision{}, ErrNotFound
		}
		r := e.Revision(number)
		if r == nil {
			return Revision{}, ErrNotFound
		}
		if r.State != Pending {
			return *r, nil
		}
		select {
		case <-e.replaced:
		case <-ctx.Done():
			return *r, nil
		}
	}
}

// numbers lists the revisions that are remembered.
func (f *Function) numbers() string {
	var list []string
	for _, r := range f.Revisions {
		list = append(list, fmt.Sprint(r.Number))
	}
	return strings.Join(list, ", ")
}

// trim forgets the oldest revisions, but not those that are served or are to be.
func (f *Function) trim() {
	extra := len(f.Revisions) - keepRevisions
	f.Revisions = slices.DeleteFunc(f.Revisions, func(r Revision) bool {
		if extra <= 0 || r.Number == f.Serving || r.Number == f.Target {
			return false
		}
		extra--
		return true
	})
}
