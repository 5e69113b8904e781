// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, good := range [][]string{
		nil, {"public"}, {"none"}, {"all"}, {"tcp/public:443"}, {"public:1-1024"}, {"10.0.0.0/8"}, {"10.1.2.3"}, {"udp/10.1.2.3:53"},
		{"10.0.0.0/8:5432"}, {"::1"}, {"[::1]"}, {"[::1]:80"}, {"fd00::/8"}, {"tcp/[fd00::/8]:8000-8099"}, {"db"}, {"db.internal:5432"},
		{"DB.Example.com"}, {"none", "10.0.0.0/8", "db"}, {"public", "::1"}, {"_srv.example.com"}, {"none", "tcp/all:443"}, {"0.0.0.0/0"},
	} {
		if r, err := Parse(good); err != nil {
			t.Errorf("%q: %v", good, err)
		} else if len(good) > 0 && strings.Join(r.Text(), " ") != strings.Join(good, " ") {
			t.Errorf("%q became %q", good, r.Text())
		}
	}
	for _, bad := range []string{
		"", " ", "tcp/", "tcp", "icmp/10.0.0.1", "tcp/none", "none:80", "public:", "public:0", "public:65536", "public:80-", "public:-80", "public:90-80",
		"public:080", "public:+80", "public:80-81-82", "10.0.0.0/8:x", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "10.0.0.256", "1", "[::1", "[::1]80",
		"[10.0.0.1]:80", "[]:80", "::1/128/1", "fe80::1%eth0", "[fe80::1%eth0]:80", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "-db", "db-", "a..b", ".", "db.",
		"a b", "a,b", "*.example.com", "http://example.com", "ex\x00ample", strings.Repeat("a", 64), strings.Repeat("a.", 200) + "a", "fd00::1/8", "tcp/udp/db",
		"db:80:81", "TCP/db/8", "example.123",
	} {
		if _, err := Parse([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %q is not one line", bad, err)
		}
	}
	if _, err := Parse([]string{"none", "all"}); err == nil {
		t.Error("none and all were taken")
	}
	if _, err := Parse(make([]string, MaxRules+1)); err == nil {
		t.Error("too many rules were taken")
	}
}

func policyOf(t *testing.T, own string, rules ...string) *policy {
	t.Helper()
	r, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(r)
	p.local = func(a netip.Addr) bool { return a.String() == own }
	return p
}

// special are addresses that the default refuses, all of them.
var special = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16",
	"169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
	"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::7f00:1", "::808:808", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
	"100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:1::1",
	"3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "::ffff:0:8.8.8.8", "4000::1", "0:0:0:1::1",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1", "169.253.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1",
	"192.167.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
	"2001:4860:4860::8888",
}

func allowed(p *policy, a string, udp bool, port uint16) bool {
	return p.allows(udp, canonical(netip.AddrPortFrom(netip.MustParseAddr(a), port)), time.Now())
}

func TestDefault(t *testing.T) {
	p := policyOf(t, "9.9.9.9")
	for _, a := range special {
		if allowed(p, a, false, 80) || allowed(p, a, true, 53) {
			t.Errorf("%s is allowed", a)
		}
	}
	for _, a := range public {
		if !allowed(p, a, false, 80) || !allowed(p, a, true, 53) {
			t.Errorf("%s is refused", a)
		}
	}
	if allowed(p, "9.9.9.9", false, 80) || allowed(p, "::ffff:9.9.9.9", false, 80) {
		t.Error("an address of this machine is allowed")
	}
	none := policyOf(t, "", "none")
	all := policyOf(t, "", "all")
	for _, a := range append(special, public...) {
		if allowed(none, a, false, 80) {
			t.Errorf("none allows %s", a)
		}
		if !allowed(all, a, true, 80) {
			t.Errorf("all refuses %s", a)
		}
	}
}

func TestRules(t *testing.T) {
	for _, x := range []struct {
		rules string
		addr  string
		udp   bool
		port  uint16
		want  bool
	}{
		{"127.0.0.1", "127.0.0.1", false, 80, true},
		{"127.0.0.1", "127.0.0.2", false, 80, false},
		{"127.0.0.1", "::ffff:127.0.0.1", false, 80, true},
		{"127.0.0.1", "8.8.8.8", false, 80, true},
		{"127.0.0.1 public", "8.8.8.8", false, 80, true},
		{"127.0.0.1 none", "8.8.8.8", false, 80, false},
		{"none 127.0.0.1", "127.0.0.1", true, 80, true},
		{"tcp/127.0.0.1", "127.0.0.1", true, 80, false},
		{"udp/127.0.0.1", "127.0.0.1", true, 80, true},
		{"10.0.0.0/8:80", "10.9.9.9", false, 80, true},
		{"10.0.0.0/8:80", "10.9.9.9", false, 81, false},
		{"10.0.0.0/8:80-90", "10.9.9.9", false, 90, true},
		{"10.0.0.0/8:80-90", "10.9.9.9", false, 79, false},
		{"[::1]:80", "::1", false, 80, true},
		{"[::1]:80", "::1", false, 0, false},
		{"::/0", "::ffff:127.0.0.1", false, 80, false}, // IPv4 is IPv4
		{"0.0.0.0/0", "::1", false, 80, false},
		{"tcp/public:443", "8.8.8.8", false, 443, true},
		{"tcp/public:443", "8.8.8.8", false, 80, false},
		{"tcp/public:443", "8.8.8.8", true, 443, false},
		{"tcp/public:443", "10.0.0.1", false, 443, false},
		{"none tcp/all:443", "10.0.0.1", false, 443, true},
		{"none tcp/all:443", "10.0.0.1", false, 80, false},
		{"9.9.9.9", "9.9.9.9", false, 80, true}, // this machine's own, allowed by address
		{"db.internal", "10.0.0.1", false, 80, false},
	} {
		p := policyOf(t, "9.9.9.9", strings.Fields(x.rules)...)
		if got := allowed(p, x.addr, x.udp, x.port); got != x.want {
			t.Errorf("%q: %s port %d, UDP %v: %v", x.rules, x.addr, x.port, x.udp, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	for rules, want := range map[string]bool{"": false, "public": false, "none": false, "localhost": false, "10.0.0.0/8": false, "fd00::/8": false, "all": true,
		"127.0.0.1": true, "::1": true, "0.0.0.0/0": true, "::/0": true, "udp/127.8.0.0/16:53": true, "tcp/all:80": true} {
		if r, err := Parse(strings.Fields(rules)); err != nil || r.opensLoopback() != want {
			t.Errorf("%q: not %v, %v", rules, want, err)
		}
	}
}

// TestNames: a name opens what the resolver said, for a while, but never what is this machine's or its cloud's.
func TestNames(t *testing.T) {
	p := policyOf(t, "10.0.0.9", "none", "tcp/db.internal:5432", "other")
	now := time.Now()
	at := func(a string, port uint16, when time.Time) bool {
		return p.allows(false, netip.AddrPortFrom(netip.MustParseAddr(a), port), when)
	}
	p.learn("db.internal", []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.9"),
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fe80::1"),
		netip.MustParseAddr("2002:7f00:1::"), netip.MustParseAddr("::7f00:1"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("0.0.0.0")}, now)
	p.learn("unknown", []netip.Addr{netip.MustParseAddr("10.0.0.2")}, now)
	for _, a := range []string{"10.0.0.1", "fd00::1"} {
		if !at(a, 5432, now) || at(a, 80, now) || !at(a, 5432, now.Add(remember-time.Second)) || at(a, 5432, now.Add(remember)) {
			t.Errorf("%s", a)
		}
	}
	for _, a := range []string{"10.0.0.2", "10.0.0.9", "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "fe80::1", "2002:7f00:1::", "::7f00:1", "224.0.0.1", "0.0.0.0"} {
		if at(a, 5432, now) {
			t.Errorf("%s is allowed", a)
		}
	}
	for i := range 1000 {
		p.learn("other", []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}, now)
	}
	if len(p.given["other"]) != maxAddresses || len(p.given) != 2 {
		t.Errorf("%d addresses, %d names", len(p.given["other"]), len(p.given))
	}
	if !p.answers("db.internal") || p.answers("evil.example.com") {
		t.Error("the resolver answers the wrong names")
	}
	if q := policyOf(t, "", "none", "10.0.0.0/8"); q.answers("a") || !policyOf(t, "", "all").answers("a") {
		t.Error("none with addresses answers, or all does not")
	}
}

// TestHostLocal asks the kernel about addresses that every machine has, and some that none has.
func TestHostLocal(t *testing.T) {
	for a, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "255.255.255.255": true, "224.0.0.1": true, "8.8.8.8": false} {
		if got := hostLocal(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 19), make([]byte, 64)} {
		if !routeIsLocal(b) {
			t.Errorf("an answer of %d bytes opens the way", len(b))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tcp/[fd00::/8]:80-90")
	f.Add("db.internal:1")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse([]string{"none", s})
		if err != nil || len(r.rules) == 0 {
			return
		}
		p := newPolicy(r)
		p.local = func(netip.Addr) bool { return false }
		by := r.rules[0].kind
		if p.allows(false, netip.MustParseAddrPort("127.0.0.1:80"), time.Now()) && by != kindPrefix && by != kindAll {
			t.Errorf("%q opens the host's loopback", s)
		}
	})
}
