// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
)

// program makes the one layer of an ELF file and its libraries.
func (m *machine) program(src string, libraryPath []string) ([]*tree.Tree, image.Manifest, error) {
	fail := func(err error) ([]*tree.Tree, image.Manifest, error) { return nil, image.Manifest{}, err }
	real, err := filepath.Abs(src)
	if err == nil {
		real, err = filepath.EvalSymlinks(real) // $ORIGIN is where the file itself lies
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", src, cause(err)))
	}
	f, err := os.Open(real)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", src, cause(err)))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if _, err := elfx.ReadProgram(src, f, fi.Size()); err != nil {
		return fail(err)
	}
	t := tree.New(nil)
	m.libs.onto(t)
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if _, err := m.libs.h.add(d); err != nil && !missing(err) {
			return fail(err)
		}
	}
	if err := image.Skeleton(t); err != nil {
		return fail(err)
	}
	o, err := elfx.ReadObject(src, f, fi.Size())
	if err != nil {
		return fail(err)
	}
	at := image.ProgramPath(filepath.Base(src))
	if o.Interp != "" {
		at = path.Join("/app", filepath.Base(src)) // musl takes no $ORIGIN that is the root folder
	}
	if at, err = t.Put(at, tree.OSFile(0o755, fi.Size(), real)); err != nil {
		return fail(err)
	}
	man := image.Manifest{Program: at, Args: []string{at}, Cwd: "/", Env: image.DefaultEnv()}
	if o.Interp == "" {
		// Nothing but the program: the same image as everywhere.
		t = tree.New(nil)
		if err := image.Skeleton(t); err != nil {
			return fail(err)
		}
		_, err := t.Put(at, tree.OSFile(0o755, fi.Size(), real))
		return []*tree.Tree{t}, man, err
	}
	o.Path, o.Host = at, real
	libraryPath = absolute(libraryPath)
	dirs, err := m.libs.complete(o, libraryPath)
	if err != nil {
		return fail(err)
	}
	if slices.ContainsFunc(libraryPath, func(d string) bool { return slices.Contains(dirs, d) }) {
		man.Env = append(man.Env, "LD_LIBRARY_PATH="+strings.Join(libraryPath, ":"))
	}
	return []*tree.Tree{t}, man, m.libs.writeCache()
}

func absolute(dirs []string) []string {
	var l []string
	for _, d := range dirs {
		if path.IsAbs(d) {
			l = append(l, path.Clean(d))
		}
	}
	return l
}

// script makes an image of a single script on the base that its interpreter needs.
func (m *machine) script(ctx context.Context, src, start string) ([]*tree.Tree, image.Manifest, error) {
	words, err := shebang(src, start)
	if err != nil {
		return nil, image.Manifest{}, err
	}
	interpreter := words[0]
	if path.Base(interpreter) == "env" {
		if interpreter = envProgram(words); interpreter == "" {
			return nil, image.Manifest{}, fmt.Errorf("%s: its first line has env start no program", src)
		}
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, image.Manifest{}, fmt.Errorf("%s: %w", src, err)
	}
	at := image.ProgramPath(filepath.Base(abs))
	c := &config{Base: interpreterBase(interpreter), Files: []entry{{from: abs, to: at}}, Command: command{at}, Workdir: "/"}
	return m.assemble(ctx, src, filepath.Dir(abs), c)
}

// shebang takes the first line of a script apart as the kernel does: a program and at most one argument.
func shebang(name, start string) ([]string, error) {
	line, _, ended := strings.Cut(start, "\n")
	line = strings.Trim(strings.TrimPrefix(line, "#!"), " \t\r")
	if !ended && len(start) > 255 || len(line) > 254 {
		return nil, fmt.Errorf("%s: its first line is longer than 255 bytes", name)
	}
	interpreter, arg, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	if !path.IsAbs(interpreter) {
		return nil, fmt.Errorf("%s: its first line names no interpreter by an absolute path (%q)", name, interpreter)
	}
	if arg = strings.Trim(arg, " "); arg != "" {
		return []string{interpreter, arg}, nil
	}
	return []string{interpreter}, nil
}

// envProgram is what env, as an interpreter with one argument, starts.
func envProgram(words []string) string {
	if len(words) < 2 {
		return ""
	}
	arg := words[1]
	split := strings.HasPrefix(arg, "-S")
	if !split {
		return arg
	}
	for _, w := range strings.Fields(strings.TrimPrefix(arg, "-S")) {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return w
		}
	}
	return ""
}

const maxScripts = 4 // scripts whose interpreter is a script, as Linux has it

// start makes sure that a command can be started, bringing in from this machine what is not there yet, and says how.
func (l *libraries) start(name string, man *image.Manifest) error {
	env := func(key string) string {
		v := ""
		for _, kv := range man.Env {
			if k, val, _ := strings.Cut(kv, "="); k == key {
				v = val
			}
		}
		return v
	}
	libraryPath := absolute(strings.Split(env("LD_LIBRARY_PATH"), ":"))
	search := strings.Split(env("PATH"), ":")
	p, err := l.which(man.Args[0], man.Cwd, search)
	if err != nil {
		return fmt.Errorf("%s: command %q: %w", name, man.Args[0], err)
	}
	man.Program = p
	for range maxScripts + 1 {
		n, real, err := l.t.Lookup(man.Program)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !n.Executable() {
			return fmt.Errorf("%s: command %q: %s is not an executable file", name, man.Args[0], man.Program)
		}
		f, err := n.Open()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, man.Program, cause(err))
		}
		start := make([]byte, min(n.Size, 512))
		_, err = f.ReadAt(start, 0)
		if err == nil && strings.HasPrefix(string(start), "#!") {
			f.Close()
			words, err := shebang(man.Program, string(start))
			if err != nil {
				return err
			}
			script := man.Program
			if man.Program, err = l.which(words[0], "/", nil); err != nil {
				return fmt.Errorf("%s: its interpreter %s: %w", script, words[0], err)
			}
			if path.Base(words[0]) == "env" {
				if p := envProgram(words); p != "" {
					if _, err := l.which(p, man.Cwd, search); err != nil {
						return fmt.Errorf("%s: its interpreter %s: %w", script, p, err)
					}
				}
			}
			// Linux gives the script's path in place of the first argument.
			man.Args = append(append(slices.Clone(words), script), man.Args[1:]...)
			continue
		}
		prog, err := elfx.ReadProgram(man.Program, f, n.Size)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if prog.Kind != elfx.Dynamic {
			return nil
		}
		o, err := l.object(real, n)
		if err != nil {
			return err
		}
		if o == nil {
			return fmt.Errorf("%s: %s is for another machine", name, man.Program)
		}
		if l.h != nil {
			o.Host = n.Source
		}
		_, err = l.complete(o, libraryPath)
		return err
	}
	return fmt.Errorf("%s: command %q: scripts whose interpreters are scripts, more than %d", name, man.Args[0], maxScripts)
}

var errNoProgram = errors.New("there is no such program in the image: add it to files, or choose a base that has it")

// which finds a program like a shell: by its path, or by its name on the search path. One that the image has not is
// taken from this machine, where programs are usually installed.
func (l *libraries) which(name, cwd string, search []string) (string, error) {
	if strings.Contains(name, "/") {
		search = []string{"."}
		if path.IsAbs(name) {
			search = []string{"/"}
		}
	}
	var at []string
	for _, d := range search {
		if !path.IsAbs(d) {
			d = path.Join(cwd, d)
		}
		at = append(at, path.Join(d, name))
	}
	for _, p := range at {
		if n, _, err := l.t.Lookup(p); err == nil && (n.Executable() || len(at) == 1) {
			return p, nil
		}
	}
	if l.h == nil {
		return "", errNoProgram
	}
	for _, p := range at {
		if !slices.ContainsFunc([]string{"/bin/", "/sbin/", "/usr/"}, func(d string) bool { return strings.HasPrefix(p, d) }) {
			continue
		}
		fi, err := l.h.regular(p)
		if err != nil {
			return "", err
		}
		if fi != nil && fi.Mode()&fs.FileMode(0o111) != 0 {
			real, err := l.h.add(p)
			if err != nil {
				return "", err
			}
			n, _, err := l.t.Lookup(real)
			if err != nil {
				return "", err
			}
			if o, err := l.object(real, n); err != nil {
				return "", err
			} else if o != nil {
				o.Host = n.Source
				if _, err := l.complete(o, nil); err != nil {
					return "", err
				}
			}
			return p, nil
		}
	}
	return "", errNoProgram
}
