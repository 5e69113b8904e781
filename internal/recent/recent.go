// SPDX-License-Identifier: Apache-2.0

// Package recent remembers what happened to functions lately: each one's last invocations and starts one by one, and a
// quarter of an hour in steps. It is in memory only and bounded; figures that are to be kept are those of /metrics.
package recent

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"unifaas.dev/internal/node"
)

const (
	// StepLength and Steps are the resolution and the length of a series.
	StepLength = 10 * time.Second
	Steps      = 90

	keepCalls    = 50   // of each function, one by one
	keepStarts   = 30   // of those that waited for an instance
	maxFunctions = 2000 // the one called longest ago is forgotten for another one
)

// Call is one invocation that is over.
type Call struct {
	Function string
	ID       string // X-Call-Id
	Method   string
	At       time.Time // it arrived
	Took     time.Duration
	Status   int // 0: the answer broke off
	Timing   node.Timing
}

// Failed reports whether the caller got no proper answer, or was told of an error on our side.
func (c *Call) Failed() bool { return c.Status == 0 || c.Status >= 500 }

// Book remembers. The zero value is ready to use.
type Book struct {
	mu        sync.Mutex
	functions map[string]*list.Element // of *history
	order     list.List                // called last first
}

// history is one function's. Its mutex is taken after the book's was given back.
type history struct {
	name string

	mu     sync.Mutex
	calls  ring
	starts ring
	steps  [Steps]*step // at time modulo Steps
}

// Add notes an invocation.
func (b *Book) Add(c Call) {
	h := b.history(c.Function, true)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls.add(c, keepCalls)
	if c.Timing.Origin != "" {
		h.starts.add(c, keepStarts)
	}
	h.step(c.At.Add(c.Took)).add(&c)
}

func (b *Book) history(function string, add bool) *history {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.functions[function]; e != nil {
		if add {
			b.order.MoveToFront(e)
		}
		return e.Value.(*history)
	}
	if !add {
		return nil
	}
	if b.functions == nil {
		b.functions = map[string]*list.Element{}
	}
	h := &history{name: function}
	b.functions[function] = b.order.PushFront(h)
	if b.order.Len() > maxFunctions {
		delete(b.functions, b.order.Remove(b.order.Back()).(*history).name)
	}
	return h
}

// Forget drops what is known of a function.
func (b *Book) Forget(function string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.functions[function]; e != nil {
		b.order.Remove(e)
		delete(b.functions, function)
	}
}

// Calls gives a function's last invocations, the newest first.
func (b *Book) Calls(function string) []Call {
	return b.read(function, func(h *history) []Call { return h.calls.all() })
}

// Starts gives the last invocations that waited for an instance to be made or woken, the newest first.
func (b *Book) Starts(function string) []Call {
	return b.read(function, func(h *history) []Call { return h.starts.all() })
}

func (b *Book) read(function string, what func(*history) []Call) []Call {
	h := b.history(function, false)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return what(h)
}

// ring grows up to a size, then forgets its oldest.
type ring struct {
	calls []Call
	next  int
}

func (r *ring) add(c Call, size int) {
	if len(r.calls) < size {
		r.calls = append(r.calls, c)
		return
	}
	r.calls[r.next] = c
	r.next = (r.next + 1) % size
}

func (r *ring) all() []Call {
	l := slices.Concat(r.calls[r.next:], r.calls[:r.next])
	slices.Reverse(l)
	return l
}
