// SPDX-License-Identifier: Apache-2.0

// Package plain is a runtime whose instances are plain processes of this machine, behind the same gateway: what
// measurements compare unikernels with. It isolates nothing and enforces no memory limit; never serve others with it.
package plain

import (
	"unifaas.dev/internal/snapshot"

	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/node"
)

// Runtime starts processes.
type Runtime struct {
	Dir string // for the programs; made when needed

	once sync.Once
	work chan func()
}

// Name is "process-plain".
func (r *Runtime) Name() string { return "process-plain" }

// onThread runs f on a thread that never ends: the kernel ties Pdeathsig to the thread that forked.
func (r *Runtime) onThread(f func() error) (err error) {
	r.once.Do(func() {
		r.work = make(chan func())
		go func() {
			runtime.LockOSThread()
			for f := range r.work {
				f()
			}
		}()
	})
	done := make(chan struct{})
	r.work <- func() { err = f(); close(done) }
	<-done
	return err
}

// Key says that there are no snapshots of processes.
func (r *Runtime) Key(node.TenderConfig) (snapshot.Key, bool) { return snapshot.Key{}, false }

// StartTender takes the program, or with it all its files, out of its image.
func (r *Runtime) StartTender(_ context.Context, c node.TenderConfig) (node.Tender, error) {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.Dir, "plain-")
	if err != nil {
		return nil, err
	}
	t := &tender{r: r, c: c, dir: dir, done: make(chan struct{}), guests: map[*guest]struct{}{}}
	if err := t.extract(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("image: %w", err)
	}
	return t, nil
}

type tender struct {
	r    *Runtime
	c    node.TenderConfig
	dir  string
	exe  string // of the host, or inside of dir if that is the root folder
	root bool   // the program runs with dir as its root folder
	once sync.Once
	done chan struct{}

	mu     sync.Mutex
	guests map[*guest]struct{}
	closed bool
}

// Keep: a process has no shell.
func (t *tender) Keep(int) {}

func (t *tender) PID() int              { return os.Getpid() }
func (t *tender) Done() <-chan struct{} { return t.done }

func (t *tender) Close() error {
	t.once.Do(func() {
		t.mu.Lock()
		t.closed = true
		var guests []*guest
		for g := range t.guests {
			guests = append(guests, g)
		}
		t.mu.Unlock()
		for _, g := range guests {
			g.Kill("closed")
			<-g.done
		}
		os.RemoveAll(t.dir)
		close(t.done)
	})
	<-t.done
	return nil
}

func (t *tender) Start(_ context.Context, o node.Start) (node.Guest, error) {
	id := o.ID
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	g := &guest{t: t, id: id, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), start: time.Now(), done: make(chan struct{})}
	g.cmd = &exec.Cmd{Path: t.exe, Args: t.c.Manifest.Args, Dir: t.dir, Env: append(append([]string(nil), t.c.Env...), "PORT="+strconv.Itoa(port)),
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}}
	if t.root {
		g.cmd.Dir, g.cmd.SysProcAttr.Chroot = t.c.Manifest.Cwd, t.dir
		g.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: t.c.Manifest.UID, Gid: t.c.Manifest.GID}
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := g.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fmt.Errorf("closed")
	}
	if err := t.r.onThread(g.cmd.Start); err != nil {
		return nil, err
	}
	g.spawned = time.Since(g.start)
	t.guests[g] = struct{}{}
	var read sync.WaitGroup
	read.Go(func() { g.lines("stdout", out) })
	read.Go(func() { g.lines("stderr", errs) })
	go func() {
		read.Wait()
		g.finish(g.cmd.Wait())
	}()
	return g, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

type guest struct {
	t       *tender
	id      string
	addr    string
	cmd     *exec.Cmd
	start   time.Time
	spawned time.Duration

	mu     sync.Mutex
	killed string
	exit   node.Exit
	done   chan struct{}
}

// Spawn: plain processes serve HTTP only.
func (g *guest) Spawn(context.Context, []string) (node.Job, error) {
	return nil, errors.New("contract stdio: not with plain processes")
}

func (g *guest) lines(stream string, from io.Reader) {
	in := bufio.NewScanner(from)
	in.Buffer(make([]byte, 4096), 1<<20)
	for in.Scan() {
		g.t.c.OnLine(g.id, stream, in.Text(), time.Now())
	}
	io.Copy(io.Discard, from)
}

func (g *guest) finish(error) {
	g.mu.Lock()
	ws, _ := g.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case g.killed != "":
		g.exit = node.Exit{Kind: node.ExitKilled, Status: 137, Reason: g.killed}
	case ws.Signaled():
		g.exit = node.Exit{Kind: node.ExitSignal, Status: 128 + int(ws.Signal()), Reason: fmt.Sprintf("signal %d (%s)", ws.Signal(), unix.SignalName(ws.Signal()))}
	default:
		g.exit = node.Exit{Kind: node.ExitNormal, Status: ws.ExitStatus(), Reason: fmt.Sprintf("exit status %d", ws.ExitStatus())}
	}
	g.mu.Unlock()
	g.t.mu.Lock()
	delete(g.t.guests, g)
	g.t.mu.Unlock()
	close(g.done)
}

// WaitListen looks at the port again and again: nothing tells when a process listens.
func (g *guest) WaitListen(ctx context.Context) (node.BootTiming, error) {
	for wait := 100 * time.Microsecond; ; wait = min(wait+wait/8, 2*time.Millisecond) {
		if c, err := net.Dial("tcp", g.addr); err == nil {
			c.Close()
			return node.BootTiming{VM: g.spawned, Program: time.Since(g.start) - g.spawned}, nil
		}
		select {
		case <-g.done:
			return node.BootTiming{}, &node.ExitError{Exit: g.exit}
		case <-ctx.Done():
			return node.BootTiming{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (g *guest) Restored() <-chan struct{} { return g.done }

func (g *guest) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", g.addr)
}

func (g *guest) Rewind(_ bool, then func(node.Rewound, error)) net.Conn {
	then(node.Rewound{}, errors.ErrUnsupported)
	return nil
}

func (g *guest) Park(context.Context, *os.File) (int64, error) { return 0, errors.ErrUnsupported }

func (g *guest) Signal(n int) { syscall.Kill(-g.cmd.Process.Pid, syscall.Signal(n)) }

func (g *guest) Kill(reason string) {
	g.mu.Lock()
	if g.killed == "" {
		g.killed = reason
	}
	g.mu.Unlock()
	select {
	case <-g.done: // the process id may be another's by now
	default:
		syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func (g *guest) Done() <-chan struct{} { return g.done }
func (g *guest) Exit() node.Exit       { return g.exit }

// Usage is read from /proc.
func (g *guest) Usage(context.Context) (node.Usage, error) {
	var u node.Usage
	proc := fmt.Sprintf("/proc/%d/", g.cmd.Process.Pid)
	statm, err := os.ReadFile(proc + "statm")
	if err != nil {
		return u, err
	}
	if f := strings.Fields(string(statm)); len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		u.Memory = pages * int64(os.Getpagesize())
	}
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, err
	}
	if at := strings.LastIndexByte(string(stat), ')'); at >= 0 {
		if f := strings.Fields(string(stat[at+1:])); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			u.CPU = time.Duration(user+system) * (time.Second / 100)
		}
	}
	return u, nil
}
