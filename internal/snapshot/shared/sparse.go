// SPDX-License-Identifier: Apache-2.0

package shared

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

// A stream of a file that is mostly holes: for each run of data its offset and length, u64 little-endian, and its bytes; at the end
// the file's size and 0.
const headSize = 16

// encode writes a file's stream.
func encode(f *os.File, w io.Writer) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	size, fd := fi.Size(), int(f.Fd())
	for at := int64(0); at < size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		end = min(end, size)
		if err := head(w, start, end-start); err != nil {
			return err
		}
		if _, err := io.Copy(w, io.NewSectionReader(f, start, end-start)); err != nil {
			return err
		}
		at = end
	}
	return head(w, size, 0)
}

func head(w io.Writer, off, n int64) error {
	var h [headSize]byte
	binary.LittleEndian.PutUint64(h[0:], uint64(off))
	binary.LittleEndian.PutUint64(h[8:], uint64(n))
	_, err := w.Write(h[:])
	return err
}

// decode makes the file of a stream, which is of at most limit bytes. What is in it is not looked at.
func decode(f *os.File, r io.Reader, limit int64) error {
	var h [headSize]byte
	for at := int64(0); ; {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return fmt.Errorf("%w: it ends early: %w", snapshot.ErrDamaged, err)
		}
		off, n := binary.LittleEndian.Uint64(h[0:]), binary.LittleEndian.Uint64(h[8:])
		if off < uint64(at) || off > uint64(limit) || n > uint64(limit)-off {
			return fmt.Errorf("%w: %d bytes at %d, at most %d in all", snapshot.ErrDamaged, n, off, limit)
		}
		if n == 0 {
			return f.Truncate(int64(off))
		}
		if _, err := io.CopyN(io.NewOffsetWriter(f, int64(off)), r, int64(n)); err != nil {
			return fmt.Errorf("%w: it ends early: %w", snapshot.ErrDamaged, err)
		}
		at = int64(off + n)
	}
}
