/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c: AF_INET and AF_INET6 SOCK_DGRAM; what leaves the guest goes to flow.c. */
#include "sock.h"

#define UDP_MAX 65507

/* Who receives what `from` sends to `to`: a socket connected to from, else an exact address, else any. Sockets that
 * share a port by SO_REUSEPORT take turns. */
static struct sock *find(const struct inaddr *to, const struct inaddr *from)
{
	static u32 turn;
	struct sock *best = NULL;
	u32 rank = 0, equals = 0;
	list_for_each(l, inet_bucket(true, to->port)) {
		struct sock *sk = list_entry(l, struct sock, in_ports);
		if (sk->local.port != to->port || !inet_covers(sk, to->a))
			continue;
		if (sk->state == SS_CONNECTED && !inaddr_same(&sk->remote, from))
			continue;
		u32 r = 1 + (sk->state == SS_CONNECTED ? 2 : 0) + !inaddr_any(sk->local.a);
		if (r < rank)
			continue;
		equals = r > rank ? 1 : equals + 1;
		if (r > rank || (sk->opt[OPT_REUSEPORT] && turn % equals == 0))
			best = sk;
		rank = r;
	}
	turn++;
	return best;
}

static long udp_send(struct sock *sk, struct smsg *m)
{
	struct inaddr to, from;
	size_t len = m->it.left;
	int r = 0;
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (len > UDP_MAX)
		return -EMSGSIZE;
	if (m->addr && m->addr->len) {
		r = inet_parse(sk, m->addr, &to, false);
		if (!r && !to.port)
			r = -EINVAL;
	} else if (sk->state == SS_CONNECTED) {
		to = sk->remote;
	} else {
		r = -EDESTADDRREQ;
	}
	if (!r && sk->err) {
		r = -sk->err;
		sk->err = 0;
	}
	if (!r && sk->shut & SHUT_SND)
		r = -EPIPE;
	if (!r)
		r = inet_autobind(sk);
	if (r) {
		if (r == -EPIPE && !(m->flags & MSG_NOSIGNAL))
			sigpipe();
		return r;
	}
	inet_this_host(&to);
	if (!inet_local(to.a)) {
		r = inaddr_loopback(m->to) ? -EINVAL : inet_outbound(sk, to.a);
		struct skmsg *out = r ? ERR_PTR(r) : skmsg_new(m, len);
		r = IS_ERR(out) ? (int)PTR_ERR(out) : flow_send(sk, &to, out);
		return r ? r : (long)len;
	}
	/* The name that the receiver sees: an unbound one answers from the address it was sent to. */
	from = sk->local;
	if (!inaddr_any(m->to)) {
		memcpy(from.a, m->to, 16);
	} else if (inaddr_any(from.a)) {
		u8 keep[16];
		memcpy(keep, sk->local.a, 16);
		inet_source(sk, to.a);
		from = sk->local;
		memcpy(sk->local.a, keep, 16);
	}
	struct sock *dst = find(&to, &from);
	if (!dst && outbound_loopback(to.a)) {
		struct skmsg *out = skmsg_new(m, len);
		r = IS_ERR(out) ? (int)PTR_ERR(out) : flow_send(sk, &to, out);
		return r ? r : (long)len;
	}
	if (!dst) {
		if (sk->state == SS_CONNECTED) { /* what the ICMP answer does */
			sk->err = ECONNREFUSED;
			waitq_wake(&sk->wq, POLL_IN | POLL_OUT | POLLERR);
		}
		return len;
	}
	if (!dgram_room(dst, len))
		return len; /* lost, as datagrams may be */
	struct skmsg *msg = skmsg_new(m, len);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	msg->from = from;
	memcpy(msg->to, to.a, 16);
	msg->tos = m->tos ? m->tos : sk->opt[sk->family == AF_INET ? OPT_TOS : OPT_TCLASS];
	dgram_deliver(dst, msg);
	return len;
}

static int udp_connect(struct sock *sk, const struct saddr *sa, bool nonblock)
{
	struct inaddr to;
	if (sa->family == AF_UNSPEC) {
		sk->state = SS_FREE;
		inet_disconnect(sk);
		return 0;
	}
	int r = inet_parse(sk, sa, &to, false);
	if (r)
		return r;
	inet_this_host(&to);
	r = inet_local(to.a) ? 0 : inet_outbound(sk, to.a);
	if (!r)
		r = inet_autobind(sk);
	if (r)
		return r;
	inet_source(sk, to.a);
	sk->remote = to;
	sk->state = SS_CONNECTED;
	return 0;
}

static u32 udp_poll(struct sock *sk, struct poll_table *pt)
{
	poll_wait(pt, &sk->wq);
	return (list_empty(&sk->msgs) ? 0 : POLL_IN) | POLL_OUT | (sk->err ? POLLERR : 0) |
	       (sk->shut & SHUT_RCV ? POLL_IN | POLLRDHUP : 0) | (sk->shut == SHUT_BOTH ? POLLHUP : 0);
}

static long udp_recv(struct sock *sk, struct smsg *m)
{
	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (list_empty(&sk->msgs))
		queue_poll();
	return dgram_recv(sk, m);
}

static int udp_shutdown(struct sock *sk, int how)
{
	stream_fin(sk, how + 1); /* even if it is not connected, as Linux does */
	return sk->state == SS_CONNECTED ? 0 : -ENOTCONN;
}

static void udp_from(struct sock *sk, const struct skmsg *msg, struct saddr *sa) { inet_format(sk, &msg->from, sa); }

static void udp_release(struct sock *sk)
{
	inet_unbind(sk);
	dgram_purge(sk);
	flow_close_all(sk);
}

const struct sock_ops udp_ops = {
	.bind = inet_bind, .connect = udp_connect, .send = udp_send, .recv = udp_recv, .poll = udp_poll,
	.shutdown = udp_shutdown, .name = inet_name, .from = udp_from, .release = udp_release,
};
