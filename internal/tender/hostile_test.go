// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/tender/tendertest"
)

// open waits for a stream.
func open(g *tendertest.Guest) uint32 {
	g.Send(abi.MsgListen, 0, 8080, nil)
	for {
		if m := g.Next(); m.Type == abi.MsgOpen {
			return m.Conn
		}
	}
}

// ranges is the payload of a FREE: addresses and sizes.
func ranges(list ...uint64) (p []byte) {
	for _, v := range list {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return p
}

func freeing(list ...uint64) tendertest.Program {
	return func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgFree, 0, 0, ranges(list...))
		return forever(g)
	}
}

// freeWell gives memory back as it should be, and finds it zero.
func freeWell(g *tendertest.Guest) uint32 {
	ram := g.RAM()
	for round := range uint64(3) {
		for off := uint64(6 << 20); off < 16<<20; off += 4096 {
			ram.Store64(off, off|1)
		}
		p := ranges(6<<20, 2<<20, 10<<20, 6<<20)
		g.Send(abi.MsgFree, 0, 0, p)
		m := g.Next()
		for m.Type != abi.MsgFreed { // the end of standard input
			m = g.Next()
		}
		if !bytes.Equal(m.Data, p) {
			return 1 << 8
		}
		for off := uint64(6 << 20); off < 16<<20; off += 4096 {
			want := off | 1
			if off < 8<<20 || off >= 10<<20 {
				want = 0
			}
			if ram.Load64(off) != want {
				return uint32(2+round) << 8
			}
		}
	}
	return 0
}

func TestFreeWell(t *testing.T) {
	if e := exit(t, boot(t, start(t, "free-well"))); e.Kind != tender.Exited || e.Code() != 0 {
		t.Errorf("%+v", e)
	}
}

func forever(g *tendertest.Guest) uint32 {
	for {
		g.Idle()
	}
}

// hostile are guests that lie, and what the report of their end says.
var hostile = map[string]struct {
	program tendertest.Program
	report  string
}{
	"free-tables":    {freeing(abi.TablesPA, 2<<20), "memory 0x400000, 2097152 bytes, given back"},
	"free-unaligned": {freeing(8<<20+4096, 2<<20), "memory 0x801000"},
	"free-nothing":   {freeing(8<<20, 0), "memory 0x800000, 0 bytes"},
	"free-outside":   {freeing(64<<20, 2<<20), "memory 0x4000000"},
	"free-too-much":  {freeing(8<<20, 58<<20), "memory 0x800000"},
	"free-around":    {freeing(8<<20, ^uint64(0)&^(2<<20-1)), "memory 0x800000"},
	"free-twice":     {freeing(8<<20, 4<<20, 10<<20, 2<<20), "memory 0xa00000 given back twice"},
	"free-half": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgFree, 0, 0, make([]byte, 24))
		return forever(g)
	}, "24 bytes of payload"},
	"free-long": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgFree, 0, 0, make([]byte, 16*(abi.FreeMax+1)))
		return forever(g)
	}, "bytes of payload"},
	"unknown-stream": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgData, 77, 0, []byte("x"))
		return forever(g)
	}, "message for stream 77, which never was"},
	"low-stream": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgEOF, 9, 0, nil)
		return forever(g)
	}, "stream 9, which never was"},
	"stdin-data": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgData, abi.ConnStdin, 0, []byte("x"))
		return forever(g)
	}, "data on console stream 0"},
	"console-flood": {func(g *tendertest.Guest) uint32 {
		for range 3 {
			g.Send(abi.MsgData, abi.ConnStdout, 0, make([]byte, abi.MsgMax))
		}
		return forever(g)
	}, "65536 bytes on console stream 1 with credit for 0"},
	"stream-flood": {func(g *tendertest.Guest) uint32 {
		c := open(g)
		for range 3 {
			g.Send(abi.MsgData, c, 0, make([]byte, abi.MsgMax))
		}
		return forever(g)
	}, "with credit for 0"},
	"credit": {func(g *tendertest.Guest) uint32 {
		c := open(g)
		g.Send(abi.MsgCredit, c, 0xffffffff, nil)
		return forever(g)
	}, "credit of 4294967295 more bytes"},
	"console-credit": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgCredit, abi.ConnStdout, 1, nil)
		return forever(g)
	}, "credit of 1 bytes on console stream 1"},
	"data-after-end": {func(g *tendertest.Guest) uint32 {
		c := open(g)
		g.Send(abi.MsgEOF, c, 0, nil)
		g.Send(abi.MsgData, c, 0, []byte("x"))
		return forever(g)
	}, "data after the end"},
	"second-end": {func(g *tendertest.Guest) uint32 {
		c := open(g)
		g.Send(abi.MsgEOF, c, 0, nil)
		g.Send(abi.MsgEOF, c, 0, nil)
		return forever(g)
	}, "second end"},
	"port-zero": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 0, nil)
		return forever(g)
	}, "listens on port 0"},
	"port-large": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgListen, 0, 65536, nil)
		return forever(g)
	}, "listens on port 65536"},
	"many-ports": {func(g *tendertest.Guest) uint32 {
		for p := uint32(1); p < 1000; p++ {
			g.Send(abi.MsgListen, 0, p, nil)
		}
		return forever(g)
	}, "listens on more than 256 ports"},
	"host-message": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgOpen, 16, 80, nil)
		return forever(g)
	}, "message of unknown type 16"},
	"unknown-message": {func(g *tendertest.Guest) uint32 {
		g.Send(999, 0, 0, nil)
		return forever(g)
	}, "message of unknown type 999"},
	"accept-nothing": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgAccepted, abi.ConnStdout, 0, nil)
		return forever(g)
	}, "message of type 34 on console stream 1"},
	"tx-head": {func(g *tendertest.Guest) uint32 {
		g.Area().Store64(abi.CtlTxHead, 1<<63)
		return forever(g)
	}, "tx ring"},
	"rx-tail": {func(g *tendertest.Guest) uint32 {
		g.Area().Store64(abi.CtlRxTail, 1<<40)
		return forever(g)
	}, "rx ring"},
	"long-message": {func(g *tendertest.Guest) uint32 {
		g.Area().Store32(abi.TxOff, 0xfffffff0)
		g.Area().Store64(abi.CtlTxHead, 64)
		return forever(g)
	}, "tx ring"},
}

func addHostile(programs map[string]tendertest.Program) {
	for name, h := range hostile {
		programs[name] = h.program
	}
	programs["bells"] = func(g *tendertest.Guest) uint32 {
		for {
			g.Bell()
		}
	}
	programs["deaf"] = func(g *tendertest.Guest) uint32 { // never takes what it is given
		g.Send(abi.MsgListen, 0, 8080, nil)
		return forever(g)
	}
	programs["liar"] = func(g *tendertest.Guest) uint32 { // always waits for room, always has a timer due
		g.Area().Store32(abi.CtlTxWanted, 1)
		g.SetTimer(1)
		g.SetRunnable(1 << 31)
		return forever(g)
	}
	programs["noise"] = func(g *tendertest.Guest) uint32 {
		r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
		for {
			for range 64 {
				off := r.Uint64N(abi.SharedSize/8) * 8
				if r.IntN(3) == 0 {
					off = r.Uint64N(64) * 8 // the control page
				}
				g.Area().Store64(off, r.Uint64()>>r.UintN(64))
			}
			if r.IntN(2) == 0 {
				g.Bell()
			} else {
				g.Idle()
			}
		}
	}
	programs["late"] = func(g *tendertest.Guest) uint32 { // messages of a stream that was reset are no crime
		c := open(g)
		for m := g.Next(); m.Type != abi.MsgReset && m.Type != abi.MsgEOF; m = g.Next() {
		}
		g.Send(abi.MsgReset, c, 0, nil)
		g.Send(abi.MsgData, c, 0, []byte("late"))
		g.Send(abi.MsgCredit, c, 0xffffffff, nil)
		g.Send(abi.MsgEOF, c, 0, nil)
		return 5 << 8
	}
}

// TestHostile: a guest that lies ends, with a report that says how it lied, and only it.
func TestHostile(t *testing.T) {
	for name, h := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := start(t, name, withEgress(new(slow), "", nil))
			i := boot(t, tn)
			if c, err := i.Dial(t.Context(), 8080); err == nil {
				defer c.Close()
			}
			e := exit(t, i)
			if e.Kind != tender.Protocol || !strings.Contains(e.Report, h.report) || !strings.Contains(e.Reason, "guest ") {
				t.Errorf("got %+v", e)
			}
			select {
			case <-tn.Done():
				t.Errorf("took its tender with it")
			default:
			}
		})
	}
}

// TestStubborn: guests that never rest can be killed, and noise never takes the tender down.
func TestStubborn(t *testing.T) {
	for _, name := range []string{"bells", "deaf", "liar", "loop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := boot(t, start(t, name))
			if c, err := i.Dial(t.Context(), 8080); err == nil {
				defer c.Close()
				_, _ = c.Write([]byte("hello"))
			}
			time.Sleep(30 * time.Millisecond)
			begin := time.Now()
			i.Kill("enough")
			if e := exit(t, i); e.Kind != tender.Killed || time.Since(begin) > time.Second {
				t.Errorf("got %+v after %v", e, time.Since(begin))
			}
		})
	}
}

func TestNoise(t *testing.T) {
	tn := start(t, "noise")
	for range 50 {
		i := boot(t, tn)
		if c, err := i.Dial(t.Context(), 8080); err == nil {
			_, _ = c.Write([]byte("hello"))
			defer c.Close()
		}
		select {
		case <-i.Done():
		case <-time.After(100 * time.Millisecond):
			i.Kill("survived")
		}
		if e := exit(t, i); e.Kind != tender.Protocol && e.Kind != tender.Killed {
			t.Fatalf("got %+v", e)
		}
	}
}

func TestLateMessages(t *testing.T) {
	i := boot(t, start(t, "late"))
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	c.Close()
	if e := exit(t, i); e.Kind != tender.Exited || e.Code() != 5 {
		t.Errorf("got %+v", e)
	}
}
