// SPDX-License-Identifier: Apache-2.0

// Package engine gives the control plane the engine that keeps all of its durable state: NATS JetStream, inside this
// process or a server or cluster elsewhere. What is kept there, and how, is the business of those who use it.
package engine

import (
	"context"
	"fmt"
	"os"
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

// Options say where the engine is.
type Options struct {
	Dir string // of the embedded server's files; not used with URL
	URL string // of a server or cluster, as nats.Connect takes it; empty: embedded
}

// Engine is a connection to JetStream. Close ends it, and the embedded server.
type Engine struct {
	JS jetstream.JetStream
	// Replicas is how many copies of each stream to ask for.
	Replicas int

	conn   *nats.Conn
	server *server.Server
}

// Open starts the embedded server, or connects to the one at Options.URL.
func Open(ctx context.Context, o Options) (e *Engine, err error) {
	e = &Engine{Replicas: 1}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	options := []nats.Option{nats.Name("unifaas"), nats.MaxReconnects(-1), nats.Timeout(connectLimit)}
	url, where := o.URL, o.URL
	if o.URL == "" {
		if err := e.embed(o.Dir); err != nil {
			return e, err
		}
		options = append(options, nats.InProcessServer(e.server))
		where = "the embedded one"
	}
	if e.conn, err = nats.Connect(url, options...); err != nil {
		return e, fmt.Errorf("NATS server %s: %w: check --nats", where, err)
	}
	if e.JS, err = jetstream.New(e.conn); err != nil {
		return e, fmt.Errorf("NATS server %s: %w", where, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	if _, err := e.JS.AccountInfo(ctx); err != nil {
		return e, fmt.Errorf("NATS server %s: JetStream: %w: it has to be enabled there", where, err)
	}
	return e, nil
}

// embed starts a server in this process that listens nowhere. What it has acknowledged is on the disk: an invocation that was
// accepted, or a deployment, outlives a loss of power.
func (e *Engine) embed(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state in %s: %w: choose another folder with --data", dir, err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "unifaas", DontListen: true, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return fmt.Errorf("state in %s: %w", dir, err)
	}
	e.server = s
	s.Start()
	if !s.ReadyForConnections(readyLimit) {
		return fmt.Errorf("state in %s: the engine is not ready after %v", dir, readyLimit)
	}
	return nil
}

// Close ends the connection and the embedded server; what was acknowledged stays.
func (e *Engine) Close() {
	if e.conn != nil {
		e.conn.Close()
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
}
