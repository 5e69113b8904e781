/* SPDX-License-Identifier: Apache-2.0 */
/* unixdgram.c: AF_UNIX SOCK_DGRAM, and the messages of SOCK_SEQPACKET. */
#include "sock.h"

#define MESSAGE_MAX (SOCK_LIMIT - 32)
/* A sender that finds a queue full is on that queue's list of starved ones. It can be on one only, so that a second
 * thread of it that waits for another queue must not rely on being woken. */
#define RECHECK (20 * 1000000ULL)

static void starve(struct sock *sk, struct sock *to)
{
	list_del(&sk->in_starved);
	list_add_tail(&sk->in_starved, &to->starved);
}

/* Is to somebody sk may send to? 0 or negative errno. */
static int reachable(struct sock *sk, struct sock *to)
{
	if (sk->type == SOCK_SEQPACKET)
		return sk->shut & SHUT_SND || to->state == SS_DEAD || to->shut & SHUT_RCV ? -EPIPE : 0;
	if (to->state == SS_DEAD)
		return -ECONNREFUSED;
	if (to->peer && to->peer != sk && to->peer->state != SS_DEAD)
		return -EPERM;
	return sk->shut & SHUT_SND || to->shut & SHUT_RCV ? -EPIPE : 0;
}

long unix_dgram_send(struct sock *sk, struct smsg *m)
{
	size_t len = m->it.left;
	bool named = m->addr && m->addr->len && sk->type == SOCK_DGRAM;
	struct sock *to = named ? unix_find(m->addr, SOCK_DGRAM) : sk->peer;
	u64 deadline = 0;
	long r;
	if (m->flags & MSG_OOB)
		r = -EOPNOTSUPP;
	else if (sk->err) {
		r = -sk->err;
		sk->err = 0;
	} else
		r = !to ? -ENOTCONN : IS_ERR(to) ? PTR_ERR(to) : len > MESSAGE_MAX ? -EMSGSIZE : 0;
	if (!named && to)
		sock_get(to);
	if (r)
		goto out;
	while (!(r = reachable(sk, to)) && !dgram_room(to, len)) {
		starve(sk, to);
		r = -EAGAIN;
		if (m->flags & MSG_DONTWAIT)
			goto out;
		if (!deadline)
			deadline = deadline_in(sk->sndtimeo);
		u64 soon = MIN(deadline, now_ns() + RECHECK);
		r = wait_on(&sk->wq, dgram_room(to, len) || reachable(sk, to), soon);
		if (r == -ETIMEDOUT)
			r = soon == deadline ? -EAGAIN : 0;
		if (r == -ERESTARTSYS && sk->sndtimeo)
			r = -EINTR;
		if (r)
			goto out;
	}
	if (!r) {
		struct skmsg *msg = skmsg_new(m, len);
		r = PTR_ERR(msg);
		if (!IS_ERR(msg)) {
			msg->name = uname_get(sk->name);
			dgram_deliver(to, msg);
			r = len;
		}
	}
out:
	if (r == -ECONNREFUSED && !named && sk->peer == to && sk->type == SOCK_DGRAM && to) {
		sk->peer = NULL;
		sk->state = SS_FREE;
		sock_put(to);
	}
	if (to && !IS_ERR(to))
		sock_put(to);
	if (r == -EPIPE && sk->type == SOCK_SEQPACKET && !(m->flags & MSG_NOSIGNAL))
		sigpipe();
	return r;
}

static long unix_dgram_recv(struct sock *sk, struct smsg *m)
{
	return m->flags & MSG_OOB ? -EOPNOTSUPP : dgram_recv(sk, m);
}

long unix_packet_recv(struct sock *sk, struct smsg *m)
{
	if (sk->state != SS_CONNECTED && sk->state != SS_CLOSED)
		return -ENOTCONN;
	return unix_dgram_recv(sk, m);
}

u32 unix_dgram_poll(struct sock *sk, struct poll_table *pt)
{
	struct sock *to = sk->peer;
	u32 bits = 0;
	poll_wait(pt, &sk->wq);
	if (sk->state == SS_LISTEN)
		return listen_poll(sk);
	if (sk->shut == SHUT_BOTH || (sk->type == SOCK_SEQPACKET && (sk->state == SS_FREE || sk->state == SS_CLOSED)))
		bits |= POLLHUP;
	if (sk->shut & SHUT_RCV)
		bits |= POLL_IN | POLLRDHUP;
	if (sk->nmsgs)
		bits |= POLL_IN;
	if (!to || to->state == SS_DEAD || dgram_room(to, 0))
		bits |= POLL_OUT;
	else
		starve(sk, to);
	return bits | (sk->err ? POLLERR : 0);
}

static int unix_dgram_connect(struct sock *sk, const struct saddr *sa, bool nonblock)
{
	struct sock *to = NULL;
	if (sa->family != AF_UNSPEC) {
		to = unix_find(sa, SOCK_DGRAM);
		if (IS_ERR(to))
			return PTR_ERR(to);
		if (to->peer && to->peer != sk && to->peer->state != SS_DEAD) {
			sock_put(to);
			return -EPERM;
		}
	}
	struct sock *old = sk->peer;
	sk->peer = to;
	sk->state = to ? SS_CONNECTED : SS_FREE;
	sock_put(old);
	return 0;
}

static int unix_dgram_shutdown(struct sock *sk, int how)
{
	stream_fin(sk, how + 1);
	return 0;
}

static void unix_dgram_from(struct sock *sk, const struct skmsg *msg, struct saddr *sa)
{
	if (msg->name)
		unix_format(msg->name, sa);
	else
		sa->len = 0;
}

static void unix_dgram_release(struct sock *sk)
{
	struct sock *p = sk->peer;
	unix_unbind(sk);
	sk->state = SS_DEAD;
	sk->peer = NULL;
	dgram_purge(sk);
	sock_put(p);
}

const struct sock_ops unix_dgram_ops = {
	.bind = unix_bind, .connect = unix_dgram_connect, .send = unix_dgram_send, .recv = unix_dgram_recv, .poll = unix_dgram_poll,
	.shutdown = unix_dgram_shutdown, .name = unix_name, .from = unix_dgram_from, .release = unix_dgram_release,
};
