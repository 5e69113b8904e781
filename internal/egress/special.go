// SPDX-License-Identifier: Apache-2.0

package egress

import "net/netip"

// isPublic reports whether an address is one of the public internet: not of this machine, its network, its cloud, nor one that
// stands for another such address. Preconditions: an IPv4-mapped address was unmapped.
func isPublic(a netip.Addr) bool {
	if a.Is4() {
		return !within(a, notPublic4)
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return isPublic(netip.AddrFrom4([4]byte(b[2:6])))
	}
	// All that was ever handed out is in here; loopback, link-local, unique local, multicast, compatible and translated
	// addresses are not.
	return global6.Contains(a) && !within(a, notPublic6)
}

// never reports whether not even the rule for a name opens an address: whoever runs that name could point it there.
func never(a netip.Addr) bool {
	switch {
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
		return true
	case a.Is4():
		return within(a, neverByName4)
	case nat64.Contains(a), sixToFour.Contains(a):
		return !isPublic(a)
	}
	return !global6.Contains(a) && !uniqueLocal.Contains(a) || metadata6.Contains(a) || within(a, notPublic6)
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

var (
	global6     = netip.MustParsePrefix("2000::/3")
	uniqueLocal = netip.MustParsePrefix("fc00::/7")
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour   = netip.MustParsePrefix("2002::/16")
	metadata6   = netip.MustParsePrefix("fd00:ec2::/32") // Amazon's services of an instance

	notPublic4 = prefixes(
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's host
		"169.254.0.0/16",   // link-local; metadata of nearly every cloud
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments; Oracle's metadata
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarking
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
	)
	notPublic6 = prefixes(
		"2001::/23",     // protocol assignments, among them Teredo, ORCHID, benchmarking
		"2001:db8::/32", // documentation
		"3fff::/20",     // documentation
	)
	neverByName4 = prefixes("0.0.0.0/8", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24", "240.0.0.0/4")
)

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}
