// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"unifaas.dev/internal/tender/wire"

	"golang.org/x/sys/unix"
)

// BootOptions says what one instance has of its own.
type BootOptions struct {
	ID       string   // names it in Output and Exit
	Hostname string   //
	Env      []string // K=V, beside and instead of those of the tender
	// Console streams. Nil: no input, and output goes to OnOutput. The tender gets duplicates.
	Stdin, Stdout, Stderr *os.File

	From     Origin   // an error that wraps snapshot.ErrDamaged or snapshot.ErrForeign says that it can be tried FromBoot
	Parked   *os.File // what Park wrote, for FromParked; only needed until BootWith returns
	Off, Len int64    // where in it
}

// Instance is one guest of a tender.
type Instance struct {
	t     *Tender
	id    string
	num   uint32
	asked time.Time
	done  chan struct{}
	lines [2]*lines
	files atomic.Int32 // requests for files under way
	dials dials

	cloned  bool   // made of the snapshot
	startBy *watch // watches that it is started, if cloned

	mu        sync.Mutex
	restored  bool
	ready     chan struct{}      // closed when it is restored, or has ended
	started   chan *wire.Started // buffered; one answer
	vm, state time.Duration
	ended     bool
	rewinds   []func(Rewound, error) // one for each that is under way
	rewindBy  *watch                 // watches the first of these
	parking   chan *wire.Parked      // buffered; one answer
	listening map[int]Timing
	changed   chan struct{} // closed and replaced when listening changes
	exit      Exit
	jobs      map[uint32]*Job
	token     uint32 // of the last job
}

// Boot makes an instance and returns when its guest runs, which is before its program listens.
func (t *Tender) Boot(ctx context.Context, id, hostname string, env []string) (*Instance, error) {
	return t.BootWith(ctx, BootOptions{ID: id, Hostname: hostname, Env: env})
}

// BootWith is Boot with all options. FromSnapshot it returns before the tender has answered; if the instance cannot be had it ends.
func (t *Tender) BootWith(ctx context.Context, o BootOptions) (*Instance, error) {
	i := &Instance{t: t, id: o.ID, asked: time.Now(), done: make(chan struct{}), started: make(chan *wire.Started, 1),
		listening: map[int]Timing{}, changed: make(chan struct{}), ready: make(chan struct{})}
	for n := range i.lines {
		i.lines[n] = newLines(t.o.OnOutput, o.ID, n+1)
	}
	if o.From != FromBoot && (len(o.Env) > 0 || o.Stdin != nil || o.Stdout != nil || o.Stderr != nil || o.From == FromParked && o.Parked == nil) {
		return nil, errors.New("start an instance of a state: it has its environment and console already, and a parked one needs its file")
	}
	if i.cloned = o.From == FromSnapshot; i.cloned {
		if err := t.cloneable(); err != nil {
			return nil, err
		}
	}
	m := &wire.Start{From: uint8(o.From), Hostname: o.Hostname, Env: o.Env, Off: o.Off, Len: o.Len}
	var fds []int
	for n, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		if f != nil {
			m.Stdio |= 1 << n
			fds = append(fds, int(f.Fd()))
		}
	}
	if o.From == FromParked {
		fds = append(fds, int(o.Parked.Fd()))
	}
	if err := t.register(i); err != nil {
		return nil, err
	}
	m.Instance = i.num
	if i.cloned {
		i.startBy = t.expect("start an instance", i.done)
	}
	if err := t.send(m, fds...); err != nil {
		t.unregister(i)
		return nil, err
	}
	if i.cloned {
		return i, nil // what is dialled waits in the tender: no need to hear of it before
	}
	started := func(r *wire.Started) (*Instance, error) {
		if r.Error != "" {
			return nil, errorOf(r.Kind, r.Error)
		}
		return i, nil
	}
	defer t.expect("start an instance", i.done).Stop()
	select {
	case r := <-i.started:
		return started(r)
	case <-i.done:
		select {
		case r := <-i.started: // and it has ended since
			return started(r)
		default:
			return nil, &ExitError{i.exit}
		}
	case <-ctx.Done():
		i.Kill("start was given up")
		return nil, fmt.Errorf("start an instance: %w", ctx.Err())
	}
}

func (t *Tender) register(i *Instance) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return fmt.Errorf("tender is gone: %w", t.reasonLocked())
	default:
	}
	if t.instances == nil {
		return fmt.Errorf("tender is gone: %w", t.reasonLocked())
	}
	t.next++
	i.num = t.next
	t.instances[i.num] = i
	return nil
}

func (t *Tender) unregister(i *Instance) {
	t.mu.Lock()
	delete(t.instances, i.num)
	t.mu.Unlock()
}

// ID is the name that Boot was given.
func (i *Instance) ID() string { return i.id }

// Restored is closed when the state that the instance is made of is in it, or it has ended. Preconditions: it does not boot.
func (i *Instance) Restored() <-chan struct{} { return i.ready }

// Done is closed when the instance has ended.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Exit says how. Preconditions: Done is closed.
func (i *Instance) Exit() Exit {
	<-i.done
	return i.exit
}

// WaitListen waits until the program listens on a TCP port, 0 for any. If it ends first the error is an *ExitError. For an instance of a
// snapshot it returns at once: its program listens as soon as it runs. VM and State of its Timing are known once it has answered.
func (i *Instance) WaitListen(ctx context.Context, port int) (Timing, error) {
	for {
		i.mu.Lock()
		if i.cloned && !i.ended {
			defer i.mu.Unlock()
			return i.timing(Timing{}), nil
		}
		timing, ok := i.listens(port)
		changed := i.changed
		i.mu.Unlock()
		if ok {
			return timing, nil
		}
		select {
		case <-changed:
		case <-i.done:
			return Timing{}, &ExitError{i.exit}
		case <-ctx.Done():
			return Timing{}, fmt.Errorf("wait until the program listens on port %d: %w", port, ctx.Err())
		}
	}
}

// listens: Preconditions: i.mu is held.
func (i *Instance) listens(port int) (Timing, bool) {
	if port != 0 {
		t, ok := i.listening[port]
		return i.timing(t), ok
	}
	for _, t := range i.listening {
		return i.timing(t), true
	}
	return Timing{}, false
}

// timing adds what the guest does not know. Preconditions: i.mu is held.
func (i *Instance) timing(t Timing) Timing {
	t.VM, t.State = i.vm, i.state
	return t
}

// Dial opens a stream to a port of the guest. It returns at once: what is written before the program listens waits for it,
// and if the stream cannot be had it ends without a byte.
func (i *Instance) Dial(ctx context.Context, port int) (net.Conn, error) {
	if port < 1 || port > 0xffff {
		return nil, fmt.Errorf("connect to port %d: not a TCP port", port)
	}
	c, theirs, err := i.newStream(ctx)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := i.t.send(&wire.Dial{Instance: i.num, Port: uint16(port)}, int(theirs.Fd())); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// newStream makes a socket pair whose other end a command is to hand to the tender.
func (i *Instance) newStream(ctx context.Context) (ours *net.UnixConn, theirs *os.File, err error) {
	select {
	case <-i.done:
		return nil, nil, &ExitError{i.exit}
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	file, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// Kill ends the instance now, whatever it does; Done follows.
func (i *Instance) Kill(reason string) {
	if i.t.send(&wire.Kill{Instance: i.num, Reason: reason}) == nil {
		i.t.expect("end an instance", i.done)
	}
}

// Signal sends a signal to the program.
func (i *Instance) Signal(n int) {
	if n >= 1 && n <= 64 {
		_ = i.t.send(&wire.Signal{Instance: i.num, Signo: uint8(n)})
	}
}

// Stats asks for the instance's statistics.
func (i *Instance) Stats(ctx context.Context) (Stats, error) {
	t := i.t
	reply := make(chan *wire.StatsReply, 1)
	t.mu.Lock()
	t.token++
	token := t.token
	t.stats[token] = reply
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.stats, token)
		t.mu.Unlock()
	}()
	if err := t.send(&wire.Stats{Instance: i.num, Token: token}); err != nil {
		return Stats{}, err
	}
	select {
	case r := <-reply:
		if r.OK {
			return statsOf(&r.Counters), nil
		}
		// It has ended; its last event is on the way, or here.
		return Stats{}, errors.New("instance has ended")
	case <-i.done:
		return i.exit.Stats, nil
	case <-ctx.Done():
		return Stats{}, fmt.Errorf("ask for statistics: %w", ctx.Err())
	}
}
