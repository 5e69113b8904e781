// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/hostfolder"
	"unifaas.dev/internal/tender/wire"
)

// Files answers guests' requests for files of the host; *hostfolder.Folder does. It is called from many goroutines.
type Files interface {
	Do(hostfolder.Request) hostfolder.Reply
}

// onFile begins to answer a request. An error is a tender that breaks the protocol.
func (i *Instance) onFile(m *wire.FileRequest) error {
	files := i.t.o.Files
	if files == nil {
		return fmt.Errorf("%w: request for a file, but no folder is served", wire.ErrMalformed)
	}
	if i.files.Add(1) > abi.FileTags {
		return fmt.Errorf("%w: more than %d requests for files at once", wire.ErrMalformed, abi.FileTags)
	}
	go func() {
		r := files.Do(hostfolder.Request{Op: m.Op, Path: m.Path, Inode: m.Inode, From: m.From, Len: m.Len})
		reply := &wire.FileReply{Instance: i.num, Tag: m.Tag, Errno: uint16(r.Errno), Data: r.Data}
		var fds []int
		if r.File != nil {
			defer r.File.Close()
			fds = []int{int(r.File.Fd())}
		}
		i.files.Add(-1)             // before the answer: the next request may follow it at once
		_ = i.t.send(reply, fds...) // fails with the tender, whose instances then end
	}()
	return nil
}
