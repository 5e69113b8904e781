// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net"
	"net/http"
	"strings"
)

// LocalDomain is the domain whose names every gateway knows: browsers and most resolvers find this machine behind it.
const LocalDomain = "function.localhost"

// functionOfHost is the function that a Host header names: NAME.DOMAIN, or NAME.NAMESPACE.DOMAIN; empty: it names none. The names are not checked.
func (g *Gateway) functionOfHost(host string) string {
	if strings.IndexByte(host, '.') < 0 {
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range g.domains {
		if name, ok := strings.CutSuffix(host, "."+domain); ok {
			return name
		}
	}
	return ""
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// forwarded is the Forwarded header (RFC 7239) of a request that is passed on: what came, and the hop to here.
func forwarded(r *http.Request) string {
	var b strings.Builder
	for _, prior := range r.Header["Forwarded"] {
		if prior != "" {
			b.WriteString(prior)
			b.WriteString(", ")
		}
	}
	b.WriteString("for=")
	switch ip, _, err := net.SplitHostPort(r.RemoteAddr); {
	case err != nil:
		b.WriteString("unknown")
	case strings.Contains(ip, ":"):
		b.WriteString(`"[` + ip + `]"`)
	default:
		b.WriteString(ip)
	}
	if r.Host != "" {
		b.WriteString(`;host="` + quoted.Replace(r.Host) + `"`)
	}
	if r.TLS != nil {
		return b.String() + ";proto=https"
	}
	return b.String() + ";proto=http"
}
