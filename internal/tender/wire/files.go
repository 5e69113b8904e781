// SPDX-License-Identifier: Apache-2.0

package wire

import "unifaas.dev/abi"

// Messages about files of a host folder. The tender opens none: who started it does, or whoever owns the folder.
const (
	TypeFileReply   = 40  // command
	TypeFileRequest = 104 // event
)

// FileRequest is a guest's question, checked for form only. Exactly one FileReply answers it. At most abi.FileTags of an instance wait at once.
type FileRequest struct {
	Instance uint32
	Tag      uint32
	Op       uint32 // abi.File*, but for abi.FileUnmap
	Path     string
	Inode    uint64
	From     uint64
	Len      uint32
}

// FileReply answers it. Descriptors: the file, for abi.FileMap if Errno is 0.
type FileReply struct {
	Instance uint32
	Tag      uint32
	Errno    uint16 // of Linux
	Data     []byte
}

func (*FileRequest) wireType() byte { return TypeFileRequest }
func (*FileReply) wireType() byte   { return TypeFileReply }

func (m *FileRequest) put(e *encoder) {
	e.u32(m.Instance)
	e.u32(m.Tag)
	e.u32(m.Op)
	e.text(m.Path, abi.FilePath)
	e.u64(m.Inode)
	e.u64(m.From)
	e.u32(m.Len)
}

func (m *FileRequest) get(d *decoder) {
	m.Instance = d.u32()
	m.Tag = d.u32()
	m.Op = d.u32()
	m.Path = d.text(abi.FilePath)
	m.Inode = d.u64()
	m.From = d.u64()
	m.Len = d.u32()
}

func (m *FileReply) put(e *encoder) {
	e.u32(m.Instance)
	e.u32(m.Tag)
	e.u16(m.Errno)
	e.bytes(m.Data)
}

func (m *FileReply) get(d *decoder) {
	m.Instance = d.u32()
	m.Tag = d.u32()
	m.Errno = d.u16()
	m.Data = d.bytes(abi.MsgMax)
	if m.Errno > 4095 && d.err == nil {
		d.err = malformed("errno %d", m.Errno)
	}
}
