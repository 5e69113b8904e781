// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"time"

	"github.com/erofs/go-erofs"
)

// tree is the file system to be written, as the fs.FS that the EROFS writer copies from. Everything in it belongs to
// root and has one fixed time, so that the image depends on nothing but names and contents.
type tree struct {
	nodes map[string]*node // by fs.FS path, "." is the root
}

type node struct {
	name     string
	mode     fs.FileMode
	data     []byte
	file     *os.File // instead of data; the writer reads it once and closes it
	size     int64
	children []string
}

// buildTime is the one time in every image: 1980-01-01, the oldest that all archive formats can express.
const buildTime = 315532800

func newTree() *tree {
	return &tree{nodes: map[string]*node{".": {name: ".", mode: fs.ModeDir | 0o755}}}
}

// add puts n at p, with the folders above it. An existing folder keeps its children and takes the mode of n.
func (t *tree) add(p string, n *node) {
	n.name = path.Base(p)
	if old, ok := t.nodes[p]; ok {
		n.children = old.children
		t.nodes[p] = n
		return
	}
	dir := path.Dir(p)
	if _, ok := t.nodes[dir]; !ok {
		t.dir(dir, 0o755)
	}
	t.nodes[p] = n
	t.nodes[dir].children = append(t.nodes[dir].children, p)
}

func (t *tree) dir(p string, perm fs.FileMode) { t.add(p, &node{mode: fs.ModeDir | perm}) }

func (t *tree) bytes(p string, perm fs.FileMode, data string) {
	t.add(p, &node{mode: perm, data: []byte(data), size: int64(len(data))})
}

func (t *tree) osFile(p string, perm fs.FileMode, f *os.File, size int64) {
	t.add(p, &node{mode: perm, file: f, size: size})
}

// filesSize is the sum of the sizes of all regular files.
func (t *tree) filesSize() int64 {
	var n int64
	for _, nd := range t.nodes {
		n += nd.size
	}
	return n
}

// ---- fs.FS, fs.StatFS, fs.ReadDirFS ----

func (t *tree) Open(p string) (fs.File, error) {
	n, ok := t.nodes[p]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	case n.file != nil:
		return n.file, nil // as *os.File, so that the kernel copies the bytes
	}
	return &memFile{t.info(n), bytes.NewReader(n.data)}, nil
}

func (t *tree) Stat(p string) (fs.FileInfo, error) {
	n, ok := t.nodes[p]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: p, Err: fs.ErrNotExist}
	}
	return t.info(n), nil
}

func (t *tree) ReadDir(p string) ([]fs.DirEntry, error) {
	n, ok := t.nodes[p]
	if !ok || !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: fs.ErrNotExist}
	}
	var es []fs.DirEntry
	for _, c := range n.children {
		es = append(es, fs.FileInfoToDirEntry(t.info(t.nodes[c])))
	}
	sort.Slice(es, func(i, j int) bool { return es[i].Name() < es[j].Name() })
	return es, nil
}

func (t *tree) info(n *node) nodeInfo {
	links := 1
	if n.mode.IsDir() {
		links = 2
		for _, c := range n.children {
			if t.nodes[c].mode.IsDir() {
				links++
			}
		}
	}
	return nodeInfo{n, links}
}

type nodeInfo struct {
	n     *node
	links int
}

func (i nodeInfo) Name() string       { return i.n.name }
func (i nodeInfo) Size() int64        { return i.n.size }
func (i nodeInfo) Mode() fs.FileMode  { return i.n.mode }
func (i nodeInfo) ModTime() time.Time { return time.Unix(buildTime, 0) }
func (i nodeInfo) IsDir() bool        { return i.n.mode.IsDir() }
func (i nodeInfo) Sys() any           { return &erofs.Stat{Mtime: buildTime, Nlink: i.links} }

type memFile struct {
	nodeInfo
	r io.Reader
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f.nodeInfo, nil }
func (f *memFile) Read(p []byte) (int, error) { return f.r.Read(p) }
func (f *memFile) Close() error               { return nil }
