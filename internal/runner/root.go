// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/hostfolder"
)

// folder is the root folder of the guest where that is one of the host.
type folder struct {
	name string // as the user named it
	real string // without symbolic links
	fd   int    // O_PATH
	cwd  string // of the guest; and of this process if the folder is /
}

func openFolder(name string) (*folder, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &folder{name: name, fd: fd, cwd: "/"}
	if r.real, err = nameOf(fd); err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r.real == "/" {
		if cwd, err := unix.Getwd(); err == nil && path.IsAbs(cwd) {
			r.cwd = cwd
		}
	}
	return r, nil
}

// Close implements io.Closer.
func (r *folder) Close() error { return unix.Close(r.fd) }

// serve starts to serve it.
func (r *folder) serve() (*hostfolder.Folder, error) { return hostfolder.Open(r.real) }

// nameOf is where a descriptor leads, without symbolic links.
func nameOf(fd int) (string, error) { return os.Readlink(fdName(fd)) }

// nameIn is the same as the guest sees it.
func (r *folder) nameIn(fd int) (string, error) {
	name, err := nameOf(fd)
	if r.real != "/" {
		name = strings.TrimPrefix(name, r.real)
	}
	return name, err
}

func fdName(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// program is a file that the guest is to run.
type program struct {
	name string // as messages name it
	path string // in the guest, as the user named it
	real string // in the guest, without symbolic links
	file *os.File
	stat unix.Stat_t
	elf  *elfx.Program // nil: a script
}

// resolve opens a path as the guest will see it. The descriptor only names the file.
func (r *folder) resolve(p string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range 100 {
		fd, err := unix.Openat2(r.fd, p, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
	return -1, unix.EIO
}

// find looks a program up as a shell does: a name without a slash through PATH, any other from the working directory.
func (r *folder) find(name string, env []string) (*program, error) {
	if name == "" {
		return nil, errors.New("the program has no name")
	}
	if strings.Contains(name, "/") {
		return r.open(name, r.abs(name))
	}
	var denied error
	for _, dir := range strings.Split(variable(env, "PATH"), ":") {
		p := r.abs(path.Join(dir, name))
		fd, err := r.resolve(p)
		if err != nil {
			continue
		}
		unix.Close(fd)
		found, err := r.open(p, p)
		if err == nil {
			return found, nil
		}
		if denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return nil, denied
	}
	where := ""
	if r.real != "/" {
		where = " of " + r.name
	}
	return nil, fmt.Errorf("%s: not found in PATH%s: give it with a slash if you mean a file here", name, where)
}

// abs makes a path of the guest absolute, as it stands: what .. means behind a symbolic link is for whoever walks it.
func (r *folder) abs(p string) string {
	if path.IsAbs(p) {
		return p
	}
	return strings.TrimSuffix(r.cwd, "/") + "/" + p
}

// open opens a program and says in one line why it cannot be run, if it cannot.
func (r *folder) open(name, p string) (_ *program, err error) {
	fd, err := r.resolve(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", name, err, r.in())
	}
	defer unix.Close(fd)
	g := &program{name: name, path: p}
	if err := unix.Fstat(fd, &g.stat); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case g.stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil, fmt.Errorf("%s: a folder, not a program", name)
	case g.stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s: not a regular file, not a program", name)
	case unix.Faccessat(unix.AT_FDCWD, fdName(fd), unix.X_OK, unix.AT_EACCESS) != nil:
		return nil, fmt.Errorf("%s: not executable: make it so with chmod +x", name)
	}
	if g.real, err = r.nameIn(fd); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if g.file, err = os.OpenFile(fdName(fd), os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	defer func() {
		if err != nil {
			g.file.Close()
		}
	}()
	return g, g.read(r)
}

func (r *folder) in() string {
	if r.real == "/" {
		return ""
	}
	return " in " + r.name
}

// read looks at the file's head.
func (g *program) read(r *folder) error {
	var start [2]byte
	if n, _ := g.file.ReadAt(start[:], 0); n == 2 && string(start[:]) == "#!" {
		return nil
	}
	p, err := elfx.ReadProgram(g.name, g.file, g.stat.Size)
	if err != nil {
		return err
	}
	g.elf = p
	if p.Kind != elfx.Dynamic {
		return nil
	}
	fd, err := r.resolve(r.abs(p.Interp))
	if err != nil {
		where := "not here"
		if r.real != "/" {
			where = "not in " + r.name
		}
		return fmt.Errorf("%s: its loader %s is %s: install the C library that it was linked with", g.name, p.Interp, where)
	}
	return unix.Close(fd)
}

// static reports whether the program needs nothing but itself.
func (g *program) static() bool { return g.elf != nil && g.elf.Kind != elfx.Dynamic }

// openImage opens an EROFS file system.
func openImage(name string) (*os.File, int64, error) {
	const (
		magicAt = 1024
		magic   = 0xe0f5e1e2
	)
	// O_NONBLOCK: a FIFO named by mistake must not hang here.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w: give a folder or an EROFS image", name, cause(err))
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a file: give a folder or an EROFS image, made by mkfs.erofs", name)
	}
	var head [4]byte
	if err == nil {
		if _, rerr := f.ReadAt(head[:], magicAt); rerr != nil || binary.LittleEndian.Uint32(head[:]) != magic {
			err = fmt.Errorf("%s: not an EROFS image", name)
		}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// cause is an error without "open PATH:" before it, where the message names the path already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// variable is the value of a variable.
func variable(env []string, key string) string {
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == key {
			return v
		}
	}
	return ""
}
