// SPDX-License-Identifier: Apache-2.0

package server

import (
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/tender/wire"
)

// used is what a shell has beside, that has run: it is at the snapshot again, as after a rewind. What KVM knows of its page tables is still
// there, which saves the next instance most of what the first entry into a new sandbox costs.
type used struct {
	image    *state.Image
	entries  []abi.Entry     // of page tables, for the guest to store first
	rewinder *state.Rewinder // nil: it is not watched
}

// recycleMore is how much memory an instance may have taken beyond its snapshot's for its sandbox to be put back: more is given back to the host in
// less time than it takes to compare and clear.
const recycleMore = 64 << 20

// leaveShell takes the sandbox and its thread's descriptors from an instance that was ended between two entries into its guest, or whose program
// has ended; nil: they are of no use. Preconditions: in.mu is held.
func (in *instance) leaveShell() *shell {
	_, ok := in.sb.(monitor.Stateful)
	ended := false
	switch in.end.kind {
	case wire.KindKilled, wire.KindExit, wire.KindSignal, kindParked:
		ended = true
	}
	plain := in.files == nil && in.stdio == [3]int{-1, -1, -1}
	im := in.host.states.get()
	if !ok || !ended || !in.restful || !plain || !in.host.shells.wants() || im == nil {
		return nil
	}
	// The guest's word: if it lies, it is its own tender that works for nothing.
	if used := in.link.area.Load64(abi.CtlRAMUsed); used > uint64(top(im))+recycleMore {
		return nil
	}
	in.table.closeAll()
	sh := &shell{sb: in.sb, epfd: in.epfd, evfd: in.evfd, tid: in.tid, link: in.link, used: &used{rewinder: in.rewinder}}
	in.wipe()
	in.sb, in.epfd, in.evfd = nil, -1, -1
	return sh
}

// recycle puts it back to the snapshot. This is its thread.
func (sh *shell) recycle(im *state.Image) bool {
	if im == nil {
		return false
	}
	var b [8]byte
	_, _ = unix.Read(sh.evfd, b[:])
	var res state.Result
	var err error
	if sh.used.rewinder != nil {
		res, err = sh.used.rewinder.Rewind()
	} else {
		res, err = im.Recycle(sh.sb.(monitor.Stateful))
	}
	sh.used.image, sh.used.entries = im, res.Entries
	*sh.link = link{area: sh.link.area, rx: sh.link.rx, tx: sh.link.tx}
	return err == nil
}

// wants reports whether there is room for one more that stands ready.
func (s *shells) wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sh := range s.ready {
		if sh.used != nil {
			n++
		}
	}
	return !s.closed && n < s.want
}
