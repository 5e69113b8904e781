// SPDX-License-Identifier: Apache-2.0

// Package up puts a node together out of its parts, runs it until it is told to stop, and takes it apart again in the
// right order. It decides nothing else.
package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/basicauth"
	"unifaas.dev/internal/cgroup"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/natsstore"
	state "unifaas.dev/internal/control/store"
	"unifaas.dev/internal/dashboard"
	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/image/pull"
	"unifaas.dev/internal/image/shared"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/metrics"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/plain"
	"unifaas.dev/internal/node/unikernel"
	"unifaas.dev/internal/nodelog"
	"unifaas.dev/internal/objects"
	"unifaas.dev/internal/pressure"
	"unifaas.dev/internal/recent"
	"unifaas.dev/internal/seal"
	"unifaas.dev/internal/snapshot"
	snapshared "unifaas.dev/internal/snapshot/shared"
	"unifaas.dev/internal/snapshot/store"
	"unifaas.dev/internal/timerslack"
)

// blankTenders stand ready for functions that have none: one for the next, and one while that is replaced.
const blankTenders = 2

// DefaultDrain is how long what runs may go on after a signal to stop.
const DefaultDrain = 30 * time.Second

// RuntimePlain is the value of Options.Runtime for plain processes.
const RuntimePlain = "process-plain"

// Options are those of the verb.
type Options struct {
	Listen        string
	Domains       []string // functions are also at NAME.DOMAIN
	Data          string   // empty: the default
	Monitor       string   // auto, kvm, process
	CallbackAllow []string // rules: where answers of asynchronous invocations may be sent, beside the public internet

	NATS            string // URL; empty: the engine in this process
	NATSCredentials string // file
	NATSReplicas    int
	Runtime         string // empty: unikernels
	Idle            time.Duration
	Park            time.Duration // 0: never
	Auth            string        // folder with user name and password; empty: DATA/auth if it has them
	Budget          int64         // of memory; 0: none, below 0: three quarters of what there is

	Instances  int           // that run at once; 0: as memory allows
	Inflight   int           // invocations at once
	Queue      int           // invocations that may wait for one function
	Starts     int           // instances that are started at once; 0: a default
	AccessLog  string        // file of a line for each invocation, "-" for standard output; empty: none
	LogForm    string        // of the node's own log: text, json
	DrainDelay time.Duration // that requests are served after a signal to stop, while /readyz says no
	Drain      time.Duration // that what runs then may go on; 0: DefaultDrain

	Version string
	Libos   []byte
	Exe     string // of tenders, for tests
	// Probe says why the monitor does not work on this machine.
	Probe func() error
	// Doctor looks at the machine, for the dashboard; nil: it has nothing to say.
	Doctor func(data string) []dashboard.Check

	Out, Err io.Writer

	log   *slog.Logger
	hurry <-chan struct{} // ends the delay, for tests
}

// Check says what is wrong with the options as such.
func (o *Options) Check() error {
	switch o.Monitor {
	case "auto", "kvm", "process":
	default:
		return fmt.Errorf("--monitor %q: use auto or kvm", o.Monitor)
	}
	if _, err := egress.Parse(o.CallbackAllow); err != nil {
		return fmt.Errorf("--callback-allow: %w", err)
	}
	if o.Runtime != "" && o.Runtime != RuntimePlain {
		return fmt.Errorf("--runtime %q: use %s", o.Runtime, RuntimePlain)
	}
	if o.NATS == "" && (o.NATSCredentials != "" || o.NATSReplicas > 1) {
		return errors.New("--nats-creds and --nats-replicas are of no use without --nats")
	}
	if o.NATSReplicas < 0 || o.NATSReplicas > engine.MaxReplicas {
		return fmt.Errorf("--nats-replicas %d: choose from 1 to %d", o.NATSReplicas, engine.MaxReplicas)
	}
	for _, n := range []struct {
		name        string
		value, from int
	}{{"max-instances", o.Instances, 0}, {"max-inflight", o.Inflight, 1}, {"queue", o.Queue, 1}, {"max-starts", o.Starts, 0}} {
		if n.value < n.from || n.value > 1e6 {
			return fmt.Errorf("--%s %d: choose from %d to 1000000", n.name, n.value, n.from)
		}
	}
	if o.DrainDelay < 0 || o.Drain < 0 {
		return errors.New("--drain-delay, --drain-limit: a time cannot be below 0")
	}
	if _, err := nodelog.New(io.Discard, o.LogForm); err != nil {
		return fmt.Errorf("--log-format: %w", err)
	}
	if _, port, err := net.SplitHostPort(o.Listen); err != nil || port == "" {
		return fmt.Errorf("--listen %q: give HOST:PORT, like 127.0.0.1:8080", o.Listen)
	}
	return nil
}

// runtime chooses what instances run in.
func (o *Options) runtime(data string) (node.Runtime, error) {
	if o.Runtime == RuntimePlain {
		return &plain.Runtime{Dir: filepath.Join(datadir.Temp(data), "programs")}, nil
	}
	if o.Monitor == "process" {
		return nil, errors.New("monitor process is not available in this version: use kvm")
	}
	if err := o.Probe(); err != nil {
		return nil, err
	}
	return &unikernel.Runtime{Monitor: "kvm", Exe: o.Exe, Libos: o.Libos, Blanks: blankTenders}, nil
}

// Run runs a node until SIGTERM or SIGINT, or until ctx ends.
func Run(ctx context.Context, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	_ = timerslack.Monitor() // without permission it is only less quiet
	// Nobody here uses the standard logger but net/http, to complain about what functions send: they must not fill our stderr.
	log.SetOutput(io.Discard)
	var err error
	if o.log, err = nodelog.New(o.Err, o.LogForm); err != nil {
		return err
	}
	data, err := datadir.Resolve(o.Data)
	if err != nil {
		return err
	}
	run, err := o.runtime(data)
	if err != nil {
		return err
	}
	listener, err := listen(o.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	lock, err := datadir.Lock(data)
	if err != nil {
		return err
	}
	defer lock.Close()
	auth, err := o.credentials(data, listener.Addr().String())
	if err != nil {
		return err
	}
	key, err := seal.Load(datadir.MasterKey(data)) // before there are any children: the environment may have it
	if err != nil {
		return err
	}
	if r, ok := run.(interface{ Ready() }); ok {
		r.Ready()
	}
	if r, ok := run.(io.Closer); ok {
		defer r.Close()
	}
	n, err := open(ctx, &o, run, data, key)
	if err != nil {
		return err
	}
	access, err := o.accessLog()
	if err != nil {
		n.close(ctx)
		return err
	}
	defer access.Close()
	closing := make(chan struct{})
	var stopping atomic.Bool
	calls := &recent.Book{}
	handler := gateway.New(n.control, n.images, gateway.Options{
		Version: o.Version, TempDir: datadir.Temp(data), Closing: closing,
		Auth:    auth,
		Domains: o.Domains,
		Metrics: n.metrics,
		Async:   n.async,
		Observe: func(c recent.Call) {
			calls.Add(c)
			access.Add(c)
		},
		Ready: func() error {
			if stopping.Load() {
				return errors.New("the node is stopping")
			}
			return nil
		},
		UI: func(g http.Handler) http.Handler { return o.dashboard(n, calls, g, data, closing) },
	})
	server := gateway.NewServer(handler)
	n.async.Start(handler)
	failed := make(chan error, 1)
	door := gateway.NewDoor(listener, server, 0)
	go func() { failed <- server.Serve(door) }()
	o.announce(listener.Addr().String(), run.Name(), data, len(n.control.List()))
	watch := o.supervise(listener.Addr().String())
	defer watch.end()

	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		err = fmt.Errorf("gateway: %w", err)
	}
	stop() // a second signal ends the process at once
	watch.stopping()
	stopping.Store(true)
	server.SetKeepAlivesEnabled(false) // callers go elsewhere with their next request
	if err == nil && o.DrainDelay > 0 {
		o.log.Info(fmt.Sprintf("stopping: requests are served for another %v, /readyz says no", o.DrainDelay))
		select {
		case <-time.After(o.DrainDelay):
		case <-o.hurry:
		}
	}
	limit := cmp.Or(o.Drain, DefaultDrain)
	if err == nil {
		o.log.Info(fmt.Sprintf("stopping: no new requests, what runs has %v", limit))
	}
	drain, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	close(closing)
	n.images.Close() // or who waits for a pull would be waited for
	n.async.Stop()
	if server.Shutdown(drain) != nil {
		server.Close()
	}
	n.close(drain)
	if err == nil {
		o.log.Info("stopped")
	}
	return err
}

// credentials are those that the management interface asks for: of --basic-auth, of the data folder, or new ones where other machines reach the node.
// On loopback nobody is asked unless there are some.
func (o *Options) credentials(data, addr string) (*basicauth.Credentials, error) {
	dir := o.Auth
	if dir == "" {
		dir = datadir.Auth(data)
	}
	c, err := basicauth.Load(dir)
	switch {
	case err == nil || !errors.Is(err, basicauth.ErrNone):
		return c, err
	case o.Auth != "":
		return nil, fmt.Errorf("--basic-auth: no files %s and %s in %s", basicauth.UserFile, basicauth.PasswordFile, dir)
	case gateway.IsLoopback(addr):
		return nil, nil
	}
	if c, err = basicauth.Generate(dir); err == nil {
		o.log.Info(fmt.Sprintf("%s is reached from other machines: managing the node needs the user name and password that were made in %s", addr, dir))
	}
	return c, err
}

func (o *Options) announce(addr, runtime, data string, functions int) {
	if runtime == RuntimePlain {
		o.log.Warn("functions run as plain processes of this machine, without isolation: for measurements only")
	}
	fmt.Fprintf(o.Out, "unifaas is up at http://%s (instances: %s, data: %s, functions: %d)\n", addr, runtime, data, functions)
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: the port is taken: stop what uses it or choose another one with --listen", addr)
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("cannot listen on %s: no permission: choose a port above 1023 with --listen", addr)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("cannot listen on %s: this machine has no such address: choose another one with --listen", addr)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return nil, fmt.Errorf("cannot listen on %s: %w: choose another address with --listen", addr, err)
}

// parts is a node without its gateway.
type parts struct {
	engine  *engine.Engine
	store   *natsstore.Store
	book    *logs.Book
	images  *pull.Store
	snaps   *snapshared.Store
	node    *node.Node
	groups  *cgroup.Root // nil: there are none
	control *control.Control
	metrics *metrics.Metrics
	async   *async.Queue

	tidying     sync.WaitGroup
	stopTidying context.CancelFunc
}

// lines writes a node's lines into the book.
type lines struct{ book *logs.Book }

func (l lines) Line(function, instance, stream, text string, at time.Time) {
	l.book.Append(function, logs.Line{Time: at, Instance: instance, Stream: stream, Text: text})
}

// RequestLine is node.RequestLog's.
func (l lines) RequestLine(function, instance, request, stream, text string, at time.Time) {
	l.book.Append(function, logs.Line{Time: at, Instance: instance, Request: request, Stream: stream, Text: text})
}

// snapshots has the node use the store.
type snapshots struct{ *snapshared.Store }

func (s snapshots) Get(k snapshot.Key) (*node.Snapshot, error) {
	ref, err := s.Store.Get(k)
	if ref == nil || err != nil {
		return nil, err
	}
	return &node.Snapshot{File: ref.File, Bytes: ref.Info.Bytes, Release: func() { ref.Close() }}, nil
}

// open makes the parts, the lowest first.
func open(ctx context.Context, o *Options, run node.Runtime, data string, key *seal.Key) (p *parts, err error) {
	p = &parts{metrics: metrics.New(o.Version, run.Name())}
	defer func() {
		if err != nil {
			p.close(ctx)
		}
	}()
	warn := func(text string) { o.log.Warn(text) }
	if p.engine, err = engine.Open(ctx, engine.Options{
		Dir: datadir.State(data), URL: o.NATS, Credentials: o.NATSCredentials, Replicas: o.NATSReplicas, Warn: warn,
	}); err != nil {
		return p, err
	}
	if p.store, err = natsstore.Open(ctx, p.engine, state.Functions, state.Secrets, state.Namespaces); err != nil {
		return p, err
	}
	if err = os.RemoveAll(datadir.Temp(data)); err == nil {
		err = os.MkdirAll(datadir.Temp(data), 0o700)
	}
	if err != nil {
		return p, fmt.Errorf("data folder %s: %w: choose another one with --data", data, err)
	}
	images, err := image.OpenStore(datadir.Images(data))
	if err != nil {
		return p, err
	}
	bucket, err := objects.Open(ctx, p.engine, "images")
	if err != nil {
		return p, err
	}
	p.images = pull.New(shared.New(images, bucket), build.Options{})
	if p.book, err = logs.Open(datadir.Logs(data), warn); err != nil {
		return p, err
	}
	complain := func(err error) { warn(err.Error()) }
	snaps, err := store.Open(datadir.Snapshots(data), store.Options{Warn: complain})
	if err != nil {
		return p, err
	}
	if bucket, err = objects.Open(ctx, p.engine, "snapshots"); err != nil {
		snaps.Close()
		return p, err
	}
	p.snaps = snapshared.New(snaps, bucket, complain)
	park := o.Park
	if park <= 0 {
		park = -1
	}
	gauge := pressure.New("/")
	sample, err := gauge.Read()
	if err != nil {
		return p, fmt.Errorf("memory of this machine: %w", err)
	}
	budget := o.Budget
	if budget < 0 {
		budget = sample.Total / 4 * 3
	}
	var tenders node.Groups        // nil, not a nil *Root in it
	if o.Runtime != RuntimePlain { // whose tenders are this process
		if p.groups = openGroups(warn); p.groups != nil {
			tenders = groups{p.groups}
		}
	}
	secrets := control.NewSecrets(p.store, key)
	p.node = node.New(run, p.images, lines{p.book}, node.Options{
		Idle: o.Idle, Park: park, Snapshots: snapshots{p.snaps}, Secret: func(ctx context.Context, s node.Secret) ([]byte, error) {
			value, _, err := secrets.Get(ctx, s.Namespace, s.Name)
			return value, err
		},
		MemoryBudget: budget, Observer: p.metrics,
		Instances: o.Instances, Inflight: o.Inflight, Queue: o.Queue, Starts: o.Starts, Groups: tenders,
		Pressure: func() pressure.Sample {
			s, _ := gauge.Read() // what cannot be read is no reason to give anything back
			return s
		},
	})
	var damaged []error
	if p.control, damaged, err = control.New(ctx, control.Parts{Store: p.store, Key: key, Images: p.images, Node: p.node, Logs: p.book}); err != nil {
		return p, err
	}
	tidying, stop := context.WithCancel(context.Background())
	p.stopTidying = stop
	p.tidying.Go(func() {
		p.node.CollectSnapshots()
		if err := p.images.Sweep(tidying); err != nil && tidying.Err() == nil {
			warn(fmt.Sprintf("images that nobody has are not removed: %v", err))
		}
	})
	for _, d := range damaged {
		warn(d.Error())
	}
	if p.async, err = p.openAsync(ctx, o.CallbackAllow, datadir.Temp(data), warn); err != nil {
		return p, err
	}
	p.node.SetDepth(p.async.Depth)
	if err = p.metrics.Register(p.async.Collector()); err != nil {
		return p, err
	}
	return p, nil
}

// close takes the parts down, the highest first.
func (p *parts) close(ctx context.Context) {
	if p.async != nil {
		p.async.Close(ctx)
	}
	if p.control != nil {
		p.control.Close()
	}
	if p.node != nil {
		p.node.Close(ctx)
	}
	if p.groups != nil {
		_ = p.groups.Close() // what it leaves the next node removes
	}
	if p.images != nil {
		p.images.Close()
	}
	if p.stopTidying != nil {
		p.stopTidying()
	}
	if p.snaps != nil {
		p.snaps.Close()
	}
	p.tidying.Wait()
	if p.book != nil {
		p.book.Close()
	}
	if p.store != nil {
		p.store.Close()
	}
	if p.engine != nil {
		p.engine.Close()
	}
}
