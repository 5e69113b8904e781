// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
)

const maxRecords = 256 // of one answer

// host looks names up as programs of this machine do: in /etc/hosts, and by the servers of /etc/resolv.conf. Search domains
// are not used: a guest asks for whole names.
type host struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer
}

func (h *host) lookup(ctx context.Context, k key) found {
	if k.typ == dnsmessage.TypeA && !strings.Contains(k.name, ".") {
		if addrs := inHosts(ctx, k.name); len(addrs) > 0 {
			return found{addrs: addrs}
		}
	}
	var w watch
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.dial(ctx, h.dial, network, address)
	}}
	f, err := ask(ctx, r, k)
	if err == nil || len(f.addrs)+len(f.records) > 0 {
		return f
	}
	var e *net.DNSError
	switch {
	case !errors.As(err, &e) || !e.IsNotFound:
		return found{code: dnsmessage.RCodeServerFailure}
	case w.empty.Load():
		return found{}
	}
	return found{code: dnsmessage.RCodeNameError}
}

func ask(ctx context.Context, r *net.Resolver, k key) (f found, err error) {
	name := k.name + "."
	add := func(b dnsmessage.ResourceBody) {
		if len(f.records) < maxRecords {
			f.records = append(f.records, b)
		}
	}
	switch k.typ {
	case dnsmessage.TypeA:
		var addrs []netip.Addr
		addrs, err = r.LookupNetIP(ctx, "ip", name)
		f.addrs = plain(addrs)
	case dnsmessage.TypeCNAME:
		var cname string
		if cname, err = r.LookupCNAME(ctx, name); err == nil && !strings.EqualFold(cname, name) {
			if n, ok := domain(cname); ok {
				add(&dnsmessage.CNAMEResource{CNAME: n})
			}
		}
	case dnsmessage.TypePTR:
		a, ok := reverse(k.name)
		if !ok {
			return found{code: dnsmessage.RCodeNameError}, nil
		}
		var names []string
		names, err = r.LookupAddr(ctx, a.String())
		for _, s := range names {
			if n, ok := domain(s); ok {
				add(&dnsmessage.PTRResource{PTR: n})
			}
		}
	case dnsmessage.TypeTXT:
		var texts []string
		texts, err = r.LookupTXT(ctx, name)
		for _, s := range texts {
			add(&dnsmessage.TXTResource{TXT: strips(s)})
		}
	case dnsmessage.TypeMX:
		var l []*net.MX
		l, err = r.LookupMX(ctx, name)
		for _, x := range l {
			if n, ok := domain(x.Host); ok {
				add(&dnsmessage.MXResource{Pref: x.Pref, MX: n})
			}
		}
	case dnsmessage.TypeSRV:
		var l []*net.SRV
		_, l, err = r.LookupSRV(ctx, "", "", name)
		for _, x := range l {
			if n, ok := domain(x.Target); ok {
				add(&dnsmessage.SRVResource{Priority: x.Priority, Weight: x.Weight, Port: x.Port, Target: n})
			}
		}
	case dnsmessage.TypeNS:
		var l []*net.NS
		l, err = r.LookupNS(ctx, name)
		for _, x := range l {
			if n, ok := domain(x.Host); ok {
				add(&dnsmessage.NSResource{NS: n})
			}
		}
	}
	return f, err
}

// inHosts looks into /etc/hosts only. Package net does not find a name of one label there when it ends with a dot, and without
// the dot it would go on to the search domains.
func inHosts(ctx context.Context, name string) []netip.Addr {
	r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("not to be asked")
	}}
	addrs, err := r.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil
	}
	return plain(addrs)
}

// plain are addresses as records have them.
func plain(addrs []netip.Addr) (l []netip.Addr) {
	for _, a := range addrs[:min(len(addrs), maxRecords)] {
		if a.Zone() == "" {
			l = append(l, a.Unmap())
		}
	}
	return l
}

// domain is a name as messages have it.
func domain(s string) (dnsmessage.Name, bool) {
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	n, err := dnsmessage.NewName(s)
	return n, err == nil
}

// strips cuts a text into the pieces that a TXT record consists of.
func strips(s string) (l []string) {
	for len(s) > 255 {
		l, s = append(l, s[:255]), s[255:]
	}
	return append(l, s)
}

// watch looks at what servers answer, because package net says "no such host" both of a name that is not and of one that has
// no such record.
type watch struct {
	empty atomic.Bool // a server knew the name
}

func (w *watch) dial(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), network, address string) (net.Conn, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, address)
	if u, ok := c.(*net.UDPConn); ok && err == nil {
		return &watched{u, w}, nil
	}
	return c, err
}

type watched struct {
	*net.UDPConn
	w *watch
}

// Read sees the answers before package net does.
func (c *watched) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	const response, rcode = 1 << 15, 0xf
	if n >= 12 {
		if bits := binary.BigEndian.Uint16(b[2:]); bits&response != 0 && bits&rcode == 0 {
			c.w.empty.Store(true)
		}
	}
	return n, err
}
