// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"unifaas.dev/internal/control"
)

func TestNames(t *testing.T) {
	known := func(ns string) bool { return ns == "b" }
	for key, want := range map[string][2]string{
		"a": {"a", "default"}, "a.b": {"a", "b"}, "a.c": {"a.c", "default"}, "a.c.b": {"a.c", "b"}, "a.default": {"a", "default"}, ".b": {".b", "default"}, "b": {"b", "default"},
	} {
		name, ns := control.SplitName(key, known)
		if [2]string{name, ns} != want {
			t.Errorf("%s: %s in %s, want %v", key, name, ns, want)
		}
		if again := control.JoinName(name, ns); again != strings.TrimSuffix(key, ".default") {
			t.Errorf("%s becomes %s", key, again)
		}
	}
	long := strings.Repeat("x", control.MaxName)
	for name, ok := range map[string]bool{
		"a": true, "A-b_c.d": true, long: true, long + "x": false, long + "." + long: true, long + "x." + long: false, long + "." + long + "x": false,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "ä": false, strings.Repeat("x", 10000): false, strings.Repeat(".", 100): false,
	} {
		if err := control.CheckName(name); (err == nil) != ok || err != nil && len(err.Error()) > 300 {
			t.Errorf("%.80s: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{"a": true, "a-1": true, "default": true, "": false, "a.b": false, "A": false, "-a": false, "a-": false, "..": false, long + "x": false} {
		if err := control.CheckNamespace(name); (err == nil) != ok {
			t.Errorf("namespace %q: %v", name, err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	g := start(t, dir)
	deploy := func(key string) error {
		_, _, err := g.Deploy(ctx, control.Deployment{Name: key, Image: "a"})
		return err
	}
	names := func(list []*control.Function) (all []string) {
		for _, f := range list {
			all = append(all, f.Name)
		}
		return all
	}
	if err := deploy("x.dev"); err != nil {
		t.Fatal(err)
	}
	if err := g.CreateNamespace(ctx, control.Namespace{Name: "dev"}); !errors.Is(err, control.ErrInUse) {
		t.Errorf("a function is called as if it were in it: %v", err)
	}
	if err := g.Remove(ctx, "x.dev"); err != nil {
		t.Fatal(err)
	}
	if err := g.CreateNamespace(ctx, control.Namespace{Name: "dev", Labels: map[string]string{"l": "1"}}); err != nil {
		t.Fatal(err)
	}
	var bad *control.InvalidError
	for what, c := range map[string]struct{ err, want error }{
		"again":      {g.CreateNamespace(ctx, control.Namespace{Name: "dev"}), control.ErrExists},
		"default":    {g.CreateNamespace(ctx, control.Namespace{Name: "default"}), control.ErrExists},
		"no update":  {g.UpdateNamespace(ctx, control.Namespace{Name: "none"}), control.ErrNoNamespace},
		"no delete":  {g.DeleteNamespace(ctx, "none"), control.ErrNoNamespace},
		"no default": {g.DeleteNamespace(ctx, "default"), control.ErrInUse},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	for _, err := range []error{
		g.CreateNamespace(ctx, control.Namespace{Name: "../x"}),
		g.CreateNamespace(ctx, control.Namespace{Name: "big", Labels: map[string]string{"l": strings.Repeat("x", 1<<20)}}),
		deploy(strings.Repeat("x", 64) + ".dev"), deploy("a/b.dev"), deploy("f.dev.default"),
	} {
		if !errors.As(err, &bad) {
			t.Errorf("%v", err)
		}
	}
	for _, key := range []string{"f", "f.dev", "g.default", "a.b.dev"} {
		if err := deploy(key); err != nil {
			t.Fatal(key, err)
		}
	}
	check := func() {
		t.Helper()
		if got := names(g.List()); strings.Join(got, " ") != "a.b.dev f f.dev g" {
			t.Errorf("all: %v", got)
		}
		if got := names(g.In("dev")); strings.Join(got, " ") != "a.b.dev f.dev" {
			t.Errorf("dev: %v", got)
		}
		if got := names(g.In("default")); strings.Join(got, " ") != "f g" {
			t.Errorf("default: %v", got)
		}
		for name, want := range map[string]string{"f": "f", "f.default": "f", "f.dev": "f.dev", "g.default": "g", "g.dev": "", "f.dev.default": "", "a.b.dev": "a.b.dev"} {
			f, err := g.Resolve(name)
			if want == "" && !errors.Is(err, control.ErrNotFound) || want != "" && (err != nil || f.Name != want) {
				t.Errorf("%s: %v %v", name, f, err)
			}
		}
	}
	check()
	if err := g.UpdateNamespace(ctx, control.Namespace{Name: "default", Annotations: map[string]string{"a": "1"}}); err != nil {
		t.Error(err)
	}
	if err := g.UpdateNamespace(ctx, control.Namespace{Name: "dev", Labels: map[string]string{"l": "2"}}); err != nil {
		t.Error(err)
	}
	g.close()
	g = start(t, dir)
	check()
	if ns, err := g.Namespace("dev"); err != nil || ns.Labels["l"] != "2" || ns.Created.IsZero() {
		t.Errorf("after a restart: %+v %v", ns, err)
	}
	if list := g.Namespaces(); len(list) != 2 || list[0].Name != "default" || list[0].Annotations["a"] != "1" {
		t.Errorf("%v", list)
	}
	if err := g.DeleteNamespace(ctx, "dev"); !errors.Is(err, control.ErrInUse) {
		t.Errorf("with functions: %v", err)
	}
	for _, key := range []string{"f.dev", "a.b.dev"} {
		if err := g.Remove(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if err := g.DeleteNamespace(ctx, "dev"); err != nil {
		t.Error(err)
	}
	if g.HasNamespace("dev") || len(g.Namespaces()) != 1 {
		t.Error("it is still there")
	}
}
