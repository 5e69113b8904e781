// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// hostLocal asks the kernel's routing table whether an address is this machine's own, a broadcast address of a network it is
// in, or anything else but another machine. A route that there is not is not local: connecting says what is wrong. If the
// question cannot be asked the answer is yes.
func hostLocal(a netip.Addr) bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, routeRequest(a), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return true
	}
	buf := make([]byte, 4096)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		// Only the kernel has port 0.
		if nl, ok := from.(*unix.SockaddrNetlink); err != nil || !ok || nl.Pid != 0 {
			return true
		}
		return routeIsLocal(buf[:n])
	}
}

// routeRequest is an RTM_GETROUTE for one address.
func routeRequest(a netip.Addr) []byte {
	dst := a.AsSlice()
	family := byte(unix.AF_INET)
	if a.Is6() {
		family = unix.AF_INET6
	}
	n := unix.SizeofNlMsghdr + unix.SizeofRtMsg + unix.SizeofRtAttr + len(dst)
	b := make([]byte, 0, n)
	b = binary.NativeEndian.AppendUint32(b, uint32(n))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_GETROUTE)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0) // sequence number, port
	b = append(b, family, byte(8*len(dst)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(dst)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	return append(b, dst...)
}

func routeIsLocal(b []byte) bool {
	const typeAt = unix.SizeofNlMsghdr + 7
	if len(b) < unix.SizeofNlMsghdr+4 {
		return true
	}
	switch binary.NativeEndian.Uint16(b[4:]) {
	case unix.NLMSG_ERROR:
		switch unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:]))) {
		case unix.ENETUNREACH, unix.EHOSTUNREACH:
			return false
		}
		return true
	case unix.RTM_NEWROUTE:
		if len(b) <= typeAt {
			return true
		}
		switch b[typeAt] {
		case unix.RTN_UNICAST, unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT:
			return false
		}
	}
	return true
}
