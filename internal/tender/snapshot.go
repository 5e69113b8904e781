// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/tender/wire"
)

// Snapshots says what a tender does about snapshots. The files are only needed until Start returns.
type Snapshots struct {
	Key   snapshot.Key // but for Features
	Image *os.File     // what instances can start from; nil: nothing
	// Sink is an empty memory file for the state of the first instance that is initialised, which begins to serve only then; nil: none is
	// wanted. Later instances can start from it too.
	Sink      *os.File
	OnTaken   func(snapshot.Info, error) // called once if there is a Sink; it must not block
	OnLater   func(error)                // and this before, perhaps several times: why there is none yet
	Pristine  bool                       // the Sink is for a state that no request was in
	OnRefused func(error)                // Image is of no use; called before Start returns
	Rewind    bool                       // instances will be rewound
	Port      uint16                     // a program that does not listen there is not initialised; 0: any port
}

// Origin is what an instance is made of.
type Origin int

const (
	FromBoot     Origin = wire.FromBoot
	FromSnapshot Origin = wire.FromSnapshot
	FromParked   Origin = wire.FromParked
)

// ErrBusy is why an instance was not parked: it has streams open, or runs. It goes on.
var ErrBusy = errors.New("instance is busy")

// Rewound says what a rewind took.
type Rewound struct {
	Pages   int // copied back
	Entries int // of page tables, stored by the guest
	Took    time.Duration
}

// refusal is an error that a tender has told.
type refusal struct {
	kind error
	text string
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.kind }

func errorOf(kind uint8, text string) error {
	switch kind {
	case wire.ErrorDamaged:
		return &refusal{snapshot.ErrDamaged, text}
	case wire.ErrorForeign:
		return &refusal{snapshot.ErrForeign, text}
	case wire.ErrorBusy:
		return &refusal{ErrBusy, text}
	}
	return errors.New(text)
}

// Features names what snapshots of this tender depend on; empty: it makes none.
func (t *Tender) Features() string { return t.features }

// Keep says how many sandboxes to hold ready for the next instances.
func (t *Tender) Keep(shells int) {
	_ = t.send(&wire.Keep{Shells: uint16(min(max(shells, 0), 1<<16-1))}) // fails with the tender
}

// errNoSnapshot is why no instance can be made of one.
var errNoSnapshot = fmt.Errorf("%w: this tender has none", snapshot.ErrForeign)

// cloneable says why there is no snapshot to make instances of.
func (t *Tender) cloneable() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.image
}

// uncloneable: no instance came of the snapshot, though it looked well; the next one need not be tried.
func (t *Tender) uncloneable(why error) {
	t.mu.Lock()
	t.image = fmt.Errorf("%w: %w", snapshot.ErrDamaged, why)
	t.mu.Unlock()
}

// onSnapshotted: an error is a tender that breaks the protocol.
func (t *Tender) onSnapshotted(m *wire.Snapshotted) error {
	t.mu.Lock()
	taken, later := t.o.Snapshots.OnTaken, t.o.Snapshots.OnLater
	again := t.snapshotted || t.o.Snapshots.Sink == nil
	t.snapshotted = t.snapshotted || !m.Later
	if !again && m.Error == "" {
		t.image = nil
	}
	t.mu.Unlock()
	if again {
		return fmt.Errorf("%w: snapshot that nobody asked for", wire.ErrMalformed)
	}
	if m.Later {
		if later != nil {
			later(errors.New(m.Error))
		}
		return nil
	}
	if taken == nil {
		return nil
	}
	if m.Error != "" {
		taken(snapshot.Info{}, errors.New(m.Error))
		return nil
	}
	taken(snapshot.Info{Pages: int(m.Pages), Shared: int(m.Shared), Bytes: m.Bytes}, nil)
	return nil
}

func (i *Instance) onRestored(m *wire.Restored) {
	i.mu.Lock()
	i.vm, i.state = time.Duration(m.VM), time.Duration(m.State)
	if !i.restored && !i.ended {
		close(i.ready)
	}
	i.restored = true
	i.mu.Unlock()
}

// Rewind puts the instance back to the tender's snapshot, whatever it does. Its streams are gone; what is dialled from now on meets
// the snapshot. then is called when it is done; an error is the end of the instance.
func (i *Instance) Rewind(then func(Rewound, error)) { i.rewind(&wire.Rewind{Instance: i.num}, then) }

// Renew is Rewind and then Dial, in one message. There is no stream if this process has no descriptors left.
func (i *Instance) Renew(port int, then func(Rewound, error)) net.Conn {
	c, theirs, err := i.newStream(context.Background())
	if err != nil {
		i.Rewind(then)
		return nil
	}
	defer theirs.Close()
	i.rewind(&wire.Rewind{Instance: i.num, Port: uint16(port)}, then, int(theirs.Fd()))
	return c
}

func (i *Instance) rewind(m *wire.Rewind, then func(Rewound, error), fds ...int) {
	i.mu.Lock()
	ended := i.ended
	if !ended {
		i.rewinds = append(i.rewinds, then)
	}
	i.mu.Unlock()
	if ended {
		<-i.done
		then(Rewound{}, &ExitError{i.exit})
		return
	}
	if i.t.send(m, fds...) == nil {
		i.mu.Lock()
		if i.rewindBy == nil && len(i.rewinds) > 0 {
			i.rewindBy = i.t.expect("rewind an instance", i.done)
		}
		i.mu.Unlock()
	}
}

func (i *Instance) onRewound(m *wire.Rewound) error {
	i.mu.Lock()
	if len(i.rewinds) == 0 {
		i.mu.Unlock()
		return fmt.Errorf("%w: instance %d was rewound by itself", wire.ErrMalformed, i.num)
	}
	then := i.rewinds[0]
	i.rewinds = i.rewinds[1:]
	if i.rewindBy != nil {
		i.rewindBy.Stop()
		i.rewindBy = nil
		if len(i.rewinds) > 0 {
			i.rewindBy = i.t.expect("rewind an instance", i.done)
		}
	}
	i.mu.Unlock()
	for _, l := range i.lines {
		l.flush() // what comes now is no more of that line
	}
	var err error
	if m.Error != "" {
		err = errors.New(m.Error)
	}
	then(Rewound{Pages: int(m.Pages), Entries: int(m.Entries), Took: time.Duration(m.Took)}, err)
	return nil
}

// Park writes what differs from the tender's snapshot to sink, from its start, and ends the instance. It returns how many bytes that
// is. After an error that wraps ErrBusy the instance goes on.
func (i *Instance) Park(ctx context.Context, sink *os.File) (int64, error) {
	answer := make(chan *wire.Parked, 1)
	i.mu.Lock()
	switch {
	case i.ended:
		i.mu.Unlock()
		<-i.done
		return 0, &ExitError{i.exit}
	case i.parking != nil:
		i.mu.Unlock()
		return 0, &refusal{ErrBusy, "instance is being parked already"}
	}
	i.parking = answer
	i.mu.Unlock()
	if err := i.t.send(&wire.Park{Instance: i.num}, int(sink.Fd())); err != nil {
		return 0, err
	}
	defer i.t.expect("park an instance", i.done).Stop()
	select {
	case m := <-answer:
		if m.Error == "" {
			<-i.done
		}
		return parkedOf(m)
	case <-i.done:
		select {
		case m := <-answer:
			return parkedOf(m)
		default:
			return 0, &ExitError{i.exit}
		}
	case <-ctx.Done():
		i.Kill("park was given up")
		return 0, fmt.Errorf("park an instance: %w", ctx.Err())
	}
}

func parkedOf(m *wire.Parked) (int64, error) {
	if m.Error != "" {
		return 0, errorOf(m.Kind, m.Error)
	}
	return m.Bytes, nil
}

func (i *Instance) onParked(m *wire.Parked) error {
	i.mu.Lock()
	answer := i.parking
	i.parking = nil
	i.mu.Unlock()
	if answer == nil {
		return fmt.Errorf("%w: instance %d was parked by itself", wire.ErrMalformed, i.num)
	}
	answer <- m
	if m.Error == "" {
		i.t.unregister(i)
		i.finish(Exit{Instance: i.id, Kind: Parked, Reason: "parked"})
	}
	return nil
}
