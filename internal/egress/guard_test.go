// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func guardOf(t *testing.T, rules ...string) *Guard {
	t.Helper()
	r, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	return NewGuard(r)
}

// TestGuardDials: a name is judged by what it resolves to, each time, and only addresses that rules allow are tried.
func TestGuardDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	loopback := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		name  string
		rules []string
		addrs []netip.Addr
		host  string
		ok    bool
	}{
		{"name of loopback", nil, []netip.Addr{loopback}, "rebound.example", false},
		{"mapped", nil, []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, "rebound.example", false},
		{"no addresses", nil, nil, "rebound.example", false},
		{"literal", nil, nil, "127.0.0.1", false},
		{"mapped literal", nil, nil, "::ffff:127.0.0.1", false},
		{"a rule for the name never opens loopback", []string{"rebound.example"}, []netip.Addr{loopback}, "rebound.example", false},
		{"allowed", []string{"127.0.0.1:" + port}, []netip.Addr{loopback}, "inside.example", true},
		{"other port", []string{"127.0.0.1:1"}, []netip.Addr{loopback}, "inside.example", false},
		{"udp only", []string{"udp/127.0.0.1"}, []netip.Addr{loopback}, "inside.example", false},
		{"the second one", []string{"127.0.0.1"}, []netip.Addr{netip.MustParseAddr("10.0.0.1"), loopback}, "inside.example", true},
		{"literal allowed", []string{"127.0.0.0/8"}, nil, "127.0.0.1", true},
	} {
		g := guardOf(t, c.rules...)
		g.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return c.addrs, nil }
		conn, err := g.DialContext(t.Context(), "tcp", net.JoinHostPort(c.host, port))
		if conn != nil {
			conn.Close()
		}
		var refused *RefusedError
		if (err == nil) != c.ok || err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	g := guardOf(t, "all")
	for _, bad := range [][2]string{{"udp", "127.0.0.1:" + port}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:http"}, {"unix", "/run/x"}} {
		if c, err := g.DialContext(t.Context(), bad[0], bad[1]); err == nil {
			c.Close()
			t.Errorf("%v is dialled", bad)
		}
	}
}
