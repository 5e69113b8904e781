// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/tender/wire"
)

const wakeID = 3 // epoll id of the eventfd: below abi.ConnFirst and no console stream

// instance is one guest and the thread that is its vCPU. That thread also does the socket work whenever the guest is not
// running, so that a request costs one exit and no wake-up of another thread.
//
// Lock order: ticker.mu, instance.mu, outbox.mu.
type instance struct {
	id       uint32
	host     *Server
	boot     monitor.Boot
	hostname string
	stdio    [3]int
	spawns   bool          // the program is started by Spawn, see job.go
	manual   bool          // the program says when it is initialised
	origin   *origin       // nil: it boots
	asked    int64         // when it was asked for
	running  atomic.Bool   // the vCPU thread is in Run, or about to be
	entries  atomic.Uint64 // entries into the guest

	mu          sync.Mutex
	sb          monitor.Sandbox
	link        *link
	table       *table
	console     *console
	files       *files // nil: no folder is served
	frees       frees
	capture     *capture          // not nil: its state is going to be the snapshot
	rewinder    *state.Rewinder   // nil: it cannot be rewound
	rewinds     int               // asked for and not done
	parking     *parking          // nil: nobody wants it parked
	ahead       int64             // ns that the guest's CLOCK_MONOTONIC is ahead of the host's
	used        *used             // not nil: the sandbox is another's, at the snapshot
	ready       bool              // the guest is in IDLE and says that it is initialised
	restful     bool              // the last exit left a guest that can go on
	early       []func(*instance) // commands that came before there was a sandbox
	buried      bool              // and that there will be none
	untold      bool              // what restoring took is to be told
	announced   bool              // the node knows of it
	parkedBytes int64
	epfd        int
	evfd        int
	sleeping    bool   // the vCPU thread is in epoll, or about to be
	ended       bool   // Run is not entered again
	abort       bool   // and nothing that is left is waited for
	end         ending // why: the first cause
	signals     uint64 // signals for process 1 that wait for room in the ring
	tid         int
	cpu         int64 // ns that the thread had used before
	entered     int64 // when the guest was entered last
	stamps      stamps
	ticks       uint64
	preempts    uint64
	pace        pace // of ticker

	resting      resting
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

// kindParked is an ending of its own: the state is kept.
const kindParked = 255

// stamps are those of the life of an instance, and what else it took.
type stamps struct {
	wire.Stamps
	State int64 // ns that putting its state in took
}

// adopt takes over a shell. From here on streams can be opened: they wait until the guest runs.
func (in *instance) adopt(sh *shell) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sb, in.epfd, in.evfd, in.tid, in.link = sh.sb, sh.epfd, sh.evfd, sh.tid, sh.link
	in.used, in.cpu = sh.used, threadCPU(sh.tid)
	in.stamps.Create = in.host.clock.now()
	in.table = newTable(in.link, in.epfd)
	in.table.clock = in.host.clock
	in.table.held, in.table.forget = in.capture != nil, in.host.states.track
	if in.boot.Flags&abi.BootNet != 0 {
		in.table.net = &dialer{id: in.id, asked: map[uint32]*stream{}, tell: in.host.out.send,
			offer: func(m wire.Message) bool { return in.host.out.offer(m, maxOutput) }}
	}
	in.console = newConsole(in.link, in.epfd, in.stdio, in.emit)
	if in.boot.Flags&abi.BootFiles != 0 {
		in.files = &files{link: in.link, sb: in.sb, id: in.id, ask: in.host.out.send}
	}
	in.link.shut = true // until there is something to talk to
	if in.origin != nil && in.origin.parked == nil {
		in.announce(&in.origin.image.Meta().Link)
	}
	in.runEarly()
}

// runEarly does what was waiting for a sandbox. Preconditions: in.mu is held.
func (in *instance) runEarly() {
	for _, f := range in.early {
		f(in)
	}
	in.early = nil
}

// live is the life of an instance, on the locked thread of its shell, which it has adopted. err is why it has none. It returns what is left
// for another instance, if anything is.
func (in *instance) live(err error) *shell {
	defer in.host.wg.Done()
	if err == nil {
		err = in.prepare()
	}
	if err != nil {
		in.stillborn(err)
		return nil
	}
	in.host.ticker.add(in)
	in.loop()
	in.host.ticker.remove(in)
	return in.finish()
}

// prepare makes the sandbox what it was asked to be, and tells that the instance is there.
func (in *instance) prepare() error {
	if o := in.origin; o != nil {
		err := in.restore(o)
		closeFile(o.parked)
		in.origin = nil
		if err == nil {
			in.mu.Lock()
			in.await()
			in.mu.Unlock()
		}
		return err
	}
	if err := in.sb.SetBoot(in.boot); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.link.shut = false
	// Input that is there already, or its end, is in the ring before the guest starts: that saves it an exit.
	if err := in.console.service(); err != nil {
		return err
	}
	in.host.out.send(&wire.Started{Instance: in.id, VM: in.host.clock.now() - in.asked})
	in.announced = true
	return nil
}

// stillborn is an instance that does not come to run.
func (in *instance) stillborn(err error) {
	in.mu.Lock()
	told := in.announced
	if told { // it was there already as far as the node knows
		if !in.end.set {
			in.end = ending{set: true, kind: wire.KindFault, reason: oneLine(err), report: err.Error()}
		}
		in.host.out.send(in.exited())
	} else {
		in.host.out.send(&wire.Started{Instance: in.id, Kind: kindOf(err), Error: oneLine(err)})
	}
	in.ended, in.buried = true, true
	in.runEarly()
	in.mu.Unlock()
	in.host.forget(in)
	in.close()
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
	for in.rewinds > 0 && !in.ended {
		in.rewindNow()
	}
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
	in.restful = err == nil && (!isEnd(exit.Kind) || exit.Kind == monitor.ExitDone)
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
		in.ready = exit.Value&abi.IdleReady != 0
		in.idle()
		in.ready = false
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
	in.tellRestored() // before the answer, which may be all that its caller waits for
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
	if err := in.settleFrees(); err != nil {
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
