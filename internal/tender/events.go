// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"unifaas.dev/internal/tender/wire"
)

// receive takes the events of the tender until it is gone, then ends what is left.
func (t *Tender) receive() {
	buf := make([]byte, wire.MaxInline+1)
	for {
		n, err := t.conn.Read(buf) // descriptors that a tender might send are dropped by the kernel
		if err == nil {
			var m wire.Message
			if m, err = wire.Decode(buf[:n]); err == nil {
				err = t.event(m)
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.fail(err)
			}
			break
		}
	}
	t.bury()
}

// event does what one event says. An error is a tender that breaks the protocol.
func (t *Tender) event(m wire.Message) error {
	switch m := m.(type) {
	case *wire.Loaded:
		select {
		case t.loaded <- m:
			return nil
		default:
			return fmt.Errorf("%w: loaded twice", wire.ErrMalformed)
		}
	case *wire.Prepared:
		select {
		case t.prepared <- m:
			return nil
		default:
			return fmt.Errorf("%w: prepared twice", wire.ErrMalformed)
		}
	case *wire.Snapshotted:
		return t.onSnapshotted(m)
	case *wire.Restored:
		return t.on(m.Instance, func(i *Instance) error { i.onRestored(m); return nil })
	case *wire.Rewound:
		return t.on(m.Instance, func(i *Instance) error { return i.onRewound(m) })
	case *wire.Parked:
		return t.on(m.Instance, func(i *Instance) error { return i.onParked(m) })
	case *wire.Started:
		return t.on(m.Instance, func(i *Instance) error { return i.onStarted(m) })
	case *wire.Listening:
		return t.on(m.Instance, func(i *Instance) error { i.onListening(m); return nil })
	case *wire.Unlistening:
		return t.on(m.Instance, func(i *Instance) error {
			i.mu.Lock()
			delete(i.listening, int(m.Port))
			i.mu.Unlock()
			return nil
		})
	case *wire.Ended:
		return t.on(m.Instance, func(i *Instance) error { i.onEnded(m); return nil })
	case *wire.Output:
		return t.on(m.Instance, func(i *Instance) error {
			i.lines[m.Stream-1].add(m.Data, time.Unix(0, m.Time))
			return nil
		})
	case *wire.FileRequest:
		return t.on(m.Instance, func(i *Instance) error { return i.onFile(m) })
	case *wire.Connect:
		return t.on(m.Instance, func(i *Instance) error { return i.onConnect(m) })
	case *wire.Abort:
		return t.on(m.Instance, func(i *Instance) error { i.onAbort(m); return nil })
	case *wire.Exited:
		return t.on(m.Instance, func(i *Instance) error {
			t.unregister(i)
			i.finish(i.exitOf(m))
			return nil
		})
	case *wire.StatsReply:
		t.mu.Lock()
		reply := t.stats[m.Token]
		delete(t.stats, m.Token)
		t.mu.Unlock()
		if reply != nil {
			reply <- m
		}
		return nil
	}
	return fmt.Errorf("%w: %T is no event", wire.ErrMalformed, m)
}

// on finds the instance of an event. All instances that a tender speaks of are its own and have not ended.
func (t *Tender) on(num uint32, f func(*Instance) error) error {
	t.mu.Lock()
	i := t.instances[num]
	t.mu.Unlock()
	if i == nil {
		return fmt.Errorf("%w: event of instance %d, which is not", wire.ErrMalformed, num)
	}
	return f(i)
}

func (i *Instance) onStarted(m *wire.Started) error {
	if i.startBy != nil {
		i.startBy.Stop()
	}
	if m.Error != "" {
		i.t.unregister(i)
		if i.cloned {
			i.finish(Exit{Instance: i.id, Kind: Fault, Reason: m.Error})
		}
	}
	i.mu.Lock()
	i.vm = time.Duration(m.VM)
	i.mu.Unlock()
	select {
	case i.started <- m:
		return nil
	default:
		return fmt.Errorf("%w: instance %d started twice", wire.ErrMalformed, i.num)
	}
}

func (i *Instance) onListening(m *wire.Listening) {
	timing := timingOf(&m.Stamps)
	timing.Total = time.Since(i.asked)
	i.mu.Lock()
	i.listening[int(m.Port)] = timing
	close(i.changed)
	i.changed = make(chan struct{})
	i.mu.Unlock()
}

// finish is the end of an instance, called once.
func (i *Instance) finish(e Exit) {
	for _, l := range i.lines {
		l.flush()
	}
	if e := i.t.o.Egress; e != nil {
		i.dials.end(func() { e.Forget(i.id) })
	}
	i.mu.Lock()
	if !i.restored {
		close(i.ready)
	}
	i.exit, i.ended = e, true
	if i.cloned && !i.restored && e.Kind == Fault {
		i.t.uncloneable(errors.New(e.Reason))
	}
	rewinds, watch := i.rewinds, i.rewindBy
	i.rewinds, i.rewindBy = nil, nil
	i.mu.Unlock()
	close(i.done)
	if watch != nil {
		watch.Stop()
	}
	for _, then := range rewinds {
		then(Rewound{}, &ExitError{e})
	}
	if i.t.o.OnExit != nil {
		i.t.o.OnExit(e)
	}
}

// bury reaps the process and ends the instances that did not report their own end.
func (t *Tender) bury() {
	report := ""
	if t.proc != nil {
		// A tender that closes its socket is of no use any more. One that was told to stop ends by itself.
		grace := time.AfterFunc(closeGrace, t.proc.kill)
		t.proc.wait()
		grace.Stop()
		report = t.proc.text()
		t.proc.stderr.Close()
	}
	t.conn.Close()
	t.mu.Lock()
	reason := t.reasonLocked().Error()
	left := t.instances
	t.instances = nil
	kind := TenderDied
	if t.closing {
		kind = Killed
	}
	t.mu.Unlock()
	for _, i := range left {
		i.finish(Exit{Instance: i.id, Kind: kind, Reason: reason, Report: report})
	}
	close(t.done)
}
