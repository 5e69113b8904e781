// SPDX-License-Identifier: Apache-2.0

// Package archkvm runs test binaries on architectural KVM where the machine has none: inside QEMU, whose TCG emulates AMD's
// SVM well enough for Linux to offer /dev/kvm. It proves semantics, never speed.
//
// The kernel is Debian's linux-image-cloud-amd64, downloaded and unpacked into a cache folder, not installed.
package archkvm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Kernel is what is taken out of the kernel's package.
type Kernel struct {
	Image   string   // vmlinuz
	Modules []string // in the order of loading
}

// moduleNames are what /dev/kvm needs on AMD, in the order of loading.
func moduleNames() []string { return []string{"irqbypass", "kvm", "kvm-amd"} }

// CacheDir is where downloads are kept between runs.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "unifaas", "archkvm")
	return dir, os.MkdirAll(dir, 0o755)
}

// FetchKernel gives the kernel from dir, downloading it first if it is not there.
func FetchKernel(dir string) (*Kernel, error) {
	k, err := findKernel(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	pkg, err := kernelPackage()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, "download")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := command(tmp, "apt-get", "download", pkg); err != nil {
		return nil, fmt.Errorf("download %s: %w: run apt-get update?", pkg, err)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, fmt.Errorf("download %s: found %d packages", pkg, len(debs))
	}
	if err := command(tmp, "dpkg-deb", "-x", debs[0], "root"); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", pkg, err)
	}
	if err := keep(filepath.Join(tmp, "root"), dir); err != nil {
		return nil, err
	}
	return findKernel(dir)
}

// findKernel looks for what keep has left.
func findKernel(dir string) (*Kernel, error) {
	k := &Kernel{Image: filepath.Join(dir, "vmlinuz")}
	files := []string{k.Image}
	for _, m := range moduleNames() {
		k.Modules = append(k.Modules, filepath.Join(dir, m+".ko"))
	}
	for _, f := range append(files, k.Modules...) {
		if _, err := os.Stat(f); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// kernelPackage is the package that Debian's metapackage stands for.
func kernelPackage() (string, error) {
	const meta = "linux-image-cloud-amd64"
	out, err := exec.Command("apt-cache", "depends", "--important", meta).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache depends %s: %w", meta, err)
	}
	m := regexp.MustCompile(`Depends: (linux-image-[0-9]\S*-cloud-amd64(?:-unsigned)?)`).FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s depends on no kernel: run apt-get update", meta)
	}
	return string(m[1]), nil
}

// keep moves the few files that are needed out of the unpacked package; modules last, as they complete the cache.
func keep(root, dir string) error {
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name()
		if strings.HasPrefix(name, "vmlinuz") {
			found["vmlinuz"] = path
		}
		for _, m := range moduleNames() {
			if name == m+".ko" || name == m+".ko.xz" || name == m+".ko.zst" {
				found[m+".ko"] = path
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range append([]string{"vmlinuz"}, func() (l []string) {
		for _, m := range moduleNames() {
			l = append(l, m+".ko")
		}
		return l
	}()...) {
		from, ok := found[name]
		if !ok {
			return fmt.Errorf("the kernel's package has no %s", name)
		}
		b, err := decompress(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// decompress reads a file, through xz or zstd if its name says so.
func decompress(file string) ([]byte, error) {
	var tool string
	switch filepath.Ext(file) {
	case ".xz":
		tool = "xz"
	case ".zst":
		tool = "zstd"
	default:
		return os.ReadFile(file)
	}
	out, err := exec.Command(tool, "-dc", file).Output()
	if err != nil {
		return nil, fmt.Errorf("%s -dc %s: %w", tool, filepath.Base(file), err)
	}
	return out, nil
}

// command runs a tool; what it printed is in the error.
func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
