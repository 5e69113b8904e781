// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

// callers at once.
const callers = 6

// TestSoak: callers at random for SOAK_SECONDS; each minute, and four times at least, everything is brought to rest, and nothing
// may have grown since the first time. At the end the node has as many goroutines as one that has just started has.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	testkit.NeedKVM(t)
	length := time.Minute
	if s := os.Getenv("SOAK_SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("SOAK_SECONDS is %q, want a number", s)
		}
		length = time.Duration(n) * time.Second
	}
	data := t.TempDir()
	n := start(t, data)
	l := &load{node: n, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}, Timeout: 5 * time.Minute}}
	deployAll(t, l)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer func() { stop(); all.Wait() }()
	for c := range callers {
		all.Go(func() { l.run(ctx, uint64(c)) })
	}
	var first usage
	began, step := time.Now(), min(time.Minute, length/4)
	for next := began.Add(min(step, 30*time.Second)); ; next = time.Now().Add(step) { // the first step warms up
		time.Sleep(time.Until(next))
		u := l.rest(t, first)
		t.Logf("%4.0f s, %d requests, %d bad ones, %d changes: %v", time.Since(began).Seconds(), l.requests.Load(), l.bad.Load(), l.changes.Load(), u)
		if first == nil {
			first = u
		}
		enough := l.requests.Load() >= 100 && l.bad.Load() > 0 && l.changes.Load() > 0
		if t.Failed() || time.Since(began) >= length && enough {
			break
		}
	}
	stop()
	all.Wait()
	for _, f := range l.failures {
		t.Error(f)
	}
	l.rest(t, first)
	l.client.CloseIdleConnections()
	used := goroutines(n)
	n = start(t, data)
	l.node = n
	for _, name := range l.functions() {
		l.settle(t, name)
	}
	l.client.CloseIdleConnections()
	fresh := goroutines(n)
	t.Logf("goroutines: %d, of a node that has just started %d", used, fresh)
	if used > fresh+fresh/4+20 {
		t.Errorf("the node has %d goroutines, one that has just started %d", used, fresh)
	}
}

func start(t *testing.T, data string) *childnode.Node {
	t.Helper()
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.Died() == nil {
			n.Stop()
		}
	})
	return n
}

// deployAll deploys each kind twice: one to be called only, one that changes as well.
func deployAll(t *testing.T, l *load) {
	t.Helper()
	memory, timeout, most := int64(128<<20), (2 * time.Minute).Milliseconds(), 2
	root := testkit.Root(t)
	for _, f := range []struct{ kind, source string }{
		{"c", testkit.Built(t, "build/examples/c-hello", "examples")},
		{"go", testkit.Built(t, "build/examples/go-hello", "examples")},
		{"python", filepath.Join(root, "examples/python-hello")},
		{"node", filepath.Join(root, "examples/node-hello")},
		{"shell", filepath.Join(root, "examples/shell")},
	} {
		for _, role := range []string{"resident", "churn"} {
			name := f.kind + "-" + role
			q := api.DeployRequest{Memory: &memory, TimeoutMS: &timeout, Max: &most}
			if role == "resident" {
				one := 1
				q.Max, q.Min = &one, &one
				l.resident = append(l.resident, name)
			} else {
				l.churn = append(l.churn, name)
			}
			if err := l.node.Deploy(t.Context(), name, f.source, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	small, soon, alone := int64(32<<20), int64(500), 1 // one call's crash is not to be another's
	if err := l.node.Deploy(t.Context(), "misbehave", testkit.Built(t, "build/e2e/misbehave", "e2e-programs"), api.DeployRequest{Memory: &small, TimeoutMS: &soon, Concurrency: &alone}); err != nil {
		t.Fatal(err)
	}
}

func (l *load) functions() []string {
	return append(append([]string{"misbehave"}, l.resident...), l.churn...)
}

// settle gives a function one instance that has answered.
func (l *load) settle(t *testing.T, name string) {
	t.Helper()
	if _, err := l.node.Client.Scale(t.Context(), name, 1); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		status, text, err := l.call(t.Context(), name, "", nil)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %q %v", name, status, text, err)
		}
		is, err := l.node.Client.Instances(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(is) == 1 && is[0].State == "ready" && is[0].Inflight == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come to rest: %+v", name, is)
		}
	}
}

// rest stops the callers, gives each function one instance, and measures: again and again until nothing is larger than
// allowed, for what is on its way out takes its time.
func (l *load) rest(t *testing.T, first usage) usage {
	t.Helper()
	l.gate.Lock()
	defer l.gate.Unlock()
	for _, name := range l.functions() {
		l.settle(t, name)
	}
	l.client.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		u, err := measure(t.Context(), l.node)
		var grown []string
		switch {
		case err != nil:
			grown = []string{err.Error()}
		case u["instances"] != int64(len(l.functions())):
			grown = []string{fmt.Sprintf("%d instances of %d functions", u["instances"], len(l.functions()))}
		case first != nil:
			grown = u.grown(first)
		}
		if len(grown) == 0 {
			return u
		}
		if time.Now().After(deadline) {
			t.Errorf("grown, and stays so: %s", strings.Join(grown, "; "))
			return u
		}
	}
}

// goroutines ends the node and counts what it was doing.
func goroutines(n *childnode.Node) int { return strings.Count(n.Dump(), "\ngoroutine ") }
