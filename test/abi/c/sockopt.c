/* SPDX-License-Identifier: Apache-2.0 */
/* sockopt.c: socket options: what they are at first, what may be set, what is read back, on each kind of socket. */
#include "check.h"
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

static const struct { int level, name; const char *text; } opts[] = {
#define O(l, n) { l, n, #n }
	O(SOL_SOCKET, SO_REUSEADDR), O(SOL_SOCKET, SO_REUSEPORT), O(SOL_SOCKET, SO_KEEPALIVE), O(SOL_SOCKET, SO_BROADCAST),
	O(SOL_SOCKET, SO_OOBINLINE), O(SOL_SOCKET, SO_DONTROUTE), O(SOL_SOCKET, SO_PRIORITY), O(SOL_SOCKET, SO_PASSCRED),
	O(SOL_SOCKET, SO_RCVLOWAT), O(SOL_SOCKET, SO_SNDLOWAT), O(SOL_SOCKET, SO_MARK), O(SOL_SOCKET, SO_TYPE), O(SOL_SOCKET, SO_DOMAIN),
	O(SOL_SOCKET, SO_PROTOCOL), O(SOL_SOCKET, SO_ERROR), O(SOL_SOCKET, SO_ACCEPTCONN), O(SOL_SOCKET, SO_TIMESTAMP),
	O(SOL_SOCKET, SO_TIMESTAMPNS), O(SOL_SOCKET, SO_NO_CHECK),
	O(SOL_SOCKET, 9999),
	O(IPPROTO_TCP, TCP_NODELAY), O(IPPROTO_TCP, TCP_CORK), O(IPPROTO_TCP, TCP_KEEPIDLE), O(IPPROTO_TCP, TCP_KEEPINTVL),
	O(IPPROTO_TCP, TCP_KEEPCNT), O(IPPROTO_TCP, TCP_SYNCNT), O(IPPROTO_TCP, TCP_LINGER2), O(IPPROTO_TCP, TCP_DEFER_ACCEPT),
	O(IPPROTO_TCP, TCP_USER_TIMEOUT), O(IPPROTO_TCP, 9999),
	O(IPPROTO_IP, IP_TOS), O(IPPROTO_IP, IP_TTL), O(IPPROTO_IP, IP_RECVERR), O(IPPROTO_IP, IP_PKTINFO), O(IPPROTO_IP, IP_RECVTTL),
	O(IPPROTO_IP, IP_RECVTOS), O(IPPROTO_IP, IP_MTU_DISCOVER), O(IPPROTO_IP, IP_FREEBIND),
	O(IPPROTO_IP, IP_MULTICAST_TTL), O(IPPROTO_IP, IP_MULTICAST_LOOP), O(IPPROTO_IP, IP_MULTICAST_ALL), O(IPPROTO_IP, IP_MINTTL),
	O(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), O(IPPROTO_IP, 9999),
	O(IPPROTO_IPV6, IPV6_V6ONLY), O(IPPROTO_IPV6, IPV6_TCLASS), O(IPPROTO_IPV6, IPV6_UNICAST_HOPS), O(IPPROTO_IPV6, IPV6_RECVERR),
	O(IPPROTO_IPV6, IPV6_RECVPKTINFO), O(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), O(IPPROTO_IPV6, IPV6_RECVTCLASS),
	O(IPPROTO_IPV6, IPV6_MTU_DISCOVER), O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), O(IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
	O(IPPROTO_IPV6, 9999),
	O(IPPROTO_UDP, 9999), O(270, 1),
};

static const struct { const char *text; int family, type; } kinds[] = {
	{ "tcp", AF_INET, SOCK_STREAM }, { "tcp6", AF_INET6, SOCK_STREAM }, { "udp", AF_INET, SOCK_DGRAM }, { "udp6", AF_INET6, SOCK_DGRAM },
	{ "unix", AF_UNIX, SOCK_STREAM },
};

static void get(const char *kind, const char *when, int fd, int level, int name, const char *text)
{
	int v = -12345;
	socklen_t len = sizeof(v);
	int r = getsockopt(fd, level, name, &v, &len);

	if (r)
		printf("%s %s %s: %s\n", kind, text, when, ename(errno));
	else
		printf("%s %s %s: %d length %d\n", kind, text, when, v, (int)len);
}

static void set(const char *kind, int fd, int level, int name, const char *text, int v)
{
	char label[80];
	int r = setsockopt(fd, level, name, &v, sizeof(v)), e = errno;

	printf("%s set %s %d: %s\n", kind, text, v, r ? ename(e) : "0");
	snprintf(label, sizeof(label), "after %d", v);
	if (!r)
		get(kind, label, fd, level, name, text);
}

static void sizes(int fd, const char *kind)
{
	static const int want[] = { 0, 1, 1000, 4096, 100000, 200000 };
	char label[40];
	int v = 8192;

	for (unsigned i = 0; i < sizeof(want) / sizeof(*want); i++) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want[i], 4);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want[i], 4);
		snprintf(label, sizeof(label), "for %d", want[i]);
		get(kind, label, fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF");
		get(kind, label, fd, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF");
	}
	T("sndbuf forced", setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &v, 4));
	get(kind, "forced", fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF");
}

static void special(int fd, const char *kind)
{
	struct linger lg = { 1, 5 };
	struct timeval tv = { 2, 500000 };
	struct timespec ts[4];
	socklen_t len = sizeof(lg);
	char name[32];

	printf("-- special %s\n", kind);
	T("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	memset(&lg, 0, sizeof(lg));
	T("get linger", getsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, &len));
	printf("linger %d %d length %d\n", lg.l_onoff, lg.l_linger, (int)len);
	T("linger short", setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, 4));
	T("rcvtimeo", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	T("rcvtimeo short", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, 8));
	tv.tv_usec = 1000000;
	T("sndtimeo bad", setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	len = sizeof(tv);
	T("get rcvtimeo", getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	printf("timeout %ld %ld\n", (long)tv.tv_sec, (long)tv.tv_usec);
	len = sizeof(ts);
	T("short option", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &len, 3));
	T("bad address", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, BAD, 4));
	T("negative length", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &len, -1));
	len = -1;
	T("get negative length", getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &lg, &len));
	len = 2;
	T("get short", getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &lg, &len));
	V("short length", len);
	T("get bad length", getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &lg, BAD));
	len = 4;
	T("get bad address", getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, BAD, &len));
	T("bind to device none", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 1));
	T("bind to no device", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nothere0", 9));
	len = sizeof(name);
	memset(name, 'x', sizeof(name));
	T("which device", getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	V("device length", len);
	T("detach filter", setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &len, 4));
	T("set type", setsockopt(fd, SOL_SOCKET, SO_TYPE, &len, 4));
	T("set error", setsockopt(fd, SOL_SOCKET, SO_ERROR, &len, 4));
}

static void tcp_special(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), v;
	struct tcp_info ti;
	char name[32] = { 0 };
	socklen_t len = sizeof(name);

	T("congestion", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	T("which congestion", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	printf("congestion %.16s %d\n", name, (int)len);
	T("no such congestion", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6));
	len = sizeof(ti);
	memset(&ti, 0, sizeof(ti));
	T("info", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len));
	V("state", ti.tcpi_state);
	v = 1000;
	T("maxseg", setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &v, 4));
	v = 5;
	T("maxseg small", setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &v, 4));
	v = 5;
	T("fastopen", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &v, 4));
	v = 1;
	T("fastopen connect", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &v, 4));
	T("quickack", setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &v, 4));
	v = 4096;
	T("notsent lowat", setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &v, 4));
	get("tcp", "now", fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, "notsent lowat");
	T("ulp", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nosuch", 6));
	close(fd);
}

static void multicast(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), f6 = socket(AF_INET6, SOCK_DGRAM, 0);
	struct ip_mreq mr = { .imr_multiaddr.s_addr = htonl(0x7f000001) };
	struct in_addr a = { htonl(INADDR_LOOPBACK) };
	struct ipv6_mreq m6 = { .ipv6mr_multiaddr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(a);

	T("join no group", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)));
	T("join short", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, 4));
	mr.imr_multiaddr.s_addr = htonl(0xe00000fb);
	mr.imr_interface.s_addr = htonl(0x01020304);
	T("join on no interface", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)));
	mr.imr_interface.s_addr = htonl(INADDR_LOOPBACK);
	T("leave not joined", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mr, sizeof(mr)));
	T("multicast if", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof(a)));
	memset(&a, 0, sizeof(a));
	T("get multicast if", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &a, &len));
	V("multicast if", ntohl(a.s_addr));
	T("join6 no group", setsockopt(f6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof(m6)));
	close(fd);
	close(f6);
}

static void kinds_of_sockets(void)
{
	W("raw icmp6", socket(AF_INET6, SOCK_RAW, IPPROTO_TCP) < 0 ? 0 : 0);
	T("seqpacket inet", socket(AF_INET, SOCK_SEQPACKET, 0));
	T("rdm inet", socket(AF_INET, SOCK_RDM, 0));
	T("tcp of udp", socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	T("udp of tcp", socket(AF_INET6, SOCK_STREAM, IPPROTO_UDP));
	T("raw without protocol", socket(AF_INET, SOCK_RAW, 0));
	T("unix protocol", socket(AF_UNIX, SOCK_STREAM, 77));
	T("unix rdm", socket(AF_UNIX, SOCK_RDM, 0));
	T("netlink stream", socket(AF_NETLINK, SOCK_STREAM, 0));
	T("family -1", socket(-1, SOCK_STREAM, 0));
	T("type 0", socket(AF_INET, 0, 0));
	T("type 11", socket(AF_INET, 11, 0));
	T("type flags", socket(AF_INET, SOCK_STREAM | 0x100, 0));
	T("protocol 300", socket(AF_INET, SOCK_STREAM, 300));
	T("protocol -1", socket(AF_INET, SOCK_STREAM, -1));
	T("not a socket", getsockopt(1, SOL_SOCKET, SO_TYPE, NULL, NULL));
	T("bad descriptor", getsockopt(-1, SOL_SOCKET, SO_TYPE, NULL, NULL));
}

int main(void)
{
	start();
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		int fd = socket(kinds[k].family, kinds[k].type, 0);
		printf("-- %s\n", kinds[k].text);
		for (unsigned i = 0; i < sizeof(opts) / sizeof(*opts); i++) {
			static const int values[] = { 1, 0, -1, 2, 300, 100000 };
			get(kinds[k].text, "at first", fd, opts[i].level, opts[i].name, opts[i].text);
			for (unsigned v = 0; v < sizeof(values) / sizeof(*values); v++)
				set(kinds[k].text, fd, opts[i].level, opts[i].name, opts[i].text, values[v]);
			close(fd);
			fd = socket(kinds[k].family, kinds[k].type, 0);
		}
		sizes(fd, kinds[k].text);
		special(fd, kinds[k].text);
		close(fd);
	}
	tcp_special();
	multicast();
	kinds_of_sockets();
	return 0;
}
