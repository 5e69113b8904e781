// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MaxRules is how many rules a function may have.
const MaxRules = 64

const (
	maxRuleText = 300
	maxName     = 253
)

// kind is what the target of a rule is.
type kind uint8

const (
	kindPublic kind = iota // the public internet
	kindAll                // any address at all
	kindPrefix             // addresses
	kindName               // addresses that the resolver gave for a name
)

// rule allows some connections.
type rule struct {
	kind     kind
	tcp, udp bool
	prefix   netip.Prefix // kindPrefix
	name     string       // kindName: lower case, without a final dot
	from, to uint16       // ports
}

// Rules say where a function may connect to.
type Rules struct {
	text  []string
	rules []rule
}

// Parse reads rules, one each:
//
//	rule   = "none" | [ ("tcp" | "udp") "/" ] target
//	target = host [ ":" port [ "-" port ] ]
//	host   = "public" | "all" | IPv4 [ "/" bits ] | "[" IPv6 [ "/" bits ] "]" | name
//
// An IPv6 address without a port may stand without brackets. Without any rule "public" holds, and beside others too, unless one
// of them is "none" or says "public" itself.
func Parse(texts []string) (*Rules, error) {
	if len(texts) > MaxRules {
		return nil, fmt.Errorf("%d egress rules: at most %d", len(texts), MaxRules)
	}
	r := &Rules{text: slices.Clone(texts)}
	none, public := false, false
	for _, t := range texts {
		if t == "none" {
			none = true
			continue
		}
		one, err := parseRule(t)
		if err != nil {
			return nil, fmt.Errorf("egress rule %q: %w", clip(t), err)
		}
		public = public || one.kind == kindPublic
		r.rules = append(r.rules, one)
	}
	if none && slices.ContainsFunc(r.rules, func(o rule) bool { return o.kind == kindAll && o.anyPort() && o.tcp && o.udp }) {
		return nil, fmt.Errorf(`egress rules "none" and "all": give one of them`)
	}
	if !none && !public {
		r.rules = append(r.rules, rule{kind: kindPublic, tcp: true, udp: true, to: 65535})
	}
	return r, nil
}

// Text is what the rules were made of; never empty.
func (r *Rules) Text() []string {
	if len(r.text) == 0 {
		return []string{"public"}
	}
	return slices.Clone(r.text)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func (o rule) anyPort() bool { return o.from == 0 && o.to == 65535 }

func parseRule(t string) (rule, error) {
	o := rule{tcp: true, udp: true, to: 65535}
	if t == "" || len(t) > maxRuleText {
		return o, fmt.Errorf("%d characters: give public, none, all, an address, a prefix or a name", len(t))
	}
	target := t
	if rest, ok := strings.CutPrefix(t, "tcp/"); ok {
		o.udp, target = false, rest
	} else if rest, ok := strings.CutPrefix(t, "udp/"); ok {
		o.tcp, target = false, rest
	}
	host, ports, err := split(target)
	if err != nil {
		return o, err
	}
	if ports != "" {
		if o.from, o.to, err = parsePorts(ports[1:]); err != nil {
			return o, err
		}
	}
	switch {
	case host == "public":
		o.kind = kindPublic
	case host == "all":
		o.kind = kindAll
	case host == "tcp" || host == "udp":
		return o, fmt.Errorf("a protocol stands before an address: %s/10.0.0.1", host)
	case host == "none":
		return o, fmt.Errorf("none stands alone, without protocol and port")
	case strings.ContainsAny(host, ":/%") || numeric(host):
		o.kind = kindPrefix
		o.prefix, err = parsePrefix(host)
	default:
		o.kind = kindName
		o.name, err = parseName(host)
	}
	return o, err
}

// split takes the ports off a target; they keep their colon.
func split(t string) (host, ports string, err error) {
	if inner, ok := strings.CutPrefix(t, "["); ok {
		host, ports, ok = strings.Cut(inner, "]")
		if !ok || !strings.Contains(host, ":") || ports != "" && ports[0] != ':' {
			return "", "", fmt.Errorf("brackets hold an IPv6 address, and a port follows them: [2001:db8::1]:443")
		}
		return host, ports, nil
	}
	switch strings.Count(t, ":") {
	case 0:
		return t, "", nil
	case 1:
		i := strings.IndexByte(t, ':')
		return t[:i], t[i:], nil
	}
	return t, "", nil // IPv6 without brackets
}

func parsePorts(s string) (from, to uint16, err error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	if from, err = parsePort(first); err == nil {
		to, err = parsePort(last)
	}
	if err == nil && from > to {
		err = fmt.Errorf("ports %d-%d: the first is the larger one", from, to)
	}
	return from, to, err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' || s[0] == '0' {
		return 0, fmt.Errorf("port %q: give a number from 1 to 65535, or two: 8000-8099", clip(s))
	}
	return uint16(n), nil
}

// numeric reports whether a host can only be meant as an IPv4 address: names do not end in a number.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return host == "" || last != "" && last[0] >= '0' && last[0] <= '9'
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q is no IPv4 or IPv6 address", clip(s))
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no prefix of addresses like 10.0.0.0/8", clip(s))
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length: is %s meant?", p, p.Masked())
	}
	return p, nil
}

// parseName checks the name of a host.
func parseName(s string) (string, error) {
	s = strings.ToLower(s)
	if len(s) > maxName {
		return "", fmt.Errorf("a name of %d characters, at most %d", len(s), maxName)
	}
	for label := range strings.SplitSeq(s, ".") {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		for _, c := range []byte(label) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_')
		}
		if !ok {
			return "", fmt.Errorf("%q is no name of a host, nor public, none, all, an address or a prefix", clip(s))
		}
	}
	return s, nil
}
