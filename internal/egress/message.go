// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	ttl         = 10 // seconds: the host's resolver does not say what is left of it
	minUDP      = 512
	maxUDP      = 4096
	maxTCP      = 65535
	badVersion  = dnsmessage.RCode(16)
	lookupLimit = 20 * time.Second
)

// asked is what a message asks for.
type asked struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	known    bool // question was read
	edns     bool
	size     int // of the answer that the asker takes over UDP
}

var errMessage = errors.New("malformed question")

// parse reads a question. The code is success, or why no answer is looked for; with an error there is none to be given.
func parse(b []byte) (q asked, code dnsmessage.RCode, err error) {
	q.size = minUDP
	var p dnsmessage.Parser
	if q.header, err = p.Start(b); err != nil {
		return q, 0, err
	}
	if q.header.Response {
		return q, 0, errMessage
	}
	if q.header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, nil
	}
	if q.question, err = p.Question(); err != nil {
		return q, dnsmessage.RCodeFormatError, nil
	}
	q.known = true
	if _, err = p.Question(); err != dnsmessage.ErrSectionDone {
		return q, dnsmessage.RCodeFormatError, nil
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, nil
	}
	version := uint32(0)
	for {
		h, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil || h.Type == dnsmessage.TypeOPT && q.edns {
			return q, dnsmessage.RCodeFormatError, nil
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			q.size = min(max(int(h.Class), minUDP), maxUDP)
			version = h.TTL >> 16 & 0xff
		}
		if p.SkipAdditional() != nil {
			return q, dnsmessage.RCodeFormatError, nil
		}
	}
	switch {
	case version != 0:
		return q, badVersion, nil
	case q.question.Class != dnsmessage.ClassINET:
		return q, dnsmessage.RCodeNotImplemented, nil
	}
	return q, dnsmessage.RCodeSuccess, nil
}

// answer makes the answer to a message; nil if it deserves none.
func (r *resolver) answer(ctx context.Context, b []byte, udp bool, now time.Time) []byte {
	q, code, err := parse(b)
	if err != nil {
		return nil
	}
	var records []dnsmessage.ResourceBody
	if code == dnsmessage.RCodeSuccess {
		code, records = r.resolve(ctx, q.question, now)
	}
	limit := maxTCP
	if udp {
		limit = q.size
	}
	a, err := build(q, code, records, false)
	if err == nil && len(a) > limit && udp {
		a, err = build(q, code, nil, true)
	}
	if err != nil || len(a) > limit {
		a, err = build(q, dnsmessage.RCodeServerFailure, nil, false)
	}
	if err != nil {
		return nil
	}
	return a
}

// resolve looks a question up.
func (r *resolver) resolve(ctx context.Context, q dnsmessage.Question, now time.Time) (dnsmessage.RCode, []dnsmessage.ResourceBody) {
	switch q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME, dnsmessage.TypePTR, dnsmessage.TypeTXT, dnsmessage.TypeMX,
		dnsmessage.TypeSRV, dnsmessage.TypeNS:
	default:
		return dnsmessage.RCodeNotImplemented, nil
	}
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	if _, err := parseName(name); err != nil {
		return dnsmessage.RCodeNameError, nil // nothing this machine could be asked for
	}
	if !r.policy.answers(name) {
		return dnsmessage.RCodeNameError, nil // REFUSED would be truer, but musl waits for another answer then
	}
	if code, records, ok := reserved(q.Type, name); ok {
		return code, records
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	if q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA {
		found := r.cache.get(ctx, key{q.Type, name}, now)
		return found.code, found.records
	}
	// Both kinds at once: that the name has the other kind makes the difference between no address and no such name.
	found := r.cache.get(ctx, key{dnsmessage.TypeA, name}, now)
	var records []dnsmessage.ResourceBody
	for _, a := range found.addrs {
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			records = append(records, &dnsmessage.AResource{A: a.As4()})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			records = append(records, &dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	if found.code == dnsmessage.RCodeSuccess {
		r.policy.learn(name, found.addrs, now)
	}
	return found.code, records
}

// reserved answers for the names that no server is to be asked for (RFC 6761, RFC 7686).
func reserved(typ dnsmessage.Type, name string) (dnsmessage.RCode, []dnsmessage.ResourceBody, bool) {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "localhost":
		switch typ {
		case dnsmessage.TypeA:
			return 0, []dnsmessage.ResourceBody{&dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}, true
		case dnsmessage.TypeAAAA:
			return 0, []dnsmessage.ResourceBody{&dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}}, true
		}
		return 0, nil, true
	case "invalid", "onion":
		return dnsmessage.RCodeNameError, nil, true
	}
	return 0, nil, false
}

// build makes a message.
func build(q asked, code dnsmessage.RCode, records []dnsmessage.ResourceBody, cut bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Truncated: cut,
		RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: code & 0xf})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if q.known {
		if err := b.Question(q.question); err != nil {
			return nil, err
		}
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := addRecord(&b, dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}, r); err != nil {
			return nil, err
		}
	}
	if q.edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(maxUDP, code, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func addRecord(b *dnsmessage.Builder, h dnsmessage.ResourceHeader, r dnsmessage.ResourceBody) error {
	switch r := r.(type) {
	case *dnsmessage.AResource:
		return b.AResource(h, *r)
	case *dnsmessage.AAAAResource:
		return b.AAAAResource(h, *r)
	case *dnsmessage.CNAMEResource:
		return b.CNAMEResource(h, *r)
	case *dnsmessage.PTRResource:
		return b.PTRResource(h, *r)
	case *dnsmessage.TXTResource:
		return b.TXTResource(h, *r)
	case *dnsmessage.MXResource:
		return b.MXResource(h, *r)
	case *dnsmessage.SRVResource:
		return b.SRVResource(h, *r)
	case *dnsmessage.NSResource:
		return b.NSResource(h, *r)
	}
	return errMessage
}

// reverse is the address that a name below in-addr.arpa or ip6.arpa stands for.
func reverse(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		l := strings.Split(rest, ".")
		if len(l) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(l[3] + "." + l[2] + "." + l[1] + "." + l[0])
		return a, err == nil && a.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(rest) != 63 {
		return netip.Addr{}, false
	}
	var text []byte
	for i := 62; i >= 0; i -= 2 {
		text = append(text, rest[i])
		if i > 0 && rest[i-1] != '.' {
			return netip.Addr{}, false
		}
		if len(text)%5 == 4 && i > 0 {
			text = append(text, ':')
		}
	}
	a, err := netip.ParseAddr(string(text))
	return a, err == nil
}
