// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender/program"
	"unifaas.dev/internal/timerslack"
)

// stderrSize bounds what a tender can leave on its standard error: a stack trace.
const stderrSize = 64 << 10

// process is a tender's process as its parent sees it.
type process struct {
	pid    int
	p      *os.Process
	pidfd  *os.File // readable once the process has ended
	stderr *os.File
	state  string // how it ended; set before Tender.done is closed
}

// spawner starts processes from one thread that never ends: the kernel ties Pdeathsig to the thread that forked, not to
// the process, and Go's threads come and go.
type spawner struct {
	once sync.Once
	work chan func()
}

var tenders spawner

func (s *spawner) do(f func()) {
	s.once.Do(func() {
		s.work = make(chan func())
		go func() {
			runtime.LockOSThread()
			timerslack.Thread(timerslack.Loose) // tenders' threads, but for those of vCPUs
			// What this process itself was given by its parent is not for tenders.
			_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
			for f := range s.work {
				f()
			}
		}()
	})
	done := make(chan struct{})
	s.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// spawn starts the process with nothing but its end of a socket pair.
func spawn(exe, name string) (*process, *net.UnixConn, error) {
	if exe == "" {
		f, err := program.File()
		if err != nil {
			return nil, nil, err
		}
		// Of this process, not of the child: there the number may be taken while its descriptors are put in place.
		exe = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	}
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, nil, err
	}
	defer ours.Close()
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	stderr, err := boundedFile()
	if err != nil {
		return nil, nil, err
	}
	args := []string{"unifaas", "tender"}
	if name != "" {
		args = append(args, name)
	}
	pidfd := -1
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []*os.File{null, null, stderr, theirs},
		// A session of its own: terminal signals are the caller's to forward, and reading its terminal does not stop it.
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true, PidFD: &pidfd},
	}
	p := &process{stderr: stderr}
	tenders.do(func() { p.p, err = os.StartProcess(exe, args, attr) })
	if err != nil {
		stderr.Close()
		return nil, nil, err
	}
	p.pid = p.p.Pid
	if pidfd >= 0 {
		_ = unix.SetNonblock(pidfd, true) // lets the runtime's poller wait for it
		p.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	}
	c, err := net.FileConn(ours)
	if err != nil {
		p.kill()
		p.wait()
		return nil, nil, err
	}
	return p, c.(*net.UnixConn), nil
}

func (p *process) kill() { _ = p.p.Kill() }

// wait reaps the process and keeps how it ended.
func (p *process) wait() {
	if p.pidfd != nil {
		// Wait blocks a thread; the poller does not.
		if rc, err := p.pidfd.SyscallConn(); err == nil {
			_ = rc.Read(func(fd uintptr) bool {
				pfd := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(pfd, 0)
				return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
			})
		}
		p.pidfd.Close()
	}
	state, err := p.p.Wait()
	switch ws, ok := waitStatus(state); {
	case err != nil:
		p.state = "tender is gone: " + err.Error()
	case ok && ws.Signaled():
		p.state = fmt.Sprintf("tender was killed by signal %d (%s)", ws.Signal(), unix.SignalName(ws.Signal()))
	default:
		p.state = fmt.Sprintf("tender ended with status %d", state.ExitCode())
		if line, _, _ := strings.Cut(p.text(), "\n"); line != "" {
			p.state += ": " + line
		}
	}
}

func waitStatus(s *os.ProcessState) (syscall.WaitStatus, bool) {
	if s == nil {
		return 0, false
	}
	ws, ok := s.Sys().(syscall.WaitStatus)
	return ws, ok
}

// text is what the tender left on its standard error.
func (p *process) text() string {
	b := make([]byte, stderrSize)
	n, _ := p.stderr.ReadAt(b, 0)
	if i := bytes.IndexByte(b[:n], 0); i >= 0 {
		n = i
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b[:n]), "?"))
}

// boundedFile is a memory file of a fixed size: a tender that writes without end fills it and no more.
func boundedFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "stderr")
	err = f.Truncate(stderrSize)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	return f, nil
}

// socketPair is ours, for Go's poller, and theirs, blocking.
func socketPair(typ int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	_ = unix.SetNonblock(fds[0], true)
	return os.NewFile(uintptr(fds[0]), "tender"), os.NewFile(uintptr(fds[1]), "tender"), nil
}
