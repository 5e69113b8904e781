// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/hooks"
	"unifaas.dev/internal/image/tree"
)

// base is a lower layer that is made of what this machine has installed.
type base struct {
	name     string
	packages []string    // all of their files
	paths    [][2]string // files and the packages that they come from: with these names they must be here
	trees    []string    // folders, as far as they are here
	python   bool
	node     int // major version of Node.js
}

func bases() []base {
	net := []string{"ca-certificates", "netbase", "media-types"}
	return []base{
		{
			name:     "python3.11",
			packages: append([]string{"python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11", "tzdata"}, net...),
			paths:    [][2]string{{"/usr/bin/python3.11", "python3.11"}, {"/bin/sh", "dash"}, {"/lib/x86_64-linux-gnu/libgcc_s.so.1", "libgcc-s1"}},
			trees:    []string{"/etc/ssl/certs", "/usr/lib/ssl"},
			python:   true,
		},
		{
			name: "node20", node: 20, packages: net,
			paths: [][2]string{{"/bin/sh", "dash"}},
			trees: []string{"/etc/ssl/certs", "/usr/lib/ssl"},
		},
		{
			name:     "shell",
			packages: []string{"bash", "dash", "coreutils", "grep", "sed", "findutils", "diffutils", "gzip", "tar"},
			paths:    [][2]string{{"/bin/sh", "dash"}, {"/bin/bash", "bash"}, {"/usr/bin/awk", "mawk"}},
		},
	}
}

// hooks are files of our own: what keeps random numbers apart in instances of one snapshot.
func (b *base) hooks() []hooks.File {
	switch {
	case b.python:
		return hooks.Python()
	case b.node != 0:
		return hooks.Node()
	}
	return nil
}

// environment adds what the base's hooks need to what the image's program gets.
func (b *base) environment(env []string) []string {
	if b.node == 0 {
		return env
	}
	const name = "NODE_OPTIONS="
	for i, kv := range env {
		if own, ok := strings.CutPrefix(kv, name); ok {
			env[i] = name + hooks.NodeOptions + " " + own
			return env
		}
	}
	return append(env, name+hooks.NodeOptions)
}

func findBase(name string) (*base, error) {
	all := bases()
	i := slices.IndexFunc(all, func(b base) bool { return b.name == name })
	if i >= 0 {
		return &all[i], nil
	}
	var names []string
	for _, b := range all {
		names = append(names, b.name)
	}
	return nil, fmt.Errorf("base %q: there are %s", name, strings.Join(names, ", "))
}

// baseTree is the lowest layer of everything but single programs: the base's files, with all libraries they need.
func (m *machine) baseTree(ctx context.Context, b *base) (*tree.Tree, error) {
	t := tree.New(nil)
	m.libs.onto(t)
	h := m.libs.h
	// Where /bin is a link to /usr/bin, it is one here.
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if _, err := h.add(d); err != nil && !missing(err) {
			return nil, err
		}
	}
	if err := image.Skeleton(t); err != nil {
		return nil, err
	}
	for _, p := range []string{"etc/passwd", "etc/group"} {
		if _, err := t.Put(p, tree.Bytes(0o644, []byte(accounts[p]))); err != nil {
			return nil, err
		}
	}
	for _, p := range b.paths {
		if _, err := os.Stat(h.path(p[0])); err != nil {
			return nil, fmt.Errorf("base %s: %s is not on this machine: apt-get install %s", b.name, p[0], p[1])
		}
		if _, err := h.add(p[0]); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	for _, p := range b.packages {
		if err := h.addPackage(p); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	for _, p := range b.trees {
		if err := h.addAll(p, func(p string) bool { return p == "/etc/ssl/private" }); err != nil && !missing(err) {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	if b.python {
		for _, name := range []string{"python3", "python"} {
			if _, err := t.Put("/usr/bin/"+name, tree.Link("python3.11")); err != nil {
				return nil, err
			}
		}
	}
	if b.node != 0 {
		if err := m.addNode(ctx, t, b.node); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	for _, f := range b.hooks() {
		if _, err := t.Put(f.Path, tree.Bytes(0o644, f.Data)); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	if err := m.libs.completeAll(nil); err != nil {
		return nil, fmt.Errorf("base %s: %w", b.name, err)
	}
	return t, m.libs.writeCache()
}

// accounts are those that Debian programs expect by name; the machine's own are nobody's business.
var accounts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\n" +
		"mail:x:8:8:mail:/var/mail:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\napp:x:1000:1000:app:/app:/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nwww-data:x:33:\nstaff:x:50:\nusers:x:100:\napp:x:1000:\n" +
		"nogroup:x:65534:\n",
}

// addNode finds the machine's Node.js of a major version and puts it at /usr/bin/node, wherever it is here.
func (m *machine) addNode(ctx context.Context, t *tree.Tree, major int) error {
	h := m.libs.h
	var others []string
	for _, p := range m.nodes {
		real, err := filepath.EvalSymlinks(h.path(p))
		if err != nil {
			continue
		}
		fi, err := os.Stat(real)
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		n := tree.OSFile(0o755, fi.Size(), real)
		o, err := m.libs.object(p, n)
		if o == nil || err != nil {
			continue // a script that chooses one of several, or none for this machine
		}
		v := version(ctx, real)
		if !strings.HasPrefix(v, fmt.Sprintf("v%d.", major)) {
			if v != "" {
				others = append(others, p+" is "+v)
			}
			continue
		}
		if _, err := t.Put("/usr/bin/node", n); err != nil {
			return err
		}
		_, err = t.Put("/usr/bin/nodejs", tree.Link("node"))
		return err
	}
	found := "there is none here"
	if len(others) > 0 {
		found = strings.Join(others, ", ")
	}
	return fmt.Errorf("needs Node.js %d, %s: install it as /usr/local/bin/node, or as /usr/local/lib/unifaas/node%d with scripts/setup.sh test (Debian 12's package nodejs is version 18)", major, found, major)
}

// nodePlaces is where Node.js may be, the search path first.
func nodePlaces() []string {
	var l []string
	for _, d := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(d) {
			l = append(l, filepath.Join(d, "node"))
		}
	}
	for _, p := range []string{"/usr/local/bin/node", "/usr/bin/node", "/usr/bin/nodejs", "/usr/local/lib/unifaas/node20/bin/node"} {
		if !slices.Contains(l, p) {
			l = append(l, p)
		}
	}
	return l
}

func version(ctx context.Context, node string) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--version")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil || len(out) > 40 {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// interpreterBase names the base in which an interpreter has what it needs; empty: the program alone will do.
func interpreterBase(interpreter string) string {
	switch name := filepath.Base(interpreter); {
	case name == "python3" || name == "python3.11" || name == "python":
		return "python3.11"
	case name == "node" || name == "nodejs":
		return "node20"
	case name == "sh" || name == "bash" || name == "dash":
		return "shell"
	}
	return ""
}
