// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender/wire"
)

// maxMapped bounds the files of one instance that are mapped at once: each costs the host's kernel a mapping.
const maxMapped = 8192

// files passes a guest's questions about a host folder on to whoever owns the folder, and maps what comes back. The instance's
// mutex guards it.
type files struct {
	*link
	sb  monitor.Sandbox
	id  uint32
	ask func(wire.Message)

	waiting map[uint32]uint32 // tag: operation
	mapped  map[uint64]int64  // offset in the files area: size
	places  space
	owed    []fileReply // that wait for room in the rx ring: one a tag at most
}

type fileReply struct {
	tag, errno uint32
	data       []byte
}

// request takes one message of the guest.
func (fs *files) request(tag, op uint32, payload []byte) error {
	if fs == nil {
		return violated("asks for a file, but no folder is served")
	}
	var r abi.FileReq
	n, err := binary.Decode(payload, binary.LittleEndian, &r)
	if err != nil || len(payload) > n+abi.FilePath {
		return violated("request for a file of %d bytes", len(payload))
	}
	switch {
	case op == abi.FileUnmap:
		return fs.unmap(r.From)
	case op < abi.FileStat || op > abi.FileRead:
		return violated("request of kind %d for a file", op)
	}
	// What waits for room in the ring is not answered yet.
	if _, twice := fs.waiting[tag]; twice || len(fs.waiting) >= abi.FileTags {
		return violated("request %d for a file beside %d others", tag, len(fs.waiting))
	}
	if fs.waiting == nil {
		fs.waiting = map[uint32]uint32{}
	}
	fs.waiting[tag] = op
	fs.ask(&wire.FileRequest{Instance: fs.id, Tag: tag, Op: op, Path: string(payload[n:]), Inode: r.Inode, From: r.From, Len: r.Len})
	return nil
}

// fileReply passes an answer on. Only a node that breaks the protocol is an error.
func (s *Server) fileReply(m *wire.FileReply, fds []int) error {
	if len(fds) > 1 {
		wire.CloseAll(fds)
		return fmt.Errorf("%w: %d files in an answer", wire.ErrMalformed, len(fds))
	}
	var f *os.File
	if len(fds) == 1 {
		f = os.NewFile(uintptr(fds[0]), "file")
		defer f.Close()
	}
	var err error
	s.with(m.Instance, func(in *instance) {
		if in.ended || in.files == nil {
			return
		}
		var known bool
		if known, err = in.files.reply(m, f); !known {
			err = fmt.Errorf("%w: answer %d to nothing that instance %d asked", wire.ErrMalformed, m.Tag, m.Instance)
			return
		}
		in.command(err)
		err = nil
	})
	return err
}

// reply takes an answer; known is false if nothing was asked.
func (fs *files) reply(m *wire.FileReply, f *os.File) (known bool, err error) {
	op, known := fs.waiting[m.Tag]
	if !known {
		return false, nil
	}
	r := fileReply{tag: m.Tag, errno: uint32(m.Errno), data: m.Data}
	if op == abi.FileMap && r.errno == 0 {
		r.data, r.errno = fs.show(f)
	}
	if r.errno != 0 {
		r.data = nil
	}
	fs.owed = append(fs.owed, r)
	return true, fs.settle()
}

// settle sends what found no room before.
func (fs *files) settle() error {
	if fs == nil {
		return nil
	}
	for len(fs.owed) > 0 {
		r := &fs.owed[0]
		ok, err := fs.put(abi.MsgFileReply, r.tag, r.errno, r.data)
		if err != nil || !ok {
			return err
		}
		delete(fs.waiting, r.tag)
		*r = fileReply{}
		fs.owed = fs.owed[1:]
	}
	fs.owed = nil
	return nil
}

// show maps a whole file: the answer to the guest, or an errno. The bytes of the file are never looked at here: it may shrink at any time.
func (fs *files) show(f *os.File) (data []byte, errno uint32) {
	var st unix.Stat_t
	if f == nil || unix.Fstat(int(f.Fd()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, uint32(unix.EIO)
	}
	if st.Size <= 0 {
		return nil, uint32(unix.EINVAL)
	}
	if len(fs.mapped) >= maxMapped {
		return nil, uint32(unix.ENFILE)
	}
	off, ok := fs.places.take(uint64(st.Size))
	if !ok {
		return nil, uint32(unix.ENOMEM)
	}
	if fs.sb.MapFile(off, f, st.Size) != nil {
		fs.places.give(off, uint64(st.Size))
		return nil, uint32(unix.ENODEV)
	}
	if fs.mapped == nil {
		fs.mapped = map[uint64]int64{}
	}
	fs.mapped[off] = st.Size
	data = binary.LittleEndian.AppendUint64(nil, off)
	return binary.LittleEndian.AppendUint64(data, uint64(st.Size)), 0
}

// unmap takes a file away that the guest has done with.
func (fs *files) unmap(off uint64) error {
	size, ok := fs.mapped[off]
	if !ok {
		return violated("gives back a file at 0x%x, where none is", off)
	}
	delete(fs.mapped, off)
	if err := fs.sb.UnmapFile(off, size); err != nil {
		return fmt.Errorf("unmap a file: %w", err)
	}
	fs.places.give(off, uint64(size))
	return nil
}
