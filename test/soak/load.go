// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
)

// load is callers of a node. Resident functions are only called; those that churn are deployed anew, scaled, crashed.
type load struct {
	node     *childnode.Node
	client   *http.Client
	resident []string
	churn    []string
	gate     sync.RWMutex // held for writing while the node has to be at rest
	requests atomic.Int64
	bad      atomic.Int64 // calls of what fails on purpose
	changes  atomic.Int64 // deployments, scalings
	mu       sync.Mutex
	failures []string
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 20 {
		l.failures = append(l.failures, fmt.Sprintf(format, args...))
	}
}

// call gives status and body; an error is one of the connection.
func (l *load) call(ctx context.Context, name, path string, body []byte) (int, string, error) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, l.node.URL(name)+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// right calls a function that works, with a body of any size, and looks at the answer.
func (l *load) right(ctx context.Context, r *rand.Rand, name string) {
	var body []byte
	want := "Hello from"
	switch kind, _, _ := strings.Cut(name, "-"); {
	case kind == "shell":
		body, want = bytes.Repeat([]byte("one two two "), 1+r.IntN(2000)), " two\n"
	case kind != "c" && r.IntN(2) == 0:
		body = bytes.Repeat([]byte("x"), []int{1, 100, 5000, 70000, 500000}[r.IntN(5)])
	}
	l.requests.Add(1)
	status, text, err := l.call(ctx, name, "", body)
	if err != nil || status != http.StatusOK || !strings.Contains(text, want) {
		l.fail("%s with %d bytes: %d %.200q %v", name, len(body), status, text, err)
	}
}

// wrong calls what fails on purpose: the answer says how.
func (l *load) wrong(ctx context.Context, r *rand.Rand) {
	l.bad.Add(1)
	paths := map[string]int{"crash": 502, "exit": 502, "oom": 502, "spin": 504, "hang": 504, "half": 0, "nothing": 200}
	names := []string{"crash", "exit", "oom", "spin", "hang", "half", "nothing"}
	path := names[r.IntN(len(names))]
	status, text, err := l.call(ctx, "misbehave", path, nil)
	if path == "half" { // the connection breaks off, before or after the head has come through
		if err == nil && status == http.StatusOK {
			l.fail("half an answer of misbehave came as a whole one: %q", text)
		}
		return
	}
	// Where the machine is slow, all of it can take as long as the limit.
	if err != nil || status != paths[path] && status != http.StatusGatewayTimeout {
		l.fail("misbehave/%s: %d %.200q %v, want %d", path, status, text, err, paths[path])
	}
}

// leave calls and goes away before the answer can be there.
func (l *load) leave(ctx context.Context, r *rand.Rand, name string) {
	l.bad.Add(1)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
	defer cancel()
	l.call(ctx, name, "", []byte(strings.Repeat("gone ", 1000)))
}

// change gives a function a new revision, or other instances.
func (l *load) change(ctx context.Context, r *rand.Rand, name string) {
	l.changes.Add(1)
	var err error
	if r.IntN(2) == 0 {
		_, err = l.node.Client.Deploy(ctx, name, api.DeployRequest{Env: map[string]string{"REVISION": fmt.Sprint(r.Uint32())}})
	} else {
		_, err = l.node.Client.Scale(ctx, name, r.IntN(3))
	}
	if err != nil {
		l.fail("%s: %v", name, err)
	}
}

// run is one caller, until ctx ends.
func (l *load) run(ctx context.Context, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	all := slices.Concat(l.resident, l.churn)
	for ctx.Err() == nil {
		l.gate.RLock()
		switch n := r.IntN(200); {
		case n < 2:
			l.change(context.Background(), r, l.churn[r.IntN(len(l.churn))])
		case n < 4:
			l.wrong(context.Background(), r)
		case n < 8:
			l.leave(context.Background(), r, all[r.IntN(len(all))])
		default:
			l.right(context.Background(), r, all[r.IntN(len(all))])
		}
		l.gate.RUnlock()
	}
}
