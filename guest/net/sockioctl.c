/* SPDX-License-Identifier: Apache-2.0 */
/* sockioctl.c: ioctl on sockets: what is queued, and what interfaces there are. */
#include "sock.h"
#include <asm/ioctls.h>
#include <linux/sockios.h>

#define IFF_FLAGS_LO 0x49   /* UP LOOPBACK RUNNING */
#define IFF_FLAGS_ETH 0x1043 /* UP BROADCAST RUNNING MULTICAST */

struct ifreq_k { char name[16]; union { u8 addr[16]; s32 num; short flags; u8 fill[24]; }; };
struct ifconf_k { s32 len; u32 pad; u64 buf; };

static const struct { char name[5]; u8 addr[4], mask[4], bcast[4]; short flags; s32 mtu; } ifs[2] = {
	{ "lo", { 127, 0, 0, 1 }, { 255 }, { 0 }, IFF_FLAGS_LO, 65536 },
	{ "eth0", { 10, 0, 2, 2 }, { 255, 255, 255 }, { 10, 0, 2, 255 }, IFF_FLAGS_ETH, 65520 },
};

static void put_addr(struct ifreq_k *r, const u8 a[4])
{
	memset(r->addr, 0, sizeof(r->addr));
	r->addr[0] = AF_INET;
	memcpy(r->addr + 4, a, 4);
}

static long ifconf(u64 arg)
{
	struct ifconf_k c;
	struct ifreq_k r;
	u32 n = 0;
	if (get_user(c, arg))
		return -EFAULT;
	for (u32 i = 0; i < 2; i++) {
		if (c.buf && c.len < (s32)((n + 1) * sizeof(r)))
			break;
		memset(&r, 0, sizeof(r));
		strlcpy(r.name, ifs[i].name, sizeof(r.name));
		put_addr(&r, ifs[i].addr);
		if (c.buf && put_user(r, c.buf + n * sizeof(r)))
			return -EFAULT;
		n++;
	}
	c.len = n * sizeof(r);
	return put_user(c, arg);
}

static long ifreq(u64 cmd, u64 arg)
{
	struct ifreq_k r;
	u32 i = 2;
	if (get_user(r, arg))
		return -EFAULT;
	r.name[15] = 0;
	if (cmd == SIOCGIFNAME) {
		if (r.num < 1 || r.num > 2)
			return -ENODEV;
		strlcpy(r.name, ifs[r.num - 1].name, sizeof(r.name));
		return put_user(r, arg);
	}
	while (i && strcmp(ifs[i - 1].name, r.name))
		i--;
	if (!i)
		return -ENODEV;
	const u8 *a = ifs[i - 1].addr;
	switch (cmd) {
	case SIOCGIFINDEX: r.num = i; break;
	case SIOCGIFFLAGS: r.flags = ifs[i - 1].flags; break;
	case SIOCGIFMTU: r.num = ifs[i - 1].mtu; break;
	case SIOCGIFMETRIC: r.num = 0; break;
	case SIOCGIFTXQLEN: r.num = 1000; break;
	case SIOCGIFADDR: put_addr(&r, a); break;
	case SIOCGIFDSTADDR: put_addr(&r, a); break;
	case SIOCGIFNETMASK: put_addr(&r, ifs[i - 1].mask); break;
	case SIOCGIFBRDADDR: put_addr(&r, ifs[i - 1].bcast); break;
	case SIOCGIFHWADDR:
		memset(r.addr, 0, sizeof(r.addr));
		if (i == 1) { /* ARPHRD_LOOPBACK */
			r.addr[0] = 772 & 0xff;
			r.addr[1] = 772 >> 8;
		} else {
			r.addr[0] = 1;
			memcpy(r.addr + 2, "\x02\0\x0a\0\x02\x02", 6);
		}
		break;
	default:
		return -ENOTTY;
	}
	return put_user(r, arg);
}

long sock_ioctl(struct file *f, u64 cmd, u64 arg)
{
	struct sock *sk = f->priv;
	s32 n = 0;
	queue_poll();
	switch (cmd) {
	case FIONREAD: /* SIOCINQ */
		if (sk->state == SS_LISTEN)
			return -EINVAL;
		n = sk->x.rx.len;
		if (!list_empty(&sk->msgs))
			n = list_first(&sk->msgs, struct skmsg, link)->len;
		return put_user(n, arg);
	case TIOCOUTQ: /* SIOCOUTQ */
		if (sk->state == SS_LISTEN)
			return -EINVAL;
		if (!sk->external && sk->peer && sk->type == SOCK_STREAM)
			n = sk->peer->x.rx.len;
		return put_user(n, arg);
	case FIONBIO:
		if (get_user(n, arg))
			return -EFAULT;
		f->flags = n ? f->flags | SOCK_NONBLOCK : f->flags & ~SOCK_NONBLOCK;
		return 0;
	case SIOCATMARK:
		return put_user(n, arg);
	case SIOCGIFCONF:
		return ifconf(arg);
	case SIOCGIFNAME: case SIOCGIFINDEX: case SIOCGIFFLAGS: case SIOCGIFMTU: case SIOCGIFMETRIC: case SIOCGIFTXQLEN:
	case SIOCGIFADDR: case SIOCGIFDSTADDR: case SIOCGIFNETMASK: case SIOCGIFBRDADDR: case SIOCGIFHWADDR:
		return ifreq(cmd, arg);
	}
	return -ENOTTY;
}
