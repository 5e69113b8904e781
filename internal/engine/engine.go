// SPDX-License-Identifier: Apache-2.0

// Package engine gives the control plane the engine that keeps all of its durable state: NATS JetStream, inside this
// process or a server or cluster elsewhere. What is kept there, and how, is the business of those who use it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readyLimit is how long the embedded server may take to read what it has, connectLimit how long another one to answer.
const (
	readyLimit   = 60 * time.Second
	connectLimit = 10 * time.Second
)

// maxPayload is the largest message of the embedded server: a function's record with the environments of its revisions fits.
const maxPayload = 8 << 20

// apiLevel is that of nats-server 2.12: atomic batches.
const apiLevel = 2

// MaxReplicas is the largest number of copies that JetStream makes.
const MaxReplicas = 5

// Options say where the engine is.
type Options struct {
	Dir         string // of the embedded server's files; not used with URL
	URL         string // of a server or cluster, as nats.Connect takes it; empty: embedded
	Credentials string // file for URL, as `nsc` writes it; empty: what the URL says
	Replicas    int    // copies of each stream in a cluster; 0: 1
	// Warn is told what the engine complains about. It may be called from any goroutine.
	Warn func(text string)
}

// Engine is a connection to JetStream. Close ends it, and the embedded server.
type Engine struct {
	JS jetstream.JetStream
	// Replicas is how many copies of each stream to ask for.
	Replicas int

	where  string
	dir    string // of the embedded server
	conn   *nats.Conn
	server *server.Server
	closed atomic.Bool

	mu   sync.Mutex
	back chan struct{} // closed when the connection is back, and made anew
}

// Open starts the embedded server, or connects to the one at Options.URL.
func Open(ctx context.Context, o Options) (e *Engine, err error) {
	e = &Engine{Replicas: max(o.Replicas, 1), where: "the embedded NATS server", dir: o.Dir, back: make(chan struct{})}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	warn := func(format string, args ...any) {
		if o.Warn != nil && !e.closed.Load() {
			o.Warn(strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
		}
	}
	options := []nats.Option{nats.Name("unifaas"), nats.MaxReconnects(-1), nats.Timeout(connectLimit),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				warn("state: %s is not reached: %v: nothing can be deployed until it is back", e.where, err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			warn("state: %s is back", e.where)
			e.mu.Lock()
			close(e.back)
			e.back = make(chan struct{})
			e.mu.Unlock()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { warn("state: %s: %v", e.where, err) }),
	}
	url := o.URL
	if url == "" {
		if err := e.embed(warn); err != nil {
			return e, err
		}
		options = append(options, nats.InProcessServer(e.server))
	} else {
		e.dir = ""
		if e.where, err = shown(url); err != nil {
			return e, err
		}
		if o.Credentials != "" {
			options = append(options, nats.UserCredentials(o.Credentials))
		}
	}
	if e.conn, err = nats.Connect(url, options...); err != nil {
		return e, fmt.Errorf("%s: %w: check --nats", e.where, err)
	}
	if e.JS, err = jetstream.New(e.conn); err != nil {
		return e, fmt.Errorf("%s: %w", e.where, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	info, err := e.JS.AccountInfo(ctx)
	if err != nil {
		return e, fmt.Errorf("%s: JetStream: %w: it has to be enabled there", e.where, err)
	}
	if info.API.Level < apiLevel {
		return e, fmt.Errorf("%s: too old: use nats-server 2.12 or newer", e.where)
	}
	return e, nil
}

// shown is a list of URLs without passwords.
func shown(urls string) (string, error) {
	var list []string
	for u := range strings.SplitSeq(urls, ",") {
		_, host, ok := strings.Cut(strings.TrimSpace(u), "://")
		if !ok {
			host = strings.TrimSpace(u)
		}
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host = host[at+1:]
		}
		if host == "" || strings.ContainsAny(host, " \t\n") {
			return "", errors.New("--nats: not a URL of a NATS server: give one like nats://10.0.0.1:4222, or several with commas between them")
		}
		list = append(list, host)
	}
	return "NATS server " + strings.Join(list, ","), nil
}

// embed starts a server in this process that listens nowhere. What it has acknowledged is on the disk: an invocation that was
// accepted, or a deployment, outlives a loss of power.
func (e *Engine) embed(warn func(string, ...any)) error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("state in %s: %w: choose another folder with --data", e.dir, err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "unifaas", DontListen: true, JetStream: true, StoreDir: e.dir, SyncAlways: true, NoSigs: true, MaxPayload: maxPayload,
		JetStreamMaxStore: maxStore, JetStreamMaxMemory: maxMemory,
	})
	if err != nil {
		return fmt.Errorf("state in %s: %w", e.dir, err)
	}
	s.SetLoggerV2(serverLog{e.dir, warn}, false, false, false)
	e.server = s
	s.Start()
	if !s.ReadyForConnections(readyLimit) {
		return fmt.Errorf("state in %s: the engine is not ready after %v", e.dir, readyLimit)
	}
	if !s.JetStreamEnabled() {
		return fmt.Errorf("state in %s: the engine does not start: check who owns the folder and whether the disk is full", e.dir)
	}
	return nil
}

// MaxValue is how many bytes one record or message can have.
func (e *Engine) MaxValue() int {
	const headers = 4 << 10 // of a message, and its subject
	return int(e.conn.MaxPayload()) - headers
}

// ErrUnreachable is an engine elsewhere that is not reached now.
var ErrUnreachable = errors.New("it is not reached: try again later")

// Reached is nil, or an ErrUnreachable, at once: for who can do without.
func (e *Engine) Reached() error {
	if !e.conn.IsConnected() {
		return fmt.Errorf("%s: %w", e, ErrUnreachable)
	}
	return nil
}

// Alone reports whether nobody but this process uses the engine.
func (e *Engine) Alone() bool { return e.server != nil }

// Back is closed when the engine is reached again after it was not: who follows something there has to look what was missed.
func (e *Engine) Back() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.back
}

// String names the engine in messages.
func (e *Engine) String() string { return e.where }

// Close ends the connection and the embedded server; what was acknowledged stays.
func (e *Engine) Close() {
	if e.closed.Swap(true) {
		return
	}
	if e.conn != nil {
		e.conn.Close()
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
}

// serverLog passes on what the embedded server complains about.
type serverLog struct {
	dir  string
	warn func(string, ...any)
}

// Warnf leaves out what is said after each crash, when an index is made again from the data, and when a disk is slow.
func (l serverLog) Warnf(format string, v ...any) {
	for _, usual := range []string{"Stream state ", " is outdated; attempting", " took %v"} {
		if strings.Contains(format, usual) {
			return
		}
	}
	l.warn("state in "+l.dir+": "+format, v...)
}

func (l serverLog) Errorf(format string, v ...any) { l.warn("state in "+l.dir+": "+format, v...) }
func (l serverLog) Fatalf(format string, v ...any) { l.warn("state in "+l.dir+": "+format, v...) }
func (serverLog) Noticef(string, ...any)           {}
func (serverLog) Debugf(string, ...any)            {}
func (serverLog) Tracef(string, ...any)            {}
