// SPDX-License-Identifier: Apache-2.0

// Package natsstore keeps control-plane state in JetStream: one key-value bucket a kind of record, of which the engine keeps
// the last value of each key and a number that grows with every change. It knows nothing of what is in a record.
package natsstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/engine"
)

const (
	bucketPrefix = "unifaas-"
	// opLimit bounds one request to the engine: a cluster that chooses a new leader takes seconds.
	opLimit = 10 * time.Second
	// listLimit bounds the reading of all records of a kind.
	listLimit = time.Minute
	// markerAge is how long it is remembered that a record was deleted. A node that was cut off for longer
	// finds out when it starts again.
	markerAge = 7 * 24 * time.Hour
)

// Store is a store.Store in an engine.
type Store struct {
	e *engine.Engine

	mu      sync.Mutex
	buckets map[store.Kind]*bucket

	stop     context.CancelFunc // of all watchers
	stopped  context.Context
	watchers sync.WaitGroup
}

type bucket struct {
	kind   store.Kind
	kv     jetstream.KeyValue
	stream jetstream.Stream // that it is made of
}

// Open gives access to the records of an engine; kinds that it has not yet got are made.
func Open(ctx context.Context, e *engine.Engine, kinds ...store.Kind) (*Store, error) {
	s := &Store{e: e, buckets: map[store.Kind]*bucket{}}
	s.stopped, s.stop = context.WithCancel(context.Background())
	for _, k := range kinds {
		if err := s.open(ctx, k); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// open makes or finds a bucket. Its stream is made here and not by the library, for one reason: reads must see all that was
// written before, whatever member of a cluster answers (no direct gets).
func (s *Store) open(ctx context.Context, kind store.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	name := bucketPrefix + string(kind)
	stream, err := s.e.JS.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "KV_" + name, Description: "UniFaaS: " + string(kind), Subjects: []string{"$KV." + name + ".>"},
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1, Discard: jetstream.DiscardNew,
		Storage: jetstream.FileStorage, Replicas: s.e.Replicas, Duplicates: 2 * time.Minute,
		AllowRollup: true, DenyDelete: true, AllowDirect: false,
	})
	if err != nil {
		return fmt.Errorf("%s: records of %s: %w", s.e, kind, engine.Cause(err))
	}
	kv, err := s.e.JS.KeyValue(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: records of %s: %w", s.e, kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[kind] = &bucket{kind, kv, stream}
	return nil
}

func (s *Store) bucket(kind store.Kind) (*bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[kind]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("records of kind %q: there are none in this store", kind)
}

// at is where a record is.
func (s *Store) at(k store.Key) (*bucket, string, error) {
	name, err := encode(k.Name)
	if err != nil {
		return nil, "", err
	}
	b, err := s.bucket(k.Kind)
	if err == nil {
		err = s.e.Reached()
	}
	return b, name, err
}

// wrap names the record and, where it is not the record's affair, the engine.
func (s *Store) wrap(k fmt.Stringer, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return fmt.Errorf("%s: %w", k, store.ErrNotFound)
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return fmt.Errorf("%s: %w", k, store.ErrConflict)
	}
	return fmt.Errorf("%s: %s: %w", s.e, k, engine.Cause(err))
}

// Get reads a record.
func (s *Store) Get(ctx context.Context, k store.Key) (store.Entry, error) {
	b, name, err := s.at(k)
	if err != nil {
		return store.Entry{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	e, err := b.kv.Get(ctx, name)
	if err != nil {
		return store.Entry{}, s.wrap(k, err)
	}
	return store.Entry{Key: k, Value: e.Value(), Version: e.Revision()}, nil
}

// Put writes a record.
func (s *Store) Put(ctx context.Context, k store.Key, value []byte, after uint64) (uint64, error) {
	b, name, err := s.at(k)
	if err != nil {
		return 0, err
	}
	if limit := s.e.MaxValue(); len(value) > limit {
		return 0, fmt.Errorf("%s: a record of %d bytes, and %s takes at most %d", k, len(value), s.e, limit)
	}
	if err := s.e.Room(int64(len(value))); err != nil {
		return 0, fmt.Errorf("%s: %w", k, err)
	}
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	var version uint64
	if after == 0 {
		if bad, err := b.damaged(ctx, name); err != nil {
			return 0, s.wrap(k, err)
		} else if bad {
			return 0, &store.DamagedError{Key: k, Where: "record " + k.String(), Err: fmt.Errorf("%s cannot read it, nor replace it: %w", s.e, errFiles)}
		}
		version, err = b.kv.Create(ctx, name, value)
	} else {
		version, err = b.kv.Update(ctx, name, value, after)
	}
	if err != nil {
		return 0, s.wrap(k, err)
	}
	return version, nil
}

// Delete removes a record.
func (s *Store) Delete(ctx context.Context, k store.Key) error {
	b, name, err := s.at(k)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	if _, err := b.kv.Get(ctx, name); err != nil {
		if bad, _ := b.damaged(ctx, name); bad {
			return &store.DamagedError{Key: k, Where: "record " + k.String(), Err: fmt.Errorf("%s cannot read it, nor remove it: %w", s.e, errFiles)}
		}
		return s.wrap(k, err)
	}
	if err := b.kv.Purge(ctx, name); err != nil {
		return s.wrap(k, err)
	}
	return nil
}

// List reads all records of a kind: their names first, then each. A reader of the whole stream would stop at a damaged one.
func (s *Store) List(ctx context.Context, kind store.Kind) ([]store.Entry, []error, error) {
	b, err := s.bucket(kind)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.subject(">")))
	if err != nil {
		return nil, nil, s.wrap(b, err)
	}
	var entries []store.Entry
	var damaged []error
	for _, subject := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		name := strings.TrimPrefix(subject, b.subject(""))
		k, err := b.key(name)
		if err != nil {
			damaged = append(damaged, &store.DamagedError{Key: k, Where: b.String(), Err: err})
			continue
		}
		e, err := s.Get(ctx, k)
		switch {
		case err == nil:
			entries = append(entries, e)
		case !errors.Is(err, store.ErrNotFound):
			return nil, nil, err
		default:
			if bad, err := b.damaged(ctx, name); err != nil {
				return nil, nil, s.wrap(b, err)
			} else if bad {
				damaged = append(damaged, &store.DamagedError{Key: k, Where: "record " + k.String(), Err: errors.New("the engine cannot read it")})
			}
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	return entries, damaged, nil
}

// damaged reports whether a record is there and cannot be read: the engine knows its name, and says that there is none when it is asked for
// it. A mark that the record was deleted can be read; old ones are removed in passing.
func (b *bucket) damaged(ctx context.Context, name string) (bool, error) {
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.subject(name)))
	if err != nil || len(info.State.Subjects) == 0 {
		return false, err
	}
	m, err := b.stream.GetLastMsgForSubject(ctx, b.subject(name))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return true, nil
	case err == nil && m.Header.Get("KV-Operation") != "" && time.Since(m.Time) > markerAge:
		return false, b.purge(ctx, name)
	}
	return false, err
}

// purge takes a record away without a mark.
func (b *bucket) purge(ctx context.Context, name string) error {
	return b.stream.Purge(ctx, jetstream.WithPurgeSubject(b.subject(name)))
}

func (b *bucket) subject(name string) string {
	return "$KV." + bucketPrefix + string(b.kind) + "." + name
}

// errFiles is what to do about files of the engine that something else has changed.
var errFiles = errors.New("its files are damaged: bring them back from a copy, or move them away and deploy everything again")

// String names the bucket in messages.
func (b *bucket) String() string { return "records of " + string(b.kind) }

// key is the record's key of a bucket's key.
func (b *bucket) key(name string) (store.Key, error) {
	plain, err := decode(name)
	return store.Key{Kind: b.kind, Name: plain}, err
}

// Close ends all watchers. The engine stays.
func (s *Store) Close() error {
	s.stop()
	s.watchers.Wait()
	return nil
}
