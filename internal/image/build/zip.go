// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/bridge"
	"unifaas.dev/internal/image/oci"
	"unifaas.dev/internal/image/tree"
)

const (
	zipStart      = "PK\x03\x04"
	maxZipEntries = 200_000
)

// zip makes an image of a deployment package of AWS Lambda: its files, unpacked at /var/task.
func (m *machine) zip(ctx context.Context, s *image.Store, source string) (trees []*tree.Tree, man image.Manifest, done func(), err error) {
	fail := func(err error) ([]*tree.Tree, image.Manifest, func(), error) {
		return nil, image.Manifest{}, nil, fmt.Errorf("%s: %w", source, err)
	}
	if m.opts.Contract != "" && m.opts.Contract != image.ContractLambda {
		return fail(fmt.Errorf("a zip file is a function of contract lambda, not %s: unpack it, and write a %s", m.opts.Contract, ConfigFile))
	}
	f, err := os.Open(source)
	if err != nil {
		return fail(cause(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	r, err := zip.NewReader(f, fi.Size())
	if err != nil {
		return fail(fmt.Errorf("damaged zip file (%w)", err))
	}
	if len(r.File) > maxZipEntries {
		return fail(fmt.Errorf("%d entries, a zip file can have at most %d", len(r.File), maxZipEntries))
	}
	names := map[string]*zip.File{}
	for _, e := range r.File {
		if !strings.HasSuffix(e.Name, "/") {
			names[path.Clean(e.Name)] = e
		}
	}
	c := m.newLambda()
	if err := m.lambda(source, c, func(name string) bool { return names[name] != nil }); err != nil {
		return nil, image.Manifest{}, nil, err
	}
	if e := names["bootstrap"]; e != nil && c.runtime == nil {
		c.scriptBase(zipHead(e))
	}
	spool, err := os.CreateTemp(s.TempDir(), ".new-*")
	if err != nil {
		return fail(err)
	}
	os.Remove(spool.Name())
	u := &unzipper{out: bufio.NewWriterSize(spool, 1<<20), spool: spool, room: m.opts.MaxSize}
	if u.room <= 0 {
		u.room = oci.DefaultLimit
	}
	c.put = func(t *tree.Tree) error {
		if err := u.all(ctx, r.File, t); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		return nil
	}
	if trees, man, err = m.assemble(ctx, source, "", c); err != nil {
		spool.Close()
		return nil, image.Manifest{}, nil, err
	}
	return trees, man, func() { spool.Close() }, nil
}

// zipHead is the first bytes of an entry, as far as they can be read.
func zipHead(e *zip.File) string {
	r, err := e.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	b := make([]byte, 512)
	n, _ := io.ReadFull(r, b)
	return string(b[:n])
}

// unzipper writes the files of a zip file into a nameless one.
type unzipper struct {
	out   *bufio.Writer
	spool *os.File
	off   int64
	room  int64
}

func (u *unzipper) all(ctx context.Context, files []*zip.File, t *tree.Tree) error {
	for _, e := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.entry(e, t); err != nil {
			return fmt.Errorf("%.100q: %w", e.Name, err)
		}
	}
	return u.out.Flush()
}

func (u *unzipper) entry(e *zip.File, t *tree.Tree) error {
	switch {
	case e.Flags&1 != 0:
		return errors.New("it is encrypted")
	case strings.ContainsRune(e.Name, 0) || slices.Contains(strings.Split(e.Name, "/"), "..") || path.IsAbs(e.Name) || strings.Contains(e.Name, `\`):
		return errors.New("not a path inside of the function: no \"..\", no \\, no / at its start")
	}
	at := path.Join(bridge.Root, e.Name)
	mode := e.Mode()
	switch {
	case strings.HasSuffix(e.Name, "/"):
		if n, _, err := t.Lookup(at); err == nil && n.Mode.IsDir() {
			return nil
		}
		_, err := t.Put(at, tree.Dir(0o755))
		return err
	case mode&fs.ModeSymlink != 0:
		target, err := u.read(e, 4095)
		if err != nil || target == "" || strings.ContainsRune(target, 0) {
			return errors.New("a link with a target that cannot be")
		}
		_, err = t.Put(at, tree.Link(target))
		return err
	case !mode.IsRegular():
		return errors.New("neither a file nor a folder nor a link")
	}
	size, err := u.unpack(e)
	if err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if unix := e.CreatorVersion>>8 == 3 || e.CreatorVersion>>8 == 19; !unix || mode&0o111 != 0 {
		perm = 0o755 // other systems do not say what is a program
	}
	_, err = t.Put(at, tree.Section(perm, u.spool, u.off-size, size))
	return err
}

func (u *unzipper) read(e *zip.File, limit int64) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("too long")
	}
	return string(b), err
}

func (u *unzipper) unpack(e *zip.File) (int64, error) {
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(u.out, io.LimitReader(r, u.room+1))
	u.off += n
	u.room -= n
	if u.room < 0 {
		return 0, errors.New("the files unpack to more than --max-size allows")
	}
	return n, err
}
