/* SPDX-License-Identifier: Apache-2.0 */
/* procnet.c: /proc/net, in Linux's formats: columns and padding, since programs parse them by place. */
#include "sock.h"
#include "../fs/procfs.h"

void show_net_dev(struct text *b, struct pnode *n)
{
	text_printf(b, "Inter-|   Receive                                                |  Transmit\n"
		    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n");
	for (u32 i = 0; i < NETIFS; i++)
		text_printf(b, "%6s:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n",
			    netifs[i].name);
}

static void hex(struct text *b, const u8 *a, u32 n)
{
	for (u32 i = 0; i < n; i++)
		text_printf(b, "%02x", a[i]);
}

void show_net_if6(struct text *b, struct pnode *n)
{
	for (u32 i = 0; i < NETIFS; i++) {
		hex(b, netifs[i].addr6, 16);
		text_printf(b, " %02x %02x %02x 80 %8s\n", i + 1, netifs[i].prefix6, i ? 0 : 0x10, netifs[i].name);
	}
}

static u32 word(const u8 *a)
{
	u32 v;
	memcpy(&v, a, 4);
	return v;
}

void show_net_route(struct text *b, struct pnode *n)
{
	struct route r[4];
	u32 count = net_routes(r);
	text_printf(b, "%-127s\n", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
	for (u32 i = count; i--;) {
		size_t start = b->n;
		if (r[i].family != AF_INET)
			continue;
		text_printf(b, "%s\t%08X\t%08X\t%04X\t0\t0\t%u\t%08X\t0\t0\t0", netifs[r[i].ifindex - 1].name, word(r[i].dst), word(r[i].via),
			    r[i].has_via ? 3 : 1, r[i].metric, r[i].prefix ? 0xffffffff >> (32 - r[i].prefix) : 0);
		text_printf(b, "%*s\n", (int)MAX((long)start + 127 - (long)b->n, 0L), "");
	}
}

void show_net_route6(struct text *b, struct pnode *n)
{
	struct route r[4];
	u32 count = net_routes(r);
	static const u8 zero[16];
	for (u32 i = 0; i < count; i++) {
		if (r[i].family != AF_INET6)
			continue;
		hex(b, r[i].dst, 16);
		text_printf(b, " %02x ", r[i].prefix);
		hex(b, zero, 16);
		text_write(b, " 00 ", 4);
		hex(b, r[i].via, 16);
		text_printf(b, " %08x 00000001 00000000 %08x %8s\n", r[i].metric, r[i].has_via ? 3 : 1, netifs[r[i].ifindex - 1].name);
	}
}

static void address(struct text *b, u8 family, const struct inaddr *a)
{
	if (family == AF_INET)
		text_printf(b, " %08X", word(a->a + 12));
	else
		text_printf(b, " %08X%08X%08X%08X", word(a->a), word(a->a + 4), word(a->a + 8), word(a->a + 12));
	text_printf(b, ":%04X", a->port);
}

void show_net_inet(struct text *b, struct pnode *n)
{
	bool tcp = pentry_name(n->e)[0] == 't';
	u8 family = pentry_name(n->e)[3] ? AF_INET6 : AF_INET;
	u32 line = 0;
	if (family == AF_INET6)
		text_printf(b, "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt"
			    "   uid  timeout inode%s\n", tcp ? "" : " ref pointer drops");
	else
		text_printf(b, "%-*s\n", tcp ? 149 : 127, tcp ?
			    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode" :
			    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops");
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		static const struct inaddr none;
		if (sk->family != family || sk->type != (tcp ? SOCK_STREAM : SOCK_DGRAM) || sk->state == SS_DEAD || !sk->local.port)
			continue;
		size_t start = b->n;
		bool conn = sk->state == SS_CONNECTED || sk->state == SS_CONNECTING;
		u32 rx = tcp ? sk->state == SS_LISTEN ? sk->nback : sk->x.rx.len : sk->msgbytes;
		u32 tx = tcp && !sk->external && sk->peer ? sk->peer->x.rx.len : 0;
		text_printf(b, tcp ? "%4u:" : "%5u:", line++);
		address(b, family, &sk->local);
		address(b, family, conn ? &sk->remote : &none);
		text_printf(b, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %u 0000000000000000", tcp ? tcp_state(sk) : conn ? 1 : 7, tx, rx,
			    sk->ino.uid, (unsigned long)sk->ino.ino, tcp ? 1 : 2);
		text_printf(b, tcp ? conn ? " 20 4 30 10 -1" : " 100 0 0 10 0" : " 0");
		if (family == AF_INET)
			text_printf(b, "%*s", (int)MAX((long)start + (tcp ? 149 : 127) - (long)b->n, 0L), "");
		text_write(b, "\n", 1);
	}
}

void show_net_unix(struct text *b, struct pnode *n)
{
	text_printf(b, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		struct saddr sa;
		if (sk->family != AF_UNIX || sk->state == SS_DEAD)
			continue;
		text_printf(b, "0000000000000000: %08X 00000000 %08X %04X %02X %5lu", sk->ino.refs + 1, sk->state == SS_LISTEN ? 0x10000 : 0, sk->type,
			    sk->state == SS_CONNECTED ? 3 : sk->state == SS_CONNECTING ? 2 : 1, (unsigned long)sk->ino.ino);
		unix_format(sk->name, &sa);
		if (sk->name) {
			u32 len = sa.len - 2 - (sa.b[2] != 0); /* a path without its NUL */
			if (!sa.b[2])
				sa.b[2] = '@';
			text_write(b, " ", 1);
			text_write(b, sa.b + 2, len);
		}
		text_write(b, "\n", 1);
	}
}

void show_net_sockstat(struct text *b, struct pnode *n)
{
	u32 all = 0, tcp = 0, udp = 0;
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		bool inet = (sk->family == AF_INET || sk->family == AF_INET6) && sk->state != SS_DEAD;
		all += sk->state != SS_DEAD;
		tcp += inet && sk->type == SOCK_STREAM;
		udp += inet && sk->type == SOCK_DGRAM;
	}
	text_printf(b, "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n"
		    "FRAG: inuse 0 memory 0\n", all, tcp, tcp, udp);
}
