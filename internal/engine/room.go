// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// The embedded server takes what there is on the disk but for a reserve; its own idea, three quarters of what was free when it
// started, would be wrong as soon as something else needs the disk. Its streams are on the disk, only its consumers' states in memory.
const (
	maxStore  = 1 << 60
	maxMemory = 256 << 20
)

// reserve is what must be free on the disk for anything new to be accepted. An engine whose write has failed for want of space
// is of no use until it is restarted, so it must not come to that: what is accepted already has to be finished.
const (
	reserve      = 32 << 20
	reserveParts = 50 // at most this part of the disk
)

// ErrFull is a disk, here or where the engine is, that has no room for anything new. It is an ENOSPC.
var ErrFull = fmt.Errorf("the disk of the node's state is full: make room below its data folder (%w)", unix.ENOSPC)

// Room says whether something new of a size may be stored: nil, or an error that wraps ErrFull.
func (e *Engine) Room(size int64) error {
	if e.dir == "" {
		return nil // it says so itself
	}
	return Room(e.dir, size)
}

// Room is the same for any folder of a node.
func Room(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("disk of %s: %w", dir, err)
	}
	keep := min(reserve, int64(st.Blocks)*st.Bsize/reserveParts)
	if free := int64(st.Bavail) * st.Bsize; free < size+keep {
		return fmt.Errorf("%w: %d KiB are free", ErrFull, free>>10)
	}
	return nil
}

// Codes of JetStream's API errors that mean that something is full.
const (
	codeAccountLimits  = 10002
	codeNoResources    = 10023
	codeMemoryExceeded = 10028
	codeStorageFull    = 10047
	codeStoreFailed    = 10077 // "maximum bytes exceeded", "no space left on device"
)

// Cause makes an ErrFull of what JetStream says when there is no room; other errors stay as they are.
func Cause(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case codeAccountLimits, codeNoResources, codeMemoryExceeded, codeStorageFull, codeStoreFailed:
		return fmt.Errorf("%w: %s", ErrFull, api.Description)
	}
	return err
}
