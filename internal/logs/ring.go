// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"
	"time"
)

// ring holds the last lines of one function. Lines are numbered from 0 for ever; lines[0] has the number first.
type ring struct {
	lines   []Line
	first   uint64
	next    uint64
	flushed uint64 // lines below this number are on disk
	bytes   int
	changed chan struct{} // closed and replaced when a line comes
	closed  bool
}

func newRing() *ring { return &ring{changed: make(chan struct{})} }

func (r *ring) append(l Line) {
	r.lines = append(r.lines, l)
	r.next++
	r.bytes += len(l.Text) + lineCost
	for r.bytes > ringSize {
		r.bytes -= len(r.lines[0].Text) + lineCost
		r.lines[0] = Line{}
		r.lines = r.lines[1:]
		r.first++
	}
	if r.closed {
		return
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *ring) close() {
	if !r.closed {
		r.closed = true
		close(r.changed)
	}
}

// from copies the lines numbered n and up and says how many of them are lost.
func (r *ring) from(n uint64) (lines []Line, lost uint64) {
	if n < r.first {
		lost, n = r.first-n, r.first
	}
	return append(lines, r.lines[n-r.first:]...), lost
}

func (r *ring) unflushed() []Line {
	lines, lost := r.from(r.flushed)
	r.flushed = r.next
	if lost > 0 {
		lines = append([]Line{lostLine(lost)}, lines...)
	}
	return lines
}

func lostLine(n uint64) Line {
	return Line{Time: time.Now(), Stream: System, Text: fmt.Sprintf("[%d lines lost: printed faster than they could be kept]", n)}
}

// Query chooses lines.
type Query struct {
	Instance string    // only of this instance
	Since    time.Time // not older
	Tail     int       // the last n; below 0: all
}

func (q Query) wants(l Line) bool {
	return (q.Instance == "" || l.Instance == q.Instance) && (q.Since.IsZero() || !l.Time.Before(q.Since))
}

func (q Query) choose(all []Line) []Line {
	lines := all[:0]
	for _, l := range all {
		if q.wants(l) {
			lines = append(lines, l)
		}
	}
	if q.Tail >= 0 && len(lines) > q.Tail {
		lines = lines[len(lines)-q.Tail:]
	}
	return lines
}

// Read gives the lines that are there.
func (b *Book) Read(function string, q Query) []Line {
	b.mu.Lock()
	lines, _ := b.ring(function).from(0)
	b.mu.Unlock()
	return q.choose(lines)
}

// Follow gives the lines that are there, then each new one, to emit, until ctx ends, emit fails, the function's log
// is removed or the book is closed.
func (b *Book) Follow(ctx context.Context, function string, q Query, emit func([]Line) error) error {
	b.mu.Lock()
	r := b.ring(function)
	at := r.next
	lines, _ := r.from(0)
	changed, closed := r.changed, r.closed
	b.mu.Unlock()
	lines = q.choose(lines)
	for {
		if len(lines) > 0 {
			if err := emit(lines); err != nil {
				return err
			}
		}
		if closed {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		b.mu.Lock()
		fresh, lost := r.from(at)
		at = r.next
		changed, closed = r.changed, r.closed
		b.mu.Unlock()
		lines = lines[:0]
		if lost > 0 {
			lines = append(lines, lostLine(lost))
		}
		for _, l := range fresh {
			if q.wants(l) {
				lines = append(lines, l)
			}
		}
	}
}
