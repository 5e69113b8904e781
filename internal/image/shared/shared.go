// SPDX-License-Identifier: Apache-2.0

// Package shared gives a node the images of all nodes that have the same engine. The durable copy of an image is objects there;
// the node's own image store is a cache of them, filled when something is missed.
package shared

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/objects"
)

// fetchLimit bounds what somebody waits for an image from the engine.
const fetchLimit = 10 * time.Minute

// sweepAge is how old an object gets that no image has.
const sweepAge = 24 * time.Hour

// Names of objects.
const (
	layerSuffix    = ".erofs"
	manifestSuffix = ".json"
	namePrefix     = "name."
)

func layerObject(digest string) string { return strings.TrimPrefix(digest, "sha256:") + layerSuffix }
func manifestObject(digest string) string {
	return strings.TrimPrefix(digest, "sha256:") + manifestSuffix
}
func nameObject(name string) string { return namePrefix + url.PathEscape(name) }

// Store is an image store whose images are objects, too. What it adds to *image.Store stands here.
type Store struct {
	*image.Store
	objects *objects.Bucket

	mu        sync.Mutex
	published map[string]bool     // by digest: is whole in the engine
	busy      map[string]*pending // by digest: is being fetched, or published
}

// pending is work that others may wait for.
type pending struct {
	done chan struct{}
	err  error
}

// New makes a store of a cache and a bucket.
func New(local *image.Store, b *objects.Bucket) *Store {
	return &Store{Store: local, objects: b, published: map[string]bool{}, busy: map[string]*pending{}}
}

// once does work of a name; whoever wants the same meanwhile waits for it.
func (s *Store) once(ctx context.Context, what string, work func() error) error {
	s.mu.Lock()
	p := s.busy[what]
	if p != nil {
		s.mu.Unlock()
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p = &pending{done: make(chan struct{})}
	s.busy[what] = p
	s.mu.Unlock()
	p.err = work()
	s.mu.Lock()
	delete(s.busy, what)
	s.mu.Unlock()
	close(p.done)
	return p.err
}

const maxTag = 4 << 10

// Tag finds out what a name stands for: what was said last, here or elsewhere.
func (s *Store) Tag(name string) (image.Tag, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	return s.tag(ctx, name)
}

func (s *Store) tag(ctx context.Context, name string) (image.Tag, error) {
	here, err := s.Store.Tag(name)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return image.Tag{}, err
	}
	there, terr := s.sharedTag(ctx, nameObject(name))
	switch {
	case terr == nil && (err != nil || there.Created.After(here.Created)):
		return there, nil
	case err == nil:
		return here, nil
	case errors.Is(terr, objects.ErrNotFound):
		return image.Tag{}, err
	default:
		return image.Tag{}, fmt.Errorf("image %q: %w", name, terr)
	}
}

func (s *Store) sharedTag(ctx context.Context, object string) (image.Tag, error) {
	var t image.Tag
	text, err := s.small(ctx, object, maxTag)
	if err == nil {
		if err = json.Unmarshal(text, &t); err == nil && !image.IsDigest(t.Digest) {
			err = objects.ErrDamaged
		}
	}
	return t, err
}

// Source is the digest that a registry had for the image of a name when it was pulled; empty if it was made or sent.
func (s *Store) Source(name string) (string, error) {
	t, err := s.Tag(name)
	return t.Source, err
}

// Pulled lets a name stand for an image that is here, everywhere.
func (s *Store) Pulled(m image.Manifest, name, source string) error {
	if err := s.Store.Pulled(m, name, source); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	return s.announce(ctx, m, name, source)
}

// small reads a small object.
func (s *Store) small(ctx context.Context, object string, limit int) ([]byte, error) {
	var b strings.Builder
	_, err := s.objects.Get(ctx, object, &bounded{&b, limit})
	return []byte(b.String()), err
}

// bounded takes so many bytes.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("%w: too long", objects.ErrDamaged)
	}
	return b.w.Write(p)
}

// Manifest is the manifest of the image that ref, a name or a digest, stands for.
func (s *Store) Manifest(ref string) (image.Manifest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	return s.manifest(ctx, ref)
}

func (s *Store) manifest(ctx context.Context, ref string) (image.Manifest, error) {
	digest := ref
	if !image.IsDigest(ref) {
		t, err := s.tag(ctx, ref)
		if err != nil {
			return image.Manifest{}, err
		}
		digest = t.Digest
	}
	m, err := s.Store.Manifest(digest)
	if err == nil {
		return m, nil
	}
	text, terr := s.small(ctx, manifestObject(digest), image.MaxManifest)
	if errors.Is(terr, objects.ErrNotFound) {
		return image.Manifest{}, err
	}
	if terr == nil {
		if m, terr = image.DecodeManifest(text); terr == nil && m.Digest != digest {
			terr = errors.New("its manifest is damaged: build it again")
		}
	}
	if terr != nil {
		return image.Manifest{}, fmt.Errorf("image %q: %w", ref, terr)
	}
	return m, nil
}

// Open opens the layers of an image, which are fetched if they are not here.
func (s *Store) Open(ref string) ([]image.Layer, image.Manifest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	m, err := s.manifest(ctx, ref)
	if err != nil {
		return nil, image.Manifest{}, err
	}
	layers, here, err := s.Store.Open(m.Digest)
	if err == nil {
		return layers, here, nil
	}
	if ferr := s.fetch(ctx, m.Digest); ferr != nil {
		if errors.Is(ferr, objects.ErrNotFound) {
			ferr = err
		}
		return nil, image.Manifest{}, ferr
	}
	return s.Store.Open(m.Digest)
}

// Fetch has an image here, as far as the engine has it.
func (s *Store) Fetch(ctx context.Context, digest string) error {
	if layers, _, err := s.Store.Open(digest); err == nil {
		image.CloseLayers(layers)
		return nil
	}
	return s.fetch(ctx, digest)
}

// fetch has a whole image here: its layers, then its manifest.
func (s *Store) fetch(ctx context.Context, digest string) error {
	return s.once(ctx, "fetch "+digest, func() error {
		m, err := s.manifest(ctx, digest)
		if err != nil {
			return err
		}
		for _, l := range m.Layers {
			if err := s.fetchLayer(ctx, l); err != nil {
				return fmt.Errorf("image %s: %w", digest, err)
			}
		}
		_, err = s.Store.AddImage(m, "")
		return err
	})
}

func (s *Store) fetchLayer(ctx context.Context, l image.LayerID) error {
	if f, err := s.Store.OpenLayer(l.Digest); err == nil {
		fi, err := f.Stat()
		f.Close()
		if err == nil && fi.Size() == l.Size && s.Store.HasLayer(l.Digest) {
			return nil
		}
	}
	return s.once(ctx, "layer "+l.Digest, func() error {
		r, w := io.Pipe()
		go func() {
			_, err := s.objects.Get(ctx, layerObject(l.Digest), w)
			w.CloseWithError(err) // nil: io.EOF
		}()
		err := s.Store.PutLayer(ctx, l.Digest, r) // compares digests
		r.CloseWithError(errors.New("not wanted any more"))
		return err
	})
}

// HasLayer reports whether a layer is here, or can be had.
func (s *Store) HasLayer(digest string) bool {
	if !image.IsDigest(digest) {
		return false
	}
	if s.Store.HasLayer(digest) {
		return true
	}
	i, err := s.objects.Stat(context.Background(), layerObject(digest))
	return err == nil && s.fetchLayer(context.Background(), image.LayerID{Digest: digest, Size: i.Size}) == nil
}

// PutLayer stores a layer that comes from elsewhere, while there is room.
func (s *Store) PutLayer(ctx context.Context, digest string, r io.Reader) error {
	return s.Store.PutLayer(ctx, digest, &roomy{r: r, room: s.objects.Room})
}

// roomy stops reading when the disk gets full.
type roomy struct {
	r    io.Reader
	room func(size int64) error
	left int
}

const roomyStep = 4 << 20

func (r *roomy) Read(p []byte) (int, error) {
	if r.left <= 0 {
		if err := r.room(roomyStep); err != nil {
			return 0, err
		}
		r.left = roomyStep
	}
	n, err := r.r.Read(p)
	r.left -= n
	return n, err
}

// AddImage stores a manifest whose layers can be had, and lets name stand for it, everywhere.
func (s *Store) AddImage(m image.Manifest, name string) (image.Manifest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	for _, l := range m.Layers {
		if err := s.fetchLayer(ctx, l); err != nil && !errors.Is(err, objects.ErrNotFound) {
			return image.Manifest{}, err
		}
	}
	m, err := s.Store.AddImage(m, name)
	if err != nil {
		return image.Manifest{}, err
	}
	return m, s.announce(ctx, m, name, "")
}

// Import makes an image of one static program.
func (s *Store) Import(ctx context.Context, src, name string) (image.Manifest, error) {
	if err := s.objects.Room(0); err != nil {
		return image.Manifest{}, err
	}
	m, err := s.Store.Import(ctx, src, name)
	if err != nil {
		return image.Manifest{}, err
	}
	return m, s.announce(ctx, m, name, "")
}

// announce publishes an image and its name.
func (s *Store) announce(ctx context.Context, m image.Manifest, name, source string) error {
	if err := s.Publish(ctx, m.Digest); err != nil || name == "" {
		return err
	}
	text, err := json.Marshal(image.Tag{Digest: m.Digest, Created: time.Now().UTC().Truncate(time.Second), Source: source})
	if err != nil {
		return err
	}
	return s.objects.Put(ctx, nameObject(name), int64(len(text)), strings.NewReader(string(text)))
}

// Publish makes sure that an image is in the engine. What is there already is not sent again.
func (s *Store) Publish(ctx context.Context, digest string) error {
	s.mu.Lock()
	done := s.published[digest]
	s.mu.Unlock()
	if done {
		return nil
	}
	return s.once(ctx, "publish "+digest, func() error {
		m, err := s.manifest(ctx, digest)
		if err != nil {
			return err
		}
		for _, l := range m.Layers {
			if err := s.publishLayer(ctx, l); err != nil {
				return fmt.Errorf("image %s: %w", digest, err)
			}
		}
		if err := s.publishManifest(ctx, m); err != nil {
			return fmt.Errorf("image %s: %w", digest, err)
		}
		s.mu.Lock()
		s.published[digest] = true
		s.mu.Unlock()
		return nil
	})
}

func (s *Store) publishLayer(ctx context.Context, l image.LayerID) error {
	object := layerObject(l.Digest)
	i, err := s.objects.Stat(ctx, object)
	if err == nil && i.Size == l.Size {
		return nil
	}
	if err != nil && !errors.Is(err, objects.ErrNotFound) && !errors.Is(err, objects.ErrDamaged) {
		return err
	}
	return s.once(ctx, object, func() error {
		f, err := s.Store.OpenLayer(l.Digest)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.objects.Put(ctx, object, l.Size, f)
	})
}

func (s *Store) publishManifest(ctx context.Context, m image.Manifest) error {
	object := manifestObject(m.Digest)
	if _, err := s.objects.Stat(ctx, object); err == nil {
		return nil
	}
	text, digest, err := m.Encode()
	if err == nil && digest != m.Digest {
		err = errors.New("its manifest is of an older version: build it again")
	}
	if err != nil {
		return err
	}
	return s.objects.Put(ctx, object, int64(len(text)), strings.NewReader(string(text)))
}

// List returns every name, here and elsewhere, and every image that has none, sorted. What is damaged is left out.
func (s *Store) List() ([]image.Entry, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	out, err := s.Store.List()
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for n, e := range out {
		if e.Name != "" {
			at[e.Name] = n
		}
	}
	infos, err := s.objects.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range infos {
		escaped, ok := strings.CutPrefix(i.Name, namePrefix)
		if !ok {
			continue
		}
		name, err := url.PathUnescape(escaped)
		if err != nil || image.CheckName(name) != nil {
			continue
		}
		n, here := at[name]
		if here && !i.Time.After(out[n].Created) {
			continue
		}
		t, err := s.sharedTag(ctx, i.Name)
		if err != nil || here && !t.Created.After(out[n].Created) {
			continue
		}
		m, err := s.manifest(ctx, t.Digest)
		if err != nil {
			continue
		}
		e := image.Entry{Name: name, Created: t.Created, Manifest: m}
		if here {
			before := image.Entry{Created: out[n].Created, Manifest: out[n].Manifest}
			out[n], e = e, before // it has no name any more
		}
		out = append(out, e)
	}
	known := map[string]bool{}
	for _, e := range out {
		if e.Name != "" {
			known[e.Manifest.Digest] = true
		}
	}
	out = slices.DeleteFunc(out, func(e image.Entry) bool {
		again := e.Name == "" && known[e.Manifest.Digest]
		known[e.Manifest.Digest] = true
		return again
	})
	slices.SortFunc(out, func(a, b image.Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Manifest.Digest, b.Manifest.Digest))
	})
	return out, nil
}

// Sweep removes layers that no image has, uploads that were never finished, a day later.
func (s *Store) Sweep(ctx context.Context) error { return s.sweep(ctx, sweepAge) }

func (s *Store) sweep(ctx context.Context, age time.Duration) error {
	list, err := s.objects.List(ctx)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, i := range list {
		if !strings.HasSuffix(i.Name, manifestSuffix) || strings.HasPrefix(i.Name, namePrefix) {
			continue
		}
		text, err := s.small(ctx, i.Name, image.MaxManifest)
		if err != nil {
			return err // its layers are not known: better too much than too little
		}
		m, err := image.DecodeManifest(text)
		if err != nil {
			continue // of another version
		}
		for _, l := range m.Layers {
			used[layerObject(l.Digest)] = true
		}
	}
	return s.objects.Sweep(ctx, age, func(i objects.Info) bool { return !strings.HasSuffix(i.Name, layerSuffix) || used[i.Name] })
}
