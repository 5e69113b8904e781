// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// upstream is the server that the host's resolver asks in these tests.
type upstream struct {
	addr  string
	asked atomic.Int64
}

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func (u *upstream) records(q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.ResourceBody) {
	n := strings.TrimSuffix(q.Name.String(), ".")
	one := func(t dnsmessage.Type, b ...dnsmessage.ResourceBody) (dnsmessage.RCode, []dnsmessage.ResourceBody) {
		if q.Type == t {
			return 0, b
		}
		return 0, nil
	}
	switch n {
	case "a.test":
		return one(dnsmessage.TypeA, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})
	case "both.test":
		if q.Type == dnsmessage.TypeAAAA {
			return one(q.Type, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("fd00::1").As16()})
		}
		return one(dnsmessage.TypeA, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}})
	case "big.test":
		var l []dnsmessage.ResourceBody
		for i := range 60 {
			l = append(l, &dnsmessage.AResource{A: [4]byte{10, 0, 1, byte(i)}})
		}
		return one(dnsmessage.TypeA, l...)
	case "mail.test":
		switch q.Type {
		case dnsmessage.TypeMX:
			return one(q.Type, &dnsmessage.MXResource{Pref: 5, MX: name("mx.test.")})
		case dnsmessage.TypeNS:
			return one(q.Type, &dnsmessage.NSResource{NS: name("ns.test.")})
		case dnsmessage.TypeSRV:
			return one(q.Type, &dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 3, Target: name("srv.test.")})
		case dnsmessage.TypeTXT:
			return one(q.Type, &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 255), strings.Repeat("x", 45)}})
		}
		return 0, nil
	case "alias.test":
		if q.Type == dnsmessage.TypeA {
			return 0, []dnsmessage.ResourceBody{&dnsmessage.CNAMEResource{CNAME: name("a.test.")}, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}}
		}
		return 0, []dnsmessage.ResourceBody{&dnsmessage.CNAMEResource{CNAME: name("a.test.")}}
	case "1.0.0.10.in-addr.arpa", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa":
		return one(dnsmessage.TypePTR, &dnsmessage.PTRResource{PTR: name("a.test.")})
	case "nodata.test":
		return 0, nil
	case "fail.test":
		return dnsmessage.RCodeServerFailure, nil
	}
	return dnsmessage.RCodeNameError, nil
}

func (u *upstream) answer(b []byte) []byte {
	u.asked.Add(1)
	q, _, err := parse(b)
	if err != nil {
		return nil
	}
	code, records := u.records(q.question)
	q.edns = false
	owner := q.question.Name
	m, err := build(q, code, nil, false)
	if err != nil || len(records) == 0 {
		return m
	}
	bl := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.header.ID, Response: true, RecursionAvailable: true, RCode: code})
	bl.EnableCompression()
	_ = bl.StartQuestions()
	_ = bl.Question(q.question)
	_ = bl.StartAnswers()
	for _, r := range records {
		_ = addRecord(&bl, dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: 1}, r)
		if c, ok := r.(*dnsmessage.CNAMEResource); ok {
			owner = c.CNAME
		}
	}
	m, _ = bl.Finish()
	return m
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	u := &upstream{addr: c.LocalAddr().String()}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if a := u.answer(b[:n]); a != nil {
				_, _ = c.WriteTo(a, from)
			}
		}
	}()
	return u
}

func testResolver(t *testing.T, rules ...string) (*resolver, *upstream) {
	t.Helper()
	u := newUpstream(t)
	r := newResolver(policyOf(t, "", rules...))
	r.cache = newCache(&host{dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, u.addr)
	}})
	return r, u
}

func query(t *testing.T, id uint16, n string, typ dnsmessage.Type, edns int) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.EnableCompression()
	_ = b.StartQuestions()
	if err := b.Question(dnsmessage.Question{Name: name(n), Type: typ, Class: dnsmessage.ClassINET}); err != nil {
		t.Fatal(err)
	}
	if edns > 0 {
		_ = b.StartAdditionals()
		var h dnsmessage.ResourceHeader
		_ = h.SetEDNS0(edns, 0, true)
		_ = b.OPTResource(h, dnsmessage.OPTResource{Options: []dnsmessage.Option{{Code: 10, Data: []byte("12345678")}}})
	}
	m, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func text(t *testing.T, b []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("answer %x: %v", b, err)
	}
	s := fmt.Sprint(m.RCode)
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			s += " " + netip.AddrFrom4(r.A).String()
		case *dnsmessage.AAAAResource:
			s += " " + netip.AddrFrom16(r.AAAA).String()
		case *dnsmessage.CNAMEResource:
			s += " " + r.CNAME.String()
		case *dnsmessage.PTRResource:
			s += " " + r.PTR.String()
		case *dnsmessage.MXResource:
			s += fmt.Sprint(" ", r.Pref, " ", r.MX)
		case *dnsmessage.NSResource:
			s += " " + r.NS.String()
		case *dnsmessage.SRVResource:
			s += fmt.Sprint(" ", r.Priority, " ", r.Weight, " ", r.Port, " ", r.Target)
		case *dnsmessage.TXTResource:
			s += fmt.Sprint(" ", len(strings.Join(r.TXT, "")))
		}
	}
	return s
}

func TestAnswers(t *testing.T) {
	r, _ := testResolver(t)
	for _, x := range []struct {
		name string
		typ  dnsmessage.Type
		want string
	}{
		{"a.test.", dnsmessage.TypeA, "RCodeSuccess 10.0.0.1"},
		{"A.TEST.", dnsmessage.TypeA, "RCodeSuccess 10.0.0.1"},
		{"a.test.", dnsmessage.TypeAAAA, "RCodeSuccess"},
		{"both.test.", dnsmessage.TypeA, "RCodeSuccess 10.0.0.2"},
		{"both.test.", dnsmessage.TypeAAAA, "RCodeSuccess fd00::1"},
		{"nodata.test.", dnsmessage.TypeA, "RCodeSuccess"},
		{"missing.test.", dnsmessage.TypeA, "RCodeNameError"},
		{"missing.test.", dnsmessage.TypeMX, "RCodeNameError"},
		{"a.test.", dnsmessage.TypeMX, "RCodeSuccess"},
		{"fail.test.", dnsmessage.TypeA, "RCodeServerFailure"},
		{"mail.test.", dnsmessage.TypeMX, "RCodeSuccess 5 mx.test."},
		{"mail.test.", dnsmessage.TypeNS, "RCodeSuccess ns.test."},
		{"mail.test.", dnsmessage.TypeSRV, "RCodeSuccess 1 2 3 srv.test."},
		{"mail.test.", dnsmessage.TypeTXT, "RCodeSuccess 300"},
		{"alias.test.", dnsmessage.TypeCNAME, "RCodeSuccess a.test."},
		{"alias.test.", dnsmessage.TypeA, "RCodeSuccess 10.0.0.1"},
		{"a.test.", dnsmessage.TypeCNAME, "RCodeSuccess"},
		{"1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "RCodeSuccess a.test."},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dnsmessage.TypePTR, "RCodeSuccess a.test."},
		{"9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "RCodeNameError"},
		{"999.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "RCodeNameError"},
		{"x.ip6.arpa.", dnsmessage.TypePTR, "RCodeNameError"},
		{"a.test.", dnsmessage.TypeALL, "RCodeNotImplemented"},
		{"a.test.", dnsmessage.Type(65), "RCodeNotImplemented"},
		{"a b.test.", dnsmessage.TypeA, "RCodeNameError"},
		{".", dnsmessage.TypeNS, "RCodeNameError"},
	} {
		for _, edns := range []int{0, 1400} {
			a := r.answer(t.Context(), query(t, 7, x.name, x.typ, edns), true, time.Now())
			if got := text(t, a); got != x.want {
				t.Errorf("%s %v: %s, want %s", x.name, x.typ, got, x.want)
			}
			if binary.BigEndian.Uint16(a) != 7 {
				t.Errorf("%s: answer of another question", x.name)
			}
		}
	}
}

// TestUnasked: names of this machine's /etc/hosts need no server, nor do those that are nobody's.
func TestUnasked(t *testing.T) {
	r, u := testResolver(t)
	if l := inHosts(t.Context(), "localhost"); !slices.Contains(l, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("/etc/hosts: localhost is %v", l)
	}
	for _, x := range []struct {
		name string
		typ  dnsmessage.Type
		want string
	}{
		{"localhost.", dnsmessage.TypeA, "RCodeSuccess 127.0.0.1"},
		{"a.localhost.", dnsmessage.TypeAAAA, "RCodeSuccess ::1"},
		{"localhost.", dnsmessage.TypeMX, "RCodeSuccess"},
		{"x.invalid.", dnsmessage.TypeA, "RCodeNameError"},
		{"x.onion.", dnsmessage.TypeA, "RCodeNameError"},
	} {
		if got := text(t, r.answer(t.Context(), query(t, 1, x.name, x.typ, 0), true, time.Now())); got != x.want {
			t.Errorf("%s %v: %s", x.name, x.typ, got)
		}
	}
	if n := u.asked.Load(); n != 0 {
		t.Errorf("a server was asked %d times", n)
	}
}

func TestTruncation(t *testing.T) {
	r, _ := testResolver(t)
	for _, x := range []struct {
		edns int
		udp  bool
		cut  bool
		max  int
	}{{0, true, true, 512}, {600, true, true, 600}, {1400, true, false, 1400}, {0, false, false, maxTCP}, {65535, true, false, maxUDP}} {
		a := r.answer(t.Context(), query(t, 1, "big.test.", dnsmessage.TypeA, x.edns), x.udp, time.Now())
		var m dnsmessage.Message
		if err := m.Unpack(a); err != nil {
			t.Fatal(err)
		}
		if m.Truncated != x.cut || len(a) > x.max || !x.cut && len(m.Answers) != 60 {
			t.Errorf("%+v: cut %v, %d bytes, %d answers", x, m.Truncated, len(a), len(m.Answers))
		}
	}
}

func TestRefusedNames(t *testing.T) {
	r, u := testResolver(t, "none", "both.test")
	if got := text(t, r.answer(t.Context(), query(t, 1, "a.test.", dnsmessage.TypeA, 0), true, time.Now())); got != "RCodeNameError" {
		t.Error(got)
	}
	if n := u.asked.Load(); n != 0 {
		t.Errorf("a server was asked %d times", n)
	}
	to := netip.MustParseAddrPort("10.0.0.2:80")
	if r.policy.allows(false, to, time.Now()) {
		t.Error("allowed before it was resolved")
	}
	if got := text(t, r.answer(t.Context(), query(t, 1, "both.test.", dnsmessage.TypeA, 0), true, time.Now())); got != "RCodeSuccess 10.0.0.2" {
		t.Error(got)
	}
	if !r.policy.allows(false, to, time.Now()) || !r.policy.allows(true, netip.MustParseAddrPort("[fd00::1]:1"), time.Now()) {
		t.Error("refused after it was resolved")
	}
}

func TestCache(t *testing.T) {
	r, u := testResolver(t)
	now := time.Now()
	ask := func(n string, at time.Time) { r.answer(t.Context(), query(t, 1, n, dnsmessage.TypeA, 0), true, at) }
	ask("a.test.", now)
	first := u.asked.Load()
	ask("a.test.", now)
	r.answer(t.Context(), query(t, 1, "a.test.", dnsmessage.TypeAAAA, 0), true, now)
	if n := u.asked.Load(); n != first {
		t.Errorf("asked %d times, then %d", first, n)
	}
	ask("a.test.", now.Add(time.Hour))
	if n := u.asked.Load(); n != 2*first {
		t.Errorf("asked %d times after the time", n)
	}
	for i := range 3 * maxCached {
		r.cache.get(t.Context(), key{dnsmessage.TypePTR, fmt.Sprint(i, ".x.in-addr.arpa")}, now)
	}
	if n := len(r.cache.entries); n > maxCached {
		t.Errorf("%d entries", n)
	}
}

// TestHostileQuestions: each gets an error, or nothing.
func TestHostileQuestions(t *testing.T) {
	r, _ := testResolver(t)
	good := query(t, 9, "a.test.", dnsmessage.TypeA, 1400)
	change := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for what, x := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":        {nil, ""},
		"half a header":  {good[:11], ""},
		"an answer":      {change(2, 0x80), ""},
		"opcode":         {change(2, 0x28), "RCodeNotImplemented"},
		"no question":    {change(5, 0), "RCodeFormatError"},
		"two questions":  {change(5, 2), "RCodeFormatError"},
		"cut":            {good[:20], "RCodeFormatError"},
		"answers":        {change(7, 200), "RCodeFormatError"},
		"additional":     {change(11, 200), "RCodeFormatError"},
		"class":          {change(len("a.test.")+1+12+3, 3), "RCodeNotImplemented"},
		"pointer loop":   {append(append(bytes.Clone(good[:12]), 0xc0, 12), 0, 1, 0, 1), "RCodeFormatError"},
		"label too long": {change(12, 0x7f), "RCodeFormatError"},
	} {
		a := r.answer(t.Context(), x.b, true, time.Now())
		got := ""
		if a != nil {
			got = text(t, a)
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", what, got, x.want)
		}
	}
	opt := bytes.LastIndex(good, []byte{0, 41})
	a := r.answer(t.Context(), change(opt+5, 1), true, time.Now())
	var m dnsmessage.Message
	if err := m.Unpack(a); err != nil || len(m.Additionals) != 1 || m.Additionals[0].Header.ExtendedRCode(m.RCode) != badVersion {
		t.Errorf("version 1 of EDNS: %v, %+v", err, m)
	}
}

// TestConnections goes over the socket pairs.
func TestConnections(t *testing.T) {
	r, _ := testResolver(t)
	udp, e := r.connect("i1", true)
	if e != 0 {
		t.Fatal(e)
	}
	defer udp.Close()
	_ = udp.SetDeadline(time.Now().Add(20 * time.Second))
	for i := range 5 {
		if _, err := udp.Write(query(t, uint16(i), "a.test.", dnsmessage.TypeA, 0)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint16]bool{}
	for range 5 {
		b := make([]byte, 512)
		n, err := udp.Read(b)
		if err != nil || text(t, b[:n]) != "RCodeSuccess 10.0.0.1" {
			t.Fatal(err)
		}
		seen[binary.BigEndian.Uint16(b)] = true
	}
	if len(seen) != 5 {
		t.Errorf("answers to %v", seen)
	}
	tcp, e := r.connect("i1", false)
	if e != 0 {
		t.Fatal(e)
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(20 * time.Second))
	q := query(t, 3, "big.test.", dnsmessage.TypeA, 0)
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	for _, b := range framed { // one by one
		if _, err := tcp.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	var size [2]byte
	if _, err := io.ReadFull(tcp, size[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(tcp, b); err != nil || strings.Count(text(t, b), " ") != 60 {
		t.Errorf("%v, %d bytes", err, len(b))
	}
	if _, err := tcp.Write([]byte{0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if n, err := tcp.Read(size[:]); err == nil {
		t.Errorf("after a question of 64 KiB: %d bytes", n)
	}
	r.forget("i1")
	if n, err := udp.Read(b); err == nil {
		t.Errorf("after the instance's end: %d bytes", n)
	}
	settled(t, r)
}

func settled(t *testing.T, r *resolver) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		n, m := r.count, len(r.streams)
		r.mu.Unlock()
		if n == 0 && m == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections left of %d instances", n, m)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	r, _ := testResolver(t)
	var all []*os.File
	for i := range 6 {
		got := 0
		for range streamsInstance + 10 {
			f, e := r.connect(fmt.Sprint("i", i), i%2 == 0)
			if e == 0 {
				all = append(all, f)
				got++
			} else if e != unix.ENOBUFS {
				t.Fatal(e)
			}
		}
		if want := min(streamsInstance, max(0, streamsFunction-i*streamsInstance)); got != want {
			t.Errorf("instance %d has %d, want %d", i, got, want)
		}
	}
	for _, f := range all {
		f.Close()
	}
	settled(t, r)
}

func FuzzAnswer(f *testing.F) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 1})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: name("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET})
	m, _ := b.Finish()
	f.Add(m)
	rules, err := Parse([]string{"none", "a.test"})
	if err != nil {
		f.Fatal(err)
	}
	r := newResolver(newPolicy(rules))
	r.cache = newCache(fixed{})
	f.Fuzz(func(t *testing.T, q []byte) {
		a := r.answer(context.Background(), q, true, time.Now())
		if a == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(a); err != nil || !m.Response || !bytes.Equal(a[:2], q[:2]) {
			t.Errorf("%x: answer %x: %v", q, a, err)
		}
	})
}

// fixed knows one address.
type fixed struct{}

func (fixed) lookup(context.Context, key) found {
	return found{addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
}
