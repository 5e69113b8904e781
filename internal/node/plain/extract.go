// SPDX-License-Identifier: Apache-2.0

package plain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/image"
)

// extract takes out what the program needs: a static program of a single layer only itself, any other all files, and
// then they are its root folder, which only root can give it.
func (t *tender) extract() error {
	m := t.c.Manifest
	if len(t.c.Layers) == 1 {
		layer, err := erofs.Open(t.c.Layers[0].File)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(m.Program, "/")
		program, err := fs.ReadFile(layer, name)
		if err != nil {
			return err
		}
		if p, err := elfx.ReadProgram(m.Program, strings.NewReader(string(program)), int64(len(program))); err == nil && p.Kind != elfx.Dynamic {
			t.exe = filepath.Join(t.dir, filepath.Base(m.Program))
			return os.WriteFile(t.exe, program, 0o700)
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can run a program with files of its own as a plain process")
	}
	if err := os.Chmod(t.dir, 0o755); err != nil {
		return err
	}
	if err := Extract(t.dir, t.c.Layers); err != nil {
		return err
	}
	for _, d := range []struct {
		name  string
		minor uint32
	}{{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}} {
		if err := unix.Mknod(filepath.Join(t.dir, "dev", d.name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, d.minor))); err != nil && err != unix.EEXIST {
			return fmt.Errorf("/dev/%s: %w", d.name, err)
		}
		if err := os.Chmod(filepath.Join(t.dir, "dev", d.name), 0o666); err != nil {
			return err
		}
	}
	t.exe, t.root = m.Program, true
	return nil
}

// Extract puts the files of all layers, lowest first, into a folder.
func Extract(dir string, layers []image.Layer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, l := range layers {
		layer, err := erofs.Open(l.File)
		if err != nil {
			return err
		}
		if err := fs.WalkDir(layer, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if err := put(root, layer, p, d); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// put makes one file of a layer, in place of what a lower one has there. root keeps it inside of the folder.
func put(root *os.Root, layer fs.FS, p string, d fs.DirEntry) error {
	fi, err := d.Info()
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*erofs.Stat)
	if !ok {
		return errors.New("no owner")
	}
	old, err := root.Lstat(p)
	if err == nil && (!old.IsDir() || !d.IsDir()) {
		if err := root.RemoveAll(p); err != nil {
			return err
		}
	}
	switch {
	case d.IsDir():
		if err := root.Mkdir(p, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case d.Type()&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(layer, p)
		if err != nil {
			return err
		}
		if err := root.Symlink(target, p); err != nil {
			return err
		}
		return root.Lchown(p, int(st.UID), int(st.GID))
	case d.Type().IsRegular():
		if err := copyFile(root, layer, p); err != nil {
			return err
		}
	default:
		return nil // the guest has its devices from the library OS too
	}
	if err := root.Lchown(p, int(st.UID), int(st.GID)); err != nil {
		return err
	}
	return root.Chmod(p, fi.Mode()&(fs.ModePerm|fs.ModeSticky))
}

func copyFile(root *os.Root, layer fs.FS, p string) error {
	in, err := layer.Open(p)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(path.Clean(p), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
