// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/erofs/go-erofs"
)

// BlockSize is that of every image: the size of a page, so that files are mapped in place.
const BlockSize = 4096

// Time is the one time in every image: 1980-01-01, the oldest that all archive formats can express. With it, an image
// depends on nothing but names, modes and contents.
const Time = 315532800

// Write writes the tree into an empty file as an EROFS file system: uncompressed, data of files in whole blocks.
func (t *Tree) Write(out *os.File) (int64, error) {
	v := &view{t: t, first: map[*Node]string{}}
	err := t.Walk(func(p string, n *Node) error {
		v.last = p[1:]
		if n.names > 1 && n.Mode.IsRegular() {
			if first, ok := v.first[n]; ok {
				v.later = append(v.later, link{p[1:], first})
			} else {
				v.first[n] = p[1:]
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	w := erofs.Create(out, erofs.WithBlockSize(BlockSize), erofs.WithBuildTime(Time, 0))
	if err := w.CopyFrom(v); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	fi, err := out.Stat()
	if err != nil {
		return 0, err
	}
	size, err := padEnd(out, fi.Size(), v.last)
	if err != nil {
		return 0, err
	}
	return size, joinLinks(out, size, v.later)
}

// view is the tree as the fs.FS that the EROFS writer copies from. A file that has several names is written under the
// first; the others are empty until joinLinks.
type view struct {
	t     *Tree
	first map[*Node]string
	later []link
	last  string // what is written last
}

type link struct{ name, first string }

func (v *view) node(p string) (*Node, error) {
	if p == "." {
		return v.t.root, nil
	}
	n := v.t.root
	for _, name := range split(p) {
		if n = n.children[name]; n == nil {
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		}
	}
	return n, nil
}

func (v *view) Open(p string) (fs.File, error) {
	n, err := v.node(p)
	if err != nil {
		return nil, err
	}
	return &reader{info: v.info(p, n), n: n}, nil
}

func (v *view) Stat(p string) (fs.FileInfo, error) {
	n, err := v.node(p)
	if err != nil {
		return nil, err
	}
	return v.info(p, n), nil
}

func (v *view) Lstat(p string) (fs.FileInfo, error) { return v.Stat(p) }

func (v *view) ReadLink(p string) (string, error) {
	n, err := v.node(p)
	if err != nil {
		return "", err
	}
	return n.Target, nil
}

func (v *view) ReadDir(p string) ([]fs.DirEntry, error) {
	n, err := v.node(p)
	if err != nil {
		return nil, err
	}
	es := make([]fs.DirEntry, 0, len(n.children))
	for _, name := range n.sorted() {
		es = append(es, fs.FileInfoToDirEntry(v.info(path.Join(p, name), n.children[name])))
	}
	return es, nil
}

func (v *view) info(p string, n *Node) info {
	i := info{n: n, name: path.Base(p), links: max(n.names, 1), size: n.Size}
	if n.Mode.IsDir() {
		i.links = 2
		for _, c := range n.children {
			if c.Mode.IsDir() {
				i.links++
			}
		}
	}
	if first, ok := v.first[n]; ok && first != p {
		i.size = 0
	}
	return i
}

type info struct {
	n     *Node
	name  string
	links int
	size  int64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.n.Mode }
func (i info) ModTime() time.Time { return time.Unix(Time, 0) }
func (i info) IsDir() bool        { return i.n.Mode.IsDir() }
func (i info) Sys() any {
	return &erofs.Stat{Mtime: Time, Nlink: i.links, UID: i.n.UID, GID: i.n.GID}
}

// reader opens its file at the first read and closes it at the end: the writer asks for all files before it reads one.
type reader struct {
	info
	n    *Node
	f    File
	got  int64
	done bool
}

func (r *reader) Stat() (fs.FileInfo, error) { return r.info, nil }

func (r *reader) Read(b []byte) (int, error) {
	if r.done {
		return 0, io.EOF
	}
	if r.f == nil {
		f, err := r.n.Open()
		if err != nil {
			return 0, err
		}
		r.f = f
	}
	n, err := r.f.Read(b)
	r.got += int64(n)
	if err != nil {
		r.Close()
	}
	if err == io.EOF && r.got < r.size {
		err = fmt.Errorf("%s: it became shorter while it was read", r.n.Source)
	}
	return n, err
}

func (r *reader) Close() error {
	r.done = true
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
	return nil
}

// padEnd adds a block where the last inode reaches to the end of the file: fsck.erofs 1.5 reads a few bytes behind it.
func padEnd(f *os.File, size int64, last string) (int64, error) {
	if last == "" || !fs.ValidPath(last) {
		return size, nil
	}
	// The library's reader does it too: it has to have the block to find the inode.
	padded := size + BlockSize
	if err := f.Truncate(padded); err != nil {
		return 0, err
	}
	img, err := erofs.Open(io.NewSectionReader(f, 0, padded))
	if err != nil {
		return 0, err
	}
	fi, err := fs.Lstat(img, last)
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*erofs.Stat)
	m, err := readMeta(f)
	if err != nil || !ok || m.start+st.Ino*inodeUnit+64+12 > size {
		return padded, err
	}
	return size, f.Truncate(size)
}

// joinLinks makes names of files that were written empty into names of the file that they are links to.
func joinLinks(f *os.File, size int64, links []link) error {
	if len(links) == 0 {
		return nil
	}
	img, err := erofs.Open(io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	m, err := readMeta(f)
	if err != nil {
		return err
	}
	for _, l := range links {
		if !fs.ValidPath(l.name) || !fs.ValidPath(l.first) {
			return fmt.Errorf("%q: a hard link with a name that is not UTF-8", l.name)
		}
		var nids [3]uint64
		for i, p := range []string{path.Dir(l.name), l.name, l.first} {
			fi, err := fs.Stat(img, p)
			if err != nil {
				return err
			}
			st, ok := fi.Sys().(*erofs.Stat)
			if !ok {
				return errors.New("the EROFS reader gives no inode numbers")
			}
			nids[i] = uint64(st.Ino)
		}
		if err := m.replace(f, nids[0], nids[1], nids[2]); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// Names gives all names of this tree, sorted: for tests and messages.
func (t *Tree) Names() []string {
	var names []string
	t.Walk(func(p string, _ *Node) error { names = append(names, p); return nil })
	slices.Sort(names)
	return names
}
