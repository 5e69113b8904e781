// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/image/tree"
)

// host brings files of this machine into a tree, at the paths that they have here. What the tree has already stays.
type host struct {
	root string // of what counts as this machine: "/" but in tests
	t    *tree.Tree
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

// regular says what a file of this machine is, links followed inside of root; nil if there is none.
func (h *host) regular(p string) (fs.FileInfo, error) {
	fi, err := os.Stat(h.path(p))
	if err != nil || !fi.Mode().IsRegular() {
		if err == nil || missing(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", p, cause(err))
	}
	return fi, nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// add takes a file or folder of this machine in, with every link on the way to it, and gives its real path. What is
// in a folder does not come along.
func (h *host) add(p string) (string, error) {
	var at []string
	todo := strings.Split(strings.Trim(path.Clean("/"+p), "/"), "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(len(at)-1, 0)]
			continue
		}
		at = append(at, name)
		here := "/" + strings.Join(at, "/")
		n, err := h.node(here, len(todo) == 0)
		if err != nil {
			return "", err
		}
		if n.Mode&fs.ModeSymlink != 0 {
			if links++; links > 40 {
				return "", fmt.Errorf("%s: %w", p, tree.ErrLoop)
			}
			at = at[:len(at)-1]
			if path.IsAbs(n.Target) {
				at = at[:0]
			}
			todo = append(strings.Split(n.Target, "/"), todo...)
		}
	}
	return "/" + strings.Join(at, "/"), nil
}

// node is what stands at a path without links before its last part; it is taken from this machine where the tree has nothing.
func (h *host) node(p string, last bool) (*tree.Node, error) {
	if n, _, err := h.t.Lstat(p); err == nil {
		return n, nil
	}
	fi, err := os.Lstat(h.path(p))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, cause(err))
	}
	var n *tree.Node
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(h.path(p))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, cause(err))
		}
		n = tree.Link(target)
	case fi.IsDir():
		n = tree.Dir(fi.Mode() & (fs.ModePerm | fs.ModeSticky))
	case fi.Mode().IsRegular() && last:
		if err := unix.Access(h.path(p), unix.R_OK); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		n = tree.OSFile(fi.Mode().Perm(), fi.Size(), h.path(p))
		if strings.HasSuffix(p, ".pyc") {
			if n, err = h.compiled(p, fi); n == nil || err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("%s: not a file, a folder or a link", p)
	}
	_, err = h.t.Put(p, n)
	return n, err
}

// addAll takes a folder in with all that is below it, but for what skip names.
func (h *host) addAll(p string, skip func(p string) bool) error {
	real, err := h.add(p)
	if err != nil {
		return err
	}
	fi, err := os.Stat(h.path(real))
	if err != nil {
		return fmt.Errorf("%s: %w", p, cause(err))
	}
	if !fi.IsDir() {
		return nil
	}
	es, err := os.ReadDir(h.path(real))
	if err != nil {
		return fmt.Errorf("%s: %w", p, cause(err))
	}
	for _, e := range es {
		below := path.Join(real, e.Name())
		if skip != nil && skip(below) || e.Type()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
			continue
		}
		switch {
		case e.IsDir():
			err = h.addAll(below, skip)
		case e.Type()&fs.ModeSymlink != 0:
			if _, err = h.add(below); err != nil && missing(err) {
				err = nil // a link to nowhere stays one
			}
		default:
			_, err = h.add(below)
			if errors.Is(err, errStale) {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cause is the error without "open PATH:" before it, since messages name the path already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
