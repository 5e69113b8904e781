// SPDX-License-Identifier: Apache-2.0

// Package tender starts and drives tender processes: one process, one function, any number of its instances.
//
// It is the node's side. What runs in the process is package server, which nobody but the process itself imports; between
// them stands package wire. A tender is trusted less than the node: what it sends is checked, and one that breaks the
// protocol is killed.
package tender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/pressure"
	"unifaas.dev/internal/tender/wire"
)

// closeGrace is how long a tender gets to end its instances by itself before it is killed.
const closeGrace = 1 * time.Second

// sendTimeout is how long a tender may leave its socket full.
const sendTimeout = 5 * time.Second

// defaultPatience is long beside what a healthy tender takes on a machine with too much to do, and short beside what people wait.
const defaultPatience = 10 * time.Second

// StartOptions says what a tender and all its instances consist of.
type StartOptions struct {
	Name    string          // shown by ps; may be empty
	Monitor string          // auto, kvm, process
	Exe     string          // of the tender process, for tests; empty: the one that this program carries
	Libos   []byte          // ELF file of the library OS
	Layers  []monitor.Layer // of the image, lowest first. The files are only needed until Start returns
	Memory  int64           // bytes of guest RAM
	Shells  int             // sandboxes to hold ready for the next Boot; each costs memory, and saves it the making
	Boot    monitor.Boot
	Blank   *Blank // to make the tender of; Start owns it
	// Snapshots says what instances can start from.
	Snapshots Snapshots
	// Files answers for the lowest layer of the root; nil: there is none but the image.
	Files Files
	// Prepare, if not nil, is called while the process starts: it fills in Layers and Boot, and its error is that of Start.
	Prepare func(*StartOptions) error
	Egress  Egress // nil: guests have no network
	// OnOutput is called for each line of console output, OnExit for each end of an instance; they must not block.
	OnOutput func(Output)
	OnExit   func(Exit)
	// Patience is how long a tender may take to load, to start an instance or to end one before it is killed; 0: a default.
	Patience time.Duration
}

// Tender is a running tender process.
type Tender struct {
	o        StartOptions
	conn     *net.UnixConn
	proc     *process // nil: the other side lives in this process (tests)
	monitor  string
	features string
	spawn    time.Duration
	blank    bool // it was prepared
	prepared chan *wire.Prepared
	loaded   chan *wire.Loaded
	done     chan struct{}

	sendMu sync.Mutex

	mu          sync.Mutex
	instances   map[uint32]*Instance
	next        uint32
	stats       map[uint32]chan *wire.StatsReply
	token       uint32
	closing     bool
	snapshotted bool
	image       error // why no instance can be made of a snapshot; nil: it can
	broken      error // why the protocol ended, if it did not end well
}

// Start spawns a tender and gives it what its instances are made of. The error is one line.
func Start(ctx context.Context, o StartOptions) (*Tender, error) {
	start := time.Now()
	t, err := begin(o)
	if err != nil {
		return nil, err
	}
	if err := t.load(ctx); err != nil {
		died := t.blank && t.gone()
		t.Close()
		if died { // while it waited for a function
			o = t.o
			o.Blank = nil
			return Start(ctx, o)
		}
		return nil, err
	}
	t.spawn = time.Since(start)
	return t, nil
}

func newTender(o StartOptions, conn *net.UnixConn, proc *process) *Tender {
	t := &Tender{o: o.complete(), conn: conn, proc: proc, prepared: make(chan *wire.Prepared, 1), loaded: make(chan *wire.Loaded, 1), done: make(chan struct{}),
		instances: map[uint32]*Instance{}, stats: map[uint32]chan *wire.StatsReply{}, image: errNoSnapshot}
	go t.receive()
	return t
}

func (t *Tender) load(ctx context.Context) error {
	if t.o.Prepare != nil {
		if err := t.o.Prepare(&t.o); err != nil {
			return err
		}
		t.o.Prepare = nil
	}
	m := &wire.Load{Monitor: t.o.Monitor, Memory: t.o.Memory, Prepared: t.blank, Shells: uint16(min(max(t.o.Shells, 0), 1<<16-1)), Boot: t.o.Boot}
	var fds []int
	if !t.blank {
		libos, err := wire.MemFD("libos", t.o.Libos)
		if err != nil {
			return fmt.Errorf("start a tender: %w", err)
		}
		defer unix.Close(libos)
		m.LibosSize = int64(len(t.o.Libos))
		fds = append(fds, libos)
	}
	if m.Boot.Flags &^= abi.BootFiles; t.o.Files != nil {
		m.Boot.Flags |= abi.BootFiles
	}
	if m.Boot.Flags &^= abi.BootNet | abi.BootLoopback; t.o.Egress != nil {
		m.Boot.Flags |= abi.BootNet
		if t.o.Egress.Loopback() {
			m.Boot.Flags |= abi.BootLoopback
		}
	}
	if len(t.o.Layers) > abi.LayersMax {
		return fmt.Errorf("image of %d layers: at most %d", len(t.o.Layers), abi.LayersMax)
	}
	for _, l := range t.o.Layers {
		m.Layers = append(m.Layers, l.Size)
		fds = append(fds, int(l.File.Fd()))
	}
	// The tender opens nothing by itself. If this fails its monitor says why, and what to do.
	if !t.blank {
		if kvm, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			m.HasKVM = true
			fds = append(fds, kvm)
			defer unix.Close(kvm)
		}
	}
	s := &t.o.Snapshots
	m.Snapshot = wire.Snapshot{Key: s.Key, HasImage: s.Image != nil, HasSink: s.Sink != nil && s.Image == nil, Track: s.Rewind, Pristine: s.Pristine, Port: s.Port}
	if s.Image != nil {
		fds = append(fds, int(s.Image.Fd()))
	} else if s.Sink != nil {
		fds = append(fds, int(s.Sink.Fd()))
	}
	if err := t.send(m, fds...); err != nil {
		return err
	}
	defer t.expect("load", t.done).Stop()
	select {
	case r := <-t.loaded:
		if r.Error != "" {
			return errors.New(r.Error)
		}
		t.monitor, t.features = r.Monitor, r.Features
		switch {
		case s.Image == nil:
		case r.Refused == "":
			t.mu.Lock()
			t.image = nil
			t.mu.Unlock()
		case s.OnRefused != nil:
			s.OnRefused(errorOf(r.Why, r.Refused))
		}
		return nil
	case <-t.done:
		return fmt.Errorf("tender ended while starting: %w", t.reason())
	case <-ctx.Done():
		return fmt.Errorf("start a tender: %w", ctx.Err())
	}
}

// Monitor is the kind of sandbox in use.
func (t *Tender) Monitor() string { return t.monitor }

// SpawnTime is how long the process took to start and load.
func (t *Tender) SpawnTime() time.Duration { return t.spawn }

// PID is the process's, 0 if there is none.
func (t *Tender) PID() int {
	if t.proc == nil {
		return 0
	}
	return t.proc.pid
}

// Done is closed when the process is gone and every instance has reported its end.
func (t *Tender) Done() <-chan struct{} { return t.done }

// Close kills all instances and the process, and returns when it is gone. Idempotent.
func (t *Tender) Close() error {
	t.mu.Lock()
	first := !t.closing
	t.closing = true
	idle := len(t.instances) == 0
	t.mu.Unlock()
	// Without an instance nothing is left to be said.
	if first && !idle && t.send(&wire.Stop{}) == nil {
		select {
		case <-t.done:
		case <-time.After(closeGrace):
		}
	}
	t.kill()
	<-t.done
	return nil
}

// kill ends the process at once; receive notices.
func (t *Tender) kill() {
	if t.proc != nil {
		t.proc.kill()
	}
	_ = t.conn.SetDeadline(time.Unix(1, 0))
}

// send writes one command. An error means that the tender is as good as gone.
func (t *Tender) send(m wire.Message, fds ...int) error {
	packet, spill, err := wire.Pack(nil, m)
	if err != nil {
		return err
	}
	if spill >= 0 {
		defer unix.Close(spill)
		fds = append(fds, spill)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	t.sendMu.Lock()
	defer t.sendMu.Unlock()
	select {
	case <-t.done:
		return fmt.Errorf("tender is gone: %w", t.reason())
	default:
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, _, err := t.conn.WriteMsgUnix(packet, oob, nil); err != nil {
		t.fail(fmt.Errorf("tender takes no commands: %w", err))
		return fmt.Errorf("tender is gone: %w", err)
	}
	return nil
}

// A tender that is late because the machine has too much to do is given more time, as long as its threads wait for a CPU for a good part of it.
const (
	starvedShare = 4 // a quarter of the time
	starvedMost  = 6 // times Patience
)

// expect kills the tender unless it does what it was told in time: one that hangs, or that its guest has taken over, must
// not hold its function for ever. The watch is to be stopped, or done closed, once it has.
func (t *Tender) expect(what string, done <-chan struct{}) *watch {
	w := &watch{t: t, what: what, done: done, start: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(t.o.Patience, w.due)
	return w
}

// watch is one expectation.
type watch struct {
	t     *Tender
	what  string
	done  <-chan struct{}
	start time.Time

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	looked  bool
	delay   time.Duration // that its threads had waited, at the last look
}

// Stop ends it.
func (w *watch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// due looks whether a tender that is late could have done what it was told.
func (w *watch) due() {
	select {
	case <-w.done:
		return
	default:
	}
	t := w.t
	again := t.o.Patience / 5
	delay := pressure.Delay(t.PID())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	starved := t.PID() != 0 && (!w.looked || delay-w.delay >= again/starvedShare) && time.Since(w.start) < starvedMost*t.o.Patience
	w.looked, w.delay = true, delay
	if starved {
		w.timer = time.AfterFunc(again, w.due)
		return
	}
	t.fail(fmt.Errorf("tender did not %s within %v", w.what, t.o.Patience))
}

// fail kills a tender that does not behave. That a connection broke says less than how the process ended.
func (t *Tender) fail(err error) {
	t.mu.Lock()
	if t.broken == nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		t.broken = err
	}
	t.mu.Unlock()
	t.kill()
}

// reason says why the tender is gone. Preconditions: done is closed, or about to be.
func (t *Tender) reason() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reasonLocked()
}

func (t *Tender) reasonLocked() error {
	switch {
	case t.closing:
		return errors.New("tender closed")
	case t.broken != nil:
		return t.broken
	case t.proc != nil && t.proc.state != "":
		return errors.New(t.proc.state)
	}
	return errors.New("tender ended")
}
