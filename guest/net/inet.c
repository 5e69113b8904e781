/* SPDX-License-Identifier: Apache-2.0 */
/* inet.c: addresses and ports of TCP and UDP. */
#include "sock.h"

#define PORT_FIRST 32768 /* ephemeral ports, as Linux has them */
#define PORT_LAST 60999
#define BUCKETS 32

const u8 inet_guest[16] = { [10] = 0xff, 0xff, 10, 0, 2, 15 };
const u8 inet_guest6[16] = { 0xfd, [13] = 2, [15] = 0x15 };
const u8 inet_host[16] = { [10] = 0xff, 0xff, 10, 0, 2, 2 };
static const u8 v4_any[16] = { [10] = 0xff, 0xff };
static const u8 v6_any[16];

/* ---- addresses ---- */

static bool same(const u8 a[16], const u8 b[16]) { return !memcmp(a, b, 16); }
bool inaddr_v4(const u8 a[16]) { return !memcmp(a, v4_any, 12); }
bool inaddr_any(const u8 a[16]) { return same(a, v4_any) || same(a, v6_any); }

bool inaddr_same(const struct inaddr *a, const struct inaddr *b) { return a->port == b->port && same(a->a, b->a); }

bool inaddr_loopback(const u8 a[16])
{
	return inaddr_v4(a) ? a[12] == 127 : !memcmp(a, v6_any, 15) && a[15] == 1;
}

bool inet_local(const u8 a[16])
{
	return inaddr_any(a) || inaddr_loopback(a) || same(a, inet_guest) || same(a, inet_guest6);
}

int inet_outbound(struct sock *sk, const u8 dst[16])
{
	bool v4 = inaddr_v4(dst), bcast = v4 && (!memcmp(dst + 12, "\xff\xff\xff\xff", 4) || !memcmp(dst + 12, "\x0a\x00\x02\xff", 4));
	if (bcast && sk->type == SOCK_DGRAM && !sk->opt[OPT_BROADCAST])
		return -EACCES;
	if (!outbound_allowed())
		return -ENETUNREACH;
	if (!inaddr_any(sk->local.a) && inaddr_v4(sk->local.a) != v4)
		return -ENETUNREACH;
	if (inaddr_loopback(sk->local.a))
		return v4 ? -EINVAL : -ENETUNREACH;
	/* One stream leads to one address. */
	if (bcast || (v4 ? dst[12] >> 4 == 14 : dst[0] == 0xff))
		return -ENETUNREACH;
	return !v4 && dst[0] == 0xfe && dst[1] >> 6 == 2 ? -EINVAL : 0; /* link-local needs a scope, and there is no neighbour */
}

void inet_this_host(struct inaddr *a)
{
	if (!inaddr_any(a->a))
		return;
	if (a->a[10])
		a->a[12] = 127;
	a->a[15] = 1;
}

struct sin { u16 family; u8 port[2], addr[4], zero[8]; };
struct sin6 { u16 family; u8 port[2]; u32 flow; u8 addr[16]; u32 scope; };
#define SIN6_MIN 24 /* without the scope, as it once was */

int inet_parse(struct sock *sk, const struct saddr *sa, struct inaddr *out, bool bind)
{
	const struct sin *in = (const struct sin *)sa->b;
	const struct sin6 *in6 = (const struct sin6 *)sa->b;
	u32 min = sk->family == AF_INET ? sizeof(*in) : SIN6_MIN;
	if (sa->len < sizeof(sa->family))
		return -EINVAL;
	/* Datagrams of an AF_INET6 socket may go to an AF_INET address. */
	bool v4 = sa->family == AF_INET && (sk->family == AF_INET || (!bind && sk->type == SOCK_DGRAM));
	if (v4 ? sa->len < sizeof(*in) : sa->len < min)
		return -EINVAL;
	if (sa->family == AF_UNSPEC && !bind && sk->family == AF_INET && sk->type == SOCK_DGRAM && sa->len >= sizeof(*in))
		v4 = true; /* as Linux lets datagrams be sent */
	if (sa->family == AF_UNSPEC && bind && sk->family == AF_INET && !memcmp(in->addr, v6_any, 4))
		v4 = true;
	if (!v4 && (sk->family == AF_INET || sa->family != AF_INET6))
		return -EAFNOSUPPORT;
	if (v4) {
		memcpy(out->a, v4_any, 12);
		memcpy(out->a + 12, in->addr, 4);
		out->port = in->port[0] << 8 | in->port[1];
	} else {
		memcpy(out->a, in6->addr, 16);
		out->port = in6->port[0] << 8 | in6->port[1];
	}
	if (sk->family == AF_INET6 && sk->opt[OPT_V6ONLY] && inaddr_v4(out->a))
		return bind ? -EINVAL : -ENETUNREACH;
	return 0;
}

void inet_format(struct sock *sk, const struct inaddr *a, struct saddr *sa)
{
	memset(sa->b, 0, sizeof(struct sin6));
	sa->family = sk->family;
	sa->b[2] = a->port >> 8;
	sa->b[3] = (u8)a->port;
	if (sk->family == AF_INET) {
		sa->len = sizeof(struct sin);
		memcpy(sa->b + 4, a->a + 12, 4);
	} else {
		sa->len = sizeof(struct sin6);
		memcpy(sa->b + 8, a->a, 16);
	}
}

int inet_name(struct sock *sk, struct saddr *sa, bool peer)
{
	if (peer && sk->state != SS_CONNECTED)
		return -ENOTCONN;
	inet_format(sk, peer ? &sk->remote : &sk->local, sa);
	return 0;
}

void inet_source(struct sock *sk, const u8 dst[16])
{
	static const u8 v4_loop[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, v6_loop[16] = { [15] = 1 };
	if (!inaddr_any(sk->local.a))
		return;
	bool loop = inaddr_loopback(dst);
	memcpy(sk->local.a, inaddr_v4(dst) ? loop ? v4_loop : inet_guest : loop ? v6_loop : inet_guest6, 16);
}

bool inet_covers(struct sock *sk, const u8 a[16])
{
	const u8 *l = sk->local.a;
	if (same(l, a))
		return true;
	if (same(l, v6_any) && sk->family == AF_INET6)
		return !inaddr_v4(a) || !sk->opt[OPT_V6ONLY];
	return same(l, v4_any) && inaddr_v4(a);
}

bool inet_overlap(struct sock *a, struct sock *b)
{
	return inet_covers(a, b->local.a) || inet_covers(b, a->local.a);
}

/* ---- ports ---- */

static struct list ports[2][BUCKETS];

struct list *inet_bucket(bool udp, u16 port)
{
	struct list *l = &ports[udp][port % BUCKETS];
	if (unlikely(!l->next))
		list_init(l);
	return l;
}

static bool taken(struct sock *sk, u16 port)
{
	list_for_each(l, inet_bucket(sk->type == SOCK_DGRAM, port)) {
		struct sock *o = list_entry(l, struct sock, in_ports);
		if (o == sk || o->local.port != port || !inet_overlap(sk, o))
			continue;
		if (sk->opt[OPT_REUSEPORT] && o->opt[OPT_REUSEPORT] && sk->cred.uid == o->cred.uid)
			continue;
		if (sk->opt[OPT_REUSEADDR] && o->opt[OPT_REUSEADDR] && o->state != SS_LISTEN)
			continue;
		return true;
	}
	return false;
}

/* local.a is set. */
static int port_take(struct sock *sk, u16 port)
{
	static u16 next;
	if (!port) {
		u32 tries = PORT_LAST - PORT_FIRST + 1;
		if (!next) {
			random_bytes(&next, sizeof(next));
			next = PORT_FIRST + next % tries;
		}
		/* Nobody who asks for any port wants to share one. */
		s32 reuse[2] = { sk->opt[OPT_REUSEADDR], sk->opt[OPT_REUSEPORT] };
		sk->opt[OPT_REUSEADDR] = sk->opt[OPT_REUSEPORT] = 0;
		for (; tries; tries--) {
			next = next >= PORT_LAST ? PORT_FIRST : next + 1;
			if (!taken(sk, next))
				break;
		}
		sk->opt[OPT_REUSEADDR] = reuse[0];
		sk->opt[OPT_REUSEPORT] = reuse[1];
		if (!tries)
			return -EADDRINUSE;
		port = next;
	} else if (taken(sk, port)) {
		return -EADDRINUSE;
	}
	sk->local.port = port;
	list_add_tail(&sk->in_ports, inet_bucket(sk->type == SOCK_DGRAM, port));
	return 0;
}

int inet_bind(struct sock *sk, const struct saddr *sa)
{
	struct inaddr a, old = sk->local;
	int r = inet_parse(sk, sa, &a, true);
	if (r)
		return r;
	if (sk->local.port || sk->state != SS_FREE)
		return -EINVAL;
	if (!inet_local(a.a) && !sk->opt[OPT_FREEBIND])
		return -EADDRNOTAVAIL;
	memcpy(sk->local.a, a.a, 16);
	r = port_take(sk, a.port);
	if (r)
		sk->local = old;
	else
		sk->bound = BOUND_PORT | (inaddr_any(a.a) ? 0 : BOUND_ADDR);
	return r;
}

int inet_autobind(struct sock *sk)
{
	return sk->local.port ? 0 : port_take(sk, 0);
}

void inet_unbind(struct sock *sk)
{
	list_del(&sk->in_ports);
	sk->bound = 0;
}

void inet_disconnect(struct sock *sk)
{
	if (!(sk->bound & BOUND_ADDR)) {
		memset(sk->local.a, 0, sizeof(sk->local.a));
		if (sk->family == AF_INET)
			memcpy(sk->local.a, v4_any, 16);
	}
	if (!(sk->bound & BOUND_PORT)) {
		list_del(&sk->in_ports);
		sk->local.port = 0;
	}
}

struct sock *inet_create(int family, int type, int proto)
{
	struct sock *sk;
	if (proto < 0 || proto > 262 /* IPPROTO_MPTCP */)
		return ERR_PTR(-EINVAL);
	if (type == SOCK_RAW)
		return ERR_PTR(proto ? -EPERM : -EPROTONOSUPPORT);
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return ERR_PTR(-ESOCKTNOSUPPORT);
	int want = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	if (proto && proto != want)
		return ERR_PTR(-EPROTONOSUPPORT);
	sk = sock_alloc(family, type, want, type == SOCK_STREAM ? &tcp_ops : &udp_ops);
	if (!sk)
		return ERR_PTR(-ENOMEM);
	if (family == AF_INET)
		memcpy(sk->local.a, v4_any, 16);
	return sk;
}
