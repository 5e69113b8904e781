// SPDX-License-Identifier: Apache-2.0

// Package layers holds the rules about who may use what, and a few more that no other tool checks.
package layers

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/internal/testkit"
)

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

const module = "unifaas.dev/"

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,Deps", "./...")
	cmd.Dir = testkit.Root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// own is the path without the module; false for packages of others.
func own(path string) (string, bool) { return strings.CutPrefix(path, module) }

// rule says what packages below a prefix may not use, directly or through others, and why.
type rule struct {
	from   string // prefix
	except []string
	never  []string // prefixes: own packages without the module, others as they are
	why    string
}

func rules() []rule {
	upper := []string{"internal/gateway", "internal/control", "internal/node", "internal/client", "internal/up", "internal/bench", "internal/doctor", "internal/runner"}
	return []rule{
		{"abi", nil, []string{"internal/", "guest", "golang.org/", "github.com/"}, "the guest ABI stands below everything"},
		{"guest", nil, []string{"internal/", "abi"}, "it only carries the built library OS"},
		{"internal/guestmem", nil, append(upper, "internal/monitor", "internal/tender", "internal/queue"), "guest memory knows no structure"},
		{"internal/queue", nil, append(upper, "internal/monitor", "internal/tender"), "the rings are used by tender and tests, whatever the monitor"},
		{"internal/monitor", nil, append(upper, "internal/tender", "internal/image", "net"), "a monitor knows no functions, sockets or images; calls go downward only"},
		{"internal/tender/server", nil, append(upper, "internal/image", "internal/monitor/kvm", "net", "net/http", "os/exec", "github.com/"),
			"the tender process is jailed: it opens no path and no connection by itself, and its dependencies stay few"},
		{"internal/tender/wire", nil, append(upper, "internal/image", "internal/monitor/kvm", "net/http", "os/exec", "github.com/"), "both sides of the socket use it"},
		{"internal/tender", []string{"internal/tender/server", "internal/tender/wire"}, append(upper, "internal/monitor/kvm", "net/http"), "it starts tenders, whatever runs in them"},
		{"internal/snapshot", []string{"internal/snapshot/state"}, append(upper, "internal/tender", "internal/image", "internal/guestmem", "internal/queue", "internal/monitor", "internal/snapshot/state"),
			"files only: the node reads and keeps snapshots, and never touches guest memory"},
		{"internal/snapshot/state", nil, append(upper, "internal/tender", "internal/image", "internal/monitor/kvm", "internal/queue", "net", "github.com/"),
			"it moves guest memory inside the jailed process, whatever the monitor"},
		{"internal/snapshot/store", nil, []string{"internal/snapshot/parked", "net", "os/exec"}, "snapshots on disk are only files"},
		{"internal/snapshot/parked", nil, []string{"internal/snapshot/store", "net", "os/exec"}, "parked instances are only bytes"},
		{"internal/tender", nil, []string{"internal/snapshot/store", "internal/snapshot/parked"}, "the node keeps snapshots and parked instances; tenders get descriptors"},
		{"internal/image", nil, append(upper, "internal/tender", "internal/monitor"), "images are only files"},
		{"internal/basicauth", nil, []string{"internal/"}, "a user name and a password, whoever asks for them"},
		{"internal/elfx", nil, append(upper, "internal/tender", "internal/monitor", "internal/image"), "it only reads ELF files"},
		{"internal/egress", nil, append(upper, "internal/tender", "internal/monitor", "internal/image", "abi"), "it only decides, connects and resolves"},
		{"internal/engine", nil, append(upper, "internal/tender", "internal/monitor", "internal/image", "internal/snapshot"), "it keeps what others give it"},
		{"internal/objects", nil, append(upper, "internal/tender", "internal/monitor", "internal/image", "internal/snapshot"), "it keeps what others give it"},
		{"internal/seal", nil, append(upper, "internal/engine", "internal/tender", "net", "os/exec", "github.com/"), "it only encrypts"},
		{"internal/logs", nil, append(upper, "internal/tender", "internal/monitor"), "logs are only lines"},
		{"internal/metrics", nil, []string{"internal/gateway", "internal/control", "internal/up", "internal/client"}, "it counts what it is told"},
		{"internal/node", nil, []string{"internal/gateway", "internal/control", "internal/client", "internal/up", "internal/metrics", "internal/queue", "internal/monitor/kvm", "internal/snapshot/state"},
			"the node never touches guest memory, and knows nobody above it"},
		{"internal/up", nil, []string{"internal/snapshot/state"}, "guest memory is touched in tenders only"},
		{"internal/control", nil, []string{"internal/gateway", "internal/client", "internal/up", "internal/tender", "net/http"}, "the control plane knows instances only through the node"},
		{"internal/recent", nil, []string{"internal/gateway", "internal/control", "internal/client", "internal/up"}, "it only remembers figures of invocations"},
		{"internal/gateway", nil, []string{"internal/tender", "internal/monitor", "internal/client", "internal/up", "internal/dashboard"}, "the gateway knows instances only through control and node"},
		{"internal/project", nil, []string{"internal/"}, "it only writes files"},
		{"internal/dev", nil, []string{"internal/"}, "it only watches files"},
		{"internal/dashboard", nil, []string{"internal/tender", "internal/monitor", "internal/client", "internal/up", "internal/doctor"}, "it shows what control knows, and calls functions through the gateway"},
		{"internal/async", nil, append(upper, "internal/tender", "internal/image"), "it keeps requests and hands them to a handler; what functions are is not its business"},
		{"internal/client", nil, []string{"internal/gateway/", "internal/control", "internal/node", "internal/tender", "internal/monitor"}, "clients talk to a node, they have none in them"},
		{"internal/", nil, []string{"cmd/"}, "main has verbs only"},
	}
}

func matches(path, prefix string) bool {
	if strings.HasSuffix(prefix, "/") {
		return strings.HasPrefix(path, prefix)
	}
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// allowed are the few uses that a rule's words cover but its sense does not.
func allowed(from, to string) bool {
	switch {
	case (strings.HasPrefix(from, "internal/client") || from == "internal/async") && to == "internal/gateway/api": // the JSON of both sides
		return true
	case strings.HasPrefix(from, "internal/node") && to == "internal/monitor": // its types, through the tender
		return true
	}
	return false
}

func TestLayers(t *testing.T) {
	for _, p := range list(t) {
		from, ok := own(p.ImportPath)
		if !ok || strings.HasSuffix(from, "test") { // monitortest, nodetest, tendertest are for tests
			continue
		}
		for _, r := range rules() {
			if !matches(from, r.from) || slices.ContainsFunc(r.except, func(e string) bool { return matches(from, e) }) {
				continue
			}
			for _, d := range p.Deps {
				to, mine := own(d)
				switch {
				case !mine && !strings.Contains(d, ".") && !slices.Contains(p.Imports, d):
					continue // what the standard library uses inside is its own affair
				case !mine:
					to = d
				case matches(to, from) || allowed(from, to):
					continue
				}
				if slices.ContainsFunc(r.never, func(n string) bool { return matches(to, n) }) {
					t.Errorf("%s uses %s: %s", from, to, r.why)
				}
			}
		}
	}
}

// TestTenderDependencies: the list of what the jailed process consists of is frozen; a new entry is a decision.
func TestTenderDependencies(t *testing.T) {
	frozen := []string{"abi", "internal/calltrace", "internal/elfx", "internal/guestmem", "internal/monitor", "internal/monitor/kvm", "internal/monitor/kvm/kvmabi", "internal/queue",
		"internal/snapshot", "internal/snapshot/state", "internal/tender/server", "internal/tender/wire", "internal/timerslack", "internal/units", "golang.org/x/sys/unix", "golang.org/x/sys/cpu"}
	for _, p := range list(t) {
		if p.ImportPath != module+"cmd/tender" {
			continue
		}
		for _, d := range p.Deps {
			name, mine := own(d)
			if (mine || strings.Contains(d, ".")) && !slices.Contains(frozen, name) && !strings.HasPrefix(d, "vendor/") && !strings.HasPrefix(d, "internal/") && !strings.HasPrefix(d, "crypto/internal/") {
				t.Errorf("the tender process uses %s, which is not on the list", d)
			}
		}
		return
	}
	t.Fatal("no package cmd/tender")
}

// TestTestOnly: nothing that ships uses what is for tests.
func TestTestOnly(t *testing.T) {
	for _, p := range list(t) {
		for _, i := range p.Imports {
			to, mine := own(i)
			if mine && (to == "internal/testkit" || strings.HasSuffix(to, "test")) && !strings.HasSuffix(p.ImportPath, "test") && !strings.HasPrefix(p.ImportPath, module+"test/") {
				t.Errorf("%s imports %s outside of its tests", p.ImportPath, i)
			}
		}
	}
}

// TestFiles: unsafe only where the file name says so, no init, no package variables in commands, one doc comment a package.
func TestFiles(t *testing.T) {
	for _, p := range list(t) {
		docs := 0
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs++
			}
			for _, i := range f.Imports {
				if i.Path.Value == `"unsafe"` && !strings.HasSuffix(name, "_unsafe.go") {
					t.Errorf("%s imports unsafe: put what needs it into a file called *_unsafe.go", path)
				}
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.Name == "init" && d.Recv == nil {
						t.Errorf("%s has an init function: call it by name", path)
					}
				case *ast.GenDecl:
					if d.Tok == token.VAR && strings.HasPrefix(p.ImportPath, module+"cmd/") {
						t.Errorf("%s has a package variable: commands have none", path)
					}
				}
			}
		}
		if docs != 1 && len(p.GoFiles) > 0 {
			t.Errorf("%s has %d package comments, want one", p.ImportPath, docs)
		}
	}
}

// TestLicence: every source file says under which licence it is, first of all.
func TestLicence(t *testing.T) {
	root := testkit.Root(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // built files come and go
			}
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel == ".git" || rel == "build" || rel == "bin" || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		lines := 1
		switch filepath.Ext(path) {
		case ".go", ".c", ".h", ".S", ".s", ".def", ".lds", ".ld", ".mk":
		case ".sh":
			lines = 2
		default:
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		head := strings.SplitN(string(b), "\n", lines+1)
		if len(head) <= lines || !strings.Contains(head[lines-1], "SPDX-License-Identifier: Apache-2.0") {
			t.Errorf("%s does not start with its licence", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
