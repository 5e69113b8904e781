// SPDX-License-Identifier: Apache-2.0

// Package async keeps invocations for whose answer nobody waits: it stores them in a work queue of the engine before they count as accepted,
// has each one executed at least once, tries again what failed, delivers answers to callback addresses, and keeps what could not be
// done as dead letters. How a function is called, and how requests come, is the gateway's business.
package async

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/engine"
)

// Names in the engine.
const (
	streamQueue  = "unifaas-async"
	streamDead   = "unifaas-async-dead"
	bucketBodies = "unifaas-async-bodies"

	subjectQueue = "unifaas.async" // .KIND.FUNCTION.(inline|OBJECT)
	subjectDead  = "unifaas.dead"  // .FUNCTION.ID
)

// Bounds.
const (
	MaxBody   = 32 << 20 // of a request, and of an answer that a callback takes
	maxInline = 256 << 10
	maxHead   = 512 << 10 // of a record, as JSON

	maxWaiting  = 100_000 // of a function; the sum is bounded by the disk
	maxDead     = 100_000
	maxDeadSize = 4 << 30
	deadAge     = 30 * 24 * time.Hour

	maxWorkers    = 1024 // of all functions; each has at least one while it has work
	callbackLimit = 16   // deliveries of a function's answers at once
	maxUndeliverd = 10_000
)

// Times.
const (
	ackWait    = 30 * time.Second // what was given to a node that does not say that it is still at it goes to another one, or the same again
	heartbeat  = 5 * time.Second
	linger     = 2 * time.Second // of a worker without work
	scanPeriod = 5 * time.Second
	firstRetry = time.Second
	lastRetry  = time.Minute
	patience   = 24 * time.Hour // with a function that has no instance free
	flushLimit = 2 * time.Second
	apiLimit   = 30 * time.Second
	bodyLimit  = 10 * time.Minute
	idleEnd    = time.Hour // of a consumer without work
)

// Errors of Enqueue.
var (
	ErrFull     = errors.New("too many asynchronous invocations are queued")
	ErrTooLarge = fmt.Errorf("body is larger than %d bytes", MaxBody)
	ErrHead     = errors.New("headers and address are too large to be queued")
	ErrClosing  = errors.New("the node is shutting down")
	ErrNotFound = errors.New("there is no such dead letter")
)

// Settings are what a function may choose.
type Settings struct {
	Retries     int // after the first attempt
	Concurrency int // calls of it at once
}

// DefaultSettings are those of a function of which nothing is known.
func DefaultSettings() Settings { return Settings{Retries: 5, Concurrency: 1} }

// Options of a Queue. All but Retry are needed.
type Options struct {
	Engine *engine.Engine
	// Settings of a function. One that is not deployed has some, too: it may be deployed again.
	Settings func(function string) (s Settings, deployed bool)
	// Callbacks says what callback addresses may be reached.
	Callbacks *egress.Guard
	// TempDir is where large bodies are while they are used.
	TempDir string
	// Log writes a line of a function's log.
	Log func(function, text string)
	// Retry is how long to wait after the first failure; it doubles each time. 0: a second.
	Retry time.Duration
	// Warn says what an operator should know.
	Warn func(text string)
}

// Queue is the work of all functions on this node.
type Queue struct {
	o      Options
	js     jetstream.JetStream
	queue  jetstream.Stream
	dead   jetstream.Stream
	bodies jetstream.ObjectStore
	commit *committer
	client *http.Client // for callbacks
	handle http.Handler // set by Start

	ctx    context.Context // of the work; ended when it is to be broken off
	cancel context.CancelFunc
	stop   chan struct{}   // closed when no new work is to be begun
	begin  context.Context // ended then, too
	ending context.CancelFunc

	mu      sync.Mutex
	closed  bool
	workers int
	lanes   map[laneKey]*lane
	work    sync.WaitGroup // workers, and what keeps them going

	stats sync.Map // function → *Stats
}

// Stats count what happened to a function's work since the node started.
type Stats struct {
	Accepted, Done, Retried, Dead, Delivered atomic.Int64
}

// Open makes the streams that are missing. Nothing is executed before Start.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Retry <= 0 {
		o.Retry = firstRetry
	}
	q := &Queue{o: o, js: o.Engine.JS, stop: make(chan struct{}), lanes: map[laneKey]*lane{}}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.begin, q.ending = context.WithCancel(q.ctx)
	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	// No bound of all messages: with one, nats-server 2.15 counts the messages of a batch against the limit of any subject in it.
	config := jetstream.StreamConfig{
		Name: streamQueue, Description: "Asynchronous invocations and answers to be delivered", Subjects: []string{subjectQueue + ".>"},
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: maxWaiting,
		Storage: jetstream.FileStorage, Replicas: o.Engine.Replicas, AllowAtomicPublish: true,
	}
	var err error
	if q.queue, err = q.js.CreateOrUpdateStream(ctx, config); err != nil {
		config.AllowAtomicPublish = false // a server that is older
		if q.queue, err = q.js.CreateOrUpdateStream(ctx, config); err != nil {
			return nil, fmt.Errorf("stream %s: %w", streamQueue, err)
		}
	}
	q.dead, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamDead, Description: "Asynchronous invocations that could not be done", Subjects: []string{subjectDead + ".>"},
		MaxMsgs: maxDead, MaxBytes: maxDeadSize, MaxMsgsPerSubject: 1, MaxAge: deadAge, Storage: jetstream.FileStorage, Replicas: o.Engine.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamDead, err)
	}
	q.bodies, err = q.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: bucketBodies, Description: "Large bodies of asynchronous invocations", Storage: jetstream.FileStorage, Replicas: o.Engine.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucketBodies, err)
	}
	if err := q.takeBack(ctx); err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamQueue, err)
	}
	q.client = newCallbackClient(o.Callbacks)
	q.commit = newCommitter(q.js, q.queue.CachedInfo().Config.AllowAtomicPublish)
	return q, nil
}

// takeBack makes what was given to an earlier life of this node available at once. Where other nodes may be at work on it the engine has to wait
// until it misses their heartbeats.
func (q *Queue) takeBack(ctx context.Context) error {
	if !q.o.Engine.Alone() {
		return nil
	}
	var names []string
	list := q.queue.ConsumerNames(ctx)
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if err := q.queue.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return nil
}

// Start begins to execute what is queued, by a handler that serves /function/NAME.
func (q *Queue) Start(h http.Handler) {
	q.mu.Lock()
	q.handle = h
	q.mu.Unlock()
	q.work.Go(q.keepAlive)
	q.work.Go(q.lookAround)
	q.work.Go(q.collectBodies)
}

// Stop begins nothing more. What runs goes on.
func (q *Queue) Stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.stop)
		q.ending()
	}
}

// Close stops, lets what runs end until ctx does, and breaks off the rest, which will be executed again.
func (q *Queue) Close(ctx context.Context) {
	q.Stop()
	done := make(chan struct{})
	go func() {
		q.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	q.cancel()
	<-done
	q.commit.close()
	if q.o.Engine.Reached() == nil {
		q.js.Conn().FlushTimeout(flushLimit) // what is given back would else wait until the engine misses it
	}
	q.client.CloseIdleConnections()
}

// Depth is how many accepted calls of a function are not done yet, those that run included.
func (q *Queue) Depth(function string) int { return q.depth(laneKey{kindCall, function}) }

func (q *Queue) depth(k laneKey) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[k]; l != nil {
		return max(0, l.depth)
	}
	return 0
}

// Stats are the counters of a function.
func (q *Queue) Stats(function string) *Stats {
	s, ok := q.stats.Load(function)
	if !ok {
		s, _ = q.stats.LoadOrStore(function, new(Stats))
	}
	return s.(*Stats)
}

// NewID makes an id of a call: a random UUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
