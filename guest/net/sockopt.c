/* SPDX-License-Identifier: Apache-2.0 */
/* sockopt.c: setsockopt, getsockopt. Most options are numbers that only this table knows; few of them do something here. */
#include "sock.h"
#include "syscall.h"
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define SOL_SOCKET_ 1
#define BOOL 1
#define BYTE 2 /* may be given as one byte */

/* What values are good. */
enum { R_ANY, R_BOOL, R_POS, R_TIME, R_COUNT, R_BYTE, R_PMTU, R_BYTE0, R_SEG };
static const struct { s32 min, max; } ranges[] = {
	[R_ANY] = { -0x7fffffff - 1, 0x7fffffff }, [R_BOOL] = { 0, 1 }, [R_POS] = { 0, 0x7fffffff }, [R_TIME] = { 1, 32767 }, [R_COUNT] = { 1, 127 },
	[R_BYTE] = { -1, 255 }, [R_PMTU] = { 0, 5 }, [R_BYTE0] = { 0, 255 }, [R_SEG] = { 0, 32767 },
};

/* In the order of the OPT_ names of sock.h. */
static const struct opt { u8 level, name, flags, range; s32 def; } options[OPT_COUNT] = {
	{ 1, SO_REUSEADDR, BOOL, R_BOOL, 0 },
	{ 1, SO_REUSEPORT, BOOL, R_BOOL, 0 },
	{ 1, SO_KEEPALIVE, BOOL, R_BOOL, 0 },
	{ 1, SO_BROADCAST, BOOL, R_BOOL, 0 },
	{ 1, SO_OOBINLINE, BOOL, R_BOOL, 0 },
	{ 1, SO_DONTROUTE, BOOL, R_BOOL, 0 },
	{ 1, SO_PRIORITY, 0, R_ANY, 0 },
	{ 1, SO_PASSCRED, BOOL, R_BOOL, 0 },
	{ 1, SO_RCVLOWAT, 0, R_ANY, 1 },
	{ 1, SO_MARK, 0, R_ANY, 0 },
	{ 1, SO_BUSY_POLL, 0, R_POS, 0 },
	{ 1, SO_SNDBUF, 0, R_POS, 212992 },
	{ 1, SO_RCVBUF, 0, R_POS, 212992 },
	{ 6, TCP_NODELAY, BOOL, R_BOOL, 0 },
	{ 6, TCP_CORK, BOOL, R_BOOL, 0 },
	{ 6, TCP_KEEPIDLE, 0, R_TIME, 7200 },
	{ 6, TCP_KEEPINTVL, 0, R_TIME, 75 },
	{ 6, TCP_KEEPCNT, 0, R_COUNT, 9 },
	{ 6, TCP_SYNCNT, 0, R_COUNT, 6 },
	{ 6, TCP_LINGER2, 0, R_ANY, 60 },
	{ 6, TCP_DEFER_ACCEPT, 0, R_ANY, 0 },
	{ 6, TCP_QUICKACK, BOOL, R_BOOL, 1 },
	{ 6, TCP_USER_TIMEOUT, 0, R_POS, 0 },
	{ 6, TCP_FASTOPEN, 0, R_POS, 0 },
	{ 6, TCP_NOTSENT_LOWAT, 0, R_ANY, 0 },
	{ 0, IP_TOS, BYTE, R_ANY, 0 },
	{ 0, IP_TTL, BYTE, R_BYTE, 64 },
	{ 0, IP_MTU_DISCOVER, BYTE, R_PMTU, 1 },
	{ 0, IP_RECVERR, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_BIND_ADDRESS_NO_PORT, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_MULTICAST_TTL, BYTE, R_BYTE, 1 },
	{ 0, IP_MULTICAST_LOOP, BYTE | BOOL, R_BOOL, 1 },
	{ 41, IPV6_V6ONLY, BOOL, R_BOOL, 0 },
	{ 41, IPV6_TCLASS, 0, R_BYTE, 0 },
	{ 41, IPV6_UNICAST_HOPS, 0, R_BYTE, 64 },
	{ 41, IPV6_MTU_DISCOVER, 0, R_PMTU, 1 },
	{ 41, IPV6_RECVERR, BOOL, R_BOOL, 0 },
	{ 41, IPV6_MULTICAST_HOPS, 0, R_ANY, 1 },
	{ 41, IPV6_MULTICAST_LOOP, 0, R_BOOL, 1 },
	{ 1, SO_TIMESTAMP_OLD, BOOL, R_BOOL, 0 },
	{ 1, SO_TIMESTAMPNS_OLD, BOOL, R_BOOL, 0 },
	{ 1, SO_NO_CHECK, BOOL, R_BOOL, 0 },
	{ 0, IP_PKTINFO, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_RECVTTL, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_RECVTOS, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_FREEBIND, BYTE | BOOL, R_BOOL, 0 },
	{ 0, IP_MULTICAST_ALL, BYTE, R_BOOL, 1 },
	{ 0, IP_MINTTL, BYTE, R_BYTE0, 0 },
	{ 41, IPV6_RECVPKTINFO, BOOL, R_BOOL, 0 },
	{ 41, IPV6_RECVHOPLIMIT, BOOL, R_BOOL, 0 },
	{ 41, IPV6_RECVTCLASS, BOOL, R_BOOL, 0 },
	{ 0, IP_MULTICAST_IF, 0, R_ANY, 0 },
	{ 6, TCP_MAXSEG, 0, R_SEG, 0 },
	{ 6, TCP_FASTOPEN_CONNECT, 0, R_BOOL, 0 }, /* without a cookie, and there are none, nothing happens early */
	{ 6, TCP_CONGESTION, 0, R_BOOL, 0 }, /* a name; kept: is it reno? */
};

void sockopt_init(struct sock *sk)
{
	for (u32 i = 0; i < OPT_COUNT; i++)
		sk->opt[i] = options[i].def;
	if (sk->family == AF_INET6)
		sk->opt[OPT_MCAST_ALL] = 0;
	if (sk->type == SOCK_STREAM && sk->family != AF_UNIX) { /* as it is shown; it grows */
		sk->opt[OPT_SNDBUF] = 16384;
		sk->opt[OPT_RCVBUF] = 131072;
	}
}

static int find(int level, int name)
{
	for (u32 i = 0; i < OPT_COUNT; i++)
		if (options[i].level == level && options[i].name == name)
			return i;
	return -1;
}

/* Has sk a protocol layer of this level? */
static bool has_level(struct sock *sk, int level)
{
	bool inet = sk->family == AF_INET || sk->family == AF_INET6;
	switch (level) {
	case SOL_SOCKET_: return true;
	case IPPROTO_TCP: return inet && sk->type == SOCK_STREAM;
	case IPPROTO_UDP: return inet && sk->type == SOCK_DGRAM;
	case IPPROTO_IP: return inet;
	case IPPROTO_IPV6: return sk->family == AF_INET6;
	}
	return false;
}

static long unknown(struct sock *sk, int level, int name)
{
	if (has_level(sk, level))
		unsupported_once("socket option", (u64)(u32)level << 32 | (u32)name);
	return level == SOL_SOCKET_ || has_level(sk, level) ? -ENOPROTOOPT : sk->family == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
}

static int get_timeo(u64 *ns, u64 uval, u32 len)
{
	struct ktv tv;
	if (len < sizeof(tv))
		return -EINVAL;
	if (get_user(tv, uval))
		return -EFAULT;
	if (tv.usec < 0 || tv.usec >= 1000000)
		return -EDOM;
	/* A negative time-out means not to wait; zero, for ever. */
	*ns = tv.sec < 0 ? 1 : (u64)tv.sec >= ~0ULL / NSEC ? 0 : tv.sec * NSEC + tv.usec * 1000;
	return 0;
}

/* Sockets are bound to no device; taking that back is fine. */
static long bind_device(u64 uname, u32 len)
{
	char name[16] = { 0 };
	if (copy_from_user(name, (void *)uname, MIN(len, 15U)))
		return -EFAULT;
	for (u32 i = 0; i < NETIFS; i++)
		if (!strcmp(name, netifs[i].name))
			return -EPERM;
	return *name ? -ENODEV : 0;
}

/* There are no groups to join. */
static long multicast(struct sock *sk, int name, u64 uval, u32 len)
{
	u8 a[12], *ifa = a + 4; /* in_addr, ip_mreq or ip_mreqn */
	struct inaddr in = { .a = { [10] = 0xff, 0xff } };
	if (len < (name == IP_MULTICAST_IF ? 4 : 8))
		return -EINVAL;
	if (copy_from_user(a, (void *)uval, MIN(len, 12U)))
		return -EFAULT;
	if (name == IP_MULTICAST_IF && len < 8)
		ifa = a;
	memcpy(in.a + 12, ifa, 4);
	if (name != IP_MULTICAST_IF)
		return a[0] >> 4 != 14 ? -EINVAL : name == IP_ADD_MEMBERSHIP ? -ENODEV : -EADDRNOTAVAIL;
	if (sk->type == SOCK_STREAM)
		return -EINVAL;
	if (!inet_local(in.a))
		return -EADDRNOTAVAIL;
	memcpy(&sk->opt[OPT_MCAST_IF], ifa, 4);
	return 0;
}

static long set(struct sock *sk, int level, int name, u64 uval, u32 len)
{
	s32 v = 0;
	if (level == SOL_SOCKET_ && (name == SO_RCVTIMEO_OLD || name == SO_RCVTIMEO_NEW))
		return get_timeo(&sk->rcvtimeo, uval, len);
	if (level == SOL_SOCKET_ && (name == SO_SNDTIMEO_OLD || name == SO_SNDTIMEO_NEW))
		return get_timeo(&sk->sndtimeo, uval, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION && has_level(sk, level)) {
		char s[16] = { 0 };
		if (len < 1 || copy_from_user(s, (void *)uval, MIN(len, 15U)))
			return len < 1 ? -EINVAL : -EFAULT;
		if (strcmp(s, "cubic") && strcmp(s, "reno"))
			return -ENOENT;
		sk->opt[OPT_RENO] = *s == 'r';
		return 0;
	}
	if (level == SOL_SOCKET_ && name == SO_BINDTODEVICE)
		return bind_device(uval, len);
	if (level == IPPROTO_TCP && name == TCP_ULP && has_level(sk, level))
		return -ENOENT;
	int i = find(level, name);
	u32 need = i >= 0 && options[i].flags & BYTE ? 1 : 4;
	if ((int)len < (int)need)
		return -EINVAL;
	if (copy_from_user(&v, (void *)uval, len >= 4 ? 4 : 1))
		return -EFAULT;
	if (level == SOL_SOCKET_) {
		struct { s32 on, secs; } l;
		switch (name) {
		case SO_LINGER:
			if (len < sizeof(l))
				return -EINVAL;
			if (get_user(l, uval))
				return -EFAULT;
			sk->linger = l.on ? MAX(l.secs, 0) : -1;
			return 0;
		case SO_SNDBUFFORCE:
		case SO_RCVBUFFORCE:
			i = name == SO_SNDBUFFORCE ? OPT_SNDBUF : OPT_RCVBUF;
			/* fall through */
		case SO_SNDBUF:
		case SO_RCVBUF:
			/* Doubled, as Linux does. A stream over the rings has its window, whatever is asked for. */
			sk->opt[i] = 2 * (v < 0 ? 106496 : MIN(MAX(v, i == OPT_SNDBUF ? 2304 : 1152), 212992));
			sk->bufs |= i == OPT_SNDBUF ? 1 : 2;
			return 0;
		case SO_DETACH_FILTER:
			return -ENOENT;
		case SO_TYPE:
		case SO_PROTOCOL:
		case SO_DOMAIN:
		case SO_ERROR:
		case SO_ACCEPTCONN:
			return -ENOPROTOOPT;
		}
	}
	if (level == IPPROTO_IPV6 && has_level(sk, level) && (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP))
		return len < 20 || (u8)v != 0xff ? -EINVAL : name == IPV6_ADD_MEMBERSHIP ? -ENODEV : -EADDRNOTAVAIL;
	if (level == IPPROTO_IP && has_level(sk, level) && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP || name == IP_MULTICAST_IF))
		return multicast(sk, name, uval, len);
	if (i < 0 || !has_level(sk, level))
		return unknown(sk, level, name);
	const struct opt *o = &options[i];
	if (o->flags & BOOL)
		v = !!v;
	if (v < ranges[o->range].min || v > ranges[o->range].max)
		return -EINVAL;
	bool stream = sk->type == SOCK_STREAM;
	switch (i) {
	case OPT_PASSCRED:
		if (sk->family != AF_UNIX)
			return -EOPNOTSUPP;
		break;
	case OPT_REUSEPORT:
		if (v && sk->family == AF_UNIX)
			return -EOPNOTSUPP;
		break;
	case OPT_PRIORITY:
	case OPT_MARK:
		if (curproc()->euid && (i == OPT_MARK || v < 0 || v > 6))
			return -EPERM;
		break;
	case OPT_RCVLOWAT:
		v = v < 0 ? 0x7fffffff : v ? v : 1;
		break;
	case OPT_LINGER2:
		v = v < 0 ? -1 : !v ? 60 : MIN(v, 120);
		break;
	case OPT_DEFER_ACCEPT:
		if (v > 0) { /* the next time that Linux would repeat its SYN */
			s32 at = 1, step = 1;
			for (u32 n = 1; at < v && n < 255; n++, at += step)
				step = MIN(step * 2, 120);
			v = at;
		}
		v = MAX(v, 0);
		break;
	case OPT_TIMESTAMP:
	case OPT_TIMESTAMPNS:
		sk->opt[OPT_TIMESTAMP] = sk->opt[OPT_TIMESTAMPNS] = 0;
		break;
	case OPT_TOS:
	case OPT_TCLASS:
		if (i == OPT_TCLASS && v == -1)
			v = 0;
		v &= stream ? 0xfc : 0xff; /* the lowest two are the transport's */
		break;
	case OPT_MCAST_TTL:
		if (stream)
			return -EINVAL;
		v = v == -1 ? 1 : v;
		break;
	case OPT_V6_MCAST_HOPS:
		if (stream)
			return -ENOPROTOOPT;
		if (v < -1 || v > 255)
			return -EINVAL;
		v = v == -1 ? 1 : v;
		break;
	case OPT_MAXSEG:
		if (v && v < 88)
			return -EINVAL;
		break;
	case OPT_V6ONLY:
		if (sk->local.port)
			return -EINVAL;
		break;
	}
	if (i == OPT_TTL && !v)
		return -EINVAL;
	if ((i == OPT_TTL || i == OPT_V6_HOPS) && v == -1)
		v = 64;
	sk->opt[i] = v;
	return 0;
}

static long put_value(const void *v, u32 size, u64 uval, u64 ulen, u32 len)
{
	len = MIN(len, size);
	if (copy_to_user((void *)uval, v, len))
		return -EFAULT;
	return put_user(len, ulen);
}

u8 tcp_state(struct sock *sk)
{
	enum { ESTABLISHED = 1, SYN_SENT, FIN_WAIT2 = 5, CLOSE = 7, CLOSE_WAIT, LISTEN = 10 };
	switch (sk->state) {
	case SS_LISTEN: return LISTEN;
	case SS_CONNECTING: return SYN_SENT;
	case SS_CONNECTED:
		return sk->shut == SHUT_BOTH ? CLOSE : sk->shut == SHUT_SND ? FIN_WAIT2 : sk->shut == SHUT_RCV ? CLOSE_WAIT : ESTABLISHED;
	}
	return CLOSE;
}

static long get_tcp(struct sock *sk, int name, u64 uval, u64 ulen, u32 len)
{
	if (name == TCP_CONGESTION)
		return put_value(sk->opt[OPT_RENO] ? "reno\0\0\0\0\0\0\0\0\0\0\0" : "cubic\0\0\0\0\0\0\0\0\0\0", 16, uval, ulen, len);
	if (name == TCP_INFO) {
		struct tcp_info ti;
		memset(&ti, 0, sizeof(ti));
		ti.tcpi_state = tcp_state(sk);
		ti.tcpi_snd_mss = ti.tcpi_rcv_mss = ti.tcpi_advmss = 65483;
		ti.tcpi_pmtu = 65535;
		ti.tcpi_snd_cwnd = 10;
		ti.tcpi_unacked = sk->state == SS_LISTEN ? sk->nback : 0;
		ti.tcpi_sacked = sk->state == SS_LISTEN ? sk->maxback : 0;
		return put_value(&ti, sizeof(ti), uval, ulen, len);
	}
	return -ENOPROTOOPT;
}

static long get(struct sock *sk, int level, int name, u64 uval, u64 ulen)
{
	s32 len, v;
	if (get_user(len, ulen))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	if (level != SOL_SOCKET_ && !has_level(sk, level))
		return sk->family == AF_INET6 ? -ENOPROTOOPT : -EOPNOTSUPP;
	int i = find(level, name);
	if (i >= 0 && i != OPT_RENO) {
		if (i == OPT_PASSCRED && sk->family != AF_UNIX)
			return -EOPNOTSUPP;
		v = sk->opt[i];
		if (i == OPT_MAXSEG)
			v = sk->state == SS_CONNECTED ? sk->external ? 1460 : 65483 : v ? v : 536;
		if (options[i].flags & BYTE && len && len < 4 && v >= 0 && v <= 255) {
			u8 b = v;
			return put_value(&b, 1, uval, ulen, 1);
		}
		return put_value(&v, 4, uval, ulen, len);
	}
	if (level == IPPROTO_TCP) {
		long r = get_tcp(sk, name, uval, ulen, len);
		return r == -ENOPROTOOPT ? unknown(sk, level, name) : r;
	}
	if (level != SOL_SOCKET_)
		return unknown(sk, level, name);
	switch (name) {
	case SO_BINDTODEVICE: return put_user(0, ulen);
	case SO_SNDLOWAT: v = 1; break;
	case SO_TYPE: v = sk->type; break;
	case SO_DOMAIN: v = sk->family; break;
	case SO_PROTOCOL: v = sk->proto; break;
	case SO_ACCEPTCONN: v = sk->state == SS_LISTEN; break;
	case SO_ERROR:
		queue_poll();
		v = sk->err;
		sk->err = 0;
		break;
	case SO_LINGER: {
		struct { s32 on, secs; } l = { sk->linger >= 0, MAX(sk->linger, 0) };
		return put_value(&l, sizeof(l), uval, ulen, len);
	}
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW: {
		u64 ns = name == SO_RCVTIMEO_OLD || name == SO_RCVTIMEO_NEW ? sk->rcvtimeo : sk->sndtimeo;
		struct ktv tv = { ns / NSEC, ns % NSEC / 1000 };
		return put_value(&tv, sizeof(tv), uval, ulen, len);
	}
	case SO_PEERCRED: {
		struct cred c = sk->family == AF_UNIX && sk->peer ? sk->peercred : (struct cred){ 0, ~0U, ~0U };
		return put_value(&c, sizeof(c), uval, ulen, len);
	}
	default:
		return unknown(sk, level, name);
	}
	return put_value(&v, 4, uval, ulen, len);
}

SYSCALL(setsockopt)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = (int)e < 0 ? -EINVAL : set(sk, (int)b, (int)c, d, (u32)e);
	file_put(file);
	return r;
}

SYSCALL(getsockopt)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = get(sk, (int)b, (int)c, d, e);
	file_put(file);
	return r;
}
