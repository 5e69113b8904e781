// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/queue"
)

// echo sends messages of all sizes through both rings and compares what comes back.
func (s *suite) echo(t *testing.T) {
	b := s.start(t, doEcho, 0)
	rx, tx := queue.NewRx(b.Shared()), queue.NewTx(b.Shared())
	buf := make([]byte, abi.MsgMax)
	content := make([]byte, abi.MsgMax)
	rand.NewChaCha8([32]byte{1}).Read(content)
	const messages = 1000
	sizes := make([]int, messages)
	for i := range sizes {
		sizes[i] = []int{0, 1, 15, 16, 17, 1000, 4096, abi.MsgMax}[rand.IntN(8)]
	}
	sent, got, last := 0, 0, false
	for ended := false; !ended; {
		for sent < messages {
			n := sizes[sent]
			ok, err := rx.Put(abi.MsgData, uint32(sent), uint32(n), content[sent:min(sent+n, len(content))])
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			sent++
		}
		if sent == messages && !last {
			var err error
			if last, err = rx.Put(abi.MsgEOF, 0, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		e := b.run()
		for {
			m, p, ok, err := tx.Next(buf)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if m.Type == abi.MsgEOF {
				continue
			}
			n := sizes[got]
			if m.Type != abi.MsgData || m.Conn != uint32(got) || m.Arg != uint32(n) || !bytes.Equal(p, content[got:min(got+n, len(content))]) {
				t.Fatalf("message %d: %+v", got, m)
			}
			got++
		}
		switch e.Kind {
		case monitor.ExitQueue, monitor.ExitIdle:
		case monitor.ExitDone:
			ended = true
		default:
			t.Fatalf("%+v", e)
		}
	}
	if got != messages {
		t.Errorf("%d of %d messages came back", got, messages)
	}
}

// hostileStorm: a guest that does nothing but ring is no worse than one that computes.
func (s *suite) hostileStorm(t *testing.T) {
	b := s.start(t, doStorm, 0)
	for range 2000 {
		b.expect(monitor.ExitQueue, 0)
	}
	b.Kick()
	for {
		if e := b.run(); e.Kind == monitor.ExitKick {
			return
		}
	}
}

// hostileScribble: a guest writes nonsense all over the shared area while the host works on it.
func (s *suite) hostileScribble(t *testing.T) {
	b := s.start(t, doScribble, 0)
	buf := make([]byte, abi.MsgMax)
	for range 200 {
		b.expect(monitor.ExitQueue, 0)
		// A tender would end the guest at the first error; here it has to bear all of them.
		rx, tx := queue.NewRx(b.Shared()), queue.NewTx(b.Shared())
		for range 3 {
			if _, err := rx.Put(abi.MsgData, 1, 2, buf[:100]); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
			if _, _, _, err := tx.Next(buf); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
		b.RefreshClock()
		b.Preempt()
	}
	b.Kick()
	b.expect(monitor.ExitKick, 0)
}

func isCorrupt(err error) bool {
	var c *queue.CorruptError
	return errors.As(err, &c)
}

// hostileIndices: heads that no honest guest writes.
func (s *suite) hostileIndices(t *testing.T) {
	buf := make([]byte, abi.MsgMax)
	for _, delta := range []int32{1, 8, -16, abi.TxSize + 16, 1 << 30, -1 << 31} {
		b := s.start(t, doLie, uint32(delta))
		b.expect(monitor.ExitQueue, 0)
		if _, _, ok, err := queue.NewTx(b.Shared()).Next(buf); ok || !isCorrupt(err) {
			t.Errorf("head %d: %v, %v", delta, ok, err)
		}
	}
}

// hostileKernel: a guest that got itself to CPL0 can do no more than end, or loop until it is stopped.
func (s *suite) hostileKernel(t *testing.T) {
	for n := range uint32(deeds) {
		b := s.start(t, doKernel, n)
		after(t, time.Duration(s.o.Slow)*50*time.Millisecond, b.Kick)
		e := b.run()
		switch {
		case n == deedLSTAR: // what is in such a register would outlive a rewind
			if e.Kind != monitor.ExitDone || e.Value != vector(13) {
				t.Errorf("a model-specific register was written: %+v", e)
			}
		case e.Kind == monitor.ExitKick, e.Kind == monitor.ExitFault && e.Report != "":
		case n == deedBell && e.Kind == monitor.ExitDone && e.Value == 3<<8:
		case e.Kind == monitor.ExitDone && e.Value == vector(e.Value>>8): // its own handler ended it
		default:
			t.Errorf("deed %d: %+v", n, e)
		}
		reason, _, _ := strings.Cut(e.Report, "\n")
		t.Logf("deed %d: kind %d, value 0x%x, %s", n, e.Kind, e.Value, reason)
	}
	// The host is none the worse for it.
	s.start(t, doExit, 5<<8).expect(monitor.ExitDone, 5<<8)
}
