// SPDX-License-Identifier: Apache-2.0

package tendertest

import (
	"encoding/binary"
	"os"
	"runtime"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// Guest is what a program sees: the guest's side of the shared area, and doorbells.
type Guest struct {
	Config monitor.Config

	sb   *sandbox
	area *guestmem.Area
	tx   uint64 // head
	rx   uint64 // tail
}

// Msg is a message from the monitor.
type Msg struct {
	abi.Msg
	Data []byte
}

// Area is the whole shared area, for guests that lie.
func (g *Guest) Area() *guestmem.Area { return g.area }

// Bell rings for the queues.
func (g *Guest) Bell() { g.sb.exit(monitor.Exit{Kind: monitor.ExitQueue}) }

// Idle gives the CPU away until there is something to do.
func (g *Guest) Idle() { g.sb.exit(monitor.Exit{Kind: monitor.ExitIdle}) }

// End ends the instance in another way than by returning.
func (g *Guest) End(e monitor.Exit) { g.sb.exit(e) }

// Preempts is how often the monitor preempted the guest.
func (g *Guest) Preempts() int64 { return g.sb.preempt.Load() }

// Spin is one round of an endless loop; it ends when the sandbox is closed.
func (g *Guest) Spin() {
	if g.sb.dead.Load() {
		panic(stopped{})
	}
	runtime.Gosched()
}

// SetTimer says when the guest wants to run next, CLOCK_MONOTONIC ns.
func (g *Guest) SetTimer(ns uint64) { g.area.Store64(abi.CtlNextTimer, ns) }

// SetRunnable says how many threads wait.
func (g *Guest) SetRunnable(n uint32) { g.area.Store32(abi.CtlRunnable, n) }

// Send puts a message, waiting for room as a library OS does.
func (g *Guest) Send(typ uint16, conn, arg uint32, p []byte) {
	need := (abi.MsgSize + uint64(len(p)) + abi.MsgAlign - 1) &^ (abi.MsgAlign - 1)
	for abi.TxSize-(g.tx-g.area.Load64(abi.CtlTxTail)) < need {
		g.area.Store32(abi.CtlTxWanted, 1)
		g.Idle()
	}
	g.area.Store32(abi.CtlTxWanted, 0)
	var h [abi.MsgSize]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(p)))
	binary.LittleEndian.PutUint16(h[4:], typ)
	binary.LittleEndian.PutUint32(h[8:], conn)
	binary.LittleEndian.PutUint32(h[12:], arg)
	g.write(h[:], g.tx)
	g.write(p, g.tx+abi.MsgSize)
	g.tx += need
	g.area.Store64(abi.CtlTxHead, g.tx)
}

func (g *Guest) write(p []byte, at uint64) {
	for i := 0; i < len(p); {
		off := (at + uint64(i)) & (abi.TxSize - 1)
		n := min(len(p)-i, int(abi.TxSize-off))
		must(g.area.WriteAt(p[i:i+n], abi.TxOff+off))
		i += n
	}
}

func (g *Guest) read(p []byte, at uint64) {
	for i := 0; i < len(p); {
		off := (at + uint64(i)) & (abi.RxSize - 1)
		n := min(len(p)-i, int(abi.RxSize-off))
		must(g.area.ReadAt(p[i:i+n], abi.RxOff+off))
		i += n
	}
}

// Poll takes a message if there is one.
func (g *Guest) Poll() (Msg, bool) {
	if g.area.Load64(abi.CtlRxHead) == g.rx {
		return Msg{}, false
	}
	var h [abi.MsgSize]byte
	g.read(h[:], g.rx)
	m := Msg{Msg: abi.Msg{Len: binary.LittleEndian.Uint32(h[0:]), Type: binary.LittleEndian.Uint16(h[4:]),
		Conn: binary.LittleEndian.Uint32(h[8:]), Arg: binary.LittleEndian.Uint32(h[12:])}}
	m.Data = make([]byte, m.Len)
	g.read(m.Data, g.rx+abi.MsgSize)
	g.rx += (abi.MsgSize + uint64(m.Len) + abi.MsgAlign - 1) &^ (abi.MsgAlign - 1)
	g.area.Store64(abi.CtlRxTail, g.rx)
	if g.area.Load32(abi.CtlRxWanted) != 0 {
		g.Bell()
	}
	return m, true
}

// Next waits for a message.
func (g *Guest) Next() Msg {
	for {
		if m, ok := g.Poll(); ok {
			return m
		}
		g.Idle()
	}
}

// Mapped reads from a file that is mapped at an offset of the files area.
func (g *Guest) Mapped(off uint64, p []byte, at int64) (int, error) {
	g.sb.filesMu.Lock()
	f := g.sb.files[off]
	g.sb.filesMu.Unlock()
	if f == nil {
		return 0, os.ErrNotExist
	}
	return f.ReadAt(p, at)
}

func must(err error) {
	if err != nil {
		panic(stopped{})
	}
}
