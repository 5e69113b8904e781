// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

const dpkgDir = "/var/lib/dpkg"

var packageForm = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// debPackage is what dpkg's database says of an installed package.
type debPackage struct {
	name     string
	depends  string
	priority string
	provides []string
}

// database is the list of installed packages.
type database struct {
	h        *host
	packages map[string]*debPackage // by name, and by what they provide
}

func (h *host) database() (*database, error) {
	f, err := os.Open(h.path(dpkgDir + "/status"))
	if err != nil {
		return nil, fmt.Errorf("%s/status: %w: Debian packages need a Debian machine", dpkgDir, cause(err))
	}
	defer f.Close()
	d := &database{h: h, packages: map[string]*debPackage{}}
	p, installed := &debPackage{}, false
	end := func() {
		if p.name != "" && installed {
			d.packages[p.name] = p
			for _, v := range p.provides {
				if d.packages[v] == nil {
					d.packages[v] = p
				}
			}
		}
		p, installed = &debPackage{}, false
	}
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 64<<10), 16<<20)
	for in.Scan() {
		key, value, ok := strings.Cut(in.Text(), ": ")
		switch {
		case in.Text() == "":
			end()
		case !ok || strings.HasPrefix(key, " "):
		case key == "Package":
			p.name = value
		case key == "Status":
			installed = strings.HasSuffix(value, " installed")
		case key == "Priority":
			p.priority = value
		case key == "Depends", key == "Pre-Depends":
			p.depends += "," + value
		case key == "Provides":
			for v := range strings.SplitSeq(value, ",") {
				name, _, _ := strings.Cut(strings.TrimSpace(v), " ")
				p.provides = append(p.provides, name)
			}
		}
	}
	end()
	return d, in.Err()
}

// withDependencies are the packages and all that they depend on, but for what every Debian has and for those in have.
func (d *database) withDependencies(names []string, have []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, h := range have {
		seen[h] = true
	}
	var visit func(p *debPackage)
	visit = func(p *debPackage) {
		if seen[p.name] {
			return
		}
		seen[p.name] = true
		out = append(out, p.name)
		for dep := range strings.SplitSeq(p.depends, ",") {
			for alt := range strings.SplitSeq(dep, "|") {
				name, _, _ := strings.Cut(strings.TrimSpace(alt), " ")
				name, _, _ = strings.Cut(name, ":")
				if q := d.packages[name]; q != nil {
					if q.priority != "required" && q.priority != "important" && q.name != "libc6" {
						visit(q)
					}
					break
				}
			}
		}
	}
	for _, n := range names {
		if !packageForm.MatchString(n) {
			return nil, fmt.Errorf("%q is no name of a Debian package", n)
		}
		p := d.packages[n]
		if p == nil {
			return nil, fmt.Errorf("the Debian package %s is not installed here: apt-get install %s", n, n)
		}
		visit(p)
	}
	slices.Sort(out)
	return out, nil
}

// notForPrograms are folders of packages that only people read.
func notForPrograms(p string) bool {
	for _, d := range []string{"/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/locale", "/usr/share/lintian", "/usr/share/bug",
		"/usr/share/bash-completion", "/usr/share/applications", "/usr/share/pixmaps", "/usr/share/menu", "/usr/share/doc-base", "/usr/include", "/etc/init.d", "/etc/cron.daily"} {
		if p == d || strings.HasPrefix(p, d+"/") {
			return true
		}
	}
	return false
}

// addPackage takes the files of an installed package in, with the compiled forms of its Python files.
func (h *host) addPackage(name string) error {
	var list []byte
	err := fs.ErrNotExist
	for _, file := range []string{name, name + ":amd64", name + ":all"} {
		if list, err = os.ReadFile(h.path(dpkgDir + "/info/" + file + ".list")); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("the Debian package %s is not installed here: apt-get install %s", name, name)
	}
	for p := range strings.SplitSeq(strings.TrimSpace(string(list)), "\n") {
		if p == "/." || !path.IsAbs(p) || notForPrograms(p) {
			continue
		}
		fi, err := os.Lstat(h.path(p))
		if err != nil || !fi.IsDir() && !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0 {
			continue // taken away by the administrator, or diverted: as it is on this machine
		}
		if _, err := h.add(p); err != nil {
			if fi.Mode()&fs.ModeSymlink != 0 && missing(err) || errors.Is(err, os.ErrPermission) && strings.HasPrefix(p, "/etc/") {
				continue
			}
			return fmt.Errorf("package %s: %w", name, err)
		}
		if stem, ok := strings.CutSuffix(path.Base(p), ".py"); ok {
			pyc := path.Join(path.Dir(p), "__pycache__", stem+".cpython-311.pyc")
			if fi, err := h.regular(pyc); fi != nil && err == nil {
				if _, err := h.add(pyc); err != nil && !errors.Is(err, errStale) {
					return fmt.Errorf("package %s: %w", name, err)
				}
			}
		}
	}
	return nil
}
