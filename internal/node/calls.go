// SPDX-License-Identifier: Apache-2.0

package node

import (
	"sync"
	"time"
)

// keptCalls is how many invocations that are over an instance knows of: what they printed may be read late.
const keptCalls = 16

// calls are the invocations of an instance, so that lines it prints can be told to be of one of them.
type calls struct {
	alone bool // each finds the instance as if it were the first: until the next one comes all is its own

	mu     sync.Mutex
	open   []span
	over   [keptCalls]span
	next   int       // in over
	forgot time.Time // when the last one ended that is known no more
}

// span is an invocation and when it ran.
type span struct {
	id       string
	from, to time.Time
}

func (p *pool) newCalls() *calls { return &calls{alone: p.spec.Rewind || p.spec.Fresh} }

func (c *calls) begin(id string) {
	now := time.Now()
	c.mu.Lock()
	c.open = append(c.open, span{id: id, from: now})
	c.mu.Unlock()
}

func (c *calls) end(id string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, s := range c.open {
		if s.id == id {
			if old := c.over[c.next]; old.to.After(c.forgot) {
				c.forgot = old.to
			}
			s.to = now
			c.over[c.next] = s
			c.next = (c.next + 1) % keptCalls
			c.open[n] = c.open[len(c.open)-1]
			c.open[len(c.open)-1] = span{}
			c.open = c.open[:len(c.open)-1]
			return
		}
	}
}

// at is the id of the only invocation that a line of that time can be of; empty: there is none, or several.
func (c *calls) at(t time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.After(c.forgot) {
		return ""
	}
	n, last := 0, span{}
	look := func(s span) {
		if s.from.IsZero() || s.from.After(t) {
			return
		}
		if c.alone {
			if s.from.After(last.from) {
				n, last = 1, s
			}
		} else if s.to.IsZero() || !s.to.Before(t) {
			n++
			last = s
		}
	}
	for _, s := range c.open {
		look(s)
	}
	for _, s := range c.over {
		look(s)
	}
	if n != 1 {
		return ""
	}
	return last.id
}

// RequestLog is a Log that is told, of some lines, which invocation they are of.
type RequestLog interface {
	Log
	RequestLine(function, instance, request, stream, text string, at time.Time)
}

// output takes a line that an instance printed.
func (p *pool) output(instance, stream, text string, at time.Time) {
	log, ok := p.n.log.(RequestLog)
	if !ok {
		p.n.log.Line(p.spec.Function, instance, stream, text, at)
		return
	}
	var c *calls
	p.mu.Lock()
	if i := p.instances.all[instance]; i != nil {
		c = i.calls
	}
	p.mu.Unlock()
	request := ""
	if c != nil {
		request = c.at(at)
	}
	log.RequestLine(p.spec.Function, instance, request, stream, text, at)
}
