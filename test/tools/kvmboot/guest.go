// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/calltrace"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/queue"
)

// guest drives one sandbox.
type guest struct {
	o       options
	s       monitor.Sandbox
	rx      *queue.Rx
	tx      *queue.Tx
	buf     []byte
	input   chan []byte // stdin, closed at its end
	credit  int64       // bytes the guest takes on stdin
	created time.Duration
	start   time.Time
	exits   [8]int
	got     bool
	freed   int     // ranges of memory that it gave back
	files   *folder // nil: none is served
}

func newGuest(o options, s monitor.Sandbox) *guest {
	return &guest{o: o, s: s, rx: queue.NewRx(s.Shared()), tx: queue.NewTx(s.Shared()),
		buf: make([]byte, abi.MsgMax), credit: abi.ConnWindow}
}

// loop runs the guest to its end. A timeout is an ExitKick.
func (g *guest) loop() (monitor.Exit, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop := make(chan struct{})
	defer close(stop)
	timedOut := make(chan struct{})
	go g.watch(stop, timedOut)
	if g.o.stdin {
		g.input = make(chan []byte)
		go g.readInput(stop)
	} else if err := g.put(abi.MsgEOF, abi.ConnStdin, 0, nil); err != nil {
		return monitor.Exit{}, err
	}
	g.start = time.Now()
	for {
		e, err := g.s.Run()
		if err != nil {
			return e, err
		}
		g.exits[e.Kind]++
		if err := g.drain(); err != nil {
			return e, err
		}
		switch e.Kind {
		case monitor.ExitQueue:
		case monitor.ExitIdle:
			if err := g.idle(timedOut); err != nil {
				return e, err
			}
		case monitor.ExitKick:
			select {
			case <-timedOut:
				return e, nil
			default:
			}
		default:
			return e, nil
		}
		if g.got {
			return monitor.Exit{Kind: monitor.ExitDone}, nil
		}
	}
}

// watch preempts at the end of a time slice and kicks at the timeout.
func (g *guest) watch(stop, timedOut chan struct{}) {
	var slice, end <-chan time.Time
	if g.o.preempt > 0 {
		t := time.NewTicker(g.o.preempt)
		defer t.Stop()
		slice = t.C
	}
	if g.o.timeout > 0 {
		end = time.After(g.o.timeout)
	}
	for {
		select {
		case <-stop:
			return
		case <-slice:
			sh := g.s.Shared()
			timer := sh.Load64(abi.CtlNextTimer)
			if sh.Load32(abi.CtlRunnable) > 0 || timer < monotonic() {
				g.s.Preempt()
			}
		case <-end:
			close(timedOut)
			g.s.Kick()
			return
		}
	}
}

func (g *guest) readInput(stop chan struct{}) {
	defer close(g.input)
	for {
		b := make([]byte, 32<<10)
		n, err := os.Stdin.Read(b)
		if n > 0 {
			select {
			case g.input <- b[:n]:
			case <-stop:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// idle waits for what the guest sleeps for.
func (g *guest) idle(timedOut chan struct{}) error {
	if empty, err := g.rx.Empty(); err != nil || !empty {
		return err
	}
	wait := time.Duration(1<<62 - 1)
	if t := g.s.Shared().Load64(abi.CtlNextTimer); t != ^uint64(0) {
		now := monotonic()
		if t <= now {
			return nil
		}
		wait = min(wait, time.Duration(t-now))
	}
	var input chan []byte
	if g.credit >= 32<<10 {
		input = g.input
	}
	select {
	case <-time.After(wait):
	case <-timedOut:
	case b, ok := <-input:
		if !ok {
			g.input = nil
			return g.put(abi.MsgEOF, abi.ConnStdin, 0, nil)
		}
		g.credit -= int64(len(b))
		return g.put(abi.MsgData, abi.ConnStdin, 0, b)
	}
	return nil
}

func (g *guest) put(typ uint16, conn, arg uint32, b []byte) error {
	ok, err := g.rx.Put(typ, conn, arg, b)
	if err == nil && !ok {
		err = fmt.Errorf("rx ring is full")
	}
	return err
}

// drain takes every message of the guest.
func (g *guest) drain() error {
	for {
		m, p, ok, err := g.tx.Next(g.buf)
		if err != nil || !ok {
			return err
		}
		if err := g.message(m, p); err != nil {
			return err
		}
	}
}

func (g *guest) message(m queue.Msg, p []byte) error {
	switch m.Type {
	case abi.MsgData:
		var w io.Writer = os.Stdout
		if m.Conn == abi.ConnStderr {
			w = os.Stderr
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		return g.put(abi.MsgCredit, m.Conn, uint32(len(p)), nil)
	case abi.MsgTrace:
		if _, err := os.Stderr.Write(calltrace.Line(m.Arg, p)); err != nil {
			return err
		}
		return g.put(abi.MsgCredit, m.Conn, abi.TraceCredit, nil)
	case abi.MsgCredit:
		if m.Conn == abi.ConnStdin {
			g.credit += int64(m.Arg)
		}
	case abi.MsgFile:
		return g.file(m, p)
	case abi.MsgFree:
		return g.free(p)
	case abi.MsgListen:
		fmt.Fprintf(os.Stderr, "kvmboot: program listens on port %d after %v\n", m.Arg, time.Since(g.start))
		if g.o.get == "" {
			return nil
		}
		if err := g.put(abi.MsgOpen, abi.ConnFirst, m.Arg, nil); err != nil {
			return err
		}
		return g.put(abi.MsgData, abi.ConnFirst, 0, []byte("GET "+g.o.get+" HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"))
	case abi.MsgEOF, abi.MsgReset:
		if m.Conn == abi.ConnFirst {
			g.got = true
		}
	}
	return nil
}

// free is memory that the guest gives back.
func (g *guest) free(p []byte) error {
	sb, ok := g.s.(monitor.Stateful)
	if !ok {
		return fmt.Errorf("the guest gives back memory, which this monitor cannot take")
	}
	for r := p; len(r) > 0; r = r[abi.RangeSize:] {
		if err := sb.RAM().Discard(binary.LittleEndian.Uint64(r), binary.LittleEndian.Uint64(r[8:])); err != nil {
			return err
		}
	}
	g.freed += len(p) / int(abi.RangeSize)
	return g.put(abi.MsgFreed, 0, 0, p)
}

func (g *guest) printTiming() {
	sh := g.s.Shared()
	khz := sh.Load64(abi.ClockTSCKHz)
	us := func(from, to uint64) float64 {
		a, b := sh.Load64(from), sh.Load64(to)
		if a == 0 || b < a || khz == 0 {
			return 0
		}
		return float64(b-a) * 1000 / float64(khz)
	}
	fmt.Fprintf(os.Stderr, "kvmboot: created in %v, ran %v; libos boot %.0fus, exec %.0fus, listen %.0fus\n", g.created, time.Since(g.start),
		us(abi.CtlTSCEntry, abi.CtlTSCExec), us(abi.CtlTSCExec, abi.CtlTSCUser), us(abi.CtlTSCUser, abi.CtlTSCListen))
	fmt.Fprintf(os.Stderr, "kvmboot: exits queue %d idle %d kick %d; syscalls %d, trapped %d, page faults %d; RAM used %d KiB, libos %d KiB, host %d KiB\n",
		g.exits[monitor.ExitQueue], g.exits[monitor.ExitIdle], g.exits[monitor.ExitKick],
		sh.Load64(abi.CtlSyscalls), sh.Load64(abi.CtlTraps), sh.Load64(abi.CtlFaults),
		sh.Load64(abi.CtlRAMUsed)>>10, sh.Load64(abi.CtlRAMLibos)>>10, g.s.MemoryUsed()>>10)
}

func monotonic() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}
