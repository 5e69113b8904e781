// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/hostfolder"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/queue"
)

const hugePage = 2 << 20

// folder answers the guest's questions about a host folder at once, in this thread.
type folder struct {
	folder   *hostfolder.Folder
	sandbox  monitor.Sandbox
	next     uint64 // free part of the files area; nothing is used twice
	mapped   map[uint64]int64
	requests [abi.FileRead + 1]int
	bytes    int
	spent    time.Duration
}

func openFolder(dir string, s monitor.Sandbox) (*folder, error) {
	f, err := hostfolder.Open(dir)
	return &folder{folder: f, sandbox: s, mapped: map[uint64]int64{}}, err
}

func (g *guest) file(m queue.Msg, p []byte) error {
	var req abi.FileReq
	n, err := binary.Decode(p, binary.LittleEndian, &req)
	if g.files == nil || err != nil || m.Arg > abi.FileRead {
		return errors.New("request for a file that makes no sense")
	}
	f := g.files
	start := time.Now()
	defer func() { f.spent += time.Since(start) }()
	f.requests[m.Arg]++
	if m.Arg == abi.FileUnmap {
		size, ok := f.mapped[req.From]
		if !ok {
			return fmt.Errorf("the guest gives back a file at %#x, where none is", req.From)
		}
		delete(f.mapped, req.From)
		return f.sandbox.UnmapFile(req.From, size)
	}
	r := f.folder.Do(hostfolder.Request{Op: m.Arg, Path: string(p[n:]), Inode: req.Inode, From: req.From, Len: req.Len})
	if r.File != nil {
		defer r.File.Close()
		r.Data, r.Errno = f.show(r.File)
	}
	f.bytes += len(r.Data)
	return g.put(abi.MsgFileReply, m.Conn, uint32(r.Errno), r.Data)
}

func (f *folder) show(file *os.File) ([]byte, unix.Errno) {
	st, err := file.Stat()
	if err != nil || st.Size() == 0 {
		return nil, unix.EINVAL
	}
	off := (f.next + hugePage - 1) &^ (hugePage - 1)
	if err := f.sandbox.MapFile(off, file, st.Size()); err != nil {
		fmt.Fprintln(os.Stderr, "kvmboot:", err)
		return nil, unix.ENODEV
	}
	f.next = off + uint64(st.Size())
	f.mapped[off] = st.Size()
	data := binary.LittleEndian.AppendUint64(nil, off)
	return binary.LittleEndian.AppendUint64(data, uint64(st.Size())), 0
}

func (f *folder) print() {
	r := &f.requests
	fmt.Fprintf(os.Stderr, "kvmboot: files: stat %d list %d link %d map %d unmap %d read %d; %d KiB, %v\n",
		r[abi.FileStat], r[abi.FileList], r[abi.FileLink], r[abi.FileMap], r[abi.FileUnmap], r[abi.FileRead], f.bytes>>10, f.spent)
}
