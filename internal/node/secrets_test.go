// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// TestSecretsStayInMemory: snapshots of what has read secrets serve the revision, and are stored nowhere.
func TestSecretsStayInMemory(t *testing.T) {
	store := &nodetest.Snapshots{}
	run := counting()
	values := map[string]string{"s": "value"}
	g := newRig(t, run, node.Options{Snapshots: store, Secret: func(_ context.Context, s node.Secret) ([]byte, error) {
		if v, ok := values[s.Name]; ok && s.Namespace == "default" {
			return []byte(v), nil
		}
		return nil, errors.New("secret " + s.Name + " is not there")
	}})
	with := func(version uint64, names ...string) node.Spec {
		return spec(func(s *node.Spec) {
			for _, n := range names {
				s.Secrets = append(s.Secrets, node.Secret{Namespace: "default", Name: n, Version: version})
			}
		})
	}
	g.Apply(with(1, "s"))
	g.CollectSnapshots()
	if _, n := g.count(); n != 101 {
		t.Errorf("%d", n)
	}
	eventually(t, "the snapshot is kept in memory", func() bool { return strings.Contains(g.log(), "in memory only: what it is of has read secrets") })
	run.Tenders()[0].Crash()
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Origin != "snapshot" {
		t.Errorf("from the snapshot in memory: %+v %v", timing, err)
	}
	if _, _, n := store.Usage(); n != 0 {
		t.Errorf("%d snapshots are stored", n)
	}
	digest := func(n int) string {
		l := run.Tenders()[n].Config.Layers
		return l[len(l)-1].Digest
	}
	if digest(0) != digest(1) || digest(0) == "" {
		t.Errorf("the same secrets are %q and %q", digest(0), digest(1))
	}
	// Another value: another layer, other instances.
	values["s"] = "other"
	g.Apply(with(2, "s"))
	if _, timing, err := g.call("GET", "/", ""); err != nil || timing.Origin != "boot" || digest(2) == digest(0) {
		t.Errorf("with another value: %+v %v %q", timing, err, digest(2))
	}
	g.Apply(with(3, "s", "none"))
	if _, _, err := g.call("GET", "/", ""); err == nil || !strings.Contains(err.Error(), "secret none is not there") {
		t.Errorf("a secret that is not there: %v", err)
	}
	for _, l := range []string{"value", "other"} {
		if strings.Contains(g.log(), l+"\n") {
			t.Error("a secret is in the log")
		}
	}
}
