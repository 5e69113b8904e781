// SPDX-License-Identifier: Apache-2.0

// Package oci reads container images, from registries, OCI layouts and archives, into trees. It trusts nothing in them:
// digests are checked, paths and links stay inside the tree, and what unpacks to more than a limit is refused.
package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"unifaas.dev/internal/image/tree"
)

// DefaultLimit is how much an image may unpack to.
const DefaultLimit = 8 << 30

// Source is where an image comes from.
type Source struct {
	name string
	open func(ctx context.Context, temp string, limit int64) (v1.Image, func(), error)
	blob bool // layers are files that nobody has compared with their digests yet
}

// String is what the user called it.
func (s Source) String() string { return s.name }

// Image is an unpacked image. Close it when the tree has been written.
type Image struct {
	Tree   *tree.Tree
	Config v1.Config
	spool  *os.File
}

// Close frees the space of the files.
func (i *Image) Close() error { return i.spool.Close() }

func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: "amd64"} }

// Reference is an image in a registry. Credentials are those of docker's or podman's configuration files.
func Reference(ref string) Source {
	return Source{name: ref, open: func(ctx context.Context, _ string, _ int64) (v1.Image, func(), error) {
		r, err := name.ParseReference(ref)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: no such file or folder, and no reference like registry/name:tag", ref)
		}
		img, err := remote.Image(r, remote.WithContext(ctx), remote.WithPlatform(platform()), remote.WithAuthFromKeychain(authn.DefaultKeychain))
		if err != nil {
			return nil, nil, remoteError(ref, r, err)
		}
		return img, func() {}, nil
	}}
}

// Pin asks a registry which image a reference means now. The source gives that very one; digest names it.
func Pin(ctx context.Context, ref string) (s Source, digest string, err error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return s, "", fmt.Errorf("image %s: no reference like registry/name:tag", ref)
	}
	o := []remote.Option{remote.WithContext(ctx), remote.WithPlatform(platform()), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	var d *v1.Descriptor
	if d, err = remote.Head(r, o...); err != nil { // some registries have no HEAD
		var whole *remote.Descriptor
		if whole, err = remote.Get(r, o...); err != nil {
			return s, "", registryError(ref, r, err)
		}
		d = &whole.Descriptor
	}
	pinned := r.Context().Digest(d.Digest.String())
	return Source{name: "image " + ref, open: func(ctx context.Context, _ string, _ int64) (v1.Image, func(), error) {
		img, err := remote.Image(pinned, remote.WithContext(ctx), remote.WithPlatform(platform()), remote.WithAuthFromKeychain(authn.DefaultKeychain))
		if err != nil {
			return nil, nil, registryError(ref, r, err)
		}
		return img, func() {}, nil
	}}, d.Digest.String(), nil
}

// ErrNotThere is wrapped by errors about an image that its registry does not have, or does not show.
var ErrNotThere = errors.New("not in its registry")

// registryError makes one line of what a registry says to the node.
func registryError(ref string, r name.Reference, err error) error {
	registry := r.Context().RegistryStr()
	switch registryStatus(err) {
	case http.StatusNotFound:
		return fmt.Errorf("image %s: %w: %s does not have it", ref, ErrNotThere, registry)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("image %s: %w: %s does not have it, or wants other credentials: log in with docker or podman login where the node runs", ref, ErrNotThere, registry)
	}
	return fmt.Errorf("image %s: registry %s: %s", ref, registry, oneLine(err))
}

func registryStatus(err error) int {
	var te *transport.Error
	if errors.As(err, &te) {
		return te.StatusCode
	}
	return 0
}

// remoteError makes one line of what a registry says.
func remoteError(ref string, r name.Reference, err error) error {
	switch registryStatus(err) {
	case http.StatusNotFound:
		return fmt.Errorf("%s: no such file or folder, and registry %s does not have it", ref, r.Context().RegistryStr())
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: registry %s wants other credentials: log in with docker or podman login", ref, r.Context().RegistryStr())
	}
	return fmt.Errorf("%s: no such file or folder, and not to be had from a registry: %s", ref, oneLine(err))
}

// Load unpacks an image into a tree whose files lie in a nameless file in the folder temp.
func Load(ctx context.Context, s Source, temp string, limit int64) (img *Image, err error) {
	defer func() {
		if r := recover(); r != nil { // the libraries for these formats meet what nobody has checked
			img, err = nil, fmt.Errorf("%s: damaged image (%v)", s.name, r)
		}
	}()
	if limit <= 0 {
		limit = DefaultLimit
	}
	src, cleanup, err := s.open(ctx, temp, limit)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	spool, err := os.CreateTemp(temp, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	os.Remove(spool.Name())
	img = &Image{Tree: tree.New(nil), spool: spool}
	if err := img.unpack(ctx, s, src, limit); err != nil {
		spool.Close()
		return nil, err
	}
	return img, nil
}

const maxLayers = 1000

func (i *Image) unpack(ctx context.Context, s Source, src v1.Image, limit int64) error {
	c, err := src.ConfigFile()
	if err != nil {
		return fmt.Errorf("%s: its configuration: %s", s.name, oneLine(err))
	}
	if c == nil {
		return fmt.Errorf("%s: it has no configuration", s.name)
	}
	if c.OS != "" && c.OS != "linux" || c.Architecture != "" && c.Architecture != "amd64" {
		return fmt.Errorf("%s: built for %s/%s, not for linux/amd64", s.name, c.OS, c.Architecture)
	}
	layers, err := src.Layers()
	if err != nil {
		return fmt.Errorf("%s: its layers: %s", s.name, oneLine(err))
	}
	if len(layers) != len(c.RootFS.DiffIDs) || len(layers) > maxLayers {
		return fmt.Errorf("%s: %d layers, its configuration names %d", s.name, len(layers), len(c.RootFS.DiffIDs))
	}
	if err := checkConfig(src); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	u := newUnpacker(i.Tree, i.spool, limit)
	for n, l := range layers {
		if s.blob {
			if err := checkBlob(ctx, l, limit); err != nil {
				return fmt.Errorf("%s: layer %d: %w", s.name, n+1, err)
			}
		}
		if err := u.layer(ctx, l, c.RootFS.DiffIDs[n]); err != nil {
			return fmt.Errorf("%s: layer %d: %w", s.name, n+1, err)
		}
	}
	if err := u.out.Flush(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	i.Config = c.Config
	return nil
}

func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}
