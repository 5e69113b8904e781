// SPDX-License-Identifier: Apache-2.0

package hostfolder

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// openFile is a file that was read and may be read on.
type openFile struct {
	path  string
	inode uint64
	fd    int
	busy  int // reads under way
}

// reopen opens a regular file that path led to when inode was told. Nothing else is ever opened: the descriptor that resolve gives
// stands for the very file that was looked at, not for what bears its name by now.
func (f *Folder) reopen(path string, inode uint64) (int, error) {
	fd, st, err := f.at(path)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return -1, unix.EISDIR
	default:
		return -1, unix.EINVAL
	}
	if f.inode(&st) != inode {
		return -1, unix.ESTALE
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// file opens a file for mapping.
func (f *Folder) file(path string, inode uint64) (*os.File, error) {
	fd, err := f.reopen(path, inode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read reads from a file, all that is asked for unless it ends before.
func (f *Folder) read(r *Request) ([]byte, error) {
	if r.Len > abi.FileReadMax || r.From > 1<<62 {
		return nil, unix.EINVAL
	}
	fd, done, err := f.borrow(r.Path, r.Inode)
	if err != nil {
		return nil, err
	}
	defer done()
	buf := make([]byte, r.Len)
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(fd, buf[n:], int64(r.From)+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil && n == 0 {
			return nil, err
		}
		if err != nil || m == 0 {
			break
		}
		n += m
	}
	return buf[:n], nil
}

// borrow finds an open file or opens it; done must be called when it is no longer used.
func (f *Folder) borrow(path string, inode uint64) (fd int, done func(), err error) {
	f.mu.Lock()
	for i, o := range f.open {
		if o.path == path && o.inode == inode {
			o.busy++
			f.open = append(slices.Delete(f.open, i, i+1), o)
			f.mu.Unlock()
			return o.fd, func() { f.release(o.fd) }, nil
		}
	}
	f.mu.Unlock()
	if fd, err = f.reopen(path, inode); err != nil {
		return -1, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) >= maxOpen {
		victim := slices.IndexFunc(f.open, func(o openFile) bool { return o.busy == 0 })
		if victim < 0 {
			return fd, func() { unix.Close(fd) }, nil
		}
		unix.Close(f.open[victim].fd)
		f.open = slices.Delete(f.open, victim, victim+1)
	}
	f.open = append(f.open, openFile{path: path, inode: inode, fd: fd, busy: 1})
	return fd, func() { f.release(fd) }, nil
}

func (f *Folder) release(fd int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.open {
		if f.open[i].fd == fd {
			f.open[i].busy--
			return
		}
	}
}
