// SPDX-License-Identifier: Apache-2.0

// Package egress is the network of guests: what they may reach, who connects for them, and their resolver.
//
// A guest names an address, its tender asks, and the broker decides, connects and hands the connected socket over. It knows
// nothing of rings and streams, and never sees what goes over a socket, the resolver's own apart.
package egress

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what is being connected at once, and how often an instance may begin. What is beyond waits.
const (
	dialsInstance = 256
	dialsFunction = 512
	dialsAll      = 4096
	dialsRate     = 1000 // a second
	dialsBurst    = 1000
)

// Broker connects for the instances of one function.
type Broker struct {
	policy   *policy
	resolver *resolver
	slots    chan struct{}
	pool     chan struct{} // shared with all brokers of the Pool

	mu        sync.Mutex
	instances map[string]*instance
}

// instance is what an instance uses up.
type instance struct {
	slots chan struct{}
	rate  rate
}

// Pool bounds what all brokers of a process do together.
type Pool struct{ slots chan struct{} }

// NewPool makes the one of a process.
func NewPool() *Pool { return &Pool{slots: make(chan struct{}, dialsAll)} }

// Broker makes the broker of one function.
func (p *Pool) Broker(r *Rules) *Broker {
	pol := newPolicy(r)
	return &Broker{policy: pol, resolver: newResolver(pol), slots: make(chan struct{}, dialsFunction), pool: p.slots, instances: map[string]*instance{}}
}

// Connect makes a connection for an instance, or says why not.
func (b *Broker) Connect(ctx context.Context, id string, udp bool, to netip.AddrPort) (*os.File, syscall.Errno) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	in := b.instance(id)
	in.rate.wait()
	to = canonical(to)
	if to == resolverAddr() {
		return b.resolver.connect(id, udp)
	}
	if !b.policy.allows(udp, to, time.Now()) {
		return nil, unix.EACCES
	}
	for _, slots := range []chan struct{}{in.slots, b.slots, b.pool} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return nil, given(ctx)
		}
	}
	return dial(ctx, udp, to)
}

func (b *Broker) instance(id string) *instance {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.instances[id]
	if in == nil {
		in = &instance{slots: make(chan struct{}, dialsInstance), rate: newRate(dialsRate, dialsBurst)}
		b.instances[id] = in
	}
	return in
}

// Loopback reports whether rules open some loopback address of this machine.
func (b *Broker) Loopback() bool { return b.policy.rules.opensLoopback() }

// Forget is the end of an instance.
func (b *Broker) Forget(id string) {
	b.mu.Lock()
	delete(b.instances, id)
	b.mu.Unlock()
	b.resolver.forget(id)
}

// given is the errno of a context that has ended.
func given(ctx context.Context) syscall.Errno {
	if ctx.Err() == context.DeadlineExceeded {
		return unix.ETIMEDOUT
	}
	return unix.ECANCELED
}
