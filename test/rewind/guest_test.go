// SPDX-License-Identifier: Apache-2.0

// Package rewind tries package state with real guests: what is put back is compared byte for byte, and what one request leaves is looked
// for after it. There is no tender: the tests see all memory.
package rewind

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/queue"
	"unifaas.dev/internal/snapshot"
)

// guest drives one sandbox from the test's goroutine.
type guest struct {
	t     *testing.T
	sb    monitor.Stateful
	rx    *queue.Rx
	tx    *queue.Tx
	buf   []byte
	next  uint32
	port  uint32
	ready bool // its last exit was a point for a snapshot
	got   map[uint32]*answer
	log   bytes.Buffer
	stop  chan struct{}
}

type answer struct {
	bytes.Buffer
	ended bool
}

func newGuest(t *testing.T, sb monitor.Sandbox) *guest {
	t.Helper()
	runtime.LockOSThread()
	s, ok := sb.(monitor.Stateful)
	if !ok {
		t.Fatal("the monitor's sandboxes have no state")
	}
	g := &guest{t: t, sb: s, rx: queue.NewRx(s.Shared()), tx: queue.NewTx(s.Shared()), buf: make([]byte, abi.MsgMax), next: abi.ConnFirst, got: map[uint32]*answer{}, stop: make(chan struct{})}
	done := make(chan struct{})
	go func() { // time slices for programs with several threads
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-tick.C:
				if s.Shared().Load32(abi.CtlRunnable) > 0 {
					s.Preempt()
				}
			}
		}
	}()
	t.Cleanup(func() { close(g.stop); <-done; sb.Close() })
	return g
}

func (g *guest) put(typ uint16, conn, arg uint32, p []byte) {
	g.t.Helper()
	if ok, err := g.rx.Put(typ, conn, arg, p); err != nil || !ok {
		g.t.Fatalf("message %d: %v, %v", typ, ok, err)
	}
}

// run lets the guest go on until it idles and until says so.
func (g *guest) run(what string, until func() bool) {
	g.t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; {
		e, err := g.sb.Run()
		if err != nil {
			g.t.Fatal(err)
		}
		g.drain()
		switch e.Kind {
		case monitor.ExitIdle:
			empty, err := g.rx.Empty()
			if err != nil {
				g.t.Fatal(err)
			}
			g.ready = empty && e.Value&abi.IdleReady != 0
			if empty && until() {
				return
			}
			if empty {
				time.Sleep(time.Millisecond) // for a timer
			}
		case monitor.ExitQueue, monitor.ExitKick:
		default:
			g.t.Fatalf("%s: the guest ended: %d %d\n%s\n%s", what, e.Kind, e.Value, e.Report, g.log.String())
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s: nothing for minutes\n%s", what, g.log.String())
		}
	}
}

func (g *guest) drain() {
	g.t.Helper()
	for {
		m, p, ok, err := g.tx.Next(g.buf)
		if err != nil {
			g.t.Fatal(err)
		}
		if !ok {
			return
		}
		switch m.Type {
		case abi.MsgListen:
			g.port = m.Arg
		case abi.MsgData:
			if m.Conn < abi.ConnFirst {
				g.log.Write(p)
			} else if a := g.got[m.Conn]; a != nil {
				a.Write(p)
			}
			g.put(abi.MsgCredit, m.Conn, uint32(len(p)), nil)
		case abi.MsgEOF, abi.MsgReset:
			if a := g.got[m.Conn]; a != nil {
				a.ended = true
			}
		}
	}
}

// send begins a request.
func (g *guest) send(path, body string) *answer {
	g.t.Helper()
	conn := g.next
	g.next++
	a := &answer{}
	g.got[conn] = a
	g.put(abi.MsgOpen, conn, g.port, nil)
	g.put(abi.MsgData, conn, 0, fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
	g.put(abi.MsgEOF, conn, 0, nil)
	return a
}

// call makes a request and gives the whole answer.
func (g *guest) call(path, body string) string {
	g.t.Helper()
	a := g.send(path, body)
	g.run("a request", func() bool { return a.ended })
	return a.String()
}

// link is the tender's side of the queues. Preconditions: both are empty, no stream is open.
func (g *guest) link() snapshot.Link {
	return snapshot.Link{RxHead: g.rx.Index(), TxTail: g.tx.Index(), Next: g.next}
}

// restore says what the tender says after a state was put in.
func (g *guest) restore(kind uint32, l snapshot.Link, entries []abi.Entry, generation uint64) {
	g.t.Helper()
	g.rx.Resume(l.RxHead)
	g.tx.Resume(l.TxTail)
	clear(g.got)
	a := g.sb.Shared()
	seed := make([]byte, len(abi.Ctl{}.Seed))
	rand.Read(seed)
	if err := a.WriteAt(seed, abi.CtlSeed); err != nil {
		g.t.Fatal(err)
	}
	a.Store64(abi.CtlSeedSeq, a.Load64(abi.CtlSeedSeq)+1)
	for len(entries) > 0 {
		n := min(len(entries), abi.MsgMax/int(abi.EntrySize))
		p, err := binary.Append(nil, binary.LittleEndian, entries[:n])
		if err != nil {
			g.t.Fatal(err)
		}
		g.put(abi.MsgTables, 0, 0, p)
		entries = entries[n:]
	}
	p, err := binary.Append(nil, binary.LittleEndian, &abi.Restore{Generation: generation, Hostname: 5})
	if err != nil {
		g.t.Fatal(err)
	}
	g.put(abi.MsgRestore, 0, kind, append(p, "clone"...))
	g.sb.RefreshClock()
}

// memory is all RAM.
func memory(t *testing.T, sb monitor.Stateful) []byte {
	t.Helper()
	b := make([]byte, sb.RAM().Size())
	if err := sb.RAM().ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func monotonic() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}
