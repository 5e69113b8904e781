// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// laneKey names a lane: each function has one for its calls and one for the answers to be delivered, so that none waits for another function's.
type laneKey struct{ kind, function string }

// lane is what waits for one function. Workers are made when there is work, and end when there is none.
type lane struct {
	q   *Queue
	key laneKey

	// The queue's mu guards these.
	workers  int
	fetching int  // of them, those that ask for work
	kicked   bool // there may be work that nobody who asks has seen
	depth    int  // messages that are not done
	storing  int  // of them, those that may not be in the queue yet
	changes  int  // of depth
	running  map[uint64]jetstream.Msg
	consumer jetstream.Consumer
	making   chan struct{} // closed when consumer is made
}

// limit is how many workers a lane may have.
func (q *Queue) limit(k laneKey) int {
	if k.kind == kindCallback {
		return callbackLimit
	}
	s, _ := q.o.Settings(k.function)
	return max(1, s.Concurrency)
}

// lane gives the lane of a key. Preconditions: mu is held.
func (q *Queue) lane(k laneKey) *lane {
	l := q.lanes[k]
	if l == nil {
		l = &lane{q: q, key: k, running: map[uint64]jetstream.Msg{}}
		q.lanes[k] = l
	}
	return l
}

// announce counts a message that is to be stored; arrived has to follow.
func (q *Queue) announce(k laneKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(k)
	l.depth++
	l.storing++
}

// arrived says what became of it.
func (q *Queue) arrived(k laneKey, err error) {
	q.mu.Lock()
	l := q.lane(k)
	l.storing--
	l.changes++
	if err != nil {
		l.depth--
	}
	q.mu.Unlock()
	if err == nil {
		q.kick(k)
	}
}

// kick says that there may be work.
func (q *Queue) kick(k laneKey) {
	limit := q.limit(k)
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(k)
	l.kicked = true
	if l.fetching == 0 {
		l.more(limit)
	}
}

// more starts a worker if there may be one. Preconditions: mu is held.
func (l *lane) more(limit int) {
	q := l.q
	if q.closed || q.handle == nil || l.workers >= limit || l.workers > 0 && q.workers >= maxWorkers {
		return
	}
	l.workers++
	q.workers++
	l.fetching++
	q.work.Go(l.run)
}

// run is a worker: it takes one message after another.
func (l *lane) run() {
	q := l.q
	for {
		q.mu.Lock()
		l.kicked = false
		q.mu.Unlock()
		m, left, err := l.fetch()
		limit := q.limit(l.key)
		q.mu.Lock()
		if m == nil {
			if err == nil && l.kicked && !q.closed {
				q.mu.Unlock()
				continue
			}
			l.fetching--
			l.workers--
			q.workers--
			if err != nil {
				l.consumer = nil
				l.later(firstRetry)
			}
			q.mu.Unlock()
			return
		}
		l.fetching--
		seq := sequence(m)
		if _, ok := l.running[seq]; ok || q.closed {
			// It is being executed here already, only the engine thinks it took too long; or there is no time for it.
			if !ok {
				m.Nak()
			}
		} else {
			l.running[seq] = m
			if (left > 0 || l.kicked) && l.fetching == 0 {
				l.more(limit)
			}
			q.mu.Unlock()
			finished := q.execute(l, m)
			q.mu.Lock()
			delete(l.running, seq)
			if finished {
				l.depth--
				l.changes++
			}
		}
		if q.closed || l.workers > limit {
			l.workers--
			q.workers--
			q.mu.Unlock()
			return
		}
		l.fetching++
		q.mu.Unlock()
	}
}

// later has the lane looked after in a while. Preconditions: mu is held.
func (l *lane) later(d time.Duration) {
	q := l.q
	if q.closed {
		return
	}
	q.work.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			q.kick(l.key)
		case <-q.stop:
		}
	})
}

func sequence(m jetstream.Msg) uint64 {
	if meta, err := m.Metadata(); err == nil {
		return meta.Sequence.Stream
	}
	return 0
}

// fetch waits a little for a message; nil if none came. left is how many more there are.
func (l *lane) fetch() (m jetstream.Msg, left uint64, err error) {
	c, err := l.consume()
	if err != nil {
		return nil, 0, err
	}
	batch, err := c.Fetch(1, jetstream.FetchMaxWait(linger))
	if err != nil {
		return nil, 0, err
	}
	select {
	case m = <-batch.Messages():
	case <-l.q.stop:
		go func() { // until the request for messages expires
			for m := range batch.Messages() {
				m.Nak()
			}
		}()
		return nil, 0, nil
	}
	if m == nil {
		return nil, 0, batch.Error()
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, 0, err
	}
	return m, meta.NumPending, nil
}

// consume gives the lane's consumer, making it if nobody has.
func (l *lane) consume() (jetstream.Consumer, error) {
	q := l.q
	q.mu.Lock()
	for l.consumer == nil {
		if wait := l.making; wait != nil {
			q.mu.Unlock()
			<-wait
			q.mu.Lock()
			if l.consumer == nil && l.making == nil {
				q.mu.Unlock()
				return nil, fmt.Errorf("consumer of %s: not made", l.key.function)
			}
			continue
		}
		l.making = make(chan struct{})
		q.mu.Unlock()
		ctx, cancel := context.WithTimeout(q.begin, apiLimit)
		name := l.key.kind + "-" + token(l.key.function)
		c, err := q.queue.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: name, FilterSubject: subjectQueue + "." + l.key.kind + "." + token(l.key.function) + ".>",
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 10_000, InactiveThreshold: idleEnd,
		})
		cancel()
		q.mu.Lock()
		close(l.making)
		l.making = nil
		if err != nil {
			q.mu.Unlock()
			return nil, fmt.Errorf("consumer %s: %w", name, err)
		}
		l.consumer = c
	}
	c := l.consumer
	q.mu.Unlock()
	return c, nil
}

// keepAlive tells the engine what is still being worked on, until nothing is.
func (q *Queue) keepAlive() {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	stop, last := q.stop, time.Now()
	for {
		select {
		case <-stop:
			stop = nil
			beat.Reset(100 * time.Millisecond)
		case <-q.ctx.Done():
			return
		case now := <-beat.C:
			if stop != nil || now.Sub(last) >= heartbeat {
				q.beat()
				last = now
			}
		}
		if stop == nil && q.idle() {
			return
		}
	}
}

// lookAround looks for work that nobody here knows of: of an earlier node on this data, of another node, or what another one has not
// finished.
func (q *Queue) lookAround() {
	scan := time.NewTicker(scanPeriod)
	defer scan.Stop()
	for {
		q.scan()
		select {
		case <-q.stop:
			return
		case <-scan.C:
		}
	}
}

func (q *Queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.workers == 0
}

func (q *Queue) beat() {
	q.mu.Lock()
	var list []jetstream.Msg
	for _, l := range q.lanes {
		for _, m := range l.running {
			list = append(list, m)
		}
	}
	q.mu.Unlock()
	for _, m := range list {
		m.InProgress()
	}
}

// scan counts what waits, and has it looked after. What changed meanwhile is known better here.
func (q *Queue) scan() {
	before := map[laneKey]int{}
	q.mu.Lock()
	for k, l := range q.lanes {
		before[k] = l.changes
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(q.begin, apiLimit)
	defer cancel()
	info, err := q.queue.Info(ctx, jetstream.WithSubjectFilter(subjectQueue+".>"))
	if err != nil {
		if q.begin.Err() == nil && q.o.Engine.Reached() == nil { // which has said so itself
			q.o.Warn(fmt.Sprintf("asynchronous invocations: %v", err))
		}
		return
	}
	counts := map[laneKey]int{}
	for subject, n := range info.State.Subjects {
		if parts := strings.Split(subject, "."); len(parts) == 5 {
			counts[laneKey{parts[2], untoken(parts[3])}] += int(n)
		}
	}
	q.mu.Lock()
	for k, l := range q.lanes {
		if changes, known := before[k]; known && changes == l.changes && l.storing == 0 {
			l.depth = counts[k]
		}
		if l.depth <= 0 && l.storing == 0 && l.workers == 0 && !l.kicked {
			delete(q.lanes, k)
		}
	}
	for k, n := range counts {
		if q.lanes[k] == nil {
			q.lane(k).depth = n
		}
	}
	q.mu.Unlock()
	for k := range counts {
		if k.kind != kindCall && k.kind != kindCallback {
			continue
		}
		q.kick(k)
	}
	q.forgetStats()
}
