// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// await waits until a revision is in a state that is none of waiting.
func (g *rig) await(t *testing.T, name string, number int, want string) control.Revision {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := g.Await(ctx, name, number)
	if err != nil || r.State != want {
		t.Fatalf("revision %d of %s: %+v %v, want %s", number, name, r, err, want)
	}
	return r
}

// deploy makes a revision and waits for what becomes of it.
func (g *rig) deploy(t *testing.T, want string, d control.Deployment) *control.Function {
	t.Helper()
	f, _, err := g.Deploy(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	g.await(t, d.Name, f.Wanted().Number, want)
	if f, err = g.Get(d.Name); err != nil {
		t.Fatal(err)
	}
	return f
}

func (g *rig) answers(t *testing.T, name, revision string) {
	t.Helper()
	if got, err := g.call(name); err != nil || !strings.Contains(got, "K_REVISION="+revision) {
		t.Errorf("%s answers %q %v, want %s", name, got, err, revision)
	}
}

// boot has instances of images that are called bad-… end at once, and those called slow-… wait for a word.
func (g *rig) boot(ctx context.Context, i *nodetest.Guest) error {
	image := i.Tender().Config.Manifest.Digest
	switch {
	case strings.HasPrefix(image, "sha256:bad-"):
		i.End(node.Exit{Kind: node.ExitNormal, Status: 7, Reason: "exit status 7\nwith more to say"})
	case strings.HasPrefix(image, "sha256:slow-"):
		select {
		case <-g.slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func TestRevisionsThatFail(t *testing.T) {
	dir := t.TempDir()
	g := start(t, dir)
	// The first one: there is nothing else to serve, and it is tried again when it is deployed again.
	f := g.deploy(t, control.Failed, control.Deployment{Name: "f", Image: "bad-1"})
	if r := f.Current(); r.Number != 1 || r.Reason != "cannot start: exit status 7 with more to say" || f.Serving != 0 {
		t.Errorf("%+v", f)
	}
	if f = g.deploy(t, control.Failed, control.Deployment{Name: "f", Image: "bad-1"}); f.Current().Number != 2 {
		t.Errorf("deployed again: %+v", f)
	}
	f = g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "good", Env: map[string]string{"A": "1"}})
	if f.Current().Number != 3 || f.Serving != 3 || f.Target != 3 {
		t.Errorf("%+v", f)
	}
	g.answers(t, "f", "f-00003")
	// A later one: the one before goes on, also after a restart, and is what the next deployment starts from.
	f = g.deploy(t, control.Failed, control.Deployment{Name: "f", Image: "bad-2", Env: map[string]string{"A": "2"}})
	if f.Current().Number != 3 || f.Wanted().Number != 3 || f.Revision(4).State != control.Failed {
		t.Errorf("%+v", f)
	}
	g.answers(t, "f", "f-00003")
	g.close()
	g = start(t, dir)
	g.answers(t, "f", "f-00003")
	if f = g.deploy(t, control.Ready, control.Deployment{Name: "f", Memory: ptr(int64(64 << 20))}); f.Current().Number != 5 || f.Current().Env["A"] != "1" {
		t.Errorf("%+v", f)
	}
	g.answers(t, "f", "f-00005")
}

// TestRestartAmidRollout: what was served is served, and what was to be is tried again.
func TestRestartAmidRollout(t *testing.T) {
	dir := t.TempDir()
	g := start(t, dir)
	g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "good"})
	if _, _, err := g.Deploy(t.Context(), control.Deployment{Name: "f", Image: "slow-1"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Deploy(t.Context(), control.Deployment{Name: "first", Image: "slow-2"}); err != nil {
		t.Fatal(err)
	}
	g.answers(t, "f", "f-00001")
	g.close()

	g = start(t, dir)
	g.answers(t, "f", "f-00001")
	if f, err := g.Get("f"); err != nil || f.Current().Number != 1 || f.Wanted().Number != 2 || f.Wanted().State != control.Pending {
		t.Errorf("%+v %v", f, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if r, err := g.Await(ctx, "f", 2); err != nil || r.State != control.Pending {
		t.Errorf("%+v %v", r, err)
	}
	close(g.slow)
	g.await(t, "f", 2, control.Ready)
	g.await(t, "first", 1, control.Ready)
	g.answers(t, "f", "f-00002")
}

func TestReplacedRevision(t *testing.T) {
	g := start(t, t.TempDir())
	g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "good"})
	if _, _, err := g.Deploy(t.Context(), control.Deployment{Name: "f", Image: "slow-1"}); err != nil {
		t.Fatal(err)
	}
	f := g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "better"})
	g.await(t, "f", 2, control.Replaced)
	if f.Current().Number != 3 || f.Current().After != 1 {
		t.Errorf("%+v", f)
	}
	// Rolling back while something is under way is giving that up.
	if _, _, err := g.Deploy(t.Context(), control.Deployment{Name: "f", Image: "slow-2"}); err != nil {
		t.Fatal(err)
	}
	if f, err := g.Rollback(t.Context(), "f", 0); err != nil || f.Wanted().Number != 3 || f.Wanted().State != control.Ready {
		t.Errorf("%+v %v", f, err)
	}
	g.await(t, "f", 4, control.Replaced)
	close(g.slow)
	g.answers(t, "f", "f-00003")
}

func TestRollback(t *testing.T) {
	dir := t.TempDir()
	g := start(t, dir)
	ctx := t.Context()
	if _, err := g.Rollback(ctx, "f", 0); !errors.Is(err, control.ErrNotFound) {
		t.Error(err)
	}
	for _, image := range []string{"a", "b", "bad-c", "d"} {
		want := control.Ready
		if strings.HasPrefix(image, "bad") {
			want = control.Failed
		}
		g.deploy(t, want, control.Deployment{Name: "f", Image: image})
	}
	back := func(to, want int) {
		t.Helper()
		f, err := g.Rollback(ctx, "f", to)
		if err != nil || f.Wanted().Number != want {
			t.Fatalf("rollback to %d: %+v %v, want %d", to, f, err, want)
		}
		g.await(t, "f", want, control.Ready)
		g.answers(t, "f", control.RevisionName("f", want))
	}
	back(0, 2) // not 3, which failed
	back(0, 1)
	var invalid *control.InvalidError
	if _, err := g.Rollback(ctx, "f", 0); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "no revision before f-00001") {
		t.Error(err)
	}
	if _, err := g.Rollback(ctx, "f", 9); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "it has 1, 2, 3, 4") {
		t.Error(err)
	}
	back(4, 4)
	back(4, 4)
	back(2, 2)
	// A new one follows the last one there ever was, and rolls back to what it took over from.
	if f := g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "e"}); f.Current().Number != 5 {
		t.Errorf("%+v", f)
	}
	back(0, 2)
	// One that does not answer any more: the current one goes on.
	if f, err := g.Rollback(ctx, "f", 3); err != nil || f.Wanted().Number != 3 {
		t.Fatal(f, err)
	}
	g.await(t, "f", 3, control.Failed)
	g.answers(t, "f", "f-00002")
	g.close()
	g = start(t, dir)
	g.answers(t, "f", "f-00002")
	// However many there are, the one that is served stays.
	for range 15 {
		g.deploy(t, control.Failed, control.Deployment{Name: "f", Image: "bad-x"})
	}
	if f, err := g.Get("f"); err != nil || len(f.Revisions) != 10 || f.Current().Number != 2 || f.Revisions[9].Number != 20 {
		t.Errorf("%+v %v", f, err)
	}
}

// TestOldRecord: what earlier versions stored was served.
func TestOldRecord(t *testing.T) {
	dir := t.TempDir()
	g := start(t, dir)
	g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "a"})
	g.deploy(t, control.Ready, control.Deployment{Name: "f", Image: "b"})
	key := store.Key{Kind: store.Functions, Name: "f"}
	e, err := g.store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(e.Value, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "target")
	delete(m, "serving")
	for _, r := range m["revisions"].([]any) {
		delete(r.(map[string]any), "state")
	}
	old, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.store.Put(t.Context(), key, old, e.Version); err != nil {
		t.Fatal(err)
	}
	g.close()
	g = start(t, dir)
	if f, err := g.Get("f"); err != nil || f.Current().Number != 2 || f.Serving != 2 || f.Current().State != control.Ready {
		t.Errorf("%+v %v", f, err)
	}
	g.answers(t, "f", "f-00002")
}
