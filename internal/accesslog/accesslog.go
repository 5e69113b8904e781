// SPDX-License-Identifier: Apache-2.0

// Package accesslog writes a line of JSON for each invocation to a file. Who is logged never waits for the disk: what cannot be written
// as fast as it comes is left out, and how much that was is a line, too.
package accesslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"unifaas.dev/internal/recent"
)

const (
	flushEvery = 200 * time.Millisecond
	bufferMax  = 4 << 20 // of lines that wait for the disk
)

// Log is an access log.
type Log struct {
	path string // empty: out belongs to somebody else
	warn func(string)

	mu     sync.Mutex
	buf    []byte
	lost   int
	closed bool

	wake chan struct{}
	stop chan struct{}
	done chan struct{}

	disk   sync.Mutex // out
	out    io.Writer
	file   *os.File
	broken bool // a write failed, and warn was told
}

// line is the form of a line.
type line struct {
	Time     time.Time `json:"time"`
	Request  string    `json:"request"`
	Function string    `json:"function"`
	Method   string    `json:"method"`
	Status   int       `json:"status"`
	TookUS   int64     `json:"took_us"`
	Instance string    `json:"instance,omitempty"`
	Cold     bool      `json:"cold,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	QueueUS  int64     `json:"queue_us"`
}

// Open opens a log at a path, which is made if it is not there; "-" stands for out. warn is told once when the disk refuses.
func Open(path string, out io.Writer, warn func(string)) (*Log, error) {
	l := &Log{warn: warn, out: out, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if path != "-" {
		l.path = path
		if err := l.Reopen(); err != nil {
			return nil, err
		}
	}
	go l.flusher()
	return l, nil
}

// Reopen opens the file again: whoever rotates logs has moved it away.
func (l *Log) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("access log: %w: choose another file with --access-log", err)
	}
	l.disk.Lock()
	old := l.file
	l.file, l.out, l.broken = f, f, false
	l.disk.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Add logs an invocation.
func (l *Log) Add(c recent.Call) {
	text, err := json.Marshal(line{c.At, c.ID, c.Function, c.Method, c.Status, c.Took.Microseconds(), c.Timing.Instance, c.Timing.Cold, c.Timing.Origin, c.Timing.Queue})
	if err != nil {
		return // it has no value that JSON has not
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case len(l.buf)+len(text) >= bufferMax:
		l.lost++
		return
	}
	l.buf = append(append(l.buf, text...), '\n')
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) flusher() {
	defer close(l.done)
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			l.flush()
			return
		}
		l.flush()
		select {
		case <-time.After(flushEvery): // lines gather meanwhile
		case <-l.stop:
		}
	}
}

func (l *Log) flush() {
	l.mu.Lock()
	text, lost := l.buf, l.lost
	l.buf, l.lost = nil, 0
	l.mu.Unlock()
	if lost > 0 {
		text = fmt.Appendf(text, `{"time":%q,"lost":%d}`+"\n", time.Now().Format(time.RFC3339Nano), lost)
	}
	if len(text) == 0 {
		return
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	if _, err := io.Copy(l.out, bytes.NewReader(text)); err != nil && !l.broken {
		l.broken = true
		l.warn(fmt.Sprintf("access log: %v: %d bytes of it are lost; the next warning comes after it was reopened", err, len(text)))
	}
}

// Close writes what is left.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	if l.file != nil {
		return l.file.Close()
	}
	return nil
}
