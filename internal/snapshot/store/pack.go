// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// reader is an open pack whose head is good.
type reader struct {
	f *os.File
	header
}

// openPack: errors wrap snapshot.ErrDamaged or snapshot.ErrForeign unless the disk itself fails.
func openPack(path string) (*reader, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, damaged("%s is missing", path)
	} else if err != nil {
		return nil, err
	}
	r := &reader{f: f}
	if err := r.open(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *reader) open() error {
	b := make([]byte, packHeader)
	if n, err := r.f.ReadAt(b, 0); err != nil {
		return damaged("%d bytes: %v", n, cause(err))
	}
	var err error
	if r.header, err = decodePack(b); err != nil {
		return err
	}
	fi, err := r.f.Stat()
	if err != nil {
		return err
	}
	if want := packStart(r.pages) + int64(r.pages)*pageSize; fi.Size() != want {
		return damaged("%d bytes, not %d", fi.Size(), want)
	}
	return nil
}

func (r *reader) Close() error { return r.f.Close() }

// hashes gives the SHA-256 of all pages to fn, in order.
func (r *reader) hashes(fn func(i int, h *hash)) error {
	b := make([]byte, r.pages*sha256.Size)
	if _, err := r.f.ReadAt(b, packHeader); err != nil {
		return damaged("%s: read its hashes: %v", r.f.Name(), cause(err))
	}
	if crc(b) != r.crc {
		return damaged("%s: checksum of its hashes", r.f.Name())
	}
	for i := range r.pages {
		fn(i, (*hash)(b[i*sha256.Size:]))
	}
	return nil
}

// read fills b with pages from the one with a number on. Preconditions: the pack has them.
func (r *reader) read(b []byte, page int) error {
	if _, err := r.f.ReadAt(b, packStart(r.pages)+int64(page)*pageSize); err != nil {
		return damaged("%s: read page %d: %v", r.f.Name(), page, cause(err))
	}
	return nil
}

// send copies n bytes from a page on to an offset of a memory file, inside the kernel: half the time of reading and writing them.
func (r *reader) send(to *os.File, at int64, page int, n int64) error {
	from := packStart(r.pages) + int64(page)*pageSize
	if _, err := to.Seek(at, io.SeekStart); err != nil {
		return fmt.Errorf("fill a memory file: %w", cause(err))
	}
	for n > 0 {
		m, err := unix.Sendfile(int(to.Fd()), int(r.f.Fd()), &from, int(min(n, 1<<30)))
		switch {
		case err == unix.EINTR:
		case err == unix.EIO || err == nil && m == 0:
			return damaged("%s: read at %d: %v", r.f.Name(), from, err)
		case err != nil:
			return fmt.Errorf("fill a memory file: sendfile: %w", err)
		}
		n -= int64(m)
	}
	return nil
}

// readBuffer is what is read of a pack at once.
const readBuffer = 256 << 10

// punch gives the disk space of pages back. A file system that cannot do that keeps them.
func punch(f *os.File, pages, page, n int) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, packStart(pages)+int64(page)*pageSize, int64(n)*pageSize)
	if err == unix.EOPNOTSUPP {
		return nil
	}
	return err
}

// space is the disk space that a file takes.
func space(f *os.File) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil
}

// writeFile makes a file of what fn writes: under another name until all is on the disk, so that nobody ever sees a part of it. The folder
// must be synced afterwards. It returns the disk space that the file takes.
func writeFile(dir, name string, fn func(io.Writer) error) (n int64, err error) {
	tmp, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return 0, cause(err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	err = fn(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		n, err = space(tmp)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), dir+"/"+name)
	}
	return n, cause(err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return cause(err)
	}
	defer d.Close()
	return cause(d.Sync())
}
