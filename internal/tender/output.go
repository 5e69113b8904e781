// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"bytes"
	"sync"
	"time"
)

// Output is one line of console output, without its newline.
type Output struct {
	Instance string
	Stream   int // 1 stdout, 2 stderr
	Line     string
	Time     time.Time
}

const (
	maxLine     = 16 << 10               // longer lines are cut
	partialLine = 200 * time.Millisecond // an unfinished line waits so long for its end
)

// lines makes lines of what a console stream brings.
type lines struct {
	to       func(Output)
	instance string
	stream   int

	mu      sync.Mutex
	partial []byte
	at      time.Time
	timer   *time.Timer
}

func newLines(to func(Output), instance string, stream int) *lines {
	return &lines{to: to, instance: instance, stream: stream}
}

func (l *lines) add(p []byte, at time.Time) {
	if l.to == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(p) > 0 {
		if len(l.partial) == 0 {
			l.at = at
		}
		n := bytes.IndexByte(p, '\n')
		take := n
		if n < 0 {
			take = len(p)
		}
		if room := maxLine - len(l.partial); take > room {
			l.partial = append(l.partial, p[:room]...)
			p = p[room:]
			l.emit()
			continue
		}
		l.partial = append(l.partial, p[:take]...)
		if n < 0 {
			break
		}
		p = p[n+1:]
		l.emit()
	}
	if len(l.partial) > 0 && l.timer == nil {
		l.timer = time.AfterFunc(partialLine, l.flush)
	}
}

// emit: Preconditions: l.mu is held.
func (l *lines) emit() {
	l.to(Output{Instance: l.instance, Stream: l.stream, Line: string(l.partial), Time: l.at})
	l.partial = l.partial[:0]
}

// flush sends an unfinished line.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if len(l.partial) > 0 {
		l.emit()
	}
}
