// SPDX-License-Identifier: Apache-2.0

package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Store keeps images in a folder:
//
//	sha256/HEX.erofs   a layer
//	sha256/HEX.json    a manifest, the image; written after its layers
//	names/NAME.json    what a name stands for
//	lock               held while names and images change
//
// Several processes may use one folder at once.
type Store struct {
	dir string
}

// Entry is one image of a listing. Name is empty for an image that no name stands for any more.
type Entry struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Manifest Manifest  `json:"manifest"`
}

// Tag is what a name stands for.
type Tag struct {
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
	Source  string    `json:"source,omitempty"` // digest in the registry that the image was pulled from; empty: it was made or sent here
}

// OpenStore opens the store in dir and makes it where it does not exist.
func OpenStore(dir string) (*Store, error) {
	s := &Store{dir: dir}
	for _, d := range []string{dir, s.blobs(), s.names()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("image store %s: %w: choose another folder with --data", dir, cause(err))
		}
	}
	return s, nil
}

func (s *Store) blobs() string            { return filepath.Join(s.dir, "sha256") }
func (s *Store) names() string            { return filepath.Join(s.dir, "names") }
func (s *Store) nameFile(n string) string { return filepath.Join(s.names(), url.PathEscape(n)+".json") }

// blob is the path of an image file without its suffix. Preconditions: digest has the form of one.
func (s *Store) blob(digest string) string {
	return filepath.Join(s.blobs(), strings.TrimPrefix(digest, "sha256:"))
}

// lock holds the store's lock until the returned function is called.
func (s *Store) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w: check who owns it", s.dir, cause(err))
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("image store %s: lock: %w", s.dir, err)
	}
	return func() { f.Close() }, nil
}

// Import makes an image from src, a static ELF program, and lets name stand for it. An empty name leaves it unnamed.
func (s *Store) Import(ctx context.Context, src, name string) (Manifest, error) {
	if name != "" {
		if err := CheckName(name); err != nil {
			return Manifest{}, err
		}
	}
	t, prog, err := programTree(src)
	if err != nil {
		return Manifest{}, err
	}
	l, err := s.AddLayer(ctx, t)
	if err != nil {
		return Manifest{}, err
	}
	return s.AddImage(programManifest(prog, l), name)
}

// Open opens the layers of the image that ref, a name or a digest, stands for. The files stay good when the image is
// removed; CloseLayers closes them.
func (s *Store) Open(ref string) ([]Layer, Manifest, error) {
	m, err := s.Manifest(ref)
	if err != nil {
		return nil, Manifest{}, err
	}
	var layers []Layer
	for _, l := range m.Layers {
		f, err := os.Open(s.layerFile(l.Digest))
		if err != nil {
			CloseLayers(layers)
			return nil, Manifest{}, fmt.Errorf("image %q: %w: build it again", ref, cause(err))
		}
		layers = append(layers, Layer{File: f, Size: l.Size, Digest: l.Digest})
		if fi, err := f.Stat(); err != nil || fi.Size() != l.Size {
			CloseLayers(layers)
			return nil, Manifest{}, fmt.Errorf("image %q: damaged in %s: build it again", ref, s.dir)
		}
	}
	return layers, m, nil
}

// Manifest is the manifest of the image that ref stands for.
func (s *Store) Manifest(ref string) (Manifest, error) {
	d := ref
	if !digestForm.MatchString(ref) {
		t, err := s.tag(ref)
		if err != nil {
			return Manifest{}, err
		}
		d = t.Digest
	}
	b, err := os.ReadFile(s.blob(d) + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("image %q: %w: make it with unifaas build", ref, ErrNotFound)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("image %q: %w", ref, cause(err))
	}
	m, err := DecodeManifest(b)
	if err == nil && m.Digest != d {
		err = errors.New("its manifest is damaged: build it again")
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("image %q: %w", ref, err)
	}
	return m, nil
}

func (s *Store) tag(name string) (Tag, error) {
	if err := CheckName(name); err != nil {
		return Tag{}, err
	}
	var t Tag
	b, err := os.ReadFile(s.nameFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Tag{}, fmt.Errorf("image %q: %w: make it with unifaas build", name, ErrNotFound)
	}
	if err != nil {
		return Tag{}, fmt.Errorf("image %q: %w", name, cause(err))
	}
	if err := json.Unmarshal(b, &t); err != nil || !digestForm.MatchString(t.Digest) {
		return Tag{}, fmt.Errorf("image %q: its entry in %s is damaged: build it again", name, s.dir)
	}
	return t, nil
}

// Tag says what a name stands for.
func (s *Store) Tag(name string) (Tag, error) { return s.tag(name) }

// IsDigest reports whether a reference is one by digest.
func IsDigest(ref string) bool { return digestForm.MatchString(ref) }

// List returns every name, and every image that has none, sorted. What is damaged is left out.
func (s *Store) List() ([]Entry, error) {
	names, err := os.ReadDir(s.names())
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w", s.dir, cause(err))
	}
	out := []Entry{}
	named := map[string]bool{}
	for _, de := range names {
		name, err := url.PathUnescape(strings.TrimSuffix(de.Name(), ".json"))
		if err != nil {
			continue
		}
		t, err := s.tag(name)
		if err != nil {
			continue
		}
		if m, err := s.Manifest(t.Digest); err == nil {
			named[m.Digest] = true
			out = append(out, Entry{Name: name, Created: t.Created, Manifest: m})
		}
	}
	blobs, err := filepath.Glob(filepath.Join(s.blobs(), "*.json"))
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w", s.dir, err)
	}
	for _, b := range blobs {
		d := "sha256:" + strings.TrimSuffix(filepath.Base(b), ".json")
		if named[d] || !digestForm.MatchString(d) {
			continue
		}
		fi, err := os.Stat(b)
		if err != nil {
			continue
		}
		if m, err := s.Manifest(d); err == nil {
			out = append(out, Entry{Created: fi.ModTime().UTC().Truncate(time.Second), Manifest: m})
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Manifest.Digest, b.Manifest.Digest))
	})
	return out, nil
}

// Remove takes away a name, or with a digest the image itself and all its names. An image whose last name went stays
// until it is removed by digest: a revision may still run from it. Layers go with the last image that has them.
func (s *Store) Remove(ref string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !digestForm.MatchString(ref) {
		if _, err := s.tag(ref); err != nil {
			return err
		}
		return s.unlink(ref, s.nameFile(ref))
	}
	m, err := s.Manifest(ref)
	if err != nil {
		return err
	}
	es, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range es {
		if e.Name != "" && e.Manifest.Digest == ref {
			if err := s.unlink(ref, s.nameFile(e.Name)); err != nil {
				return err
			}
		}
	}
	if err := s.unlink(ref, s.blob(ref)+".json"); err != nil {
		return err
	}
	used, err := s.usedLayers()
	if err != nil {
		return fmt.Errorf("image %q: %w", ref, cause(err))
	}
	for _, l := range m.Layers {
		if !used[l.Digest] {
			if err := s.unlink(ref, s.layerFile(l.Digest)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) unlink(ref, file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("image %q: cannot remove it: %w", ref, cause(err))
	}
	return nil
}

// writeJSON replaces a file at once: readers see the old or the new contents.
func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return replaceFile(file, append(b, '\n'), 0o644)
}

func replaceFile(file string, b []byte, perm fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return writeError(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Chmod(perm)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return writeError(err)
	}
	return nil
}
