// SPDX-License-Identifier: Apache-2.0

// Package hostfolder serves one folder of this machine to guests, read-only: it answers requests that name files by path.
//
// Who asks may be hostile. A path is resolved by the kernel beneath the folder, whatever others rename meanwhile; symbolic
// links are told, never followed. Only regular files are opened; a FIFO or a device is told, never touched. What lies on the kernel's own
// file systems (proc, sysfs and their like) is not there: a guest has its own.
package hostfolder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// Request is one question about the folder.
type Request struct {
	Op    uint32 // abi.File*, but for abi.FileUnmap
	Path  string // relative to the folder; empty: the folder itself
	Inode uint64 // of the file, as told before: for abi.FileMap and abi.FileRead
	From  uint64 // offset, or cookie of abi.FileList
	Len   uint32 // for abi.FileRead
}

// Reply is the answer.
type Reply struct {
	Errno unix.Errno // 0: it worked
	Data  []byte     // as unifaas_abi.h says for each request, but for abi.FileMap
	File  *os.File   // for abi.FileMap: open for reading; the caller closes it
}

const resctrlMagic = 0x7655821

// maxOpen is how many files stay open between two reads.
const maxOpen = 64

// Folder serves one folder. Its methods may be called from any goroutine.
type Folder struct {
	root *os.File // O_PATH
	fd   int
	dev  uint64

	life   sync.RWMutex // Close waits for requests
	closed bool

	mu     sync.Mutex
	open   []openFile      // least recently used first
	mounts map[uint64]bool // mount id: a file system of the kernel's own
}

// Open prepares a folder.
func Open(dir string) (*Folder, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR {
		return nil, fmt.Errorf("%s: not a folder", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	f := &Folder{root: os.NewFile(uintptr(fd), dir), fd: fd, mounts: map[uint64]bool{}}
	// Asked now, as the answer is the same for every request.
	probe, err := f.resolve("", unix.O_PATH)
	if err != nil {
		f.root.Close()
		return nil, fmt.Errorf("%s: openat2: %w: use Linux 5.8 or newer", dir, err)
	}
	defer unix.Close(probe)
	st, err := stat(probe)
	if err != nil {
		f.root.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	f.dev = device(&st)
	f.mounts[st.Mnt_id] = false // what the user names is served, whatever it is
	return f, nil
}

// Close gives everything back once the requests under way are answered; later ones get EIO.
func (f *Folder) Close() error {
	f.life.Lock()
	defer f.life.Unlock()
	for _, o := range f.open {
		unix.Close(o.fd)
	}
	f.open, f.closed = nil, true
	return f.root.Close()
}

// Do answers a request. It may wait for a disk, never for anything else.
func (f *Folder) Do(r Request) Reply {
	f.life.RLock()
	defer f.life.RUnlock()
	if f.closed {
		return Reply{Errno: unix.EIO}
	}
	var rep Reply
	var err error
	switch r.Op {
	case abi.FileStat:
		rep.Data, err = f.stat(r.Path)
	case abi.FileList:
		rep.Data, err = f.list(r.Path, r.From)
	case abi.FileLink:
		rep.Data, err = f.link(r.Path)
	case abi.FileMap:
		rep.File, err = f.file(r.Path, r.Inode)
	case abi.FileRead:
		rep.Data, err = f.read(&r)
	default:
		err = unix.EINVAL
	}
	if err != nil {
		rep = Reply{Errno: unix.EIO}
		errors.As(err, &rep.Errno)
	}
	return rep
}

// resolve opens a path beneath the folder. With O_PATH the last component may be a symbolic link, which is then what is opened.
func (f *Folder) resolve(path string, flags uint64) (int, error) {
	if err := check(path); err != nil {
		return -1, err
	}
	if path == "" {
		path = "."
	}
	how := unix.OpenHow{Flags: flags | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS}
	for range 100 {
		fd, err := unix.Openat2(f.fd, path, &how)
		// EAGAIN: something was renamed meanwhile, and the kernel cannot tell whether the path left the folder.
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
	return -1, unix.EIO
}

// check refuses paths that no honest guest sends.
func check(path string) error {
	if len(path) > abi.FilePath {
		return unix.ENAMETOOLONG
	}
	if path == "" {
		return nil
	}
	if strings.IndexByte(path, 0) >= 0 {
		return unix.EINVAL
	}
	for c := range strings.SplitSeq(path, "/") {
		switch {
		case c == "" || c == "." || c == "..":
			return unix.EINVAL
		case len(c) > 255:
			return unix.ENAMETOOLONG
		}
	}
	return nil
}

// at opens a path and says what is there. The caller closes the descriptor, which can do nothing but name the file.
func (f *Folder) at(path string) (int, unix.Statx_t, error) {
	fd, err := f.resolve(path, unix.O_PATH)
	if err != nil {
		return -1, unix.Statx_t{}, err
	}
	st, err := stat(fd)
	if err == nil && !f.visible(fd, &st) {
		err = unix.ENOENT
	}
	if err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

func stat(fd int) (st unix.Statx_t, err error) {
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	return st, err
}

// visible is false for what lies on a file system of the kernel's own, but for its root: a folder, empty.
func (f *Folder) visible(fd int, st *unix.Statx_t) bool {
	return !f.hidden(fd, st) || st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// hidden reports whether a file is on a file system of the kernel's own.
func (f *Folder) hidden(fd int, st *unix.Statx_t) bool {
	f.mu.Lock()
	h, known := f.mounts[st.Mnt_id]
	f.mu.Unlock()
	if known {
		return h
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return true
	}
	switch fs.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC,
		unix.SELINUX_MAGIC, unix.SMACK_MAGIC, unix.NSFS_MAGIC, unix.BINFMTFS_MAGIC, resctrlMagic, unix.AUTOFS_SUPER_MAGIC:
		h = true
	}
	f.mu.Lock()
	f.mounts[st.Mnt_id] = h
	f.mu.Unlock()
	return h
}

func device(st *unix.Statx_t) uint64 { return unix.Mkdev(st.Dev_major, st.Dev_minor) }

// inode names a file among all in the folder: files of other file systems get numbers far from those of the folder's own.
func (f *Folder) inode(st *unix.Statx_t) uint64 {
	if d := device(st); d != f.dev {
		const spread = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
		return st.Ino ^ (d+1)*spread&^(1<<32-1)
	}
	return st.Ino
}

func (f *Folder) stat(path string) ([]byte, error) {
	fd, st, err := f.at(path)
	if err != nil {
		return nil, err
	}
	unix.Close(fd)
	return binary.Append(nil, binary.LittleEndian, f.statReply(&st))
}

func (f *Folder) statReply(st *unix.Statx_t) *abi.FileStatReply {
	ns := func(t unix.StatxTimestamp) uint64 { return uint64(t.Sec*1e9 + int64(t.Nsec)) }
	return &abi.FileStatReply{Inode: f.inode(st), Size: st.Size, Blocks: st.Blocks, RDev: unix.Mkdev(st.Rdev_major, st.Rdev_minor),
		AtimeNS: ns(st.Atime), MtimeNS: ns(st.Mtime), CtimeNS: ns(st.Ctime), Mode: uint32(st.Mode), Nlink: st.Nlink, UID: st.Uid, GID: st.Gid}
}

func (f *Folder) link(path string) ([]byte, error) {
	fd, st, err := f.at(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return nil, unix.EINVAL
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}
