// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"fmt"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
)

// httpCases are the cases of the suites that call functions.
func httpCases() []string { return []string{"c-hello", "go-hello", "python-hello", "node-hello"} }

// pair is the two nodes that one suite compares: unikernels, and plain processes behind the same gateway.
type pair struct{ kvm, plain *host }

// host is one node with a client that keeps its connection.
type host struct {
	*childnode.Node
	system string
	caller *caller
}

func startHost(ctx context.Context, o *Options, system string, args ...string) (*host, error) {
	if system == Process {
		args = append(args, "--runtime", "process-plain")
	}
	n, err := childnode.Start(ctx, o.Exe, "", args...)
	if err != nil {
		return nil, err
	}
	return &host{n, system, newCaller()}, nil
}

func (h *host) stop() {
	h.caller.close()
	h.Stop()
}

// memory of functions that are measured.
const functionMemory = 256 << 20

// deploy makes a function of at most one instance, unless q says otherwise.
func (h *host) deploy(ctx context.Context, name, program string, q api.DeployRequest) error {
	one, conc, memory := 1, 100, int64(functionMemory)
	q.Max, q.Concurrency, q.Memory = cmp.Or(q.Max, &one), cmp.Or(q.Concurrency, &conc), cmp.Or(q.Memory, &memory)
	if err := h.Deploy(ctx, name, program, q); err != nil {
		return fmt.Errorf("%s: %s: %w", h.system, name, err)
	}
	return nil
}

// connect makes the connection to the gateway, so that no measurement has that in it.
func (h *host) connect(ctx context.Context) error {
	_, err := h.caller.get(ctx, "http://"+h.Addr+"/healthz")
	return h.explain(err)
}

// explain prefers the end of the node to what came of it.
func (h *host) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", h.system, cmp.Or(h.Died(), err))
}

// call calls a function and asks where the time goes.
func (h *host) call(ctx context.Context, function string) (answer, error) {
	a, err := h.caller.call(ctx, h.URL(function), timed)
	return a, h.explain(err)
}

func startPair(ctx context.Context, o *Options) (*pair, error) {
	kvm, err := startHost(ctx, o, KVM)
	if err != nil {
		return nil, err
	}
	plain, err := startHost(ctx, o, Process)
	if err != nil {
		kvm.stop()
		return nil, err
	}
	return &pair{kvm, plain}, nil
}

func (p *pair) stop() {
	p.kvm.stop()
	p.plain.stop()
}

func (p *pair) hosts() []*host { return []*host{p.kvm, p.plain} }

func (p *pair) deploy(ctx context.Context, name, program string) error {
	for _, h := range p.hosts() {
		if err := h.deploy(ctx, name, program, api.DeployRequest{}); err != nil {
			return err
		}
	}
	return nil
}
