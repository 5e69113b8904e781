// SPDX-License-Identifier: Apache-2.0

// Package logs keeps what functions print and what the node says about their instances: a bounded ring of lines a
// function in memory, followed by a bounded file, so that the last lines are still there after a restart.
//
// Append never waits for the disk: a function that prints without end slows nobody, it only loses its oldest lines.
package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Where a line comes from.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	System = "system" // the node: starts, ends, crash reports
)

// Bounds of one function's log.
const (
	MaxLine  = 16 << 10 // bytes of one line; the rest is cut off
	ringSize = 1 << 20  // bytes of lines in memory
	fileSize = 4 << 20  // bytes of a file before it becomes NAME.log.1
	lineCost = 96       // what a line costs beside its text
)

const flushEvery = 200 * time.Millisecond

// Line is one line of a log.
type Line struct {
	Time     time.Time `json:"timestamp"`
	Instance string    `json:"instance"`
	Request  string    `json:"request,omitempty"` // that it is of, where that is certain
	Stream   string    `json:"stream"`
	Text     string    `json:"text"`
}

// Book is the logs of all functions of a node.
type Book struct {
	dir  string
	warn func(string)

	mu     sync.Mutex
	rings  map[string]*ring
	dirty  map[string]*ring
	closed bool

	wake chan struct{}
	done chan struct{}

	disk   sync.Mutex // files; taken after mu is let go
	broken bool       // a write failed and warn was called
}

// Open makes a book over a folder; with an empty dir nothing is written to disk. warn is told once when the disk refuses.
func Open(dir string, warn func(string)) (*Book, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("log folder: %w", err)
		}
	}
	if warn == nil {
		warn = func(string) {}
	}
	b := &Book{dir: dir, warn: warn, rings: map[string]*ring{}, dirty: map[string]*ring{},
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	go b.flusher()
	return b, nil
}

// Append adds a line to a function's log.
func (b *Book) Append(function string, l Line) {
	if len(l.Text) > MaxLine {
		l.Text = l.Text[:MaxLine] + " [cut]"
	}
	if l.Time.IsZero() {
		l.Time = time.Now()
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	r := b.ring(function)
	r.append(l)
	if b.dir != "" {
		b.dirty[function] = r
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// ring gives a function's ring, read from disk the first time. Preconditions: mu is held.
func (b *Book) ring(function string) *ring {
	r := b.rings[function]
	if r == nil {
		r = newRing()
		if b.dir != "" {
			for _, l := range readTail(b.path(function), ringSize) {
				r.append(l)
			}
			r.flushed = r.next
		}
		if b.closed {
			r.close()
		}
		b.rings[function] = r
	}
	return r
}

// Remove forgets a function's log and its files.
func (b *Book) Remove(function string) {
	b.mu.Lock()
	r := b.rings[function]
	delete(b.rings, function)
	delete(b.dirty, function)
	if r != nil {
		r.close()
	}
	b.mu.Unlock()
	if b.dir == "" {
		return
	}
	b.disk.Lock()
	defer b.disk.Unlock()
	os.Remove(b.path(function))
	os.Remove(b.path(function) + ".1")
}

// Close ends all followers and writes what is left to disk.
func (b *Book) Close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed = true
	for _, r := range b.rings {
		r.close()
	}
	b.mu.Unlock()
	close(b.wake)
	<-b.done
}

func (b *Book) path(function string) string { return filepath.Join(b.dir, function+".log") }

func (b *Book) flusher() {
	defer close(b.done)
	for range b.wake {
		b.flush()
		time.Sleep(flushEvery) // lines gather meanwhile; Close waits for this at most
	}
	b.flush()
}

// flush writes the lines that are not on disk yet.
func (b *Book) flush() {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.mu.Lock()
	type batch struct {
		function string
		lines    []Line
	}
	var batches []batch
	for function, r := range b.dirty {
		batches = append(batches, batch{function, r.unflushed()})
	}
	clear(b.dirty)
	b.mu.Unlock()
	for _, x := range batches {
		if err := appendFile(b.path(x.function), x.lines); err != nil && !b.broken {
			b.broken = true
			b.warn(fmt.Sprintf("log file %s: %v; lines are kept in memory only", b.path(x.function), err))
		}
	}
}
