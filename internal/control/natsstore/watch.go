// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"unifaas.dev/internal/control/store"
)

// again is how long a watcher waits before it is made anew.
const again = time.Second

// Watch gives changes. A watcher that the engine has lost is made anew, and then tells everything that there is: whoever
// listens looks at the store anyway.
func (s *Store) Watch(ctx context.Context, kind store.Kind) <-chan store.Event {
	out := make(chan store.Event)
	b, err := s.bucket(kind)
	if err != nil {
		close(out)
		return out
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.stopped, cancel)
	back := s.e.Back()
	w, _ := b.kv.WatchAll(ctx, jetstream.UpdatesOnly()) // before Watch returns: the caller reads the rest now
	s.watchers.Go(func() {
		defer close(out)
		defer unhook()
		defer cancel()
		for {
			if w != nil {
				b.relay(ctx, back, w, out)
				finish(w)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(again):
			}
			back = s.e.Back()
			if w = nil; s.e.Reached() == nil {
				w, _ = b.kv.WatchAll(ctx)
			}
		}
	})
	return out
}

// relay passes changes on until ctx ends, the watcher does, or the engine was away: it has forgotten the watcher then.
func (b *bucket) relay(ctx context.Context, back <-chan struct{}, w jetstream.KeyWatcher, out chan<- store.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-back:
			return
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if e == nil {
				continue
			}
			k, err := b.key(e.Key())
			if err != nil {
				continue
			}
			event := store.Event{Entry: store.Entry{Key: k, Version: e.Revision()}, Deleted: e.Operation() != jetstream.KeyValuePut}
			if !event.Deleted {
				event.Entry.Value = e.Value()
			}
			select {
			case out <- event:
			case <-ctx.Done():
				return
			}
		}
	}
}

// finish ends a watcher and takes what it still has to say, or it would wait for ever to say it.
func finish(w jetstream.KeyWatcher) {
	_ = w.Stop() // fails where the connection is closed, which has ended it too
	limit := time.After(opLimit)
	for {
		select {
		case _, ok := <-w.Updates():
			if !ok {
				return
			}
		case <-limit:
			return
		}
	}
}
