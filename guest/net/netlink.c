/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.c: NETLINK_ROUTE, enough to list the interfaces, their addresses and routes, which never change. */
#include "sock.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>

#define REPLY_MAX 1024
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

static const u8 lo4[4] = { 127, 0, 0, 1 }, eth4[4] = { 10, 0, 2, 2 }, bcast4[4] = { 10, 0, 2, 255 }, lo6[16] = { [15] = 1 };
static const u8 net4[4] = { 10, 0, 2, 0 };

static void links(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u16 flags, u32 only)
{
	for (u32 i = 1; i <= 2; i++) {
		bool lo = i == 1;
		struct ifinfomsg m = { .ifi_type = lo ? 772 : 1, .ifi_index = i, .ifi_flags = lo ? 0x10049 : 0x11043 };
		if (only && only != i)
			continue;
		u32 at = begin(r, sk, req, RTM_NEWLINK, flags, &m, sizeof(m));
		attr(r, IFLA_IFNAME, lo ? "lo" : "eth0", lo ? 3 : 5);
		attr32(r, IFLA_TXQLEN, 1000);
		attr32(r, IFLA_MTU, lo ? 65536 : 65520);
		attr(r, IFLA_OPERSTATE, lo ? "\0" : "\6", 1);
		attr(r, IFLA_ADDRESS, lo ? "\0\0\0\0\0\0" : "\x02\0\x0a\0\x02\x02", 6);
		attr(r, IFLA_BROADCAST, lo ? "\0\0\0\0\0\0" : "\xff\xff\xff\xff\xff\xff", 6);
		end(r, at);
	}
}

static void addr(struct reply *r, struct sock *sk, const struct nlmsghdr *req, u32 ifi, const u8 *a, u32 n, u8 prefix)
{
	struct ifaddrmsg m = { .ifa_family = n == 4 ? AF_INET : AF_INET6, .ifa_prefixlen = prefix, .ifa_flags = 0x80,
		.ifa_scope = ifi == 1 ? 254 : 0, .ifa_index = ifi };
	u32 at = begin(r, sk, req, RTM_NEWADDR, NLM_F_MULTI, &m, sizeof(m));
	attr(r, IFA_ADDRESS, a, n);
	if (n == 4) {
		attr(r, IFA_LOCAL, a, n);
		if (ifi == 2)
			attr(r, IFA_BROADCAST, bcast4, 4);
		attr(r, IFA_LABEL, ifi == 1 ? "lo" : "eth0", ifi == 1 ? 3 : 5);
	}
	attr32(r, IFA_FLAGS, 0x80);
	end(r, at);
}

static void routes(struct reply *r, struct sock *sk, const struct nlmsghdr *req)
{
	struct rtmsg m = { .rtm_family = AF_INET, .rtm_dst_len = 24, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_KERNEL,
		.rtm_scope = RT_SCOPE_LINK, .rtm_type = RTN_UNICAST };
	u32 at = begin(r, sk, req, RTM_NEWROUTE, NLM_F_MULTI, &m, sizeof(m));
	attr32(r, RTA_TABLE, RT_TABLE_MAIN);
	attr(r, RTA_DST, net4, 4);
	attr(r, RTA_PREFSRC, eth4, 4);
	attr32(r, RTA_OIF, 2);
	end(r, at);
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

static void error(struct reply *r, struct sock *sk, const struct nlmsghdr *req, int err)
{
	struct nlmsgerr e = { .error = err, .msg = *req };
	u32 at = begin(r, sk, req, NLMSG_ERROR, 0, &e, sizeof(e));
	end(r, at);
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
		if (m.ifi_index == 1 || m.ifi_index == 2)
			links(r, sk, req, 0, m.ifi_index);
		else
			error(r, sk, req, m.ifi_index ? -ENODEV : -EINVAL);
	} else if (req->nlmsg_type == RTM_GETADDR && dump) {
		if (family != AF_INET6) {
			addr(r, sk, req, 1, lo4, 4, 8);
			addr(r, sk, req, 2, eth4, 4, 24);
		}
		if (family != AF_INET)
			addr(r, sk, req, 1, lo6, 16, 128);
		done(r, sk, req);
	} else if (req->nlmsg_type == RTM_GETROUTE && dump) {
		if (family != AF_INET6)
			routes(r, sk, req);
		done(r, sk, req);
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
