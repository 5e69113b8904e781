// SPDX-License-Identifier: Apache-2.0

package parked

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fill copies the first n bytes of from to an offset of to, inside the kernel.
func fill(to *os.File, off int64, from *os.File, n int64) error {
	var in int64
	for n > 0 {
		m, err := unix.CopyFileRange(int(from.Fd()), &in, int(to.Fd()), &off, int(min(n, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EXDEV || err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			return fillByRead(to, off, from, in, n) // not both memory files, or an older kernel
		case err != nil:
			return os.NewSyscallError("copy_file_range", err)
		case m == 0:
			return io.ErrUnexpectedEOF
		}
		n -= int64(m)
	}
	return nil
}

func fillByRead(to *os.File, off int64, from *os.File, in, n int64) error {
	got, err := io.CopyBuffer(onlyWriter{io.NewOffsetWriter(to, off)}, onlyReader{io.NewSectionReader(from, in, n)}, make([]byte, 64<<10))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// The plain interfaces, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
