/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.c: NETLINK_ROUTE, enough to list the interfaces, their addresses and routes, which never change. */
#include "sock.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>

#define REPLY_MAX 2048
#define REQUEST_MAX 4096

/* One answer under construction. */
struct reply { u32 len; u8 b[REPLY_MAX]; };

static void *add(struct reply *r, const void *p, u32 n)
{
	u8 *at = r->b + r->len;
	BUG_ON(r->len + NLMSG_ALIGN(n) > REPLY_MAX);
	memset(at, 0, NLMSG_ALIGN(n));
	if (p)
		memcpy(at, p, n);
	r->len += NLMSG_ALIGN(n);
	return at;
}

static u32 begin(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u16 type, u16 flags, const void *body, u32 n)
{
	struct nlmsghdr h = { .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = req->nlmsg_seq, .nlmsg_pid = sk->nlpid };
	u32 at = r->len;
	add(r, &h, sizeof(h));
	add(r, body, n);
	return at;
}

static void end(struct reply *r, u32 at) { ((struct nlmsghdr *)(r->b + at))->nlmsg_len = r->len - at; }

static void attr(struct reply *r, u16 type, const void *p, u32 n)
{
	struct rtattr a = { RTA_LENGTH(n), type };
	u8 buf[40];
	memcpy(buf, &a, sizeof(a));
	memcpy(buf + sizeof(a), p, n);
	add(r, buf, a.rta_len);
}

static void attr32(struct reply *r, u16 type, u32 v) { attr(r, type, &v, 4); }

static u32 addr_len(u8 family) { return family == AF_INET ? 4 : 16; }

static void links(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u16 flags, u32 only)
{
	for (u32 i = 1; i <= NETIFS; i++) {
		const struct netif *n = &netifs[i - 1];
		struct ifinfomsg m = { .ifi_type = n->hw, .ifi_index = i, .ifi_flags = n->flags };
		if (only && only != i)
			continue;
		u32 at = begin(r, sk, req, RTM_NEWLINK, flags, &m, sizeof(m));
		attr(r, IFLA_IFNAME, n->name, strlen(n->name) + 1);
		attr32(r, IFLA_TXQLEN, 1000);
		attr32(r, IFLA_MTU, n->mtu);
		attr(r, IFLA_OPERSTATE, i == 1 ? "\0" : "\6", 1);
		attr(r, IFLA_ADDRESS, n->mac, 6);
		attr(r, IFLA_BROADCAST, i == 1 ? "\0\0\0\0\0\0" : "\xff\xff\xff\xff\xff\xff", 6);
		end(r, at);
	}
}

static void addrs(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u8 family)
{
	for (u32 i = 1; i <= NETIFS; i++) {
		const struct netif *n = &netifs[i - 1];
		bool v4 = family == AF_INET;
		struct ifaddrmsg m = { .ifa_family = family, .ifa_prefixlen = v4 ? n->prefix : n->prefix6, .ifa_flags = 0x80 /* permanent */,
			.ifa_scope = i == 1 ? RT_SCOPE_HOST : 0, .ifa_index = i };
		const u8 *a = v4 ? n->addr : n->addr6;
		u32 at = begin(r, sk, req, RTM_NEWADDR, NLM_F_MULTI, &m, sizeof(m));
		attr(r, IFA_ADDRESS, a, addr_len(family));
		if (v4) {
			attr(r, IFA_LOCAL, a, 4);
			if (i == 2)
				attr(r, IFA_BROADCAST, n->bcast, 4);
			attr(r, IFA_LABEL, n->name, strlen(n->name) + 1);
		}
		attr32(r, IFA_FLAGS, 0x80);
		end(r, at);
	}
}

static void route(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u16 flags, const struct route *t)
{
	u32 n = addr_len(t->family);
	struct rtmsg m = { .rtm_family = t->family, .rtm_dst_len = t->prefix, .rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = t->has_via ? RTPROT_BOOT : RTPROT_KERNEL,
		.rtm_scope = t->has_via || t->family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK, .rtm_type = RTN_UNICAST };
	u32 at = begin(r, sk, req, RTM_NEWROUTE, flags, &m, sizeof(m));
	attr32(r, RTA_TABLE, RT_TABLE_MAIN);
	if (t->prefix)
		attr(r, RTA_DST, t->dst, n);
	if (t->has_via)
		attr(r, RTA_GATEWAY, t->via, n);
	if (t->family == AF_INET && (t->prefix == 32 || !t->has_via))
		attr(r, RTA_PREFSRC, netifs[t->ifindex - 1].addr, 4);
	if (t->family == AF_INET6 && t->prefix == 128)
		attr(r, RTA_PREFSRC, netifs[t->ifindex - 1].addr6, 16);
	attr32(r, RTA_OIF, t->ifindex);
	if (t->metric)
		attr32(r, RTA_PRIORITY, t->metric);
	end(r, at);
}

static void routes(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u8 family)
{
	struct route t[4];
	u32 n = net_routes(t);
	for (u32 i = 0; i < n; i++)
		if (family == AF_UNSPEC || family == t[i].family)
			route(r, sk, req, NLM_F_MULTI, &t[i]);
}

static void error(struct reply *r, struct sock *sk, const struct nlmsghdr *req, int err)
{
	struct nlmsgerr e = { .error = err, .msg = *req };
	u32 at = begin(r, sk, req, NLMSG_ERROR, 0, &e, sizeof(e));
	end(r, at);
}

/* "ip route get": the way to one address. */
static void route_to(struct reply *r, struct sock *sk, const struct nlmsghdr *req, const u8 *body, u32 len)
{
	struct rtmsg m;
	struct route t[4], way = { .ifindex = 0 };
	u32 n = net_routes(t);
	if (len < sizeof(m))
		goto bad;
	memcpy(&m, body, sizeof(m));
	way.family = m.rtm_family;
	if (m.rtm_family != AF_INET && m.rtm_family != AF_INET6)
		goto bad;
	u32 size = addr_len(way.family);
	struct inaddr to = { .port = 0 };
	for (u32 at = sizeof(m); len - at >= sizeof(struct rtattr);) {
		struct rtattr a;
		memcpy(&a, body + at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > len - at)
			break;
		if (a.rta_type == RTA_DST && a.rta_len == RTA_LENGTH(size))
			memcpy(way.dst, body + at + sizeof(a), size);
		if (RTA_ALIGN(a.rta_len) >= len - at)
			break;
		at += RTA_ALIGN(a.rta_len);
	}
	memcpy(to.a, way.dst, 16);
	if (way.family == AF_INET) {
		memset(to.a, 0, 16);
		memset(to.a + 10, 0xff, 2);
		memcpy(to.a + 12, way.dst, 4);
	}
	way.prefix = size * 8;
	if (inet_local(to.a))
		way.ifindex = 1;
	for (u32 i = 0; i < n && !way.ifindex; i++)
		if (t[i].family == way.family && !memcmp(t[i].dst, way.dst, t[i].prefix / 8)) {
			way.ifindex = t[i].ifindex;
			way.has_via = t[i].has_via;
			memcpy(way.via, t[i].via, 16);
		}
	if (!way.ifindex) {
		error(r, sk, req, -ENETUNREACH);
		return;
	}
	route(r, sk, req, 0, &way);
	return;
bad:
	error(r, sk, req, -EINVAL);
}

static int deliver(struct sock *sk, struct reply *r)
{
	struct smsg m = { .flags = 0 };
	iter_kernel(&m.it, r->b, r->len);
	if (!dgram_room(sk, r->len)) {
		sk->err = ENOBUFS;
		return -ENOBUFS;
	}
	struct skmsg *msg = skmsg_new(&m, r->len);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	dgram_deliver(sk, msg);
	return 0;
}

static void done(struct reply *r, struct sock *sk, const struct nlmsghdr *req)
{
	u32 zero = 0, at = begin(r, sk, req, NLMSG_DONE, NLM_F_MULTI, &zero, 4);
	end(r, at);
}

/* One request of len bytes; body: what follows its header. */
static int request(struct sock *sk, const struct nlmsghdr *req, const u8 *body, u32 len)
{
	struct reply *r = kmalloc(sizeof(*r));
	u8 family = len > sizeof(*req) ? body[0] : AF_UNSPEC;
	bool dump = (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (!r)
		return -ENOMEM;
	r->len = 0;
	if (req->nlmsg_type < NLMSG_MIN_TYPE) {
		if (req->nlmsg_flags & NLM_F_ACK)
			error(r, sk, req, 0);
	} else if (req->nlmsg_type == RTM_GETLINK && dump) {
		links(r, sk, req, NLM_F_MULTI, 0);
		done(r, sk, req);
	} else if (req->nlmsg_type == RTM_GETLINK) {
		struct ifinfomsg m = { 0 };
		memcpy(&m, body, MIN(len - (u32)sizeof(*req), (u32)sizeof(m)));
		if (m.ifi_index >= 1 && m.ifi_index <= NETIFS)
			links(r, sk, req, 0, m.ifi_index);
		else
			error(r, sk, req, m.ifi_index ? -ENODEV : -EINVAL);
	} else if (req->nlmsg_type == RTM_GETADDR && dump) {
		if (family != AF_INET6)
			addrs(r, sk, req, AF_INET);
		if (family != AF_INET)
			addrs(r, sk, req, AF_INET6);
		done(r, sk, req);
	} else if (req->nlmsg_type == RTM_GETROUTE && dump) {
		routes(r, sk, req, family);
		done(r, sk, req);
	} else if (req->nlmsg_type == RTM_GETROUTE) {
		route_to(r, sk, req, body, len - sizeof(*req));
	} else {
		error(r, sk, req, -EOPNOTSUPP);
	}
	int e = r->len ? deliver(sk, r) : 0;
	kfree(r);
	return e;
}

static long nl_send(struct sock *sk, struct smsg *m)
{
	size_t len = m->it.left;
	int r = 0;
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (len > REQUEST_MAX)
		return -EMSGSIZE;
	if (!sk->nlpid)
		sk->nlpid = curproc()->pid;
	u8 *buf = kmalloc(len + 1);
	if (!buf)
		return -ENOMEM;
	if (len && iter_get(&m->it, buf, len) != (long)len)
		r = -EFAULT;
	for (u32 at = 0; !r && len - at >= sizeof(struct nlmsghdr);) {
		struct nlmsghdr h;
		memcpy(&h, buf + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len - at)
			break;
		if (h.nlmsg_flags & NLM_F_REQUEST)
			r = request(sk, &h, buf + at + sizeof(h), h.nlmsg_len);
		if (NLMSG_ALIGN(h.nlmsg_len) >= len - at)
			break;
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
	kfree(buf);
	return r ? r : (long)len;
}

static int nl_parse(const struct saddr *sa, u32 *pid)
{
	struct sockaddr_nl nl;
	if (sa->len < sizeof(nl))
		return -EINVAL;
	memcpy(&nl, sa->b, sizeof(nl));
	if (nl.nl_family != AF_NETLINK)
		return -EINVAL;
	*pid = nl.nl_pid;
	return 0;
}

static int nl_bind(struct sock *sk, const struct saddr *sa)
{
	static u32 next = 0xfffff000; /* a second socket of a process gets a number no process has */
	static u32 last;
	u32 pid;
	int r = nl_parse(sa, &pid);
	if (r)
		return r;
	if (sk->nlpid)
		return pid && pid != sk->nlpid ? -EINVAL : 0;
	if (!pid)
		pid = last == (u32)curproc()->pid ? next-- : (last = curproc()->pid);
	sk->nlpid = pid;
	return 0;
}

static int nl_connect(struct sock *sk, const struct saddr *sa, bool nonblock)
{
	u32 pid;
	int r = sa->family == AF_UNSPEC ? 0 : nl_parse(sa, &pid);
	return !r && sa->family != AF_UNSPEC && pid ? -ECONNREFUSED : r;
}

static void nl_format(u32 pid, struct saddr *sa)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_pid = pid };
	memcpy(sa->b, &nl, sizeof(nl));
	sa->len = sizeof(nl);
}

static int nl_name(struct sock *sk, struct saddr *sa, bool peer)
{
	nl_format(peer ? 0 : sk->nlpid, sa);
	return 0;
}

static void nl_from(struct sock *sk, const struct skmsg *msg, struct saddr *sa) { nl_format(0, sa); }

static u32 nl_poll(struct sock *sk, struct poll_table *pt)
{
	poll_wait(pt, &sk->wq);
	return (list_empty(&sk->msgs) ? 0 : POLL_IN) | POLL_OUT | (sk->err ? POLLERR : 0);
}

const struct sock_ops netlink_ops = {
	.bind = nl_bind, .connect = nl_connect, .send = nl_send, .recv = dgram_recv, .poll = nl_poll, .name = nl_name,
	.from = nl_from, .release = dgram_purge,
};

int netlink_post(struct file *f, const void *p, size_t n)
{
	struct sock *sk = f->priv;
	if (f->ops != &socket_fops)
		return -ENOTSOCK;
	if (sk->ops != &netlink_ops)
		return -EINVAL;
	struct skmsg *msg = n && dgram_room(sk, n) ? skmsg_alloc(n) : NULL;
	if (msg) {
		memcpy(msg->data, p, n);
		dgram_deliver(sk, msg);
	}
	return 0;
}
