// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"

	"unifaas.dev/internal/control/store"
)

// watcher passes changes on; while its reader is busy only the last change of each record is kept.
type watcher struct {
	kind    store.Kind
	wake    chan struct{}
	pending []store.Event // of different records, in order of their first change; under Store.mu
}

// Watch gives changes.
func (s *Store) Watch(ctx context.Context, kind store.Kind) <-chan store.Event {
	w := &watcher{kind: kind, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	out := make(chan store.Event)
	go func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			delete(s.watchers, w)
			s.mu.Unlock()
		}()
		for {
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			}
			s.mu.Lock()
			events := w.pending
			w.pending = nil
			s.mu.Unlock()
			for _, e := range events {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// tell passes a change to all watchers. Preconditions: mu is held.
func (s *Store) tell(e store.Event) {
	for w := range s.watchers {
		if w.kind != e.Entry.Key.Kind {
			continue
		}
		w.put(e)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) put(e store.Event) {
	for at := range w.pending {
		if w.pending[at].Entry.Key == e.Entry.Key {
			w.pending[at] = e
			return
		}
	}
	w.pending = append(w.pending, e)
}
