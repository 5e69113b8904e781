// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"unifaas.dev/internal/image/tree"
)

// Marks of what a layer takes away from those below it.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// unpacker applies layers, the lowest first.
type unpacker struct {
	t           *tree.Tree
	limit, left int64 // of bytes of layers
	room        int64 // for bytes of files
	file        *os.File
	out         *bufio.Writer // into file
	off         int64
	mine        map[string]bool // real paths that the current layer has put
}

func newUnpacker(t *tree.Tree, spool *os.File, limit int64) *unpacker {
	return &unpacker{t: t, left: limit, room: limit, limit: limit, file: spool, out: bufio.NewWriterSize(spool, 1<<20)}
}

// layer applies one layer and compares its contents with their digest.
func (u *unpacker) layer(ctx context.Context, l v1.Layer, want v1.Hash) error {
	r, err := l.Uncompressed()
	if err != nil {
		return errors.New(oneLine(err))
	}
	defer r.Close()
	h := sha256.New()
	in := io.TeeReader(&bounded{ctx: ctx, r: r, left: &u.left}, h)
	u.mine = map[string]bool{}
	err = u.apply(tar.NewReader(in))
	if err == nil {
		_, err = io.Copy(io.Discard, in) // what follows the archive belongs to the digest
	}
	switch {
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("the image unpacks to more than %d MiB: allow more with --max-size if it is meant to", u.limit>>20)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("damaged archive (%w)", err)
	case err != nil:
		return err
	}
	return compare("what it unpacks to", h, want)
}

func (u *unpacker) apply(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, r); err != nil {
			if errors.Is(err, errTooLarge) {
				return err
			}
			return fmt.Errorf("%.100q: %w", h.Name, err)
		}
	}
}

var errClimbs = errors.New("the path climbs out of the image")

func climbs(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	if climbs(h.Name) {
		return errClimbs
	}
	p := path.Clean("/" + h.Name)
	dir, base := path.Split(p)
	if base == opaque {
		return u.whiteOut(dir, false)
	}
	if name, ok := strings.CutPrefix(base, whiteout); ok {
		if strings.HasPrefix(name, ".wh.") || name == "" || name == "." || name == ".." {
			return nil // marks of aufs, for itself
		}
		return u.whiteOut(path.Join(dir, name), true)
	}
	n, err := u.node(h, r)
	if n == nil || err != nil {
		return err
	}
	if !n.Mode.IsDir() {
		if old, _, err := u.t.Lstat(p); err == nil && old.Mode.IsDir() && p == "/" {
			return errors.New("the root has to be a folder")
		}
	}
	real, err := u.t.Put(p, n)
	u.mine[real] = true
	return err
}

func (u *unpacker) node(h *tar.Header, r io.Reader) (*tree.Node, error) {
	var n *tree.Node
	perm := fs.FileMode(h.Mode & 0o777)
	for bit, mode := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if h.Mode&bit != 0 {
			perm |= mode
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		// A sparse file has more bytes than the layer: its holes are counted here.
		if h.Size > u.room {
			return nil, errTooLarge
		}
		u.room -= h.Size
		size, err := io.Copy(u.out, r)
		if err != nil {
			return nil, err
		}
		n = tree.Section(perm, u.file, u.off, size)
		u.off += size
	case tar.TypeDir:
		n = tree.Dir(perm)
	case tar.TypeSymlink:
		if len(h.Linkname) == 0 || len(h.Linkname) > 4095 || strings.ContainsRune(h.Linkname, 0) {
			return nil, errors.New("a link with a target that cannot be")
		}
		n = tree.Link(h.Linkname)
	case tar.TypeLink:
		if climbs(h.Linkname) {
			return nil, fmt.Errorf("link to %.100q: %w", h.Linkname, errClimbs)
		}
		old, _, err := u.t.Lstat(path.Clean("/" + h.Linkname))
		if err != nil {
			return nil, fmt.Errorf("link to %.100q, which is not there", h.Linkname)
		}
		if old.Mode.IsDir() {
			return nil, fmt.Errorf("link to %.100q, a folder", h.Linkname)
		}
		return old, nil
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeXGlobalHeader:
		return nil, nil // devices are the library OS's affair
	default:
		return nil, fmt.Errorf("an entry of type %q", h.Typeflag)
	}
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) >= 1<<32-1 || int64(h.Gid) >= 1<<32-1 {
		return nil, fmt.Errorf("owner %d:%d", h.Uid, h.Gid)
	}
	n.UID, n.GID = uint32(h.Uid), uint32(h.Gid)
	return n, nil
}

// whiteOut takes away what layers below have at p, or in the folder p. What this layer has put stays, whatever the order.
func (u *unpacker) whiteOut(p string, itself bool) error {
	n, real, err := u.t.Lstat(p)
	if !itself {
		n, real, err = u.t.Lookup(p)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !u.keeps(n, real) && itself {
		return u.t.Remove(real)
	}
	return nil
}

// keeps empties a folder of what is not this layer's, and reports whether the folder itself has to stay.
func (u *unpacker) keeps(n *tree.Node, real string) bool {
	keep := u.mine[real]
	if n.Mode.IsDir() {
		for _, name := range n.Names() {
			c, p, err := u.t.Lstat(path.Join(real, name))
			if err != nil {
				continue
			}
			if u.keeps(c, p) {
				keep = true
			} else {
				u.t.Remove(p)
			}
		}
	}
	return keep
}
