// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

const blockSize = 4096

// programTree is the root folder that a single program gets: what programs expect to exist, and itself at /NAME.
func programTree(name string, f *os.File, size int64) *tree {
	t := newTree()
	for _, d := range []string{"dev", "etc", "proc", "root", "run", "sys", "var"} {
		t.dir(d, 0o755)
	}
	for _, d := range []string{"tmp", "var/tmp"} {
		t.dir(d, 0o777|os.ModeSticky)
	}
	t.bytes("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	t.bytes("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n")
	t.bytes("etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	t.bytes("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n")
	t.bytes("etc/resolv.conf", 0o644, "# no name server\n")
	if top := topDir(name); top != "" {
		// A program called like one of these folders moves into a folder of its own.
		name = "app/" + top
	}
	t.osFile(name, 0o755, f, size)
	return t
}

// topDir is name where a program cannot stand at /name because a folder does.
func topDir(name string) string {
	switch name {
	case "dev", "etc", "proc", "root", "run", "sys", "var", "tmp", "app":
		return name
	}
	return ""
}

// writeProgram writes an image with the program src to out, an empty file, and returns the manifest without a digest.
func writeProgram(out *os.File, src string) (Manifest, error) {
	f, size, err := openProgram(src)
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close() // the writer closes it too, on its way through
	abs, err := filepath.Abs(src)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", src, err)
	}
	base := filepath.Base(abs)
	if size > abi.ImageMax-(1<<20) {
		return Manifest{}, fmt.Errorf("%s: %d bytes, an image can have at most %d", src, size, int64(abi.ImageMax))
	}
	t := programTree(base, f, size)
	n, err := writeTree(out, t)
	if err != nil {
		return Manifest{}, err
	}
	prog := "/" + base
	if topDir(base) != "" {
		prog = path.Join("/app", base)
	}
	return Manifest{
		Version: ManifestVersion, Size: n, FilesSize: t.filesSize(),
		Program: prog, Args: []string{prog}, Cwd: "/",
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
	}, nil
}

// writeTree writes t as an EROFS image: uncompressed, file data in whole blocks from a block boundary on.
func writeTree(out *os.File, t *tree) (int64, error) {
	w := erofs.Create(out, erofs.WithBlockSize(blockSize), erofs.WithBuildTime(buildTime, 0))
	if err := w.CopyFrom(t); err != nil {
		return 0, writeError(err)
	}
	if err := w.Close(); err != nil {
		return 0, writeError(err)
	}
	fi, err := out.Stat()
	if err != nil {
		return 0, fmt.Errorf("image: %w", err)
	}
	return fi.Size(), nil
}

// writeError says what to do about the errors that writing an image meets in practice.
func writeError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("image: the disk is full: free some space, or use another one with --data (%w)", unix.ENOSPC)
	case errors.Is(err, unix.EFBIG):
		return fmt.Errorf("image: larger than the file size limit: raise it with ulimit -f (%w)", unix.EFBIG)
	}
	return fmt.Errorf("image: cannot write it: %w", err)
}

// FromELF makes the image of one program in memory, for a single run. The caller closes the file.
func FromELF(src string) (*os.File, int64, Manifest, error) {
	fd, err := unix.MemfdCreate("unifaas-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, 0, Manifest{}, fmt.Errorf("image: memfd_create: %w", err)
	}
	out := os.NewFile(uintptr(fd), "unifaas-image")
	m, err := writeProgram(out, src)
	if err == nil {
		// A mapped image must not shrink below a guest. No F_SEAL_WRITE: before Linux 6.7 it forbids shared read-only mappings.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		out.Close()
		return nil, 0, Manifest{}, err
	}
	return out, m.Size, m, nil
}
