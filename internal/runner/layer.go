// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
)

// layerMax bounds what is copied into a layer for one run: more is left to be asked for, and mapped.
const layerMax = 128 << 20

// layer is an image above the folder with what surely is needed, each at its own place: the program, its loader and libraries, and
// the folders that lead there and to the working directory. From huge pages of memory they come faster than by question and
// answer; a static program starts without any. nil: there is too much of it.
func (r *folder) layer(g *program) (*os.File, int64, error) {
	t := tree.New(nil)
	for _, d := range []string{"/proc", "/sys", "/dev", "/tmp", r.cwd} {
		if err := r.copyFolders(t, d); err != nil {
			return nil, 0, err
		}
	}
	if g.stat.Size > layerMax {
		return nil, 0, nil
	}
	if err := r.put(t, g.real, g.file, &g.stat); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", g.name, err)
	}
	l := libraries{r: r, t: t, room: layerMax - g.stat.Size}
	defer l.close()
	switch {
	case g.elf == nil:
		l.interpreter(g)
	case !g.static():
		l.add(g.name, g.real, g.file, g.stat.Size)
	}
	return image.InMemory(t)
}

// put copies a file to the place where the guest sees it. The file has to stay open until the layer is written.
func (r *folder) put(t *tree.Tree, real string, f *os.File, st *unix.Stat_t) error {
	if err := r.copyFolders(t, path.Dir(real)); err != nil {
		return err
	}
	n := tree.OSFile(perm(st.Mode), st.Size, fdName(int(f.Fd())))
	n.UID, n.GID = st.Uid, st.Gid
	_, err := t.Put(strings.TrimPrefix(real, "/"), n)
	return err
}

// libraries puts what a program's loader will load into a layer. Whatever goes wrong is left to the loader, which finds it in the
// folder or says what is missing.
type libraries struct {
	r    *folder
	t    *tree.Tree
	room int64
	open []*os.File
}

func (l *libraries) close() {
	for _, f := range l.open {
		f.Close()
	}
}

// interpreter adds what a script's first line names.
func (l *libraries) interpreter(g *program) {
	var head [256]byte
	n, _ := g.file.ReadAt(head[:], 0)
	line, _, _ := strings.Cut(strings.TrimPrefix(string(head[:n]), "#!"), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	p, err := l.r.open(words[0], l.r.abs(words[0]))
	if err != nil {
		return
	}
	l.open = append(l.open, p.file)
	if p.elf == nil || p.stat.Size > l.room || l.r.put(l.t, p.real, p.file, &p.stat) != nil {
		return
	}
	l.room -= p.stat.Size
	l.add(p.name, p.real, p.file, p.stat.Size)
}

// add adds what a program needs.
func (l *libraries) add(name, real string, f *os.File, size int64) {
	root, err := elfx.ReadObject(name, f, size)
	if err != nil {
		return
	}
	root.Path = real
	c := elfx.Closure{Find: l.find, Missing: func(*elfx.MissingError) error { return nil }}
	_, _ = c.Of(root)
}

// find is the closure's way to a file, which it also puts into the layer.
func (l *libraries) find(p, _ string) (*elfx.Object, error) {
	fd, err := l.r.resolve(p)
	if err != nil {
		return nil, nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil
	}
	real, err := l.r.nameIn(fd)
	if err != nil {
		return nil, nil
	}
	f, err := os.OpenFile(fdName(fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil
	}
	l.open = append(l.open, f)
	o, err := elfx.ReadObject(p, f, st.Size)
	if err != nil {
		return nil, nil
	}
	o.Path = p
	if st.Size <= l.room && l.r.put(l.t, real, f, &st) == nil {
		l.room -= st.Size
	}
	return o, nil
}

// copyFolders puts a folder and all above it into t, as far as they are such.
func (r *folder) copyFolders(t *tree.Tree, dir string) error {
	at := ""
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			return nil
		}
		at += "/" + name
		var st unix.Stat_t
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS}
		fd, err := unix.Openat2(r.fd, at, &how)
		if err != nil {
			return nil
		}
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		n := tree.Dir(perm(st.Mode))
		n.UID, n.GID = st.Uid, st.Gid
		if _, err := t.Put(at[1:], n); err != nil {
			return err
		}
	}
	return nil
}

// perm is a Unix mode as Go has it.
func perm(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, is := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= is
		}
	}
	return m
}
