// SPDX-License-Identifier: Apache-2.0

// Package snapshots proves, with a real node and real guests, what programs are promised about snapshots: no two instances have the same random
// numbers, nothing of a request is left after a rewind, clocks and timers go on, and a parked instance loses nothing.
package snapshots

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

func start(t *testing.T, args ...string) *childnode.Node {
	t.Helper()
	testkit.NeedKVM(t)
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the node said: %s", n.Stderr())
		}
	})
	return n
}

// state is the program of this folder.
func state(t *testing.T) string { return testkit.Built(t, "build/e2e/state", "e2e-programs") }

func folder(name string) string { return filepath.Join("testdata", name) }

// connected is a function that has a connection open from its start.
const connected = "connected"

// deploy gives a slow machine time.
func deploy(t *testing.T, n *childnode.Node, name, source, isolation string, env map[string]string) {
	t.Helper()
	timeout, one := (5 * time.Minute).Milliseconds(), 1
	memory := int64(128 << 20)
	if strings.HasSuffix(source, "node") {
		memory = 256 << 20
	}
	q := api.DeployRequest{Memory: &memory, TimeoutMS: &timeout, Concurrency: &one, Isolation: isolation, Env: env, Egress: []string{"all"}}
	if isolation == "rewind" {
		q.Max = &one // else a second one answers while the first is rewound
	}
	if name == connected {
		q.Min = &one // the instance that was booted stays: in its copies connections are reset
	}
	if err := n.Deploy(t.Context(), name, source, q); err != nil {
		t.Fatal(err)
	}
}

// answer is what a function said, and where.
type answer struct {
	instance string
	origin   string
	text     string
}

func try(n *childnode.Node, name, path, body string) (answer, error) {
	return tryAt(n, name, "", path, body)
}

// tryAt calls one instance of a function, which may be parked; an empty one leaves the choice to the node.
func tryAt(n *childnode.Node, name, instance, path, body string) (answer, error) {
	v := client.Invocation{Function: name, Method: http.MethodPost, Path: path, Body: strings.NewReader(body), Length: int64(len(body)), Timing: true}
	if instance != "" {
		v.Header = http.Header{api.HeaderInstance: {instance}}
	}
	r, err := n.Client.Invoke(context.Background(), v)
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.Status != http.StatusOK {
		err = fmt.Errorf("%d %s", r.Status, b)
	}
	a := answer{instance: r.Header.Get(api.HeaderInstance), text: string(b)}
	if r.Timing != nil {
		a.origin = r.Timing.Origin
	}
	return a, err
}

func call(t *testing.T, n *childnode.Node, name, path, body string) answer {
	t.Helper()
	a, err := try(n, name, path, body)
	if err != nil {
		t.Fatalf("%s%s: %v", name, path, err)
	}
	return a
}

// lines are the values of an answer of state.c by name.
func (a answer) lines(t *testing.T) map[string]string {
	t.Helper()
	m := map[string]string{}
	for l := range strings.Lines(a.text) {
		k, v, ok := strings.Cut(strings.TrimSpace(l), ": ")
		if !ok && !strings.HasSuffix(l, ":\n") {
			t.Fatalf("answer %q", a.text)
		}
		m[k] = v
	}
	return m
}

func (a answer) number(t *testing.T, name string) int64 {
	t.Helper()
	v, err := strconv.ParseInt(a.lines(t)[name], 10, 64)
	if err != nil {
		t.Fatalf("%s: %v in %q", name, err, a.text)
	}
	return v
}

// values are those of an answer in JSON.
func (a answer) values(t *testing.T) (v struct {
	Counter    int
	Unique     map[string]any
	Worker     map[string]any
	Fixed      any
	Restores   int
	Generation string
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
	return v
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

func describe(t *testing.T, n *childnode.Node, name string) api.Description {
	t.Helper()
	d, err := n.Client.Describe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// snapshotted calls a function until there is a snapshot of it.
func snapshotted(t *testing.T, n *childnode.Node, name string) {
	t.Helper()
	call(t, n, name, "/", "")
	eventually(t, "a snapshot of "+name, func() bool { return describe(t, n, name).Snapshot > 0 })
}

// rewound waits until a function's instances have been rewound so often.
func rewound(t *testing.T, n *childnode.Node, name string, times int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("rewind %d of %s", times, name), func() bool { return describe(t, n, name).Rewinds >= times })
}
