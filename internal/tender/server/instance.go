// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

const wakeID = 3 // epoll id of the eventfd: below abi.ConnFirst and no console stream

// instance is one guest and the thread that is its vCPU. That thread also does the socket work whenever the guest is not
// running, so that a request costs one exit and no wake-up of another thread.
//
// Lock order: ticker.mu, instance.mu, outbox.mu.
type instance struct {
	id      uint32
	host    *Server
	stdio   [3]int
	spawns  bool          // the program is started by Spawn, see job.go
	running atomic.Bool   // the vCPU thread is in Run, or about to be
	entries atomic.Uint64 // entries into the guest

	mu       sync.Mutex
	sb       monitor.Sandbox
	link     *link
	table    *table
	console  *console
	files    *files // nil: no folder is served
	epfd     int
	evfd     int
	sleeping bool   // the vCPU thread is in epoll, or about to be
	ended    bool   // Run is not entered again
	abort    bool   // and nothing that is left is waited for
	end      ending // why: the first cause
	signals  uint64 // signals for process 1 that wait for room in the ring
	tid      int
	entered  int64 // when the guest was entered last
	stamps   wire.Stamps
	ticks    uint64
	preempts uint64
	pace     pace // of ticker

	lastTail     uint64 // see throttle
	stubbornness int
	events       [maxEvents]unix.EpollEvent // of whoever is in look
}

// ending is how an instance ended.
type ending struct {
	set    bool
	kind   uint8
	status uint32
	reason string
	report string
}

// run is the life of an instance, on a thread of its own.
func (in *instance) run(cfg monitor.Config) {
	// The thread is not given back: it carries the vCPU's signal state, and ends with it.
	runtime.LockOSThread()
	defer in.host.wg.Done()
	start := in.host.clock.now()
	err := in.create(cfg)
	vm := in.host.clock.now() - start
	if err != nil {
		in.host.out.send(&wire.Started{Instance: in.id, Error: oneLine(err)})
		in.host.forget(in)
		in.close()
		return
	}
	in.stamps.Create = start
	in.host.out.send(&wire.Started{Instance: in.id, VM: vm})
	in.host.ticker.add(in)
	in.loop()
	in.host.ticker.remove(in)
	in.finish()
}

func (in *instance) create(cfg monitor.Config) error {
	sb, err := in.host.shells.take(in.host.mon, cfg)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sb = sb
	in.tid = unix.Gettid()
	if in.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make an epoll set: %w", err)
	}
	if in.evfd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeID}
	if err := unix.EpollCtl(in.epfd, unix.EPOLL_CTL_ADD, in.evfd, &ev); err != nil {
		return fmt.Errorf("watch an eventfd: %w", err)
	}
	in.link = newLink(sb.Shared())
	in.table = newTable(in.link, in.epfd)
	if cfg.Boot.Flags&abi.BootNet != 0 {
		in.table.net = &dialer{id: in.id, asked: map[uint32]*stream{}, tell: in.host.out.send,
			offer: func(m wire.Message) bool { return in.host.out.offer(m, maxOutput) }}
	}
	in.console = newConsole(in.link, in.epfd, in.stdio, in.emit)
	if cfg.Boot.Flags&abi.BootFiles != 0 {
		in.files = &files{link: in.link, sb: sb, id: in.id, ask: in.host.out.send}
	}
	// Input that is there already, or its end, is in the ring before the guest starts: that saves it an exit.
	return in.console.service()
}

// loop enters the guest until it has ended.
func (in *instance) loop() {
	for in.enter() {
		exit, err := in.sb.Run()
		in.leave(exit, err)
	}
}

// enter prepares for Run; false if there is none.
func (in *instance) enter() bool {
	in.mu.Lock()
	if in.ended {
		in.mu.Unlock()
		return false
	}
	in.link.pushed = false
	in.entered = in.host.clock.now()
	if in.stamps.Enter == 0 {
		in.stamps.Enter = in.entered
	}
	in.entries.Add(1)
	in.running.Store(true)
	in.mu.Unlock()
	in.host.ticker.arm()
	return true
}

// leave does what a return from the guest asks for.
func (in *instance) leave(exit monitor.Exit, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running.Store(false)
	in.pace.last = 0
	if err != nil {
		in.conclude(ending{kind: wire.KindFault, reason: oneLine(err), report: err.Error()})
		return
	}
	in.link.retry()
	if _, err := in.poll(); err != nil && !isEnd(exit.Kind) {
		in.fail(err)
		return
	}
	switch exit.Kind {
	case monitor.ExitQueue, monitor.ExitKick:
	case monitor.ExitIdle:
		in.idle()
	default:
		in.conclude(endingOf(exit, in.host.memory))
	}
}

func isEnd(k monitor.ExitKind) bool {
	return k != monitor.ExitQueue && k != monitor.ExitIdle && k != monitor.ExitKick
}

// poll moves everything that can be moved, in both directions, and reports whether anything came from the guest or a
// socket. Preconditions: in.mu is held.
func (in *instance) poll() (moved bool, err error) {
	if moved, err = in.drain(); err != nil {
		return moved, err
	}
	if in.running.Load() {
		// While the guest runs nobody waits in epoll: look what has come.
		if err := in.look(0); err != nil {
			return moved, err
		}
	}
	read, err := in.push()
	return moved || read, err
}

// push gives the guest what there is for it. Preconditions: in.mu is held.
func (in *instance) push() (moved bool, err error) {
	if err := in.sendSignals(); err != nil {
		return false, err
	}
	if err := in.table.settleAll(); err != nil {
		return false, err
	}
	if err := in.table.flushAll(); err != nil {
		return false, err
	}
	if err := in.console.service(); err != nil {
		return false, err
	}
	if err := in.files.settle(); err != nil {
		return false, err
	}
	return in.table.readAll()
}

func (in *instance) sendSignals() error {
	for signo := uint32(1); in.signals != 0 && signo <= 64; signo++ {
		bit := uint64(1) << (signo - 1)
		if in.signals&bit == 0 {
			continue
		}
		ok, err := in.link.put(abi.MsgSignal, 0, signo, nil)
		if err != nil || !ok {
			return err
		}
		in.signals &^= bit
	}
	return nil
}

// emit is a console stream's way to the node.
func (in *instance) emit(stream uint8, p []byte) bool {
	return in.host.out.offer(&wire.Output{Instance: in.id, Stream: stream, Time: time.Now().UnixNano(), Data: p}, maxOutput)
}
