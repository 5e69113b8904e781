// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/image/tree"
)

// DefaultEnv is what an image's program finds in its environment if nothing else is said.
func DefaultEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
}

var skeletonDirs = []string{"app", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var"}

// Skeleton puts into t what programs expect to exist and no source brings.
func Skeleton(t *tree.Tree) error {
	for _, d := range []string{"dev", "etc", "proc", "root", "run", "sys", "var"} {
		if _, err := t.Put(d, tree.Dir(0o755)); err != nil {
			return err
		}
	}
	for _, d := range []string{"tmp", "var/tmp"} {
		if _, err := t.Put(d, tree.Dir(0o777|fs.ModeSticky)); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, text string }{
		{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{"etc/group", "root:x:0:\nnogroup:x:65534:\n"},
		{"etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
		{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		{"etc/resolv.conf", "# no name server\n"},
	} {
		if _, err := t.Put(f.name, tree.Bytes(0o644, []byte(f.text))); err != nil {
			return err
		}
	}
	return nil
}

// ProgramPath is where a single program stands: at /NAME, or in a folder of its own where a folder has that name.
func ProgramPath(name string) string {
	if slices.Contains(skeletonDirs, name) || slices.Contains([]string{"bin", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr"}, name) {
		return path.Join("/app", name)
	}
	return "/" + name
}

// programTree is the root folder that a single static program gets.
func programTree(src string) (*tree.Tree, string, error) {
	size, err := checkProgram(src)
	if err != nil {
		return nil, "", err
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", src, err)
	}
	if size > abi.ImageMax-(1<<20) {
		return nil, "", fmt.Errorf("%s: %d bytes, an image can have at most %d", src, size, int64(abi.ImageMax))
	}
	t := tree.New(nil)
	if err := Skeleton(t); err != nil {
		return nil, "", err
	}
	prog, err := t.Put(ProgramPath(filepath.Base(abs)), tree.OSFile(0o755, size, abs))
	return t, prog, err
}

func programManifest(prog string, l LayerID) Manifest {
	return Manifest{Version: ManifestVersion, Layers: []LayerID{l}, Program: prog, Args: []string{prog}, Cwd: "/", Env: DefaultEnv()}
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

// FromELF makes the image of one static program in memory, for a single run. The caller closes the file.
func FromELF(src string) (*os.File, int64, Manifest, error) {
	t, prog, err := programTree(src)
	if err != nil {
		return nil, 0, Manifest{}, err
	}
	out, size, err := InMemory(t)
	if err != nil {
		return nil, 0, Manifest{}, err
	}
	return out, size, programManifest(prog, LayerID{Size: size, FilesSize: t.FilesSize()}), nil
}

// InMemory writes a tree as a layer that is on no disk. The caller closes the file.
func InMemory(t *tree.Tree) (*os.File, int64, error) {
	fd, err := unix.MemfdCreate("unifaas-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, 0, fmt.Errorf("image: memfd_create: %w", err)
	}
	out := os.NewFile(uintptr(fd), "unifaas-image")
	size, err := t.Write(out)
	if err != nil {
		err = writeError(err)
	} else {
		// A mapped image must not shrink below a guest. No F_SEAL_WRITE: before Linux 6.7 it forbids shared read-only mappings.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		out.Close()
		return nil, 0, err
	}
	return out, size, nil
}
