// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "no command",
		"command: [a]\nfoo: 1\n":              `u:2: unknown key "foo"`,
		"command: [a]\ncommand: [b]\n":        "already defined",
		"command: {a: b}\n":                   "u:1: command is a list",
		"command: a | b\n":                    "as a list of words",
		"command: [a, [b]]\n":                 "u:1: this is one value",
		"command: [a]\nport: x\n":             "u:2: ",
		"command: [a]\nport: 70000\n":         "port 70000",
		"command: [a]\nhandler: a.b\n":        "those of contract lambda",
		"command: [a]\ncontract: x\n":         `contract "x"`,
		"command: [a]\nworkdir: x\n":          "no absolute path",
		"command: [a]\nenv: {A=B: 1}\n":       "environment variable",
		"command: [a]\nenv:\n  A: [1]\n":      "u:3: this is one value",
		"command: [a]\nfiles: [{a: b, c: d}]": "u:2: each of files",
		"command: [a]\nfiles:\n- [x]\n":       "u:3: each of files",
		"command: [a]\n---\ncommand: [b]\n":   "second document",
		"command: [a\n":                       "u",
		"\t":                                  "u",
		"- a":                                 "u:1: ",
	} {
		_, err := parseConfig("u", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "u") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	c, err := parseConfig("u", []byte("command: python3  app.py\nenv: {A: 1.10, B: yes, C: ''}\nuser: 1000\nfiles: [a, b: /c/]\n"))
	if err != nil || !slices.Equal(c.Command, []string{"python3", "app.py"}) || c.Env["A"] != "1.10" || c.Env["B"] != "yes" || c.User != "1000" ||
		c.Workdir != "/app" || c.Files[1].from != "b" || c.Files[1].to != "/c/" {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("base: shell\ncommand: [a, b]\nfiles:\n- a: b\n- c\nenv: {A: 1}\nport: 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := parseConfig("u", text); err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "u")) {
			t.Errorf("error %q", err)
		}
	})
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"run", "a.py", "b.py", "lib/c.py", "lib/deep/d.py", "lib/e.txt", "data/f"} {
		write(t, dir+"/"+f, "#!/bin/sh\n", 0o755)
	}
	outside := write(t, t.TempDir()+"/outside", "x", 0o600)
	if err := os.Symlink("a.py", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	names := func(files string) ([]string, error) {
		write(t, dir+"/unifaas.yaml", "base: shell\ncommand: [/bin/true]\nuser: www-data\nfiles: "+files+"\n", 0o644)
		trees, m, err := parted(t, dir, Options{})
		if err != nil {
			return nil, err
		}
		if m.UID != 33 || m.GID != 33 || !slices.Contains(m.Env, "HOME=/var/www") {
			t.Errorf("%+v", m)
		}
		return slices.DeleteFunc(trees[1].Names(), func(n string) bool { return n == "/app" }), nil
	}
	for files, want := range map[string]string{
		"[]":                        "",
		"[a.py]":                    "/app/a.py",
		"['*.py']":                  "/app/a.py /app/b.py",
		"['**/*.py']":               "/app/a.py /app/b.py /app/lib /app/lib/c.py /app/lib/deep /app/lib/deep/d.py",
		"['lib/*']":                 "/app/lib /app/lib/c.py /app/lib/deep /app/lib/deep/d.py /app/lib/e.txt",
		"['lib/*.py': /x/]":         "/x /x/c.py",
		"[lib: /srv]":               "/srv /srv/c.py /srv/deep /srv/deep/d.py /srv/e.txt",
		"[data/f: g]":               "/app/g",
		"[data/f: g/]":              "/app/g /app/g/f",
		"[" + outside + ": /opt/o]": "/opt /opt/o",
		"[a.py: /bin/x]":            "/usr /usr/bin /usr/bin/x",
		"['l*k']":                   "/app/link",
	} {
		got, err := names(files)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %s", files, got, err, want)
		}
	}
	for files, want := range map[string]string{
		"[../x]": "leads out", "[" + outside + "]": "FROM: TO", "[none]": "none: no such file", "['*.none']": "nothing fits", "['[a']": "not a valid pattern",
		"[a.py: /bin/sh/x]": "not a folder",
	} {
		if _, err := names(files); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "unifaas.yaml:4: ") {
			t.Errorf("%s: %v, want %q", files, err, want)
		}
	}
}

func TestBaseMissing(t *testing.T) {
	root := t.TempDir()
	dir := t.TempDir()
	for base, want := range map[string]string{"python3.11": "apt-get install python3.11", "shell": "apt-get install dash", "node20": "apt-get install dash", "cobol": "there are python3.11, node20, shell"} {
		write(t, dir+"/unifaas.yaml", "base: "+base+"\ncommand: [x]\n", 0o644)
		_, _, err := parted(t, dir, Options{root: root})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", base, err, want)
		}
	}
	write(t, dir+"/unifaas.yaml", "base: node20\ncommand: [node]\n", 0o644)
	_, _, err := parted(t, dir, Options{nodes: []string{"/bin/ls", "/none"}})
	if err == nil || !strings.Contains(err.Error(), "needs Node.js 20") {
		t.Errorf("another program as node: %v", err)
	}
	write(t, dir+"/unifaas.yaml", "base: python3.11\npackages: [python3-no-such]\ncommand: [python3]\n", 0o644)
	if _, _, err := parted(t, dir, Options{}); err == nil || !strings.Contains(err.Error(), "apt-get install python3-no-such") {
		t.Errorf("a package that is not there: %v", err)
	}
}

// TestPackages: numpy with its BLAS, over two alternatives.
func TestPackages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/unifaas.yaml", "base: python3.11\npackages: [python3-numpy]\ncommand: [python3, -c, 'import numpy; print((numpy.ones((8,8)) @ numpy.ones((8,8))).sum())']\n", 0o644)
	trees, m, err := parted(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "512.0\n" {
		t.Errorf("says %q", got)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{{"*", "a", true}, {"*", "a/b", false}, {"**", "a/b", true}, {"**/x", "x", true}, {"a/**/b", "a/b", true}, {"a/**/b", "a/c/d/b", true}, {"a/**/b", "c/b", false}, {"a/*", "a", false}, {"**/**", "a", true}} {
		if got, err := match(c.pattern, c.name); err != nil || got != c.want {
			t.Errorf("%s, %s: %v %v", c.pattern, c.name, got, err)
		}
	}
}
