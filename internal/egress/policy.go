// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// remember is how long an address that the resolver gave stays usable by the rule for its name: programs keep the
	// addresses of their pools for a while.
	remember     = time.Hour
	maxAddresses = 64 // of one name
)

// policy decides. It sees the very address that is dialled, so nothing can change between decision and use.
type policy struct {
	rules *Rules
	local func(netip.Addr) bool // an address of this machine, or one that reaches more than one machine

	mu    sync.Mutex
	given map[string]map[netip.Addr]time.Time // by name, for names in rules only: until when
}

func newPolicy(r *Rules) *policy {
	p := &policy{rules: r, local: hostLocal, given: map[string]map[netip.Addr]time.Time{}}
	for _, o := range r.rules {
		if o.kind == kindName {
			p.given[o.name] = map[netip.Addr]time.Time{}
		}
	}
	return p
}

// allows decides about one connection. The address is as it will be dialled: see canonical.
func (p *policy) allows(udp bool, to netip.AddrPort, now time.Time) bool {
	a := to.Addr()
	isLocal := func() bool { return p.local(a) }
	for _, o := range p.rules.rules {
		if udp && !o.udp || !udp && !o.tcp || to.Port() < o.from || to.Port() > o.to {
			continue
		}
		ok := false
		switch o.kind {
		case kindAll:
			ok = true
		case kindPrefix:
			ok = o.prefix.Contains(a)
		case kindName:
			ok = p.wasGiven(o.name, a, now) && !never(a) && !isLocal()
		case kindPublic:
			ok = isPublic(a) && !isLocal()
		}
		if ok {
			return true
		}
	}
	return false
}

// opensLoopback reports whether a rule allows a loopback address.
func (r *Rules) opensLoopback() bool {
	four, six := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	return slices.ContainsFunc(r.rules, func(o rule) bool {
		return o.kind == kindAll || o.kind == kindPrefix && (o.prefix.Overlaps(four) || o.prefix.Overlaps(six))
	})
}

// canonical is an address as it is judged and dialled: IPv4 is IPv4, however it was written.
func canonical(to netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
}

// answers reports whether the resolver answers questions about a name. Without the public internet, the names of rules only:
// a question is a message to whoever serves the name.
func (p *policy) answers(name string) bool {
	if slices.ContainsFunc(p.rules.rules, func(o rule) bool { return o.kind == kindPublic || o.kind == kindAll }) {
		return true
	}
	_, ok := p.given[name]
	return ok
}

// learn takes note of the addresses that the resolver gives for a name.
func (p *policy) learn(name string, addrs []netip.Addr, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.given[name]
	if !ok {
		return
	}
	maps.DeleteFunc(known, func(_ netip.Addr, until time.Time) bool { return until.Before(now) })
	for _, a := range addrs {
		if _, ok := known[a]; ok || len(known) < maxAddresses {
			known[a] = now.Add(remember)
		}
	}
}

func (p *policy) wasGiven(name string, a netip.Addr, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.given[name][a]
	return ok && now.Before(until)
}
