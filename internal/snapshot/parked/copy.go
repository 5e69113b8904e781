// SPDX-License-Identifier: Apache-2.0

package parked

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fill copies the first n bytes of from to an offset of to, which has none there. Holes stay holes: a tender must not be able to have the
// node take more memory than it has taken itself.
func fill(to *os.File, off int64, from *os.File, n int64) error {
	in := int64(0)
	for in < n {
		start, err := unix.Seek(int(from.Fd()), in, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		} else if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		end, err := unix.Seek(int(from.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		if end = min(end, n); start >= end {
			break
		}
		if err := copyRange(to, off+start, from, start, end-start); err != nil {
			return err
		}
		in = end
	}
	if in < n { // the file must be as long as if all had been written
		_, err := to.WriteAt([]byte{0}, off+n-1)
		return err
	}
	return nil
}

// copyRange copies inside the kernel.
func copyRange(to *os.File, off int64, from *os.File, in, n int64) error {
	for n > 0 {
		m, err := unix.CopyFileRange(int(from.Fd()), &in, int(to.Fd()), &off, int(min(n, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EXDEV || err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			return copyByRead(to, off, from, in, n) // not both memory files, or an older kernel
		case err != nil:
			return os.NewSyscallError("copy_file_range", err)
		case m == 0:
			return io.ErrUnexpectedEOF
		}
		n -= int64(m)
	}
	return nil
}

func copyByRead(to *os.File, off int64, from *os.File, in, n int64) error {
	got, err := io.CopyBuffer(onlyWriter{io.NewOffsetWriter(to, off)}, onlyReader{io.NewSectionReader(from, in, n)}, make([]byte, 64<<10))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// The plain interfaces, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
