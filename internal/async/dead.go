// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bury makes a dead letter. Who asked for a callback is told.
func (q *Queue) bury(r *record, inline []byte, x result, tries int) error {
	dead := *r
	dead.Reason, dead.Attempts, dead.Died, dead.Status = text(x.reason), tries, time.Now().UTC(), x.status
	if r.Kind == kindCallback {
		dead.Status = r.Status
	}
	m, err := dead.message(dead.deadSubject(), inline)
	if err != nil {
		return err
	}
	if err := q.commit.store(q.ctx, m); err != nil {
		return err
	}
	what := "asynchronous invocation " + r.ID
	if r.Kind == kindCallback {
		what = "callback of asynchronous invocation " + string(r.CallID)
	}
	q.o.Log(r.Function, fmt.Sprintf("%s is a dead letter after %s: %s", what, attempts(tries), x.reason))
	if r.Kind == kindCallback || r.Callback == "" {
		return nil
	}
	status := x.status
	if status == 0 {
		status = http.StatusBadGateway
	}
	note := []byte(x.reason + "\n")
	return q.put(q.ctx, &record{
		ID: NewID(), Kind: kindCallback, Function: r.Function, CallID: r.CallID, Callback: r.Callback, Accepted: time.Now().UTC(),
		Status: status, Size: int64(len(note)), Header: map[string][]text{"Content-Type": {"text/plain; charset=utf-8"}},
	}, note)
}

// DeadLetter is work that could not be done.
type DeadLetter struct {
	ID       string
	Kind     string // call or callback
	Function string
	CallID   string
	Callback string // without a password
	Reason   string
	Attempts int
	Status   int // of the function's last answer; 0: there was none
	Accepted time.Time
	Died     time.Time
	Method   string
	Path     string // with query
	Size     int64  // of the body

	Header http.Header // only from Show
}

func (r *record) letter() DeadLetter {
	d := DeadLetter{
		ID: r.ID, Kind: r.Kind, Function: r.Function, CallID: string(r.CallID), Callback: shownURL(string(r.Callback)), Reason: string(r.Reason), Attempts: r.Attempts,
		Status: r.Status, Accepted: r.Accepted, Died: r.Died, Method: r.Method, Path: string(r.Path), Size: r.Size,
	}
	if r.Query != "" {
		d.Path += "?" + string(r.Query)
	}
	return d
}

func deadFilter(function string) string {
	if function == "" {
		return subjectDead + ".>"
	}
	return subjectDead + "." + token(function) + ".*"
}

// Dead lists dead letters, of all functions with an empty name, the oldest first and at most so many; total says how many there are.
func (q *Queue) Dead(ctx context.Context, function string, limit int) (list []DeadLetter, total int, err error) {
	err = q.eachDead(ctx, function, func(r *record) bool {
		list = append(list, r.letter())
		return len(list) < limit
	}, &total)
	return list, total, err
}

// eachDead goes through dead letters until f has enough. Those that cannot be read are left out.
func (q *Queue) eachDead(ctx context.Context, function string, f func(*record) bool, total *int) error {
	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	c, err := q.dead.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{deadFilter(function)}, HeadersOnly: true, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	info := c.CachedInfo()
	left := int(info.NumPending)
	defer q.dead.DeleteConsumer(context.WithoutCancel(ctx), info.Name)
	*total = left
	for left > 0 {
		batch, err := c.Fetch(min(left, 500), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		got := 0
		for m := range batch.Messages() {
			got++
			if r, err := parseRecord(m.Headers()); err == nil && !f(r) {
				return nil
			}
		}
		if batch.Error() != nil {
			return fmt.Errorf("dead letters: %w", batch.Error())
		}
		if left -= got; got == 0 {
			return nil // some went meanwhile
		}
	}
	return nil
}

// find gives a dead letter as it is stored.
func (q *Queue) find(ctx context.Context, id string) (*record, *jetstream.RawStreamMsg, error) {
	if !validID(id) {
		return nil, nil, ErrNotFound
	}
	m, err := q.dead.GetLastMsgForSubject(ctx, subjectDead+".*."+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("dead letter %s: %w", id, err)
	}
	r, err := parseRecord(nats.Header(m.Header))
	if err != nil {
		return nil, nil, fmt.Errorf("dead letter %s: %w", id, err)
	}
	return r, m, nil
}

// Show gives a dead letter with its headers and so many bytes of its body.
func (q *Queue) Show(ctx context.Context, id string, most int64) (d DeadLetter, start []byte, err error) {
	r, m, err := q.find(ctx, id)
	if err != nil {
		return d, nil, err
	}
	d = r.letter()
	d.Header = r.header()
	for _, k := range []string{"Authorization", "Cookie", "Set-Cookie"} {
		if len(d.Header[k]) > 0 {
			d.Header[k] = []string{"(not shown)"}
		}
	}
	if u := string(r.Callback); u != "" && len(d.Header[HeaderCallback]) > 0 {
		d.Header.Set(HeaderCallback, shownURL(u))
	}
	in, err := q.openBody(ctx, r, m.Data)
	if err != nil {
		return d, nil, fmt.Errorf("dead letter %s: %w", id, err)
	}
	defer in.Close()
	start, err = io.ReadAll(io.LimitReader(in.reader(), most))
	return d, start, err
}

// Replay puts a dead letter back into the queue: its attempts count from the start.
func (q *Queue) Replay(ctx context.Context, id string) error {
	r, m, err := q.find(ctx, id)
	if err != nil {
		return err
	}
	r.Reason, r.Attempts, r.Died, r.Accepted = "", 0, time.Time{}, time.Now().UTC()
	if r.Kind == kindCall {
		r.Status = 0
	}
	if err := q.put(ctx, r, m.Data); err != nil {
		return err
	}
	if r.Kind == kindCall {
		q.Stats(r.Function).Accepted.Add(1)
	}
	return q.exhume(ctx, id, m.Sequence)
}

// exhume removes a dead letter, which may have been replaced by a later one of the same request.
func (q *Queue) exhume(ctx context.Context, id string, seq uint64) error {
	err := q.dead.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, gone := q.dead.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("dead letter %s: %w", id, err)
}

// ReplayAll puts all dead letters back, of one function unless its name is empty, and says how many there were.
func (q *Queue) ReplayAll(ctx context.Context, function string) (n int, err error) {
	var ids []string
	var total int
	if err := q.eachDead(ctx, function, func(r *record) bool { ids = append(ids, r.ID); return true }, &total); err != nil {
		return 0, err
	}
	for _, id := range ids {
		switch err := q.Replay(ctx, id); {
		case errors.Is(err, ErrNotFound): // somebody else was faster
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// Drop throws a dead letter away.
func (q *Queue) Drop(ctx context.Context, id string) error {
	r, m, err := q.find(ctx, id)
	if err != nil {
		return err
	}
	if err := q.exhume(ctx, id, m.Sequence); err != nil {
		return err
	}
	q.dropBody(r.Object)
	return nil
}

// Status is what waits for a function.
type Status struct {
	Function  string
	Queued    int // calls that are not done, those that run included
	Running   int // of them, on this node
	Callbacks int // answers that are not delivered
}

// Queues lists the functions that have something queued.
func (q *Queue) Queues() []Status {
	q.mu.Lock()
	defer q.mu.Unlock()
	byName := map[string]*Status{}
	for k, l := range q.lanes {
		if l.depth <= 0 && len(l.running) == 0 {
			continue
		}
		s := byName[k.function]
		if s == nil {
			s = &Status{Function: k.function}
			byName[k.function] = s
		}
		if k.kind == kindCallback {
			s.Callbacks = max(0, l.depth)
		} else {
			s.Queued, s.Running = max(0, l.depth), len(l.running)
		}
	}
	list := make([]Status, 0, len(byName))
	for _, s := range byName {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Function, b.Function) })
	return list
}
