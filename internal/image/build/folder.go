// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
)

const maxConfig = 1 << 20

// folder makes the layers of a folder with unifaas.yaml.
func (m *machine) folder(ctx context.Context, dir string) ([]*tree.Tree, image.Manifest, error) {
	name := filepath.Join(dir, ConfigFile)
	fi, err := os.Stat(name)
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() > maxConfig) {
		err = fmt.Errorf("not a file of at most %d bytes", maxConfig)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, image.Manifest{}, fmt.Errorf("%s: %w", name, cause(err))
	}
	c, err := parseConfig(name, text)
	if err != nil {
		return nil, image.Manifest{}, err
	}
	if err := m.own(ctx, name, dir, c.Build); err != nil {
		return nil, image.Manifest{}, err
	}
	if err := m.opts.onto(name, c); err != nil {
		return nil, image.Manifest{}, err
	}
	if c.Contract == image.ContractLambda {
		if err := m.lambda(name, c, inFolder(dir)); err != nil {
			return nil, image.Manifest{}, err
		}
	}
	return m.assemble(ctx, name, dir, c)
}

// assemble puts the base and the folder's own layer together.
func (m *machine) assemble(ctx context.Context, name, dir string, c *config) ([]*tree.Tree, image.Manifest, error) {
	fail := func(err error) ([]*tree.Tree, image.Manifest, error) { return nil, image.Manifest{}, err }
	var trees []*tree.Tree
	var below *tree.Tree
	var b base
	if c.Base != "" {
		found, err := findBase(c.Base)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		b = *found
		if below, err = m.baseTree(ctx, found); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		trees = append(trees, below)
	}
	top := tree.New(below)
	trees = append(trees, top)
	m.libs.onto(top)
	if below == nil {
		if err := image.Skeleton(top); err != nil {
			return fail(err)
		}
	}
	man := image.Manifest{Args: slices.Clone(c.Command), Cwd: c.Workdir, Port: c.Port, Contract: c.Contract, Env: b.environment(c.environment())}
	if _, _, err := top.Lookup(c.Workdir); err != nil {
		if _, err := top.Put(c.Workdir, tree.Dir(0o755)); err != nil {
			return fail(fmt.Errorf("%s: workdir: %w", name, err))
		}
	}
	if err := c.putFiles(name, dir, top); err != nil {
		return fail(err)
	}
	if len(c.Packages) > 0 {
		d, err := m.libs.h.database()
		if err != nil {
			return fail(fmt.Errorf("%s: packages: %w", name, err))
		}
		have := append(slices.Clone(b.packages), "python3", "python3-minimal", "python3.11", "libpython3-stdlib", "nodejs")
		all, err := d.withDependencies(c.Packages, have)
		if err != nil {
			return fail(fmt.Errorf("%s: packages: %w", name, err))
		}
		for _, p := range all {
			if err := m.libs.h.addPackage(p); err != nil {
				return fail(fmt.Errorf("%s: packages: %w", name, err))
			}
		}
	}
	if err := m.libs.start(name, &man); err != nil {
		return fail(err)
	}
	if c.Contract == image.ContractLambda {
		if err := putBridge(top, &man, c.runtime); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := m.libs.completeAll(absolute(strings.Split(string(c.Env["LD_LIBRARY_PATH"]), ":"))); err != nil {
		return fail(fmt.Errorf("%s: %w", name, err))
	}
	if err := m.libs.writeCache(); err != nil {
		return fail(err)
	}
	if err := setUser(top, &man, string(c.User)); err != nil {
		return fail(fmt.Errorf("%s: %w", name, err))
	}
	return trees, man, nil
}

// environment is what the image's program gets, the file's own words last.
func (c *config) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if v, ok := c.Env["PATH"]; ok {
		env[0] = "PATH=" + string(v)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		if k != "PATH" {
			env = append(env, k+"="+string(c.Env[k]))
		}
	}
	return env
}

// putFiles copies what files names, or without it the whole folder, into the working directory.
func (c *config) putFiles(name, dir string, t *tree.Tree) error {
	if c.put != nil {
		return c.put(t)
	}
	if c.Files == nil {
		return copyFolder(dir, c.Workdir, t, true)
	}
	for _, e := range c.Files {
		if err := c.putEntry(dir, e, t); err != nil {
			return fmt.Errorf("%s:%d: %w", name, e.line, err)
		}
	}
	return nil
}

func (c *config) putEntry(dir string, e entry, t *tree.Tree) error {
	from := e.from
	switch {
	case path.IsAbs(from) && e.to == "":
		return fmt.Errorf("%s: write FROM: TO for a file from outside of the folder", from)
	case !path.IsAbs(from) && !filepath.IsLocal(from):
		return fmt.Errorf("%s leads out of the folder: name it by its absolute path if it is meant", from)
	case strings.ContainsRune(from+e.to, 0):
		return errors.New("a NUL byte in a path")
	}
	to := e.to
	if to == "" {
		to = path.Clean(from)
		if hasGlob(from) {
			to = path.Join(".", fixedPart(from))
		}
	}
	into := strings.HasSuffix(to, "/")
	if !path.IsAbs(to) {
		to = path.Join(c.Workdir, to)
	}
	if !path.IsAbs(from) {
		from = path.Join(filepath.ToSlash(dir), from)
	}
	if !hasGlob(e.from) {
		return copyOne(from, to, into, t)
	}
	return copyMatches(dir, e.from, to, t)
}

// copyOne copies a file, or what is in a folder.
func copyOne(from, to string, into bool, t *tree.Tree) error {
	fi, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, cause(err))
	}
	if fi.IsDir() {
		return copyFolder(from, to, t, false)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s: neither a file nor a folder", from)
	}
	if n, _, err := t.Lookup(to); into || err == nil && n.Mode.IsDir() {
		to = path.Join(to, path.Base(from))
	}
	_, err = t.Put(to, ownFile(from, fi))
	return err
}

// ownFile has one of two modes, so that it does not depend on the umask of whoever made it.
func ownFile(name string, fi fs.FileInfo) *tree.Node {
	perm := fs.FileMode(0o644)
	if fi.Mode()&0o111 != 0 {
		perm = 0o755
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return tree.OSFile(perm, fi.Size(), name)
}

// copyMatches copies all that fits a pattern below the part of it that is none.
func copyMatches(dir, pattern, to string, t *tree.Tree) error {
	if _, err := match(pattern, "x"); err != nil {
		return fmt.Errorf("%s: not a valid pattern", pattern)
	}
	fixed := fixedPart(pattern)
	start := fixed
	if !path.IsAbs(pattern) {
		start = path.Join(filepath.ToSlash(dir), fixed)
	} else if fixed == "" {
		start = "/"
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(pattern, fixed), "/")
	found := false
	err := filepath.WalkDir(start, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", p, cause(err))
		}
		rel, err := filepath.Rel(start, p)
		if err != nil || rel == "." {
			return err
		}
		if ok, err := match(rest, rel); err != nil || !ok {
			return err
		}
		found = true
		if d.IsDir() {
			if err := copyFolder(p, path.Join(to, rel), t, false); err != nil {
				return err
			}
			return filepath.SkipDir
		}
		return copyEntry(p, path.Join(to, rel), d, t)
	})
	if err == nil && !found {
		return fmt.Errorf("%s: nothing fits", pattern)
	}
	return err
}

// copyFolder copies what is in a folder. Links stay links.
func copyFolder(from, to string, t *tree.Tree, top bool) error {
	if n, _, err := t.Lookup(to); err != nil || !n.Mode.IsDir() {
		if _, err := t.Put(to, tree.Dir(0o755)); err != nil {
			return err
		}
	}
	es, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, cause(err))
	}
	for _, e := range es {
		if e.Name() == ".git" || e.Name() == "__pycache__" && e.IsDir() || top && e.Name() == ConfigFile {
			continue
		}
		p, at := filepath.Join(from, e.Name()), path.Join(to, e.Name())
		if e.IsDir() {
			err = copyFolder(p, at, t, false)
		} else {
			err = copyEntry(p, at, e, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(from, to string, e fs.DirEntry, t *tree.Tree) error {
	fi, err := e.Info()
	if err != nil {
		return fmt.Errorf("%s: %w", from, cause(err))
	}
	switch {
	case fi.Mode().IsRegular():
		_, err = t.Put(to, ownFile(from, fi))
	case fi.Mode()&fs.ModeSymlink != 0:
		target, lerr := os.Readlink(from)
		if lerr != nil {
			return fmt.Errorf("%s: %w", from, cause(lerr))
		}
		_, err = t.Put(to, tree.Link(target))
	default:
		return fmt.Errorf("%s: neither a file nor a folder", from)
	}
	return err
}
