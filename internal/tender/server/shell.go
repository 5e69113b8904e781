// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/timerslack"
)

const (
	// shellDelay keeps making the next shell out of the way of the instance that took the last one, which has just begun to work.
	shellDelay = 15 * time.Millisecond
	// What a shell has in memory before it is needed: the library OS with its tables, and what instances were seen to use.
	shellMin, shellMax = 8 << 20, 64 << 20
	// blankTouch is the same before any instance was seen: what an interpreter and its modules take.
	blankTouch = 24 << 20
)

var errStopping = errors.New("the tender stops")

// shell is a sandbox that no instance has yet, with its thread: the one that will be the vCPU waits for whom it is given to, so that
// giving it costs one wake-up.
type shell struct {
	sb         monitor.Sandbox
	epfd, evfd int
	tid        int
	link       *link

	used *used // not nil: it has run, and is at the snapshot

	next atomic.Pointer[instance] // whom it was given to
	over atomic.Bool              // nobody will have it
}

// newShell makes one on the thread that will be its vCPU.
func newShell(mon monitor.Monitor, c monitor.Config) (_ *shell, err error) {
	sh := &shell{epfd: -1, evfd: -1, tid: unix.Gettid()}
	defer func() {
		if err != nil {
			sh.close()
		}
	}()
	if sh.sb, err = mon.Create(c); err != nil {
		return nil, err
	}
	if sh.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll set: %w", err)
	}
	if sh.evfd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeID}
	if err = unix.EpollCtl(sh.epfd, unix.EPOLL_CTL_ADD, sh.evfd, &ev); err != nil {
		return nil, fmt.Errorf("watch an eventfd: %w", err)
	}
	sh.link = newLink(sh.sb.Shared())
	return sh, nil
}

// close frees what no instance has taken over.
func (sh *shell) close() {
	closeFD(sh.epfd)
	closeFD(sh.evfd)
	if sh.sb != nil {
		sh.sb.Close()
	}
}

// poke wakes the shell's thread.
func (sh *shell) poke() {
	one := [8]byte{1}
	_, _ = unix.Write(sh.evfd, one[:])
}

// wait is the shell's thread until somebody has it; nil: nobody will.
func (sh *shell) wait() *instance {
	var events [1]unix.EpollEvent
	for {
		if in := sh.next.Load(); in != nil {
			var b [8]byte
			_, _ = unix.Read(sh.evfd, b[:])
			return in
		}
		if sh.over.Load() {
			return nil
		}
		epollWait(sh.epfd, events[:], forever)
	}
}

// shells makes the sandboxes of all instances, some of them ahead, so that a start need not wait for KVM and for huge pages to be cleared.
type shells struct {
	mon monitor.Monitor

	mu       sync.Mutex
	config   monitor.Config // but for what SetBoot says of an instance
	ready    []*shell
	waiting  []*instance // each has a shell in the making
	making   int
	want     int  // ready ones
	due      bool // one will be made soon
	closed   bool
	gen      int           // of config
	features string        // of snapshots of these sandboxes; "": there are none
	first    chan struct{} // closed when features is known, or no sandbox can be made
	touch    int64         // bytes of RAM to make present
	wg       sync.WaitGroup
}

func newShells(mon monitor.Monitor, c monitor.Config) *shells {
	return &shells{mon: mon, config: c, touch: shellMin, first: make(chan struct{})}
}

// give finds a shell for an instance: one that stands ready, whose thread goes on as the instance's, or one that is made now. true: in has it.
func (s *shells) give(in *instance) bool {
	s.mu.Lock()
	if sh := s.pickLocked(in.origin); sh != nil {
		s.mu.Unlock()
		in.adopt(sh)
		sh.next.Store(in)
		sh.poke()
		return true
	}
	s.waiting = append(s.waiting, in)
	if s.making < len(s.waiting) {
		s.makeLocked(0)
	}
	s.mu.Unlock()
	return false
}

// pickLocked takes the shell that is ready soonest for an instance of some origin; nil: there is none. Preconditions: mu is held.
func (s *shells) pickLocked(o *origin) *shell {
	best := -1
	for i, sh := range s.ready {
		if sh.used != nil && (o == nil || sh.used.image != o.image) {
			continue
		}
		if best < 0 || (sh.used != nil) == (o != nil && o.parked == nil) {
			best = i
		}
	}
	if best < 0 || s.closed {
		return nil
	}
	sh := s.ready[best]
	s.ready = append(s.ready[:best], s.ready[best+1:]...)
	return sh
}

// again puts a shell back that an instance has left; false: it is one too many. wg counts it then.
func (s *shells) again(sh *shell) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.want == 0 {
		return false
	}
	if len(s.ready) >= s.want {
		i := slices.IndexFunc(s.ready, func(o *shell) bool { return o.used == nil })
		if i < 0 {
			return false
		}
		s.ready[i].end()
		s.ready = append(s.ready[:i], s.ready[i+1:]...)
	}
	s.ready = append(s.ready, sh)
	s.wg.Add(1)
	return true
}

// rank is lower for what is worth more.
func (sh *shell) rank() int {
	if sh.used != nil {
		return 0
	}
	return 1
}

// end ends a shell that nobody will have.
func (sh *shell) end() {
	sh.over.Store(true)
	sh.poke()
}

// makeLocked makes one more, with touch bytes of RAM present. Preconditions: mu is held.
func (s *shells) makeLocked(touch int64) {
	s.making++
	s.wg.Add(1)
	go s.run(s.config, s.gen, touch)
}

// run is the life of a shell's thread.
func (s *shells) run(c monitor.Config, gen int, touch int64) {
	// The thread is not given back: it carries the vCPU's signal state, and ends with it.
	runtime.LockOSThread()
	timerslack.Thread(timerslack.Exact) // the program's sleeps are this thread's
	in, sh, err := s.made(c, gen, touch)
	s.wg.Done()
	if in != nil {
		if err == nil {
			in.adopt(sh)
		}
		sh = in.live(err)
		if sh != nil && !s.again(sh) {
			sh.close()
			sh = nil
		}
	}
	for sh != nil { // else: that one cannot be made ahead is no matter here: the next start makes its own, and reports
		in := sh.wait()
		s.wg.Done()
		if in == nil {
			sh.close()
			return
		}
		if sh = in.live(nil); sh != nil && !s.again(sh) {
			sh.close()
			sh = nil
		}
	}
}

// made makes a shell, for whoever waits first or for later; then wg counts it until somebody has it.
func (s *shells) made(c monitor.Config, gen int, touch int64) (*instance, *shell, error) {
	sh, err := newShell(s.mon, c)
	s.learn(sh)
	if err == nil && touch > 0 {
		_ = sh.sb.Populate(touch) // else whoever runs in it does it by touching
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making--
	switch {
	case err != nil:
	case s.closed:
		sh.close()
		sh, err = nil, errStopping
	case gen != s.gen && !s.fit(sh, c.Memory):
		sh.close()
		if sh, err = newShell(s.mon, s.config); err != nil {
			break
		}
	}
	if len(s.waiting) > 0 {
		in := s.waiting[0]
		s.waiting = s.waiting[1:]
		return in, sh, err
	}
	if err != nil {
		return nil, nil, err
	}
	if len(s.ready) >= s.want {
		sh.close()
		return nil, nil, nil
	}
	s.ready = append(s.ready, sh)
	s.wg.Add(1)
	if len(s.ready)+s.making < s.want {
		s.makeLocked(s.touch)
	}
	return nil, sh, nil
}

// used tells how much of RAM, from its start, instances have in memory when they begin to serve.
func (s *shells) used(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch = min(max(bytes, shellMin), shellMax)
}

// keeper is a monitor that can use the memory of a sandbox again, for a while.
type keeper interface {
	KeepMemory(n int) error
}

// keep says how many stand ready. It ends those that are too many.
func (s *shells) keep(n int) {
	if k, ok := s.mon.(keeper); ok {
		_ = k.KeepMemory(min(n, 1)) // it did open its device, or there were no sandboxes
	}
	s.mu.Lock()
	s.want = n
	var over []*shell
	if len(s.ready) > n {
		slices.SortStableFunc(s.ready, func(a, b *shell) int { return a.rank() - b.rank() })
		over = append(over, s.ready[n:]...)
		clear(s.ready[n:])
		s.ready = s.ready[:n]
	}
	s.mu.Unlock()
	for _, sh := range over {
		sh.end()
	}
	s.refill(0)
}

// layered is a sandbox that can be told its image after it was made. Preconditions: Run was not called, and there was no image.
type layered interface {
	SetLayers([]monitor.Layer) error
}

// configure says what sandboxes consist of from now on. Those that cannot become that are ended.
func (s *shells) configure(c monitor.Config) {
	s.mu.Lock()
	memory := s.config.Memory
	s.config = c
	s.gen++
	had := s.ready
	s.ready = nil
	for _, sh := range had {
		if s.fit(sh, memory) {
			s.ready = append(s.ready, sh)
			continue
		}
		sh.end()
	}
	s.mu.Unlock()
}

// fit makes a sandbox that was made with so much memory and without an image what config says. Preconditions: mu is held.
func (s *shells) fit(sh *shell, memory int64) bool {
	l, ok := sh.sb.(layered)
	return ok && memory == s.config.Memory && l.SetLayers(s.config.Layers) == nil
}

// learn notes what the first sandbox says of all; nil: there is none.
func (s *shells) learn(sh *shell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.first:
		return
	default:
	}
	if sh != nil {
		if sb, ok := sh.sb.(monitor.Stateful); ok {
			s.features = sb.Features()
		}
	}
	close(s.first)
}

// kind names what snapshots of these sandboxes depend on; "": they have none. It waits until there was one.
func (s *shells) kind() string {
	s.mu.Lock()
	if len(s.ready)+s.making == 0 && !s.closed {
		s.want = max(s.want, 1)
		s.makeLocked(s.touch)
	}
	s.mu.Unlock()
	<-s.first
	return s.features
}

// refill makes what is missing after delay, one after the other.
func (s *shells) refill(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready)+s.making >= s.want || s.due || s.closed {
		return
	}
	s.due = true
	s.wg.Add(1)
	time.AfterFunc(delay, func() {
		defer s.wg.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due = false
		if len(s.ready)+s.making < s.want && !s.closed {
			s.makeLocked(s.touch)
		}
	})
}

// close ends all that nobody has, and those that are being made.
func (s *shells) close() {
	s.mu.Lock()
	s.closed = true
	over := s.ready
	s.ready = nil
	s.mu.Unlock()
	for _, sh := range over {
		sh.end()
	}
	s.wg.Wait()
}
