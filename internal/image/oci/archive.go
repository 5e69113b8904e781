// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// IsLayout reports whether a folder is an OCI layout.
func IsLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}

// IsArchive reports whether a file that starts so is a tar archive, as it is or compressed.
func IsArchive(start string) bool {
	return len(start) > 262 && start[257:262] == "ustar" || strings.HasPrefix(start, gzipMagic)
}

const gzipMagic = "\x1f\x8b"

// Layout is an OCI layout in a folder.
func Layout(dir string) Source {
	return Source{name: dir, blob: true, open: func(context.Context, string, int64) (v1.Image, func(), error) {
		img, err := fromLayout(dir)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", dir, err)
		}
		return img, func() {}, nil
	}}
}

// Archive is a file that docker save, podman save or skopeo wrote.
func Archive(file string) Source {
	return Source{name: file, blob: true, open: func(ctx context.Context, temp string, limit int64) (v1.Image, func(), error) {
		img, cleanup, err := fromArchive(ctx, file, temp, limit)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %s", file, oneLine(err))
		}
		return img, cleanup, nil
	}}
}

const maxIndex = 3 // an index in an index in an index

func fromLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %s", oneLine(err))
	}
	var found []v1.Descriptor
	var others []string
	if err := collect(index, 0, &found, &others); err != nil {
		return nil, err
	}
	switch {
	case len(found) == 0 && len(others) > 0:
		return nil, fmt.Errorf("OCI layout: no image for linux/amd64, only for %s", strings.Join(others, ", "))
	case len(found) == 0:
		return nil, errors.New("OCI layout: no image in it")
	case len(found) > 1:
		return nil, fmt.Errorf("OCI layout: %d images for linux/amd64: give one with a single image", len(found))
	}
	img, err := layout.Path(dir).Image(found[0].Digest)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %s", oneLine(err))
	}
	raw, err := img.RawManifest()
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %s", oneLine(err))
	}
	h := sha256.New()
	h.Write(raw)
	return img, compare("its manifest", h, found[0].Digest)
}

// collect gathers the images of an index that run here.
func collect(index v1.ImageIndex, depth int, found *[]v1.Descriptor, others *[]string) error {
	m, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("OCI layout: %s", oneLine(err))
	}
	want := platform()
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex() && depth < maxIndex:
			below, err := index.ImageIndex(d.Digest)
			if err != nil {
				return fmt.Errorf("OCI layout: %s", oneLine(err))
			}
			if err := collect(below, depth+1, found, others); err != nil {
				return err
			}
		case !d.MediaType.IsImage():
		case d.Platform != nil && (d.Platform.OS != want.OS || d.Platform.Architecture != want.Architecture):
			if d.Platform.OS != "unknown" { // attestations
				*others = append(*others, d.Platform.String())
			}
		default:
			*found = append(*found, d)
		}
	}
	return nil
}

func fromArchive(ctx context.Context, file, temp string, limit int64) (v1.Image, func(), error) {
	open := func() (io.ReadCloser, error) { return openArchive(ctx, file, limit) }
	docker, isOCI, err := kinds(open)
	switch {
	case err != nil:
		return nil, nil, err
	case docker:
		img, err := tarball.Image(open, nil)
		return img, func() {}, err
	case !isOCI:
		return nil, nil, errors.New("neither an archive of docker save nor an OCI layout: it has no manifest.json and no index.json")
	}
	dir, err := os.MkdirTemp(temp, ".new-oci-*")
	if err != nil {
		return nil, nil, err
	}
	cleanup := func() { os.RemoveAll(dir) }
	err = unpackLayout(open, dir)
	var img v1.Image
	if err == nil {
		img, err = fromLayout(dir)
	}
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return img, cleanup, nil
}

// openArchive reads a file that may be compressed as a whole.
func openArchive(ctx context.Context, file string, limit int64) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(f, 64<<10)
	var r io.Reader = in
	if start, _ := in.Peek(2); string(start) == gzipMagic {
		if r, err = gzip.NewReader(in); err != nil {
			f.Close()
			return nil, err
		}
	}
	left := 2 * limit // layers and what stands around them; layers are counted by themselves
	return struct {
		io.Reader
		io.Closer
	}{&bounded{ctx: ctx, r: r, left: &left}, f}, nil
}

func kinds(open func() (io.ReadCloser, error)) (docker, isOCI bool, err error) {
	err = each(open, func(h *tar.Header, _ io.Reader) error {
		docker = docker || path.Clean(h.Name) == "manifest.json"
		isOCI = isOCI || path.Clean(h.Name) == "index.json"
		return nil
	})
	return docker, isOCI, err
}

func each(open func() (io.ReadCloser, error), do func(*tar.Header, io.Reader) error) error {
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = do(h, r)
		}
		if errors.Is(err, errTooLarge) {
			return errors.New("it is larger than an image may be: allow more with --max-size if it is meant to")
		}
		if err != nil {
			return err
		}
	}
}

var blobName = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// unpackLayout takes the files of a layout, and only those, out of an archive.
func unpackLayout(open func() (io.ReadCloser, error), dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return err
	}
	return each(open, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !blobName.MatchString(name) {
			return nil
		}
		f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	})
}
