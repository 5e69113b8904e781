// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/control/storetest"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// images knows image NAME as digest sha256:NAME.
type images struct{}

func (images) Manifest(ref string) (image.Manifest, error) {
	if strings.HasPrefix(ref, "no") {
		return image.Manifest{}, fmt.Errorf("image %q: %w: make it with unifaas build", ref, image.ErrNotFound)
	}
	return image.Manifest{Digest: "sha256:" + strings.TrimPrefix(ref, "sha256:")}, nil
}

func (images) Publish(context.Context, string) error { return nil }

type lines struct{ *logs.Book }

func (l lines) Line(function, instance, stream, text string, at time.Time) {
	l.Append(function, logs.Line{Time: at, Instance: instance, Stream: stream, Text: text})
}

type rig struct {
	*control.Control
	run     *nodetest.Runtime
	node    *node.Node
	store   *storetest.Store
	damaged []error
	slow    chan struct{} // what instances of images called slow-… wait for
	close   func()
}

func start(t *testing.T, dir string) *rig {
	t.Helper()
	g := &rig{run: &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, nodetest.Self(r).Tender().Config.Env)
	})}, slow: make(chan struct{})}
	g.run.OnBoot = g.boot
	book, err := logs.Open(filepath.Join(dir, "logs"), nil)
	if err != nil {
		t.Fatal(err)
	}
	g.store = storetest.Open(t, dir)
	g.node = node.New(g.run, nodetest.Images{}, lines{book}, node.Options{})
	if g.Control, g.damaged, err = control.New(context.Background(), control.Parts{Store: g.store, Key: storetest.Key(t), Images: images{}, Node: g.node, Logs: book}); err != nil {
		t.Fatal(err)
	}
	closed := false
	g.close = func() {
		if closed {
			return
		}
		closed = true
		g.Control.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.node.Close(ctx)
		book.Close()
		g.store.Close()
	}
	t.Cleanup(g.close)
	return g
}

func (g *rig) call(name string) (string, error) {
	inv := g.Invoke(name, time.Now())
	defer inv.End(false)
	req, err := http.NewRequest("GET", "http://f/", nil)
	if err != nil {
		return "", err
	}
	resp, err := inv.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func ptr[T any](v T) *T { return &v }

func TestDeployRestartRemove(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	g := start(t, dir)
	f, created, err := g.Deploy(ctx, control.Deployment{Name: "hello", Image: "a", Env: map[string]string{"K": "1"}})
	if err != nil || !created || f.Current().Number != 1 || f.Current().Memory != control.DefaultMemory || f.Scale.Max != control.DefaultMax {
		t.Fatalf("%+v %v %v", f, created, err)
	}
	if got, err := g.call("hello"); err != nil || !strings.Contains(got, "K=1") {
		t.Fatal(got, err)
	}
	// No image: the rest stays.
	f, created, err = g.Deploy(ctx, control.Deployment{Name: "hello", Memory: ptr(int64(33 << 20))})
	if err != nil || created || f.Wanted().Number != 2 || f.Wanted().Memory != 34<<20 || f.Wanted().Env["K"] != "1" {
		t.Fatalf("%+v %v %v", f, created, err)
	}
	g.await(t, "hello", 2, control.Ready)
	// Nothing new: no new revision.
	if f, _, err = g.Deploy(ctx, control.Deployment{Name: "hello", Min: ptr(6)}); err != nil || f.Current().Number != 2 || f.Scale != (node.Scale{Min: 6, Max: 6}) {
		t.Fatalf("%+v %v", f, err)
	}
	if f, err = g.SetScale(ctx, "hello", 0); err != nil || f.Scale != (node.Scale{Min: 0, Max: 6}) {
		t.Fatalf("%+v %v", f, err)
	}
	g.close()

	g = start(t, dir)
	if f, err = g.Get("hello"); err != nil || f.Current().Number != 2 || len(f.Revisions) != 2 || f.Scale.Max != 6 {
		t.Fatalf("after a restart: %+v %v", f, err)
	}
	if got, err := g.call("hello"); err != nil || !strings.Contains(got, "K_REVISION=hello-00002") {
		t.Fatal(got, err)
	}
	if got := g.Logs("hello", logs.Query{Tail: -1}); len(got) == 0 {
		t.Error("no log after a restart")
	}
	if err := g.Remove(ctx, "hello"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"remove": g.Remove(ctx, "hello"), "remove ..": g.Remove(ctx, "../x"), "scale": errOf(g.SetScale(ctx, "hello", 1)), "call": errOf(g.call("hello")),
	} {
		if !errors.Is(err, control.ErrNotFound) {
			t.Errorf("%s of what was removed: %v", what, err)
		}
	}
	g.close()
	if g = start(t, dir); len(g.List()) != 0 {
		t.Errorf("%v is back", g.List())
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestValidation(t *testing.T) {
	ctx := context.Background()
	g := start(t, t.TempDir())
	for want, d := range map[string]control.Deployment{
		"function name":                      {Name: "a/b", Image: "a"},
		"at most 63":                         {Name: strings.Repeat("x", 64), Image: "a"},
		`name ".."`:                          {Name: "..", Image: "a"},
		"not deployed yet":                   {Name: "f"},
		"no such image":                      {Name: "f", Image: "nothing"},
		"memory 1M: choose":                  {Name: "f", Image: "a", Memory: ptr(int64(1 << 20))},
		"memory 32G: choose":                 {Name: "f", Image: "a", Memory: ptr(int64(32 << 30))},
		"timeout 1ms":                        {Name: "f", Image: "a", Timeout: ptr(time.Millisecond)},
		"concurrency -1":                     {Name: "f", Image: "a", Concurrency: ptr(-1)},
		"concurrency 0 (no limit)":           {Name: "f", Image: "a", Isolation: "fresh", Concurrency: ptr(0)},
		"protocol \"h3\"":                    {Name: "f", Image: "a", Serving: control.ServingOptions{Protocol: ptr("h3")}},
		"readiness probe \"ready\"":          {Name: "f", Image: "a", Serving: control.ServingOptions{Readiness: ptr("ready")}},
		"liveness probe \"/a\\nb\"":          {Name: "f", Image: "a", Serving: control.ServingOptions{Liveness: ptr("/a\nb")}},
		"startup 1h":                         {Name: "f", Image: "a", Serving: control.ServingOptions{Startup: ptr(time.Hour)}},
		"grace -1":                           {Name: "f", Image: "a", Serving: control.ServingOptions{Grace: ptr(-time.Second)}},
		"has no protocol and no probes":      {Name: "f", Image: "a", Contract: "stdio", Serving: control.ServingOptions{Liveness: ptr("/")}},
		"image a has no bridge to a Lambda":  {Name: "f", Image: "a", Contract: "lambda"},
		"contract \"x\"":                     {Name: "f", Image: "a", Contract: "x"},
		"use reuse, rewind or fresh":         {Name: "f", Image: "a", Isolation: "rewound"},
		"one invocation at a time":           {Name: "f", Image: "a", Isolation: "rewind", Concurrency: ptr(2)},
		"needs a snapshot":                   {Name: "f", Image: "a", Isolation: "rewind", Env: map[string]string{"UNIFAAS_SNAPSHOT": "off"}},
		"use auto, manual or off":            {Name: "f", Image: "a", Env: map[string]string{"UNIFAAS_SNAPSHOT": "yes"}},
		"isolation \"y\"":                    {Name: "f", Image: "a", Isolation: "y"},
		"gets one invocation":                {Name: "f", Image: "a", Isolation: "fresh", Concurrency: ptr(3)},
		"min 5 is more than max 2":           {Name: "f", Image: "a", Min: ptr(5), Max: ptr(2)},
		"min -1":                             {Name: "f", Image: "a", Min: ptr(-1)},
		"max 0":                              {Name: "f", Image: "a", Max: ptr(0)},
		"no '='":                             {Name: "f", Image: "a", Env: map[string]string{"A=": "1"}},
		"PORT is \"http\", not a port":       {Name: "f", Image: "a", Env: map[string]string{"PORT": "http"}},
		"egress rule \"10.0.0.0/8:0\": port": {Name: "f", Image: "a", Egress: []string{"none", "10.0.0.0/8:0"}},
		"at most 64":                         {Name: "f", Image: "a", Egress: make([]string, 65)},
		"environment of 200":                 {Name: "f", Image: "a", Env: map[string]string{"A": strings.Repeat("x", 200000)}},
	} {
		_, _, err := g.Deploy(ctx, d)
		var bad *control.InvalidError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 250 {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if len(g.List()) != 0 {
		t.Errorf("%v was deployed", g.List())
	}
	if f, _, err := g.Deploy(ctx, control.Deployment{Name: "f", Image: "a", Isolation: "fresh"}); err != nil || f.Current().Concurrency != 1 {
		t.Errorf("fresh: %+v %v", f, err)
	}
	if f, _, err := g.Deploy(ctx, control.Deployment{Name: "f", Isolation: "reuse"}); err != nil || f.Wanted().Concurrency != control.DefaultConcurrency {
		t.Errorf("reuse again: %+v %v", f, err)
	}
}

func TestDamagedRecord(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	g := start(t, dir)
	for _, name := range []string{"good", "bad", "odd"} {
		g.deploy(t, control.Ready, control.Deployment{Name: name, Image: "a"})
	}
	for name, text := range map[string]string{"bad": "{", "odd": `{"name":"odd","revisions":[]}`} {
		k := store.Key{Kind: store.Functions, Name: name}
		e, err := g.store.Get(ctx, k)
		if err == nil {
			_, err = g.store.Put(ctx, k, []byte(text), e.Version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	g.close()
	g = start(t, dir)
	if len(g.damaged) != 2 || !strings.Contains(g.damaged[0].Error(), "function bad is damaged") || !strings.Contains(g.damaged[1].Error(), "odd") {
		t.Errorf("damaged: %v", g.damaged)
	}
	if list := g.List(); len(list) != 1 || list[0].Name != "good" {
		t.Errorf("%v", list)
	}
	for _, name := range []string{"bad", "odd"} {
		if _, created, err := g.Deploy(ctx, control.Deployment{Name: name, Image: "a"}); err != nil || !created {
			t.Errorf("deploy %s again: %v %v", name, created, err)
		}
	}
	if _, err := g.call("bad"); err != nil {
		t.Error(err)
	}
}

// TestForeignChange: a record that changes in the store from elsewhere is served, as it will be with a shared store.
func TestForeignChange(t *testing.T) {
	ctx := context.Background()
	g := start(t, t.TempDir())
	key := store.Key{Kind: store.Functions, Name: "f"}
	if _, _, err := g.Deploy(ctx, control.Deployment{Name: "other", Image: "a"}); err != nil {
		t.Fatal(err)
	}
	e, err := g.store.Get(ctx, store.Key{Kind: store.Functions, Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	value := strings.Replace(string(e.Value), `"other"`, `"f"`, 1)
	if _, err := g.store.Put(ctx, key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	wait(t, "it is served", func() bool { _, err := g.call("f"); return err == nil })
	if err := g.store.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	wait(t, "it is gone", func() bool { _, err := g.call("f"); return errors.Is(err, control.ErrNotFound) })
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestChurn(t *testing.T) {
	ctx := context.Background()
	g := start(t, t.TempDir())
	for n := range 30 {
		if _, _, err := g.Deploy(ctx, control.Deployment{Name: "f", Image: fmt.Sprint("i", n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.call("f"); err != nil {
			t.Fatal(err)
		}
		if n%3 == 2 {
			if err := g.Remove(ctx, "f"); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, _, err := g.Deploy(ctx, control.Deployment{Name: "f", Image: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if f, _, err = g.Deploy(ctx, control.Deployment{Name: "f", Image: fmt.Sprint("x", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.Revisions) != 10 || f.Wanted().Number != 21 {
		t.Errorf("%d revisions kept, last is %d", len(f.Revisions), f.Current().Number)
	}
}
