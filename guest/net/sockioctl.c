/* SPDX-License-Identifier: Apache-2.0 */
/* sockioctl.c: ioctl on sockets: what is queued, and what interfaces there are. */
#include "sock.h"
#include <asm/ioctls.h>
#include <linux/sockios.h>

struct ifreq_k { char name[16]; union { u8 addr[16]; s32 num; short flags; u8 fill[24]; }; };
struct ifconf_k { s32 len; u32 pad; u64 buf; };

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
	for (u32 i = 0; i < NETIFS; i++) {
		if (c.buf && c.len < (s32)((n + 1) * sizeof(r)))
			break;
		memset(&r, 0, sizeof(r));
		strlcpy(r.name, netifs[i].name, sizeof(r.name));
		put_addr(&r, netifs[i].addr);
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
	u32 i = NETIFS;
	if (get_user(r, arg))
		return -EFAULT;
	r.name[15] = 0;
	if (cmd == SIOCGIFNAME) {
		if (r.num < 1 || r.num > NETIFS)
			return -ENODEV;
		strlcpy(r.name, netifs[r.num - 1].name, sizeof(r.name));
		return put_user(r, arg);
	}
	while (i && strcmp(netifs[i - 1].name, r.name))
		i--;
	if (!i)
		return -ENODEV;
	const struct netif *n = &netifs[i - 1];
	switch (cmd) {
	case SIOCGIFINDEX: r.num = i; break;
	case SIOCGIFFLAGS: r.flags = (short)n->flags; break;
	case SIOCGIFMTU: r.num = n->mtu; break;
	case SIOCGIFMETRIC: r.num = 0; break;
	case SIOCGIFTXQLEN: r.num = 1000; break;
	case SIOCGIFADDR: put_addr(&r, n->addr); break;
	case SIOCGIFDSTADDR: put_addr(&r, n->addr); break;
	case SIOCGIFNETMASK: put_addr(&r, n->mask); break;
	case SIOCGIFBRDADDR: put_addr(&r, n->bcast); break;
	case SIOCGIFHWADDR:
		memset(r.addr, 0, sizeof(r.addr));
		r.addr[0] = (u8)n->hw;
		r.addr[1] = n->hw >> 8;
		memcpy(r.addr + 2, n->mac, 6);
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
