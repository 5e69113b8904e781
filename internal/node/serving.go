// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Protocols that a program can speak.
const (
	ProtocolHTTP1 = "http1"
	ProtocolH2C   = "h2c" // HTTP/2 without TLS, by prior knowledge
)

// Serving is how a program is talked to and ended.
type Serving struct {
	Protocol  string        `json:"protocol,omitempty"`  // empty: HTTP/1.1, and h2c for gRPC
	Readiness string        `json:"readiness,omitempty"` // path that is asked until it is content; empty: the program listens, that is enough
	Liveness  string        `json:"liveness,omitempty"`  // path that is asked from time to time; empty: none is
	Startup   time.Duration `json:"startup,omitempty"`   // how long a program may take until it listens and is content; 0: Options.StartLimit
	Grace     time.Duration `json:"grace,omitempty"`     // between SIGTERM and the end; 0: DefaultGrace
}

const (
	probeTimeout  = time.Second
	probeFirst    = 20 * time.Millisecond // between questions for readiness, doubled each time
	probeMost     = time.Second
	livenessEvery = 10 * time.Second
	livenessTries = 3
	probeAgent    = "unifaas-probe"
)

// startLimit is how long a program may take until it is ready.
func (p *pool) startLimit() time.Duration {
	if p.spec.Serving.Startup > 0 {
		return p.spec.Serving.Startup
	}
	return p.n.opts.StartLimit
}

// grace is how long a program has between SIGTERM and its end.
func (p *pool) grace() time.Duration {
	if p.spec.Serving.Grace > 0 {
		return p.spec.Serving.Grace
	}
	return DefaultGrace
}

// untouched reports whether no request but an invocation may reach an instance: each meets the snapshot.
func (p *pool) untouched() bool { return p.spec.Rewind || p.spec.Fresh }

// probe asks an instance once.
func probe(ctx context.Context, rt http.RoundTripper, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://instance"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", probeAgent)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer in %v", probeTimeout)
		}
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 64<<10) // so that the stream can be used again
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// content waits until an instance's readiness probe is. ctx bounds that.
func (p *pool) content(ctx context.Context, i *instance) error {
	pause := probeFirst
	for {
		err := probe(ctx, i.transport, p.spec.Serving.Readiness)
		if err == nil {
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-i.guest.Done():
			t.Stop()
			return &ExitError{i.guest.Exit()}
		case <-ctx.Done():
			t.Stop()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("readiness probe GET %s: %w, for %v", p.spec.Serving.Readiness, err, p.startLimit())
			}
			return ctx.Err()
		}
		pause = min(2*pause, probeMost)
	}
}

// asksReadiness reports whether a new instance is asked before it is invoked. One of those that are invoked only as the snapshot has them is asked once
// a revision, see proof.
func (p *pool) asksReadiness(i *instance) bool {
	return p.spec.Serving.Readiness != "" && !p.untouched() && i.origin != FromParked
}

// probeLiveness asks an instance whether it lives and says whether it may go on; failed counts for how many times it did not.
func (p *pool) probeLiveness(i *instance, failed *int) {
	p.mu.Lock()
	ok, rt := i.state == ready, i.transport
	p.mu.Unlock()
	if !ok {
		return
	}
	err := probe(p.ctx, rt, p.spec.Serving.Liveness)
	if err == nil || p.ctx.Err() != nil || isClosed(i.guest.Done()) {
		*failed = 0
		return
	}
	if *failed++; *failed < livenessTries {
		return
	}
	*failed = 0
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.state != ready {
		return
	}
	p.n.line(p.spec.Function, i.id, fmt.Sprintf("ended: liveness probe GET %s failed %d times: %s", p.spec.Serving.Liveness, livenessTries,
		strings.Join(strings.Fields(err.Error()), " ")))
	p.instances.set(i, retired)
	if i.inflight == 0 {
		p.end(i, p.grace(), "it does not answer its liveness probe")
	}
	p.floor()
	p.grow()
}
