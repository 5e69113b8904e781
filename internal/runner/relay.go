// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender"
)

// relaying passes signals of this process on to the program. Those that come before it runs wait.
type relaying struct {
	signals chan os.Signal
	target  chan *tender.Instance
	quit    chan struct{}
}

func relay(t *tender.Tender, tty *terminal) *relaying {
	r := &relaying{signals: make(chan os.Signal, 16), target: make(chan *tender.Instance, 1), quit: make(chan struct{})}
	signal.Notify(r.signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP, unix.SIGWINCH)
	go r.loop(t, tty)
	return r
}

func (r *relaying) to(i *tender.Instance) { r.target <- i }

func (r *relaying) stop() {
	signal.Stop(r.signals)
	close(r.quit)
}

func (r *relaying) loop(t *tender.Tender, tty *terminal) {
	var i *tender.Instance
	select {
	case i = <-r.target:
	case <-r.quit:
		return
	}
	for {
		select {
		case s := <-r.signals:
			if s == unix.SIGTSTP {
				suspend(t, tty)
			} else if n, ok := s.(syscall.Signal); ok {
				i.Signal(int(n))
			}
		case <-r.quit:
			return
		}
	}
}

// suspend stops the tender, which is in a session of its own, and then this process, as the terminal asks.
func suspend(t *tender.Tender, tty *terminal) {
	_ = unix.Kill(t.PID(), unix.SIGSTOP)
	again := tty.suspend()
	// To this very thread: sent to the process, the signal may stop another first, and the next line would run too early.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
	again()
	_ = unix.Kill(t.PID(), unix.SIGCONT)
}
