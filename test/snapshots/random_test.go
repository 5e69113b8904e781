// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"unifaas.dev/internal/childnode"
)

// kinds are the ways in which a request meets the snapshot.
var kinds = []struct{ isolation, origin string }{{"fresh", "snapshot"}, {"rewind", ""}}

const copies = 5

// answers calls a function that has a snapshot, each time in another copy of it.
func answers(t *testing.T, n *childnode.Node, name, path, isolation string) (all []answer) {
	t.Helper()
	snapshotted(t, n, name)
	instances := map[string]bool{}
	for i := range copies {
		a := call(t, n, name, path, "")
		if isolation == "fresh" && (a.origin != "snapshot" || instances[a.instance]) {
			t.Fatalf("answer %d comes from instance %s, made from %q", i, a.instance, a.origin)
		}
		if isolation == "rewind" && i > 0 && !instances[a.instance] {
			t.Fatalf("answer %d comes from another instance", i)
		}
		instances[a.instance] = true
		all = append(all, a)
	}
	if isolation == "rewind" {
		rewound(t, n, name, copies)
	}
	return all
}

// differ fails if a value was seen before.
func differ(t *testing.T, seen map[string]bool, of string, values map[string]any) {
	t.Helper()
	if len(values) == 0 {
		t.Error("no values")
	}
	for k, v := range values {
		key := fmt.Sprint(of, " ", k, ": ", v)
		if seen[key] {
			t.Errorf("twice: %s", key)
		}
		seen[key] = true
	}
}

// TestSystemRandom: what the kernel gives, and what it gave when the program was started.
func TestSystemRandom(t *testing.T) {
	n := start(t)
	for _, k := range kinds {
		t.Run(k.isolation, func(t *testing.T) {
			name := "state-" + k.isolation
			deploy(t, n, name, state(t), k.isolation, nil)
			seen := map[string]bool{}
			for _, a := range answers(t, n, name, "/random", k.isolation) {
				l, u := a.lines(t), map[string]any{}
				for _, v := range []string{"getrandom", "at_random", "urandom", "uuid"} {
					u[v] = l[v]
				}
				differ(t, seen, "", u)
				if l["not wiped"] != "0" {
					t.Errorf("MADV_WIPEONFORK: %s bytes are left", l["not wiped"])
				}
				if l["counter"] != "1" {
					t.Errorf("counter %s, want 1", l["counter"])
				}
			}
		})
	}
}

// TestPythonRandom: programs that know nothing of snapshots, whichever thread answers. What they seeded themselves stays what it is.
func TestPythonRandom(t *testing.T) {
	n := start(t)
	for _, k := range kinds {
		for _, server := range []string{"threads", "one", "other", "asyncio"} {
			t.Run(k.isolation+" "+server, func(t *testing.T) {
				name := "python-" + k.isolation + "-" + server
				deploy(t, n, name, folder("python"), k.isolation, map[string]string{"SERVER": server})
				defer n.Client.Remove(t.Context(), name)
				seen, fixed := map[string]bool{}, map[any]bool{}
				for _, a := range answers(t, n, name, "/numbers", k.isolation) {
					v := a.values(t)
					differ(t, seen, "", v.Unique)
					fixed[v.Fixed] = true
				}
				if len(fixed) != 1 || fixed[nil] {
					t.Errorf("what the program seeded gives %v", fixed)
				}
			})
		}
	}
}

// TestNodeRandom: the same in the main thread and in a worker.
func TestNodeRandom(t *testing.T) {
	n := start(t)
	for _, k := range kinds {
		t.Run(k.isolation, func(t *testing.T) {
			name := "node-" + k.isolation
			deploy(t, n, name, folder("node"), k.isolation, nil)
			seen := map[string]bool{}
			for _, a := range answers(t, n, name, "/", k.isolation) {
				v := a.values(t)
				differ(t, seen, "main", v.Unique)
				differ(t, seen, "worker", v.Worker)
			}
		})
	}
}

// TestHooks: each copy runs its hooks before it answers, and knows its generation; the program says when the snapshot is taken.
func TestHooks(t *testing.T) {
	n := start(t)
	for _, k := range kinds {
		for _, c := range []struct{ name, server string }{{"python", "threads"}, {"python", "one"}, {"python", "other"}, {"python", "asyncio"}, {"node", ""}} {
			t.Run(k.isolation+" "+c.name+" "+c.server, func(t *testing.T) {
				name := c.name + "-" + k.isolation + "-" + c.server + "-x"
				env := map[string]string{"HOOK": "1", "UNIFAAS_SNAPSHOT": "manual"}
				if c.server != "" {
					env["SERVER"] = c.server
				}
				deploy(t, n, name, folder(c.name), k.isolation, env)
				defer n.Client.Remove(t.Context(), name)
				seen := map[string]bool{"": true, "0": true}
				for i, a := range answers(t, n, name, "/", k.isolation) {
					v := a.values(t)
					// A program whose main thread takes no part hears in time only if it asks, which this one does after it counted.
					if v.Restores != 1 && !(c.server == "other" && v.Restores == 0) {
						t.Errorf("answer %d: %d restores seen", i, v.Restores)
					}
					if c.server == "asyncio" {
						continue // says no more
					}
					if seen[v.Generation] {
						t.Errorf("answer %d: generation %q, after %v", i, v.Generation, seen)
					}
					seen[v.Generation] = true
				}
			})
		}
	}
}

// TestUnprotected: the same programs without what the bases bring repeat themselves, or the tests above would show nothing.
func TestUnprotected(t *testing.T) {
	n := start(t)
	bare := t.TempDir()
	if err := os.CopyFS(bare, os.DirFS(folder("python"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare, "unifaas.yaml"), []byte("base: python3.11\nfiles: [app.py]\ncommand: [python3, -S, app.py]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, source string
		env          map[string]string
		repeats      []string
	}{
		{"python", bare, map[string]string{"OPENSSL_CONF": "/dev/null"}, []string{"random", "own", "normal", "ssl"}},
		{"node", folder("node"), map[string]string{"NODE_OPTIONS": "--no-warnings", "OPENSSL_CONF": "/dev/null"}, []string{"random", "uuid", "bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			deploy(t, n, c.name, c.source, "fresh", c.env)
			all := answers(t, n, c.name, "/numbers", "fresh")
			a, b := all[0].values(t).Unique, all[1].values(t).Unique
			for _, k := range c.repeats {
				if a[k] == nil || a[k] != b[k] {
					t.Errorf("%s: %v and %v differ", k, a[k], b[k])
				}
			}
		})
	}
}
