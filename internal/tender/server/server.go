// SPDX-License-Identifier: Apache-2.0

// Package server is the tender process: it runs the instances of one function through a monitor, driven over one socket.
//
// It opens no path, but for its own memory map in /proc, and no network connection: library OS, image, console and every stream come as descriptors. What the
// node sends is checked for form; what a guest writes is hostile.
package server

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/calltrace"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

// maxLibos bounds the library OS file; the real one has a few hundred KiB.
const maxLibos = 16 << 20

// stopGrace is how long instances get to end after Stop.
const stopGrace = 2 * time.Second

// Open makes the monitor that a node asks for. kvm is /dev/kvm, nil if the node could not open it.
type Open func(name string, kvm *os.File) (monitor.Monitor, error)

// Server is one tender.
type Server struct {
	fd     int
	open   Open
	clock  clock
	out    *outbox
	ticker *ticker
	mon    monitor.Monitor // nil until loaded
	shells *shells
	states *states
	config monitor.Config // of every instance, but for host name and environment
	memory int64
	loaded bool

	pagemapMu sync.Mutex
	pagemap   guestmem.Pagemap

	mu        sync.Mutex
	instances map[uint32]*instance
	wg        sync.WaitGroup
}

// Serve works until the node says Stop or goes away. It closes fd.
func Serve(fd int, open Open) error {
	defer unix.Close(fd)
	t, err := newTicker()
	if err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	s := &Server{fd: fd, open: open, clock: newClock(), out: &outbox{fd: fd}, ticker: t, states: &states{}, instances: map[uint32]*instance{}}
	defer s.shutdown()
	// While paths can still be opened; without it, what an instance has of its own is not known.
	if f, err := os.Open("/proc/self/pagemap"); err == nil {
		s.pagemap.File = f
		defer f.Close()
	}
	buf := make([]byte, wire.MaxInline)
	for {
		m, fds, err := wire.Receive(fd, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, wire.ErrShort) {
			if err = s.short(m); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		done, err := s.dispatch(m, fds)
		if err != nil || done {
			return err
		}
	}
}

// dispatch does one command. It owns the descriptors.
func (s *Server) dispatch(m wire.Message, fds []int) (done bool, err error) {
	want := 0
	switch m := m.(type) {
	case *wire.Load:
		return false, s.load(m, fds)
	case *wire.Prepare:
		return false, s.prepare(m, fds)
	case *wire.Start:
		return false, s.start(m, fds)
	case *wire.Dial, *wire.Spawn, *wire.Park:
		want = 1
	case *wire.FileReply:
		return false, s.fileReply(m, fds)
	case *wire.Connected:
		if m.Errno == 0 {
			want = 1
		}
	case *wire.Rewind:
		if m.Port != 0 {
			want = 1
		}
	}
	if len(fds) != want {
		wire.CloseAll(fds)
		return false, fmt.Errorf("%w: %T with %d descriptors", wire.ErrMalformed, m, len(fds))
	}
	switch m := m.(type) {
	case *wire.Dial:
		s.dial(m, fds[0])
	case *wire.Connected:
		s.connected(m, fds)
	case *wire.Spawn:
		s.spawn(m, fds[0])
	case *wire.Kill:
		s.kill(m.Instance, m.Reason)
	case *wire.Signal:
		s.with(m.Instance, func(in *instance) {
			if in.ended {
				return
			}
			if unix.Signal(m.Signo) == unix.SIGWINCH && in.console.tty.fd >= 0 { // the guest knows who has to hear of it
				in.console.tty.tell = true
				in.command(in.console.service())
				return
			}
			in.signals |= 1 << (m.Signo - 1)
			in.command(in.sendSignals())
		})
	case *wire.Stats:
		r := &wire.StatsReply{Instance: m.Instance, Token: m.Token}
		reply := func(in *instance) {
			if r.OK = in.table != nil; r.OK {
				r.Counters = in.counters()
				r.Counters.Private = in.private()
			}
			s.out.send(r)
		}
		if !s.with(m.Instance, reply) {
			s.out.send(r)
		}
	case *wire.Keep:
		if s.shells != nil {
			s.shells.keep(int(m.Shells))
		}
	case *wire.Rewind:
		s.rewind(m, fds)
	case *wire.Park:
		s.park(m.Instance, fds[0])
	case *wire.Stop:
		return true, nil
	default:
		return false, fmt.Errorf("%w: %T is no command", wire.ErrMalformed, m)
	}
	return false, nil
}

// short answers a command whose descriptors did not fit into this process. Guests bring that about by opening connections: it must cost
// them connections, not everybody's instances. A Dial is answered already, as its stream has ended.
func (s *Server) short(m wire.Message) error {
	const why = "the tender has no descriptors left: raise the limit of open files"
	switch m := m.(type) {
	case *wire.Load:
		s.out.send(&wire.Loaded{Error: why})
	case *wire.Start:
		s.out.send(&wire.Started{Instance: m.Instance, Error: why})
	case *wire.Dial:
	case *wire.Rewind:
		m.Port = 0
		s.rewind(m, nil)
	case *wire.Prepare:
		s.out.send(&wire.Prepared{Error: why})
	case *wire.Park:
		s.with(m.Instance, func(in *instance) { in.parked(wire.ErrorOther, why, 0) })
	case *wire.Spawn:
		s.with(m.Instance, func(in *instance) { in.jobRefused(m.Token) })
	case *wire.Connected:
		m.Errno = uint16(unix.ENOBUFS)
		s.connected(m, nil)
	case *wire.FileReply:
		m.Errno, m.Data = uint16(unix.ENFILE), nil
		return s.fileReply(m, nil)
	default:
		return fmt.Errorf("%w: %T with descriptors", wire.ErrMalformed, m)
	}
	return nil
}

// with calls f with an instance and its mutex held, once it has a sandbox or has ended without; false if there is none.
func (s *Server) with(id uint32, f func(*instance)) bool {
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in == nil {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.table != nil && in.sb == nil, in.buried:
		return false
	case in.table == nil:
		in.early = append(in.early, f)
	default:
		f(in)
	}
	return true
}

// kill works on an instance that is still being made too.
func (s *Server) kill(id uint32, reason string) {
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in != nil {
		in.mu.Lock()
		in.kill(reason)
		in.mu.Unlock()
	}
}

func (s *Server) load(m *wire.Load, fds []int) error {
	want := len(m.Layers)
	for _, has := range []bool{!m.Prepared, m.HasKVM, m.Snapshot.HasImage, m.Snapshot.HasSink} {
		if has {
			want++
		}
	}
	if s.loaded || m.Prepared != (s.mon != nil) || m.Prepared && m.HasKVM || len(fds) != want {
		wire.CloseAll(fds)
		return fmt.Errorf("%w: load with %d descriptors", wire.ErrMalformed, len(fds))
	}
	s.loaded = true
	var err error
	var libos int
	if !m.Prepared {
		libos, fds = fds[0], fds[1:]
	}
	for _, size := range m.Layers {
		s.config.Layers = append(s.config.Layers, monitor.Layer{File: os.NewFile(uintptr(fds[0]), "layer"), Size: size})
		fds = fds[1:]
	}
	var kvm *os.File
	if m.HasKVM {
		kvm, fds = os.NewFile(uintptr(fds[0]), "/dev/kvm"), fds[1:]
	}
	var state *os.File
	if m.Snapshot.HasImage || m.Snapshot.HasSink {
		state = os.NewFile(uintptr(fds[0]), "snapshot")
	}
	if !m.Prepared {
		err = s.openMonitor(m.Monitor, kvm, libos, m.LibosSize)
	}
	if err != nil {
		closeFile(state)
		s.out.send(&wire.Loaded{Error: oneLine(err)})
		return nil
	}
	s.config.Memory, s.config.Boot = m.Memory, m.Boot
	s.memory = m.Memory
	s.shells.configure(s.config)
	loaded := &wire.Loaded{Monitor: s.mon.Name()}
	s.states.pristine = m.Snapshot.Pristine || m.Snapshot.Track
	s.states.layers, s.states.track, s.states.key, s.states.port = s.config.Layers, m.Snapshot.Track, m.Snapshot.Key, m.Snapshot.Port
	switch {
	case m.Snapshot.HasImage:
		loaded.Features = s.shells.kind()
		s.states.key.Features = loaded.Features
		if err := s.states.open(state); err != nil {
			loaded.Refused, loaded.Why = oneLine(err), kindOf(err)
		} else {
			s.shells.used(top(s.states.get()))
		}
		state.Close()
	case m.Snapshot.HasSink:
		s.states.sink = state
	}
	s.shells.keep(int(m.Shells))
	s.out.send(loaded)
	return nil
}

// prepare makes ready what does not depend on the function.
func (s *Server) prepare(m *wire.Prepare, fds []int) error {
	want := 1
	if m.HasKVM {
		want++
	}
	if s.loaded || s.mon != nil || len(fds) != want {
		wire.CloseAll(fds)
		return fmt.Errorf("%w: prepare with %d descriptors", wire.ErrMalformed, len(fds))
	}
	var kvm *os.File
	if m.HasKVM {
		kvm = os.NewFile(uintptr(fds[1]), "/dev/kvm")
	}
	if err := s.openMonitor(m.Monitor, kvm, fds[0], m.LibosSize); err != nil {
		s.out.send(&wire.Prepared{Error: oneLine(err)})
		return nil
	}
	s.config.Memory = m.Memory
	s.shells.configure(s.config)
	s.shells.used(blankTouch)
	s.shells.keep(1)
	s.out.send(&wire.Prepared{})
	return nil
}

// openMonitor reads the library OS, whose descriptor it owns, and opens the monitor.
func (s *Server) openMonitor(name string, kvm *os.File, fd int, size int64) error {
	defer unix.Close(fd)
	if size < 0 || size > maxLibos {
		return fmt.Errorf("library OS of %d bytes: at most %d", size, maxLibos)
	}
	s.config.Libos = make([]byte, size)
	if err := wire.ReadFull(fd, s.config.Libos); err != nil {
		return fmt.Errorf("read the library OS: %w", err)
	}
	mon, err := s.open(name, kvm)
	if err == nil {
		s.mon = mon
		s.shells = newShells(mon, s.config)
	}
	return err
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

func (s *Server) start(m *wire.Start, fds []int) error {
	stdio := [3]int{-1, -1, -1}
	rest := fds
	for i := range stdio {
		if m.Stdio&(1<<i) != 0 && len(rest) > 0 {
			stdio[i], rest = rest[0], rest[1:]
		}
	}
	parked := -1
	if m.From == wire.FromParked && len(rest) > 0 {
		parked, rest = rest[0], rest[1:]
	}
	s.mu.Lock()
	taken := s.instances[m.Instance] != nil
	s.mu.Unlock()
	bad := len(rest) != 0 || !s.loaded || s.mon == nil || taken || m.From == wire.FromParked && parked < 0 ||
		m.From != wire.FromBoot && (m.Stdio != 0 || len(m.Env) > 0)
	for i := range stdio {
		bad = bad || (m.Stdio&(1<<i) != 0 && stdio[i] < 0)
	}
	if bad {
		wire.CloseAll(fds)
		return fmt.Errorf("%w: start of instance %d with %d descriptors", wire.ErrMalformed, m.Instance, len(fds))
	}
	in := &instance{id: m.Instance, host: s, boot: s.config.Boot, hostname: m.Hostname, stdio: stdio, epfd: -1, evfd: -1, asked: s.clock.now()}
	in.spawns, in.manual = in.boot.Flags&abi.BootSpawn != 0, in.boot.Flags&abi.BootSnapManual != 0
	if m.From == wire.FromBoot {
		in.boot.Hostname = m.Hostname
		in.boot.Env = mergeEnv(in.boot.Env, m.Env)
		if in.boot.Flags&abi.BootStrace != 0 {
			in.boot.Trace = calltrace.Table()
		}
		if s.states.claim(in) {
			in.capture = &capture{}
		}
	} else if in.origin = s.originOf(m, parked); in.origin == nil {
		s.out.send(&wire.Started{Instance: m.Instance, Kind: wire.ErrorForeign, Error: errNoSnapshot.Error()})
		return nil
	}
	s.mu.Lock()
	s.instances[m.Instance] = in
	s.mu.Unlock()
	s.wg.Add(1)
	s.shells.give(in)
	return nil
}

// originOf is what an instance is made of; nil: there is no snapshot. It owns the descriptor.
func (s *Server) originOf(m *wire.Start, parked int) *origin {
	im := s.states.get()
	if im == nil {
		closeFD(parked)
		return nil
	}
	o := &origin{image: im, off: m.Off, len: m.Len}
	if parked >= 0 {
		o.parked = os.NewFile(uintptr(parked), "parked")
	}
	return o
}

// mergeEnv lets the variables of an instance override those of its function.
func mergeEnv(base, own []string) []string {
	if len(own) == 0 {
		return base
	}
	merged := make([]string, 0, len(base)+len(own))
	for _, kv := range base {
		key, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, key+"=") }) {
			merged = append(merged, kv)
		}
	}
	return append(merged, own...)
}

func (s *Server) dial(m *wire.Dial, fd int) {
	ok := s.with(m.Instance, func(in *instance) {
		if in.ended {
			unix.Close(fd)
			return
		}
		err := in.table.dial(m.Port, fd)
		if err == nil {
			err = in.captureDue()
		}
		if err == nil {
			_, err = in.table.readAll() // the request with the OPEN
		}
		in.command(err)
	})
	if !ok {
		unix.Close(fd)
	}
}

// connected passes the answer to a Connect on.
func (s *Server) connected(m *wire.Connected, fds []int) {
	fd := -1
	if len(fds) == 1 {
		fd = fds[0]
	}
	ok := s.with(m.Instance, func(in *instance) {
		if in.ended {
			closeFD(fd)
			return
		}
		in.command(in.table.connected(m.Token, unix.Errno(m.Errno), fd))
	})
	if !ok {
		closeFD(fd)
	}
}

// command is the end of every command that talks to the guest. Preconditions: in.mu is held.
func (in *instance) command(err error) {
	if err != nil {
		in.fail(err)
		return
	}
	in.wake()
}

// forget takes an instance that has ended off the list.
func (s *Server) forget(in *instance) {
	s.mu.Lock()
	delete(s.instances, in.id)
	s.mu.Unlock()
}

// shutdown ends everything. An instance that does not end in time goes with the process.
func (s *Server) shutdown() {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.instances))
	s.mu.Unlock()
	if s.shells != nil {
		s.shells.keep(0) // nobody wants what they leave
	}
	for _, in := range all {
		s.kill(in.id, "tender stopped")
	}
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopGrace):
	}
	s.ticker.stop()
	if s.shells != nil {
		s.shells.close()
	}
	s.states.close()
	for _, l := range s.config.Layers {
		l.File.Close()
	}
}
