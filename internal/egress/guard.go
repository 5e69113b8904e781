// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// guardTime bounds one attempt to connect.
const guardTime = 10 * time.Second

// RefusedError is an address that the rules do not allow.
type RefusedError struct{ Host string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is not an address that may be reached from here", clip(e.Host))
}

// Guard connects the node itself on behalf of others, who name the address: where rules allow it. It judges the very address
// that it dials, so a name that means something else a moment later gains nothing.
type Guard struct {
	policy *policy
	dialer net.Dialer
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// NewGuard makes one.
func NewGuard(r *Rules) *Guard {
	return &Guard{policy: newPolicy(r), dialer: net.Dialer{Timeout: guardTime}, lookup: net.DefaultResolver.LookupNetIP}
}

// Allows decides about a TCP connection to an address.
func (g *Guard) Allows(to netip.AddrPort) bool {
	return g.policy.allows(false, canonical(to), time.Now())
}

// DialContext is for http.Transport.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("network %s: only TCP", network)
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := parsePort(text)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else {
		found, err := g.lookup(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		addrs = plain(found)
		g.policy.learn(strings.ToLower(strings.TrimSuffix(host, ".")), addrs, time.Now())
	}
	var failed []error
	for _, a := range addrs {
		to := canonical(netip.AddrPortFrom(a, port))
		if !g.Allows(to) {
			continue
		}
		c, err := g.dialer.DialContext(ctx, "tcp", to.String())
		if err == nil {
			return c, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		return nil, &RefusedError{Host: host}
	}
	return nil, errors.Join(failed...)
}
