// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/image/tree"
)

func (s *Store) layerFile(digest string) string { return s.blob(digest) + ".erofs" }

// unusedFor is how old a layer gets before it is removed for being in no image: longer than an upload or a build takes
// from its first layer to its manifest.
const unusedFor = 24 * time.Hour

// AddLayer writes a tree as a layer. It is kept for a day; after that only if an image has it.
func (s *Store) AddLayer(ctx context.Context, t *tree.Tree) (LayerID, error) {
	tmp, err := s.temp()
	if err != nil {
		return LayerID{}, err
	}
	defer os.Remove(tmp.Name()) // gone already after a rename
	defer tmp.Close()
	size, err := t.Write(tmp)
	if err != nil {
		return LayerID{}, writeError(err)
	}
	if size > abi.ImageMax {
		return LayerID{}, fmt.Errorf("image of %d bytes, an image can have at most %d", size, int64(abi.ImageMax))
	}
	d, err := digest(ctx, tmp)
	if err != nil {
		return LayerID{}, err
	}
	l := LayerID{Digest: d, Size: size, FilesSize: t.FilesSize()}
	return l, s.keep(tmp, d)
}

// PutLayer stores a layer that comes from elsewhere. It must have the digest that is said and be an EROFS file system.
func (s *Store) PutLayer(ctx context.Context, want string, r io.Reader) error {
	if !digestForm.MatchString(want) {
		return fmt.Errorf("layer %q: not a digest", want)
	}
	tmp, err := s.temp()
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(tmp, h), io.LimitReader(r, abi.ImageMax+1))
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if size > abi.ImageMax {
		return fmt.Errorf("layer %s: larger than %d bytes", want, int64(abi.ImageMax))
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("layer %s: what came has digest %s", want, got)
	}
	if err := tree.Check(tmp, size); err != nil {
		return fmt.Errorf("layer %s: %w", want, err)
	}
	return s.keep(tmp, want)
}

// TempDir is a folder for large files that live no longer than a build; their names start with ".new-".
func (s *Store) TempDir() string { return s.blobs() }

func (s *Store) temp() (*os.File, error) {
	tmp, err := os.CreateTemp(s.blobs(), ".new-*")
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w: check who owns it", s.dir, cause(err))
	}
	return tmp, nil
}

// keep gives a finished file its name. One that is there already is replaced: it may be damaged.
func (s *Store) keep(tmp *os.File, digest string) error {
	if err := tmp.Chmod(0o444); err != nil {
		return writeError(err)
	}
	if err := tmp.Sync(); err != nil {
		return writeError(err)
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Rename(tmp.Name(), s.layerFile(digest)); err != nil {
		return writeError(err)
	}
	return nil
}

// HasLayer reports whether a layer is there, and keeps it for another day if it is.
func (s *Store) HasLayer(digest string) bool {
	if !digestForm.MatchString(digest) {
		return false
	}
	now := time.Now()
	return os.Chtimes(s.layerFile(digest), now, now) == nil
}

// OpenLayer opens a layer.
func (s *Store) OpenLayer(digest string) (*os.File, error) {
	if !digestForm.MatchString(digest) {
		return nil, fmt.Errorf("layer %q: not a digest", digest)
	}
	f, err := os.Open(s.layerFile(digest))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", digest, cause(err))
	}
	return f, nil
}

// AddImage stores a manifest whose layers are there, and lets name stand for it. An empty name leaves it unnamed.
func (s *Store) AddImage(m Manifest, name string) (Manifest, error) {
	if name != "" {
		if err := CheckName(name); err != nil {
			return Manifest{}, err
		}
	}
	m.Version = ManifestVersion
	b, d, err := m.Encode()
	if err != nil {
		return Manifest{}, err
	}
	m.Digest = d
	unlock, err := s.lock()
	if err != nil {
		return Manifest{}, err
	}
	defer unlock()
	for _, l := range m.Layers {
		fi, err := os.Stat(s.layerFile(l.Digest))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Manifest{}, fmt.Errorf("image: layer %s: %w", l.Digest, ErrNoLayer)
		case err != nil:
			return Manifest{}, fmt.Errorf("image: layer %s: %w", l.Digest, cause(err))
		case fi.Size() != l.Size:
			return Manifest{}, fmt.Errorf("image: layer %s has %d bytes, not %d", l.Digest, fi.Size(), l.Size)
		}
	}
	s.sweep()
	if err := replaceFile(s.blob(d)+".json", b, 0o644); err != nil {
		return Manifest{}, err
	}
	if name != "" {
		if err := writeJSON(s.nameFile(name), Tag{Digest: d, Created: time.Now().UTC().Truncate(time.Second)}); err != nil {
			return Manifest{}, err
		}
	}
	return m, nil
}

// sweep removes what was left behind by those that were killed, and layers that no image has. Preconditions: the lock
// is held.
func (s *Store) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.blobs(), ".new-*"))
	layers, _ := filepath.Glob(filepath.Join(s.blobs(), "*.erofs"))
	var old []string
	for _, f := range append(left, layers...) {
		if fi, err := os.Stat(f); err == nil && time.Since(fi.ModTime()) > unusedFor {
			old = append(old, f)
		}
	}
	if len(old) == 0 {
		return
	}
	used, err := s.usedLayers()
	if err != nil {
		return // better too much than too little
	}
	for _, f := range old {
		if d, ok := strings.CutSuffix(filepath.Base(f), ".erofs"); !ok || !used["sha256:"+d] {
			os.RemoveAll(f)
		}
	}
}

// usedLayers are the layers of all images. A manifest that cannot be read is an error: its layers are not known.
func (s *Store) usedLayers() (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(s.blobs(), "*.json"))
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		m, err := DecodeManifest(b)
		if err != nil {
			continue // of another version, or damaged: it cannot be opened anyway
		}
		for _, l := range m.Layers {
			used[l.Digest] = true
		}
	}
	return used, nil
}

// digest reads f from the start.
func digest(ctx context.Context, f *os.File) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("image: %w", err)
		}
		n, err := f.ReadAt(buf, off)
		h.Write(buf[:n])
		off += int64(n)
		if err == io.EOF {
			return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("image: cannot read it back: %w", cause(err))
		}
	}
}
