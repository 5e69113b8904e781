// SPDX-License-Identifier: Apache-2.0

package unikernel_test

import (
	"path/filepath"
	"slices"
	"testing"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/testkit"
)

// TestOneCopy: two functions of one image run in two tenders that map the same memory.
func TestOneCopy(t *testing.T) {
	g := start(t)
	source := filepath.Join(testkit.Root(t), "examples/c-hello/hello.c")
	g.deploy(t, source, nil)
	g.deploy(t, source, func(s *node.Spec) { s.Function, s.Revision = "g", "unikernel-test-2" })
	var tenders []int
	for _, f := range []string{"f", "g"} {
		if _, err := g.callOf(f, "GET", "/", ""); err != nil {
			t.Fatal(err)
		}
		for _, i := range g.Instances(t.Context(), f, false) {
			tenders = append(tenders, i.Tender)
		}
	}
	if len(tenders) != 2 || tenders[0] == tenders[1] {
		t.Fatalf("tenders %v", tenders)
	}
	a, b := testkit.LayerInodes(t, tenders[0]), testkit.LayerInodes(t, tenders[1])
	if len(a) != 1 || !slices.Equal(a, b) {
		t.Errorf("the tenders map the layers %v and %v", a, b)
	}
}
