// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/accesslog"
	"unifaas.dev/internal/recent"
)

// supervisor tells systemd how the node does, if it is who started it.
type supervisor struct {
	cancel context.CancelFunc
	beats  sync.WaitGroup
	drains atomic.Bool // nobody is to be asked any more
}

// supervise says that the node is ready, and from then on that it lives, if that is asked for: a node that does not answer its own /healthz does not.
func (o *Options) supervise(addr string) *supervisor {
	ctx, cancel := context.WithCancel(context.Background())
	s := &supervisor{cancel: cancel}
	if told, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS=serving at http://"+addr); err != nil {
		o.log.Warn(fmt.Sprintf("systemd was not told that the node is ready: %v", err))
	} else if !told {
		return s
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		o.log.Warn(fmt.Sprintf("the watchdog's time is not known: %v", err))
	}
	if every > 0 {
		s.beats.Go(func() { s.beat(ctx, every/3, addr) })
	}
	return s
}

// beat tells the watchdog that the node lives, as long as it does.
func (s *supervisor) beat(ctx context.Context, every time.Duration, addr string) {
	if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			addr = net.JoinHostPort("localhost", port)
		}
	}
	client := &http.Client{Timeout: every, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.drains.Load() {
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
		if err != nil {
			return
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

// stopping says that the node finishes what runs.
func (s *supervisor) stopping() {
	s.drains.Store(true)
	daemon.SdNotify(false, daemon.SdNotifyStopping)
}

// end is the end of telling.
func (s *supervisor) end() {
	s.cancel()
	s.beats.Wait()
}

// access is the access log, or none.
type access struct {
	log    *accesslog.Log
	hangup chan os.Signal
	done   sync.WaitGroup
}

// accessLog opens the log, and again at each SIGHUP.
func (o *Options) accessLog() (*access, error) {
	a := &access{}
	if o.AccessLog == "" {
		return a, nil
	}
	log, err := accesslog.Open(o.AccessLog, o.Out, func(text string) { o.log.Warn(text) })
	if err != nil {
		return nil, err
	}
	a.log, a.hangup = log, make(chan os.Signal, 1)
	signal.Notify(a.hangup, unix.SIGHUP)
	a.done.Go(func() {
		for range a.hangup {
			if err := log.Reopen(); err != nil {
				o.log.Warn(err.Error())
			}
		}
	})
	return a, nil
}

func (a *access) Add(c recent.Call) {
	if a.log != nil {
		a.log.Add(c)
	}
}

// Close writes what is left of the log.
func (a *access) Close() {
	if a.log == nil {
		return
	}
	signal.Stop(a.hangup)
	close(a.hangup)
	a.done.Wait()
	a.log.Close()
}
