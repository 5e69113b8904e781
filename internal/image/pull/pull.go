// SPDX-License-Identifier: Apache-2.0

// Package pull brings container images from registries into an image store, on behalf of who deploys a function by the name of one.
// What was made or sent here under a name is replaced by what a registry has under it only for who says so: image.PullAlways.
package pull

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/image/oci"
	"unifaas.dev/internal/image/shared"
)

const (
	atOnce = 2 // pulls; others wait
	limit  = 20 * time.Minute
)

// Store is an image store that also has what registries have. Close ends what it is fetching.
type Store struct {
	*shared.Store
	opts build.Options

	ctx   context.Context
	stop  context.CancelFunc
	slots chan struct{}

	mu    sync.Mutex
	pulls map[string]*pulling
	all   sync.WaitGroup
}

// pulling is a pull that some wait for. It goes on when they leave: who asks again finds it further.
type pulling struct {
	done chan struct{}
	m    image.Manifest
	err  error
}

// New makes one of a store.
func New(s *shared.Store, o build.Options) *Store {
	ctx, stop := context.WithCancel(context.Background())
	return &Store{Store: s, opts: o, ctx: ctx, stop: stop, slots: make(chan struct{}, atOnce), pulls: map[string]*pulling{}}
}

// Close returns when nothing is fetched any more.
func (s *Store) Close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.all.Wait()
}

// Pull gives the image that a name, a digest or a reference stands for. An error that wraps image.ErrNotFound says that it is nowhere.
func (s *Store) Pull(ctx context.Context, ref, policy string) (image.Manifest, error) {
	if err := image.CheckPull(policy); err != nil {
		return image.Manifest{}, err
	}
	m, err := s.Manifest(ref)
	here := err == nil
	if err != nil && !errors.Is(err, image.ErrNotFound) || policy == image.PullNever || strings.HasPrefix(ref, "sha256:") {
		return m, err
	}
	if here {
		source, err := s.Source(ref)
		if err != nil {
			return m, err
		}
		fixed := source == "" || strings.Contains(ref, "@")
		if policy == image.PullMissing || policy == image.PullAuto && fixed {
			return m, nil
		}
	} else if !strings.Contains(ref, "/") {
		return m, fmt.Errorf("%w, or name what a registry has by a whole reference, like docker.io/library/%s", err, ref)
	}
	return s.fetch(ctx, ref)
}

// fetch waits for a pull, of which there is one a reference.
func (s *Store) fetch(ctx context.Context, ref string) (image.Manifest, error) {
	s.mu.Lock()
	p := s.pulls[ref]
	if p == nil {
		if s.ctx.Err() != nil {
			s.mu.Unlock()
			return image.Manifest{}, fmt.Errorf("image %s: the node stops", ref)
		}
		p = &pulling{done: make(chan struct{})}
		s.pulls[ref] = p
		s.all.Go(func() {
			p.m, p.err = s.work(ref)
			s.mu.Lock()
			delete(s.pulls, ref)
			s.mu.Unlock()
			close(p.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-p.done:
		return p.m, p.err
	case <-ctx.Done():
		return image.Manifest{}, fmt.Errorf("image %s: it is still being pulled: try again: %w", ref, ctx.Err())
	}
}

func (s *Store) work(ref string) (m image.Manifest, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return m, fmt.Errorf("image %s: too many others are being pulled: try again later", ref)
	}
	src, digest, err := oci.Pin(ctx, ref)
	if errors.Is(err, oci.ErrNotThere) {
		return m, fmt.Errorf("%w (%w)", err, image.ErrNotFound)
	}
	if err != nil {
		return m, err
	}
	if had, err := s.Source(ref); err == nil && had == digest {
		if m, err := s.Manifest(ref); err == nil {
			return m, nil
		}
	}
	if m, err = build.Container(ctx, s.Store.Store, src, s.opts); err != nil {
		return m, err
	}
	return m, s.Pulled(m, ref, digest)
}
