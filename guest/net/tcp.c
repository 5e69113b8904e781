/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.c: AF_INET and AF_INET6 SOCK_STREAM: connections inside the guest, and those that go over the rings.
 *
 * The monitor is told which ports are listened on, whatever local address they are bound to: it delivers requests to
 * programs that listen on 127.0.0.1 only, too. A stream from outside has 10.0.2.2 and a port made from its id as peer
 * (127.0.0.1 at a listener bound to a loopback address, where nobody else can come from). One to an address outside
 * is SS_CONNECTING until the monitor says how that went.
 */
#include "sock.h"
#include "platform.h"
#include "snapshot.h"

#define BUCKETS 64
#define CONNECT_TIMEOUT (127 * NSEC) /* for an answer or a place in a full backlog: as long as Linux repeats its SYN */

static struct list conns[BUCKETS], listeners = LIST_INIT(listeners); /* by in_conns */

static struct list *conn_bucket(u32 conn)
{
	struct list *l = &conns[conn % BUCKETS];
	if (unlikely(!l->next))
		list_init(l);
	return l;
}

static struct sock *conn_find(u32 conn)
{
	list_for_each(l, conn_bucket(conn)) {
		struct sock *sk = list_entry(l, struct sock, in_conns);
		if (sk->x.conn == conn)
			return sk;
	}
	return NULL;
}

/* ---- listeners ---- */

/* The listener for port that takes what is sent to dst; several: the one with the shortest backlog, in turn. outside: for a
 * stream over the rings, which any will do for. */
static struct sock *find_listener(const u8 *dst, u16 port, bool outside)
{
	static u32 turn;
	struct sock *best = NULL;
	int rank = 0;
	u32 equals = 0;
	turn++;
	list_for_each(l, inet_bucket(false, port)) {
		struct sock *sk = list_entry(l, struct sock, in_ports);
		if (sk->state != SS_LISTEN || sk->local.port != port)
			continue;
		int r = !inet_covers(sk, dst) ? outside : inaddr_any(sk->local.a) ? 2 : 3;
		if (!r || r < rank || (r == rank && sk->nback > best->nback))
			continue;
		equals = r == rank && sk->nback == best->nback ? equals + 1 : 1;
		if (turn % equals == 0)
			best = sk;
		rank = r;
	}
	return best;
}

static bool port_listened(u16 port, struct sock *except)
{
	list_for_each(l, inet_bucket(false, port)) {
		struct sock *sk = list_entry(l, struct sock, in_ports);
		if (sk != except && sk->state == SS_LISTEN && sk->local.port == port)
			return true;
	}
	return false;
}

static int tcp_listen(struct sock *sk)
{
	int r = inet_autobind(sk);
	if (r)
		return r;
	list_for_each(l, inet_bucket(false, sk->local.port)) {
		struct sock *o = list_entry(l, struct sock, in_ports);
		if (o != sk && o->state == SS_LISTEN && o->local.port == sk->local.port && inet_overlap(o, sk) &&
		    !(o->opt[OPT_REUSEPORT] && sk->opt[OPT_REUSEPORT]))
			return -EADDRINUSE;
	}
	if (!port_listened(sk->local.port, sk))
		queue_control(UFS_MSG_LISTEN, 0, sk->local.port);
	if (!CTL->tsc_listen)
		CTL->tsc_listen = rdtsc();
	list_add(&sk->in_conns, &listeners);
	return 0;
}

bool tcp_awaited(void)
{
	list_for_each(l, &listeners)
		if (waitq_awaited(&list_entry(l, struct sock, in_conns)->wq))
			return true;
	return false;
}

bool tcp_read_awaited(void)
{
	for (u32 i = 0; i < BUCKETS; i++)
		list_for_each(l, conn_bucket(i)) {
			struct sock *sk = list_entry(l, struct sock, in_conns);
			if (!(sk->x.conn & UFS_CONN_GUEST) && waitq_awaited(&sk->wq))
				return true;
		}
	return false;
}

static void tcp_unlisten(struct sock *sk)
{
	list_del(&sk->in_conns);
	if (!port_listened(sk->local.port, sk))
		queue_control(UFS_MSG_UNLISTEN, 0, sk->local.port);
}

static struct sock *new_child(struct sock *ls)
{
	struct sock *sk = sock_alloc(ls->family, ls->type, ls->proto, ls->ops);
	if (!sk)
		return NULL;
	memcpy(sk->opt, ls->opt, sizeof(sk->opt));
	sk->linger = ls->linger;
	sk->rcvtimeo = ls->rcvtimeo;
	sk->sndtimeo = ls->sndtimeo;
	sk->cred = ls->cred;
	return sk;
}

static struct sock *tcp_child(struct sock *ls, struct sock *from)
{
	struct sock *sk = new_child(ls);
	if (sk) {
		sk->local = from->remote;
		sk->remote = from->local;
	}
	return sk;
}

/* ---- streams from outside ---- */

void tcp_open(u32 conn, u32 port)
{
	struct sock *ls = port && port < 65536 ? find_listener(inet_guest, port, true) : NULL, *sk;
	/* Not as many as the backlog holds: on Linux a client repeats its SYN until there is room. Here it waits in the queue. */
	if (!ls || conn < UFS_CONN_FIRST || conn_find(conn) || ls->nback > BACKLOG_MAX || !(sk = new_child(ls))) {
		queue_control(UFS_MSG_RESET, conn, 0);
		return;
	}
	xs_init(&sk->x, conn, &sk->wq);
	sk->external = true;
	sk->state = SS_CONNECTED;
	sk->local.port = port;
	sk->remote.port = 1024 + conn % (65536 - 1024);
	bool loop = inaddr_loopback(ls->local.a);
	memcpy(sk->local.a, loop ? ls->local.a : inet_guest, 16);
	memcpy(sk->remote.a, loop ? ls->local.a : inet_host, 16);
	list_add(&sk->in_conns, conn_bucket(conn));
	backlog_add(ls, sk);
}

/* The monitor forgets the stream; so do we. */
static void conn_gone(struct sock *sk)
{
	list_del(&sk->in_conns);
	sk->x.credit = 0;
}

/* A connect() that is on its way comes to nothing. */
static void connect_abort(struct sock *sk, int err, bool tell)
{
	if (!list_empty(&sk->in_conns) && tell)
		queue_control(UFS_MSG_RESET, sk->x.conn, 0);
	conn_gone(sk);
	connect_failed(sk, err);
}

/* The monitor's answer to CONNECT; anything but that, and credit, has no place before it. */
static void answer(struct sock *sk, const struct ufs_msg *m)
{
	switch (m->type) {
	case UFS_MSG_CREDIT:
		return;
	case UFS_MSG_CONNECTED:
		if (m->arg) {
			connect_abort(sk, outbound_errno(m->arg), false);
			return;
		}
		sk->state = SS_CONNECTED;
		waitq_wake(&sk->wq, POLL_OUT);
		return;
	case UFS_MSG_RESET:
		connect_abort(sk, m->arg ? outbound_errno(m->arg) : ECONNREFUSED, false);
		return;
	}
	klog("stream %u: message %u before it was connected: it is reset", m->conn, m->type);
	connect_abort(sk, ECONNRESET, true);
}

void tcp_message(const struct ufs_msg *m, const struct spans *s)
{
	struct sock *sk = conn_find(m->conn);
	if (!sk) {
		/* Closed by the program, which does not read: the other side should stop sending. */
		if (m->type == UFS_MSG_DATA)
			queue_control(UFS_MSG_RESET, m->conn, 0);
		return;
	}
	if (sk->state == SS_CONNECTING) {
		answer(sk, m);
		return;
	}
	switch (m->type) {
	case UFS_MSG_DATA: {
		if (sk->shut == SHUT_BOTH && !sk->fin_seen) { /* nobody can read it */
			queue_control(UFS_MSG_RESET, m->conn, 0);
			conn_gone(sk);
			return;
		}
		int r = xs_receive(&sk->x, s);
		if (r) {
			klog("stream %u: %s: it is reset", m->conn, r == -ENOMEM ? "no memory for its data" : "more data than there was credit for");
			queue_control(UFS_MSG_RESET, m->conn, 0);
			conn_gone(sk);
			stream_reset(sk, r == -ENOMEM ? ENOMEM : ECONNRESET);
			return;
		}
		waitq_wake(&sk->wq, POLL_IN);
		return;
	}
	case UFS_MSG_EOF:
		if (sk->shut & SHUT_SND)
			conn_gone(sk);
		stream_fin(sk, SHUT_RCV);
		return;
	case UFS_MSG_RESET:
		conn_gone(sk);
		stream_reset(sk, m->arg ? outbound_errno(m->arg) : sk->shut & SHUT_RCV ? EPIPE : ECONNRESET);
		return;
	case UFS_MSG_ERROR: /* a soft one: told when asked for */
		sk->err = outbound_errno(m->arg);
		waitq_wake(&sk->wq, POLLERR);
		return;
	case UFS_MSG_CREDIT:
		xs_credit(&sk->x, m->arg);
		if (sk->nospace) {
			sk->nospace = false;
			waitq_wake(&sk->wq, POLL_OUT);
		}
	}
}

void tcp_reset_all(u32 but)
{
	for (u32 i = 0; i < BUCKETS; i++)
		list_for_each_safe(l, n, conn_bucket(i)) {
			struct ufs_msg m = { .type = UFS_MSG_RESET, .conn = list_entry(l, struct sock, in_conns)->x.conn, .arg = ECONNRESET };
			if (m.conn != but)
				tcp_message(&m, NULL);
		}
}

static void tcp_accepted(struct sock *sk)
{
	if (sk->external && !list_empty(&sk->in_conns))
		queue_control(UFS_MSG_ACCEPTED, sk->x.conn, 0);
}

/* ---- connect ---- */

static int connect_wait(struct sock *sk)
{
	u64 deadline = deadline_in(sk->sndtimeo ? sk->sndtimeo : CONNECT_TIMEOUT);
	int r = wait_on(&sk->wq, sk->state != SS_CONNECTING, deadline);
	if (r == -ETIMEDOUT && !sk->sndtimeo) {
		connect_abort(sk, 0, true);
		return r;
	}
	if (r) { /* it goes on: a later connect() tells how it ended */
		sk->in_progress = true;
		return r == -ETIMEDOUT ? -EINPROGRESS : sk->sndtimeo ? -EINTR : r;
	}
	sk->in_progress = false;
	r = -sk->err;
	sk->err = 0;
	return r;
}

/* The monitor's side of closing. */
static void conn_close(struct sock *sk)
{
	if (!sk->external || list_empty(&sk->in_conns))
		return;
	if (sk->x.rx.len || sk->linger == 0 || sk->state == SS_CONNECTING)
		queue_control(UFS_MSG_RESET, sk->x.conn, 0);
	else if (!(sk->shut & SHUT_SND))
		queue_control(UFS_MSG_EOF, sk->x.conn, 0);
	conn_gone(sk);
}

static void tcp_release(struct sock *sk)
{
	if (sk->state == SS_LISTEN)
		tcp_unlisten(sk);
	conn_close(sk);
	stream_release(sk);
	inet_unbind(sk);
}

/* connect() to AF_UNSPEC. */
static int tcp_disconnect(struct sock *sk)
{
	int linger = sk->linger, was = sk->state;
	if (was == SS_LISTEN || was == SS_FREE)
		return 0;
	sk->linger = 0;
	conn_close(sk);
	stream_release(sk);
	sk->linger = linger;
	sk->state = SS_FREE;
	sk->shut = 0;
	sk->err = was == SS_CONNECTED ? ECONNRESET : 0;
	sk->external = sk->fin_seen = sk->nospace = sk->in_progress = false;
	inet_disconnect(sk);
	return 0;
}

static void connect_outside(struct sock *sk)
{
	xs_free(&sk->x);
	xs_init(&sk->x, outbound_open(UFS_PROTO_TCP, &sk->remote), &sk->wq);
	sk->rx_pos = 0;
	sk->fin_seen = sk->nospace = false;
	sk->state = SS_CONNECTING;
	list_add(&sk->in_conns, conn_bucket(sk->x.conn));
}

static int tcp_connect(struct sock *sk, const struct saddr *sa, bool nonblock)
{
	struct inaddr to;
	if (sa->family == AF_UNSPEC)
		return tcp_disconnect(sk);
	int r = inet_parse(sk, sa, &to, false);
	if (r)
		return r;
	switch (sk->state) {
	case SS_CONNECTED:
		/* The first connect() after one that was in progress tells that it went well. */
		r = sk->in_progress ? 0 : -EISCONN;
		sk->in_progress = false;
		return r;
	case SS_CONNECTING:
		return nonblock ? -EALREADY : connect_wait(sk);
	case SS_LISTEN:
	case SS_CLOSED:
		return -EISCONN;
	}
	if (sk->in_progress) { /* how the last one ended, if nobody asked yet; the next tries again */
		r = sk->err ? -sk->err : -ECONNABORTED;
		sk->err = 0;
		sk->in_progress = false;
		return r;
	}
	inet_this_host(&to);
	bool outside = !inet_local(to.a);
	r = outside ? inet_outbound(sk, to.a) : 0;
	if (r)
		return r;
	struct sock *ls = to.port && !outside ? find_listener(to.a, to.port, false) : NULL;
	u8 any[16];
	memcpy(any, sk->local.a, 16);
	inet_source(sk, to.a);
	r = inet_autobind(sk);
	if (r) {
		memcpy(sk->local.a, any, 16);
		return r;
	}
	if (!ls && to.port && outbound_loopback(to.a) && !inaddr_same(&sk->local, &to))
		outside = true;
	sk->remote = to;
	sk->shut = 0;
	sk->err = 0;
	sk->external = outside;
	if (outside)
		connect_outside(sk);
	else if (!ls && inaddr_same(&sk->local, &to))
		stream_pair(sk, sk); /* both ends: SYNs that cross */
	else
		r = ls ? listener_connect(ls, sk) : -ECONNREFUSED;
	if (r && !sk->bound)
		memcpy(sk->local.a, any, 16);
	if (nonblock && (!r || r == -ECONNREFUSED)) {
		/* On Linux, too, the outcome comes a moment later, even on loopback. */
		sk->err = -r;
		sk->shut = r ? SHUT_BOTH : 0;
		sk->in_progress = true;
		waitq_wake(&sk->wq, POLL_OUT | (r ? POLL_IN | POLLERR | POLLHUP : 0));
		return -EINPROGRESS;
	}
	if (!r && sk->state == SS_CONNECTING)
		r = connect_wait(sk);
	return r;
}

static int tcp_shutdown(struct sock *sk, int how)
{
	if (sk->state == SS_CONNECTING) {
		connect_abort(sk, ECONNRESET, true);
		return 0;
	}
	bool listened = sk->state == SS_LISTEN;
	int r = stream_shutdown(sk, how);
	if (listened && sk->state != SS_LISTEN)
		tcp_unlisten(sk);
	if (!r && sk->external && sk->fin_seen && sk->shut & SHUT_SND)
		conn_gone(sk);
	return r;
}

static long tcp_send(struct sock *sk, struct smsg *m)
{
	return m->flags & MSG_OOB ? -EOPNOTSUPP : stream_send(sk, m);
}

static long tcp_recv(struct sock *sk, struct smsg *m)
{
	return m->flags & MSG_OOB ? -EINVAL : stream_recv(sk, m); /* there is none */
}

const struct sock_ops tcp_ops = {
	.bind = inet_bind, .connect = tcp_connect, .listen = tcp_listen, .accepted = tcp_accepted, .child = tcp_child,
	.send = tcp_send, .recv = tcp_recv, .poll = stream_poll, .shutdown = tcp_shutdown, .name = inet_name,
	.release = tcp_release,
};
