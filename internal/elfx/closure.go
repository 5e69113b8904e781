// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Finder gives what stands at a path of the program's system: nil if nothing does, or nothing that a loader takes. host
// is where this machine would have it.
type Finder func(path, host string) (*Object, error)

// Closure finds the libraries of programs as their loader would.
type Closure struct {
	Find        Finder
	LibraryPath []string // LD_LIBRARY_PATH of the program
	Conf        []string // folders that /etc/ld.so.conf names, for glibc
	MuslPath    []string // folders that /etc/ld-musl-x86_64.path names
	// Missing is asked about a library that is nowhere; nil: its error is the result.
	Missing func(*MissingError) error
}

// MissingError is a library that is nowhere.
type MissingError struct {
	Name string // of the library
	By   string // path of the file that needs it
	Root string // path of the program
}

func (e *MissingError) Error() string {
	user := ""
	if e.By != e.Root {
		user = " (a library of " + e.Root + ")"
	}
	return fmt.Sprintf("%s%s: needs the library %s, which is nowhere on its search path: install it or name its folder in LD_LIBRARY_PATH", e.By, user, e.Name)
}

// Library is one file of a closure.
type Library struct {
	*Object
	Cached bool // found where only /etc/ld.so.cache tells the loader to look
}

// glibc's own folders, of Debian's multiarch layout and of others.
func defaultDirs() []string {
	return []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

func muslDirs() []string { return []string{"/lib", "/usr/local/lib", "/usr/lib"} }

// places are folders of the program's system and of this machine.
type place struct{ dir, host string }

type loaded struct {
	*Object
	by *loaded
}

// search is the closure of one program.
type search struct {
	c     *Closure
	root  *loaded
	musl  bool
	names map[string]bool // as which something is loaded
	queue []*loaded
	out   []Library
}

// Of gives all libraries that the program, or library, at root needs, its loader first.
func (c *Closure) Of(root *Object) ([]Library, error) {
	s := &search{c: c, root: &loaded{Object: root}, names: map[string]bool{}}
	s.musl = IsMusl(root)
	if root.Interp != "" {
		if !path.IsAbs(root.Interp) {
			return nil, fmt.Errorf("%s: its loader %q is no absolute path", root.Path, root.Interp)
		}
		o, err := c.Find(root.Interp, root.Interp)
		if err != nil {
			return nil, err
		}
		if o == nil {
			return nil, fmt.Errorf("%s: its loader %s is missing", root.Path, root.Interp)
		}
		s.names[o.Soname], s.names[path.Base(root.Interp)] = true, true
		s.out = append(s.out, Library{Object: o})
	}
	s.names[root.Soname] = true
	s.queue = []*loaded{s.root}
	unwinds := false
	for len(s.queue) > 0 {
		o := s.queue[0]
		s.queue = s.queue[1:]
		unwinds = unwinds || o.Unwinds
		for _, name := range o.Needed {
			if err := s.need(o, name); err != nil {
				return nil, err
			}
		}
		if len(s.queue) == 0 && unwinds && !s.musl && !s.names["libgcc_s.so.1"] && s.names["libc.so.6"] {
			// glibc loads it by itself, when a thread ends; a system without it has to do without.
			if _, err := s.find(s.root, "libgcc_s.so.1"); err != nil {
				return nil, err
			}
			s.names["libgcc_s.so.1"] = true
		}
	}
	return s.out, nil
}

// IsMusl tells a program or library of musl from one of glibc.
func IsMusl(o *Object) bool {
	if o.Interp != "" {
		return strings.HasPrefix(path.Base(o.Interp), "ld-musl-")
	}
	return slices.ContainsFunc(o.Needed, func(n string) bool { return n == "libc.so" || strings.HasPrefix(n, "libc.musl-") })
}

func (s *search) need(by *loaded, name string) error {
	if s.names[name] || s.musl && muslOwn(name) {
		return nil
	}
	found, err := s.find(by, name)
	if err != nil {
		return err
	}
	if !found {
		m := &MissingError{Name: name, By: by.Path, Root: s.root.Path}
		if s.c.Missing == nil {
			return m
		}
		if err := s.c.Missing(m); err != nil {
			return err
		}
	}
	s.names[name] = true
	return nil
}

// muslOwn are the names of libraries that musl's loader is by itself.
func muslOwn(name string) bool {
	rest, ok := strings.CutPrefix(name, "lib")
	return ok && slices.ContainsFunc([]string{"c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."}, func(p string) bool { return strings.HasPrefix(rest, p) })
}

// find looks for a library in the order of the loader and takes it in.
func (s *search) find(by *loaded, name string) (bool, error) {
	if strings.Contains(name, "/") {
		for _, p := range expand(by, name) {
			if !path.IsAbs(p.dir) {
				continue // relative to wherever the program is started
			}
			if ok, err := s.take(by, p.dir, p.host, false); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	for _, step := range s.order(by) {
		for _, dir := range step.dirs {
			for _, p := range expand(step.of, dir) {
				if !path.IsAbs(p.dir) {
					continue
				}
				ok, err := s.take(by, path.Join(p.dir, name), filepath.Join(p.host, name), step.cached)
				if err != nil {
					return false, err
				}
				if !s.musl {
					// Variants for newer CPUs stand beside; the loader chooses when it runs.
					for _, v := range []string{"x86-64-v2", "x86-64-v3", "x86-64-v4"} {
						sub := path.Join("glibc-hwcaps", v, name)
						more, err := s.take(by, path.Join(p.dir, sub), filepath.Join(p.host, sub), step.cached)
						if err != nil {
							return false, err
						}
						ok = ok || more
					}
				}
				if ok {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// step is one stage of the search; of is the object whose $ORIGIN counts.
type step struct {
	of     *loaded
	dirs   []string
	cached bool
}

func (s *search) order(by *loaded) []step {
	var l []step
	if s.musl {
		l = append(l, step{s.root, s.c.LibraryPath, false})
		for o := by; o != nil; o = o.by {
			l = append(l, step{o, append(slices.Clone(o.RPath), o.RunPath...), false})
		}
		dirs := s.c.MuslPath
		if len(dirs) == 0 {
			dirs = muslDirs()
		}
		return append(l, step{s.root, dirs, false})
	}
	if len(by.RunPath) == 0 {
		for o := by; o != nil; o = o.by {
			if len(o.RunPath) == 0 {
				l = append(l, step{o, o.RPath, false})
			}
		}
	}
	l = append(l, step{s.root, s.c.LibraryPath, false}, step{by, by.RunPath, false})
	if !by.NoDeflt {
		conf := slices.DeleteFunc(slices.Clone(s.c.Conf), func(d string) bool { return slices.Contains(defaultDirs(), d) })
		l = append(l, step{s.root, conf, true}, step{s.root, defaultDirs(), false})
	}
	return l
}

func (s *search) take(by *loaded, p, host string, cached bool) (bool, error) {
	o, err := s.c.Find(p, host)
	if o == nil || err != nil {
		return false, err
	}
	s.out = append(s.out, Library{o, cached})
	s.queue = append(s.queue, &loaded{o, by})
	s.names[path.Base(p)] = true
	if o.Soname != "" {
		s.names[o.Soname] = true
	}
	return true, nil
}

// expand puts values for $ORIGIN, $LIB and $PLATFORM.
func expand(o *loaded, dir string) []place {
	if !strings.Contains(dir, "$") {
		return []place{{dir, dir}}
	}
	origin, host := path.Dir(o.Path), filepath.Dir(o.Host)
	if o.Host == "" {
		host = origin
	}
	var l []place
	for _, lib := range []string{"lib/x86_64-linux-gnu", "lib64"} {
		for _, platform := range []string{"x86_64", "haswell"} {
			fill := func(origin string) string {
				return strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin, "${LIB}", lib, "$LIB", lib, "${PLATFORM}", platform, "$PLATFORM", platform).Replace(dir)
			}
			if p := (place{path.Clean(fill(origin)), filepath.Clean(fill(host))}); !slices.Contains(l, p) {
				l = append(l, p)
			}
		}
	}
	return l
}
