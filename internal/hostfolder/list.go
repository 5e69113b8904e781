// SPDX-License-Identifier: Apache-2.0

package hostfolder

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

const (
	// listMax bounds one batch: what the guest takes in one message.
	listMax = abi.MsgMax - 4096
	// direntHead is what precedes the name in struct linux_dirent64: inode, offset, length, type.
	direntHead = 8 + 8 + 2 + 1
)

// list is one batch of a directory, with what stat says of each name. The cookie is where the file system itself goes on.
func (f *Folder) list(path string, cookie uint64) ([]byte, error) {
	probe, st, err := f.at(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(probe)
	out := make([]byte, 8, 4096)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, unix.ENOTDIR
	}
	if f.hidden(probe, &st) {
		return out, nil
	}
	// Through the descriptor: the name may stand for another directory by now.
	fd, err := unix.Openat(probe, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if cookie != 0 {
		if _, err := unix.Seek(fd, int64(cookie), unix.SEEK_SET); err != nil {
			return nil, err
		}
	}
	buf := make([]byte, 16<<10)
	for next := cookie; ; {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return out, nil // the cookie is 0: the end
		}
		for b := buf[:n]; len(b) >= direntHead; {
			length := binary.LittleEndian.Uint16(b[16:])
			if int(length) < direntHead || int(length) > len(b) {
				return nil, unix.EIO
			}
			name := cstring(b[direntHead:length])
			if len(out)+entrySize(name) > listMax {
				binary.LittleEndian.PutUint64(out, next)
				return out, nil
			}
			if out, err = f.entry(out, fd, name); err != nil {
				return nil, err
			}
			next = binary.LittleEndian.Uint64(b[8:])
			b = b[length:]
		}
	}
}

// entry appends one name, unless it is gone by now or not for guests.
func (f *Folder) entry(out []byte, dir int, name string) ([]byte, error) {
	if name == "." || name == ".." || name == "" || len(name) > 255 {
		return out, nil
	}
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	if err != nil || !f.listed(dir, name, &st) {
		return out, nil
	}
	e := abi.FileEntry{Stat: *f.statReply(&st), NameLen: uint32(len(name))}
	if out, err = binary.Append(out, binary.LittleEndian, &e); err != nil {
		return nil, err
	}
	out = append(out, name...)
	return append(out, make([]byte, -len(name)&7)...), nil
}

// listed is visible for a name.
func (f *Folder) listed(dir int, name string, st *unix.Statx_t) bool {
	f.mu.Lock()
	hidden, known := f.mounts[st.Mnt_id]
	f.mu.Unlock()
	if known && !hidden {
		return true
	}
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	now, err := stat(fd)
	return err == nil && f.visible(fd, &now)
}

func entrySize(name string) int { return 80 + (len(name)+7)&^7 }

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
