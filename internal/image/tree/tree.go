// SPDX-License-Identifier: Apache-2.0

// Package tree is the file system of an image while it is put together: folders, files and links by name, without any
// of them being on a disk. Symbolic links are followed inside of the tree only, whatever they say.
//
// It knows nothing of where files come from or how a program is started.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Limits on one tree; what is larger is no image but an attack or an accident.
const (
	MaxNodes = 2_000_000
	maxName  = 255
	maxPath  = 4095
	maxLinks = 40 // symbolic links in one path, as Linux has it
)

// Errors of paths; messages name the path.
var (
	ErrLoop   = errors.New("too many symbolic links")
	ErrNotDir = errors.New("not a folder")
	ErrLimit  = errors.New("too large")
)

// File is an open file of a tree.
type File interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// Node is a file, a folder or a link. The same node under several names is a hard link.
type Node struct {
	Mode     fs.FileMode
	UID, GID uint32
	Target   string // of a symbolic link
	Size     int64  // of a file
	Source   string // path on this machine, where there is one
	open     func() (File, error)
	children map[string]*Node
	names    int
}

// Tree is a file system, or the upper part of one: below is what stands under it and is not part of it.
type Tree struct {
	root  *Node
	below *Tree
	nodes int
	bytes int64
}

// New makes a tree with nothing but a root folder. What lies below decides where paths lead.
func New(below *Tree) *Tree {
	return &Tree{root: Dir(0o755), below: below, nodes: 1}
}

// Dir is a folder with nothing in it.
func Dir(perm fs.FileMode) *Node {
	return &Node{Mode: fs.ModeDir | perm, children: map[string]*Node{}}
}

// Link is a symbolic link.
func Link(target string) *Node {
	return &Node{Mode: fs.ModeSymlink | 0o777, Target: target, Size: int64(len(target))}
}

// Bytes is a file with these contents.
func Bytes(perm fs.FileMode, data []byte) *Node {
	return Opener(perm, int64(len(data)), func() (File, error) { return memory{bytes.NewReader(data)}, nil })
}

// Opener is a file whose contents open gives, each time anew.
func Opener(perm fs.FileMode, size int64, open func() (File, error)) *Node {
	return &Node{Mode: perm, Size: size, open: open}
}

// OSFile is a file of this machine, read when the image is written.
func OSFile(perm fs.FileMode, size int64, name string) *Node {
	n := Opener(perm, size, func() (File, error) { return os.Open(name) })
	n.Source = name
	return n
}

// Section is a part of a larger file, which has to stay open.
func Section(perm fs.FileMode, r io.ReaderAt, off, size int64) *Node {
	return Opener(perm, size, func() (File, error) { return section{io.NewSectionReader(r, off, size)}, nil })
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

// Open opens a file.
func (n *Node) Open() (File, error) {
	if !n.Mode.IsRegular() {
		return nil, errors.New("not a file")
	}
	if n.open == nil {
		return memory{bytes.NewReader(nil)}, nil
	}
	return n.open()
}

// Read reads a file of at most limit bytes.
func (n *Node) Read(limit int64) ([]byte, error) {
	if n.Size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, n.Size, limit)
	}
	f, err := n.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n.Size)
	_, err = io.ReadFull(f, b)
	return b, err
}

// Executable reports whether a file may be run by anybody.
func (n *Node) Executable() bool { return n.Mode.IsRegular() && n.Mode&0o111 != 0 }

// FilesSize is the sum of the sizes of all files of this tree, each counted once.
func (t *Tree) FilesSize() int64 { return t.bytes }

// get is the node at a path without links, in this tree or below. upper tells which.
func (t *Tree) get(at []string) (n *Node, upper bool) {
	for level := t; level != nil; level = level.below {
		n := level.root
		hidden := false
		for _, name := range at {
			if n.children == nil {
				hidden = true
				break
			}
			if n = n.children[name]; n == nil {
				break
			}
		}
		if hidden {
			return nil, false
		}
		if n != nil {
			return n, level == t
		}
	}
	return nil, false
}

// resolve follows p to its real place. What does not exist is taken as it is spelled.
func (t *Tree) resolve(p string, last bool) (at []string, err error) {
	if len(p) > maxPath {
		return nil, fmt.Errorf("%.40q…: path of %d bytes, at most %d", p, len(p), maxPath)
	}
	todo := split(p)
	links := 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(at) > 0 {
				at = at[:len(at)-1]
			}
			continue
		}
		at = append(at, name)
		n, _ := t.get(at)
		if n == nil || n.Mode&fs.ModeSymlink == 0 || len(todo) == 0 && !last {
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%s: %w", p, ErrLoop)
		}
		at = at[:len(at)-1]
		if path.IsAbs(n.Target) {
			at = at[:0]
		}
		todo = append(split(n.Target), todo...)
		if len(todo) > 2*maxPath {
			return nil, fmt.Errorf("%s: %w", p, ErrLoop)
		}
	}
	return at, nil
}

func split(p string) []string { return strings.Split(strings.Trim(p, "/"), "/") }

// Lookup follows p and gives what is there, or an error of fs.ErrNotExist, with its real path.
func (t *Tree) Lookup(p string) (*Node, string, error) { return t.lookup(p, true) }

// Lstat is Lookup, but does not follow the last link.
func (t *Tree) Lstat(p string) (*Node, string, error) { return t.lookup(p, false) }

func (t *Tree) lookup(p string, last bool) (*Node, string, error) {
	at, err := t.resolve(p, last)
	if err != nil {
		return nil, "", err
	}
	real := "/" + strings.Join(at, "/")
	n, _ := t.get(at)
	if n == nil {
		return nil, real, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
	}
	return n, real, nil
}

// Put places n at p in this tree and gives its real path. Folders above are made. A folder placed on a folder keeps
// what is in it; anything else replaces what was there.
func (t *Tree) Put(p string, n *Node) (string, error) {
	if err := checkPath(p); err != nil {
		return "", err
	}
	dir, name := path.Split(path.Clean("/" + p))
	if name == "" {
		if !n.Mode.IsDir() {
			return "", fmt.Errorf("%s: %w", p, ErrNotDir)
		}
		t.root.Mode, t.root.UID, t.root.GID = n.Mode, n.UID, n.GID
		return "/", nil
	}
	at, err := t.resolve(dir, true)
	if err != nil {
		return "", err
	}
	parent, err := t.mkdirAll(p, at)
	if err != nil {
		return "", err
	}
	real := "/" + strings.Join(append(slices.Clone(at), name), "/")
	if len(real) > maxPath {
		return "", fmt.Errorf("%.40q…: path of %d bytes, at most %d", real, len(real), maxPath)
	}
	if old := parent.children[name]; old != nil {
		if old == n {
			return real, nil
		}
		if old.Mode.IsDir() && n.Mode.IsDir() {
			old.Mode, old.UID, old.GID = n.Mode, n.UID, n.GID
			return real, nil
		}
		t.drop(old)
	}
	if err := t.take(n); err != nil {
		return "", fmt.Errorf("%s: %w", p, err)
	}
	parent.children[name] = n
	return real, nil
}

func checkPath(p string) error {
	if strings.ContainsRune(p, 0) {
		return fmt.Errorf("%q: a NUL byte in a path", p)
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return fmt.Errorf("%.40q…: a name of %d bytes, at most %d", name, len(name), maxName)
		}
	}
	return nil
}

// take counts a node that gets one more name.
func (t *Tree) take(n *Node) error {
	if n.names == 0 {
		if t.nodes++; t.nodes > MaxNodes {
			return fmt.Errorf("%w: more than %d files", ErrLimit, MaxNodes)
		}
		if n.Mode.IsRegular() {
			t.bytes += n.Size
		}
	}
	n.names++
	return nil
}

func (t *Tree) drop(n *Node) {
	if n.names--; n.names > 0 {
		return
	}
	t.nodes--
	if n.Mode.IsRegular() {
		t.bytes -= n.Size
	}
	for _, c := range n.children {
		t.drop(c)
	}
}

// mkdirAll is the folder at a real path, in this tree. One that stands below lends its owner and mode.
func (t *Tree) mkdirAll(p string, at []string) (*Node, error) {
	dir := t.root
	for i, name := range at {
		if len(name) > maxName {
			return nil, fmt.Errorf("%.40q…: a name of %d bytes, at most %d", name, len(name), maxName)
		}
		next := dir.children[name]
		if next == nil {
			next = Dir(0o755)
			if n, _ := t.get(at[:i+1]); n != nil {
				if !n.Mode.IsDir() {
					return nil, fmt.Errorf("%s: %s: %w", p, "/"+strings.Join(at[:i+1], "/"), ErrNotDir)
				}
				next.Mode, next.UID, next.GID = n.Mode, n.UID, n.GID
			}
			if err := t.take(next); err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			dir.children[name] = next
		}
		if !next.Mode.IsDir() {
			return nil, fmt.Errorf("%s: %s: %w", p, "/"+strings.Join(at[:i+1], "/"), ErrNotDir)
		}
		dir = next
	}
	return dir, nil
}

// Remove takes away what this tree has at p, a link itself rather than what it leads to. What is not there is no error.
func (t *Tree) Remove(p string) error {
	dir, name, err := t.parent(p)
	if dir == nil || err != nil {
		return err
	}
	if n := dir.children[name]; n != nil {
		delete(dir.children, name)
		t.drop(n)
	}
	return nil
}

// Clear takes away what is in the folder at p.
func (t *Tree) Clear(p string) error {
	n, _, err := t.Lookup(p)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !n.Mode.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	for name, c := range n.children {
		delete(n.children, name)
		t.drop(c)
	}
	return nil
}

func (t *Tree) parent(p string) (*Node, string, error) {
	dir, name := path.Split(path.Clean("/" + p))
	if name == "" {
		return nil, "", nil
	}
	at, err := t.resolve(dir, true)
	if err != nil {
		return nil, "", err
	}
	n, upper := t.get(at)
	if n == nil || !upper || !n.Mode.IsDir() {
		return nil, "", nil
	}
	return n, name, nil
}

// Walk calls f for everything in this tree but its root, folders before what is in them, sorted by name.
func (t *Tree) Walk(f func(p string, n *Node) error) error { return walk("", t.root, f) }

func walk(at string, dir *Node, f func(p string, n *Node) error) error {
	for _, name := range dir.sorted() {
		n := dir.children[name]
		p := at + "/" + name
		if err := f(p, n); err != nil {
			return err
		}
		if n.Mode.IsDir() {
			if err := walk(p, n, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Node) sorted() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Names gives what is in a folder, sorted.
func (n *Node) Names() []string { return n.sorted() }
