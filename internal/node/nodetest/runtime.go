// SPDX-License-Identifier: Apache-2.0

// Package nodetest has a runtime for tests whose instances are HTTP handlers in this process.
package nodetest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
)

// Runtime runs Handler in every instance. Set the fields before use.
type Runtime struct {
	// Handler is the program. It gets its own instance through Self.
	Handler http.Handler
	// Protocols are those that it speaks; nil: HTTP/1.1.
	Protocols *http.Protocols
	// OnBoot, if set, can delay a boot, or fail it.
	OnBoot func(ctx context.Context, g *Guest) error
	// OnListen, if set, can delay the end of a boot when nothing can give it up any more.
	OnListen func(ctx context.Context)
	// OnStart, if set, can fail the start of a tender.
	OnStart func(c node.TenderConfig) error
	// OnAccept, if set, sees each stream first, and takes it away with false.
	OnAccept func(net.Conn) bool
	// OnDial, if set, can fail a stream.
	OnDial func() error
	// OnSpawn is the program of contract stdio.
	OnSpawn func(ctx context.Context, env []string) (node.Job, error)
	// Snapshots says that instances can be taken snapshots of. Guest.Value is their state.
	Snapshots bool
	// OnImage, if set, can refuse an image; OnTake can fail the taking of one; OnRestore can fail a Start from one.
	OnImage   func() error
	OnTake    func(g *Guest) error
	OnRestore func(s node.Start) error
	// OnRewind and OnPark, if set, can fail those.
	OnRewind func(g *Guest) error
	OnPark   func(g *Guest) error
	// IgnoreTerm lets instances survive Signal(15).
	IgnoreTerm bool

	mu      sync.Mutex
	tenders []*Tender

	Boots    atomic.Int64 // instances started, whatever from
	Restores atomic.Int64 // of these, not from the image
	Started  atomic.Int64 // tenders
	Live     atomic.Int64 // instances that have not ended
	Peak     atomic.Int64 // most of them at once
	Running  atomic.Int64 // tenders that have not ended
}

// Name is "test".
func (r *Runtime) Name() string { return "test" }

// StartTender makes a tender.
func (r *Runtime) StartTender(_ context.Context, c node.TenderConfig) (node.Tender, error) {
	if r.OnStart != nil {
		if err := r.OnStart(c); err != nil {
			return nil, err
		}
	}
	r.Started.Add(1)
	r.Running.Add(1)
	t := &Tender{r: r, Config: c, done: make(chan struct{}), guests: map[*Guest]struct{}{}}
	if c.Snapshot.Sink != nil {
		fd, err := unix.FcntlInt(c.Snapshot.Sink.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		t.sink = os.NewFile(uintptr(fd), "sink")
	}
	t.accept()
	r.mu.Lock()
	r.tenders = append(r.tenders, t)
	r.mu.Unlock()
	return t, nil
}

// Tenders lists all that were ever started.
func (r *Runtime) Tenders() []*Tender {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Tender(nil), r.tenders...)
}

// Tender is a fake tender.
type Tender struct {
	r      *Runtime
	Config node.TenderConfig

	mu     sync.Mutex
	guests map[*Guest]struct{}
	snap   state
	sink   *os.File
	taking bool
	kept   atomic.Int64
	once   sync.Once
	done   chan struct{}
}

// Keep notes how many shells are wanted.
func (t *Tender) Keep(n int) { t.kept.Store(int64(n)) }

// Shells is how many are wanted.
func (t *Tender) Shells() int { return int(t.kept.Load()) }

// PID is a number that no process has.
func (t *Tender) PID() int { return 1 << 30 }

// Done is closed when the tender is gone.
func (t *Tender) Done() <-chan struct{} { return t.done }

// Close ends it in order.
func (t *Tender) Close() error {
	t.die(node.Exit{Kind: node.ExitKilled, Reason: "tender closed"})
	return nil
}

// Crash ends it as a SIGKILL from outside does.
func (t *Tender) Crash() { t.die(node.Exit{Kind: node.ExitFault, Reason: "tender died"}) }

func (t *Tender) die(e node.Exit) {
	t.once.Do(func() {
		t.mu.Lock()
		guests := t.guests
		t.guests = nil
		if t.sink != nil && !t.taking {
			t.sink.Close()
			t.sink = nil
		}
		t.mu.Unlock()
		for g := range guests {
			g.End(e)
		}
		t.r.Running.Add(-1)
		close(t.done)
	})
}

// Start makes an instance.
func (t *Tender) Start(ctx context.Context, s node.Start) (node.Guest, error) {
	g := &Guest{t: t, ID: s.ID, Hostname: s.Hostname, conns: make(chan net.Conn), done: make(chan struct{}), open: map[net.Conn]struct{}{}}
	if err := t.origin(g, s); err != nil {
		return nil, err
	}
	t.mu.Lock()
	if t.guests == nil {
		t.mu.Unlock()
		return nil, errors.New("tender is gone")
	}
	t.guests[g] = struct{}{}
	t.mu.Unlock()
	t.r.Boots.Add(1)
	n := t.r.Live.Add(1)
	for peak := t.r.Peak.Load(); n > peak && !t.r.Peak.CompareAndSwap(peak, n); peak = t.r.Peak.Load() {
	}
	return g, nil
}

// Guest is a fake instance.
type Guest struct {
	t        *Tender
	ID       string
	Hostname string

	conns chan net.Conn
	CPU   atomic.Int64 // what Usage reports, ns
	Value atomic.Int64 // what snapshots keep

	order    sync.Mutex // what is dialled waits for what is being done
	busy     atomic.Int64
	restored bool
	serving  atomic.Bool

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	ended bool
	exit  node.Exit
	once  sync.Once
	done  chan struct{}
}

type selfKey struct{}

// Self is the instance that a handler runs in.
func Self(r *http.Request) *Guest { return r.Context().Value(selfKey{}).(*Guest) }

// WaitListen starts to serve.
func (g *Guest) WaitListen(ctx context.Context) (node.BootTiming, error) {
	if g.t.r.OnBoot != nil && !g.restored {
		if err := g.t.r.OnBoot(ctx, g); err != nil {
			return node.BootTiming{}, err
		}
	}
	select {
	case <-g.done:
		return node.BootTiming{}, &node.ExitError{Exit: g.exit}
	case <-ctx.Done():
		return node.BootTiming{}, ctx.Err()
	default:
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.busy.Add(1)
		defer g.busy.Add(-1)
		g.t.r.Handler.ServeHTTP(w, r)
	})
	timing := node.BootTiming{VM: time.Millisecond, Libos: 2 * time.Millisecond, Program: 3 * time.Millisecond}
	if g.serving.Swap(true) {
		return timing, nil
	}
	srv := &http.Server{Handler: handler, Protocols: g.t.r.Protocols,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, selfKey{}, g) }}
	go srv.Serve(listener{g})
	go func() { <-g.done; srv.Close() }()
	if !g.restored {
		g.t.take(g)
	}
	if g.t.r.OnListen != nil {
		g.t.r.OnListen(ctx)
	}
	return timing, nil
}

// Restored is closed: states are there at once.
func (g *Guest) Restored() <-chan struct{} { return restored }

var restored = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Dial opens a stream.
func (g *Guest) Dial(ctx context.Context) (net.Conn, error) {
	if g.t.r.OnDial != nil {
		if err := g.t.r.OnDial(); err != nil {
			return nil, err
		}
	}
	g.order.Lock()
	defer g.order.Unlock()
	a, b, err := socketPair()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		a.Close()
		b.Close()
		return nil, err
	}
	g.accept(b)
	return a, nil
}

// accept passes a stream to the program.
func (g *Guest) accept(b net.Conn) {
	g.mu.Lock()
	if g.ended {
		// A real tender takes the stream, finds that there is no such instance, and drops it.
		g.mu.Unlock()
		time.AfterFunc(time.Millisecond, func() { b.Close() })
		return
	}
	g.open[b] = struct{}{}
	g.mu.Unlock()
	select {
	case g.conns <- b:
	case <-g.done:
		b.Close()
	}
}

// Spawn runs the program that OnSpawn stands for.
func (g *Guest) Spawn(ctx context.Context, env []string) (node.Job, error) {
	return g.t.r.OnSpawn(ctx, env)
}

// End ends the instance; its streams break first, as with a real one.
func (g *Guest) End(e node.Exit) {
	g.once.Do(func() {
		g.mu.Lock()
		g.ended = true
		for c := range g.open {
			c.Close()
		}
		g.mu.Unlock()
		g.t.mu.Lock()
		delete(g.t.guests, g)
		g.t.mu.Unlock()
		g.exit = e
		g.t.r.Live.Add(-1)
		close(g.done)
	})
}

// Print writes a line as the program would.
func (g *Guest) Print(text string) { g.t.Config.OnLine(g.ID, "stdout", text, time.Now()) }

// Signal ends the instance for 15.
func (g *Guest) Signal(n int) {
	if n == 15 && !g.t.r.IgnoreTerm {
		g.End(node.Exit{Kind: node.ExitSignal, Status: 128 + n, Reason: "signal 15 (SIGTERM)"})
	}
}

// Kill ends the instance.
func (g *Guest) Kill(reason string) { g.End(node.Exit{Kind: node.ExitKilled, Reason: reason}) }

// Done is closed when it has ended.
func (g *Guest) Done() <-chan struct{} { return g.done }

// Exit says how.
func (g *Guest) Exit() node.Exit { return g.exit }

// Tender is the tender that runs it.
func (g *Guest) Tender() *Tender { return g.t }

// Usage reports CPU and a constant.
func (g *Guest) Usage(context.Context) (node.Usage, error) {
	return node.Usage{Memory: 1 << 20, CPU: time.Duration(g.CPU.Load())}, nil
}

// listener hands a guest's streams to its HTTP server.
type listener struct{ g *Guest }

func (l listener) Accept() (net.Conn, error) {
	for {
		select {
		case c := <-l.g.conns:
			if on := l.g.t.r.OnAccept; on == nil || on(c) {
				return c, nil
			}
		case <-l.g.done:
			return nil, net.ErrClosed
		}
	}
}
func (l listener) Close() error   { return nil }
func (l listener) Addr() net.Addr { return &net.UnixAddr{Name: l.g.ID} }

// Images gives every reference an empty image.
type Images struct {
	Missing map[string]bool
}

// Open opens an image.
func (i Images) Open(ref string) ([]image.Layer, image.Manifest, error) {
	if i.Missing[ref] {
		return nil, image.Manifest{}, image.ErrNotFound
	}
	f, err := os.Open(os.DevNull)
	return []image.Layer{{File: f}}, image.Manifest{Digest: ref, Program: "/program", Args: []string{"/program"}}, err
}
