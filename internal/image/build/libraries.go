// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/image/tree"
)

// libraries completes a tree with the libraries of its programs. Without a host, the tree has to have them itself.
type libraries struct {
	h      *host // nil: nothing comes from this machine
	t      *tree.Tree
	read   map[*tree.Node]*elfx.Object
	onHost map[string]*elfx.Object
	cached map[string]string // file name of a library that only /etc/ld.so.cache leads to, and its path
}

func newLibraries(h *host, t *tree.Tree) *libraries {
	return &libraries{h: h, t: t, read: map[*tree.Node]*elfx.Object{}, onHost: map[string]*elfx.Object{}, cached: map[string]string{}}
}

// onto goes on with a tree that stands above the one before.
func (l *libraries) onto(t *tree.Tree) {
	l.t = t
	if l.h != nil {
		l.h = &host{l.h.root, t}
	}
}

// object is what an ELF file of the tree says; nil if it is none for this kind of machine.
func (l *libraries) object(p string, n *tree.Node) (*elfx.Object, error) {
	if o, ok := l.read[n]; ok {
		return at(o, p, p), nil
	}
	f, err := n.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, cause(err))
	}
	defer f.Close()
	o, err := readObject(p, f, n.Size)
	if err != nil {
		return nil, err
	}
	l.read[n] = o
	return at(o, p, p), nil
}

func readObject(p string, f tree.File, size int64) (*elfx.Object, error) {
	var magic [4]byte
	if n, _ := f.ReadAt(magic[:], 0); string(magic[:n]) != "\x7fELF" {
		return nil, nil
	}
	o, err := elfx.ReadObject(p, f, size)
	if errors.Is(err, elfx.ErrForeign) {
		return nil, nil
	}
	return o, err
}

func at(o *elfx.Object, p, host string) *elfx.Object {
	if o == nil {
		return nil
	}
	c := *o
	c.Path, c.Host = p, host
	return &c
}

// find is the closure's view: what the tree has, else what this machine has.
func (l *libraries) find(p, host string) (*elfx.Object, error) {
	n, _, err := l.t.Lookup(p)
	if err == nil {
		if !n.Mode.IsRegular() {
			return nil, nil
		}
		o, err := l.object(p, n)
		if o != nil && l.h != nil {
			o.Host = host
		}
		return o, err
	}
	if l.h == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if o, ok := l.onHost[host]; ok {
		return at(o, p, host), nil
	}
	fi, err := l.h.regular(host)
	if fi == nil || err != nil {
		return nil, err
	}
	f, err := os.Open(l.h.path(host))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, cause(err))
	}
	defer f.Close()
	o, err := readObject(host, f, fi.Size())
	if err != nil {
		return nil, err
	}
	l.onHost[host] = o
	return at(o, p, host), nil
}

// complete takes the libraries of one program or library in. It reports the folders they were found in.
func (l *libraries) complete(root *elfx.Object, libraryPath []string) ([]string, error) {
	conf, musl, err := l.config()
	if err != nil {
		return nil, err
	}
	c := elfx.Closure{Find: l.find, LibraryPath: libraryPath, Conf: conf, MuslPath: musl}
	if root.Interp == "" {
		// A plug-in for another C library than the program's cannot be loaded anyway: packages bring one for each.
		c.Missing = func(e *elfx.MissingError) error {
			if strings.HasPrefix(e.Name, "libc.musl-") || strings.HasPrefix(e.Name, "ld-musl-") {
				return nil
			}
			return e
		}
	}
	libs, err := c.Of(root)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, lib := range libs {
		dirs = append(dirs, path.Dir(lib.Path))
		if lib.Cached {
			l.cached[path.Base(lib.Path)] = lib.Path
		}
		if _, _, err := l.t.Lookup(lib.Path); err == nil || l.h == nil {
			continue
		}
		if lib.Path == lib.Host {
			_, err = l.h.add(lib.Path)
		} else {
			var fi fs.FileInfo
			if fi, err = l.h.regular(lib.Host); err == nil {
				_, err = l.t.Put(lib.Path, tree.OSFile(fi.Mode().Perm(), fi.Size(), l.h.path(lib.Host)))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// completeAll takes the libraries of every ELF file of the tree in. Programs that are for other machines are left alone.
func (l *libraries) completeAll(libraryPath []string) error {
	type file struct {
		p string
		n *tree.Node
	}
	var files []file
	l.t.Walk(func(p string, n *tree.Node) error {
		if n.Mode.IsRegular() && n.Size >= 64 {
			files = append(files, file{p, n})
		}
		return nil
	})
	for _, f := range files {
		o, err := l.object(f.p, f.n)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if o.Interp != "" && elfx.IsMusl(o) && l.h != nil {
			if n, _, _ := l.t.Lookup(o.Interp); n == nil {
				if fi, err := l.h.regular(o.Interp); fi == nil {
					if err != nil {
						return err
					}
					continue // one of several variants that a package brings
				}
			}
		}
		o.Host = f.n.Source
		if _, err := l.complete(o, libraryPath); err != nil {
			return err
		}
	}
	return nil
}

// config reads the loaders' lists of folders, from the tree or else from this machine.
func (l *libraries) config() (conf, musl []string, err error) {
	read := func(p string) []byte {
		n, _, err := l.t.Lookup(p)
		if err == nil {
			b, _ := n.Read(1 << 20)
			return b
		}
		if l.h == nil {
			return nil
		}
		b, _ := os.ReadFile(l.h.path(p))
		return b
	}
	for _, d := range strings.FieldsFunc(string(read("/etc/ld-musl-x86_64.path")), func(r rune) bool { return r == ':' || r == '\n' }) {
		if path.IsAbs(d) {
			musl = append(musl, d)
		}
	}
	var include func(p string, depth int)
	include = func(p string, depth int) {
		for line := range strings.SplitSeq(string(read(p)), "\n") {
			line, _, _ = strings.Cut(line, "#")
			word := strings.Fields(strings.ReplaceAll(line, "\t", " "))
			switch {
			case len(word) >= 2 && word[0] == "include" && depth < 8:
				for _, pattern := range word[1:] {
					if !path.IsAbs(pattern) {
						pattern = path.Join(path.Dir(p), pattern)
					}
					for _, f := range l.glob(pattern) {
						include(f, depth+1)
					}
				}
			case len(word) >= 1 && path.IsAbs(word[0]):
				conf = append(conf, path.Clean(word[0]))
			}
		}
	}
	include("/etc/ld.so.conf", 0)
	return conf, musl, nil
}

// glob is about the last part of a path only, as ld.so.conf has it.
func (l *libraries) glob(pattern string) []string {
	dir := path.Dir(pattern)
	found := map[string]bool{}
	if n, _, err := l.t.Lookup(dir); err == nil {
		for _, name := range n.Names() {
			found[name] = true
		}
	}
	if l.h != nil {
		es, _ := os.ReadDir(l.h.path(dir))
		for _, e := range es {
			found[e.Name()] = true
		}
	}
	var out []string
	for name := range found {
		if ok, err := filepath.Match(path.Base(pattern), name); ok && err == nil {
			out = append(out, path.Join(dir, name))
		}
	}
	slices.Sort(out)
	return out
}
