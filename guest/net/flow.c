/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.c: what leaves the guest: ids of outbound streams, and datagrams to addresses outside.
 *
 * A UDP socket has a flow for each address outside that it sends to: a stream over the rings, made by the first
 * datagram, which waits in it until the monitor has said that it is connected. Flows are few: the one used
 * longest ago makes room. What the program sees is a socket that any of these addresses may answer.
 */
#include "sock.h"
#include "platform.h"
#include "snapshot.h"

#define BUCKETS 32
#define FLOWS_SOCK 64
#define FLOWS_ALL 512
#define CONN_UDP 0x40000000 /* in ids of flows, so that no id is a TCP stream's, too */

struct flow {
	struct list in_conns, in_sock, in_all; /* the latter two: last used first */
	struct sock *sk;                  /* NULL: closed, but datagrams wait to be sent */
	struct inaddr to;
	u32 conn, credit, window;
	bool connected;
	int err;                          /* the monitor refused it: what the next datagram is told */
	struct list pending;
};

static struct list conns[BUCKETS], all = LIST_INIT(all);
static u32 nflows;

bool outbound_allowed(void) { return BOOT->flags & UFS_BOOT_NET; }

bool outbound_loopback(const u8 dst[16])
{
	return BOOT->flags & UFS_BOOT_LOOPBACK && inaddr_loopback(dst);
}

int outbound_errno(u32 arg) { return arg && arg <= 133 ? (int)arg : EIO; }

u32 outbound_open(u32 proto, const struct inaddr *to)
{
	static u32 next;
	bool v4 = inaddr_v4(to->a);
	struct ufs_addr a = { .family = v4 ? 4 : 6, .port = to->port };
	u32 conn = UFS_CONN_GUEST | (proto == UFS_PROTO_UDP ? CONN_UDP : 0) | (++next & (CONN_UDP - 1));
	memcpy(a.addr, to->a + (v4 ? 12 : 0), v4 ? 4 : 16);
	queue_control_data(UFS_MSG_CONNECT, conn, proto, &a, sizeof(a));
	return conn;
}

/* ---- flows ---- */

static struct list *bucket(u32 conn)
{
	struct list *l = &conns[conn % BUCKETS];
	if (unlikely(!l->next))
		list_init(l);
	return l;
}

static struct flow *find(u32 conn)
{
	list_for_each(l, bucket(conn)) {
		struct flow *f = list_entry(l, struct flow, in_conns);
		if (f->conn == conn)
			return f;
	}
	return NULL;
}

/* tell: the monitor may still have it. */
static void drop(struct flow *f, bool tell)
{
	if (tell && !f->err)
		queue_control(UFS_MSG_RESET, f->conn, 0);
	while (!list_empty(&f->pending)) {
		struct skmsg *msg = list_first(&f->pending, struct skmsg, link);
		list_del(&msg->link);
		skmsg_free(msg);
	}
	list_del(&f->in_conns);
	list_del(&f->in_sock);
	list_del(&f->in_all);
	if (f->sk)
		f->sk->nflows--;
	nflows--;
	kfree(f);
}

static void used(struct flow *f)
{
	list_del(&f->in_sock);
	list_add(&f->in_sock, &f->sk->flows);
	list_del(&f->in_all);
	list_add(&f->in_all, &all);
}

static struct flow *flow_to(struct sock *sk, const struct inaddr *to)
{
	list_for_each(l, &sk->flows) {
		struct flow *f = list_entry(l, struct flow, in_sock);
		if (inaddr_same(&f->to, to))
			return f;
	}
	if (sk->nflows >= FLOWS_SOCK)
		drop(list_entry(sk->flows.prev, struct flow, in_sock), true);
	if (nflows >= FLOWS_ALL)
		drop(list_entry(all.prev, struct flow, in_all), true);
	struct flow *f = kzalloc(sizeof(*f));
	if (!f)
		return NULL;
	f->sk = sk;
	f->to = *to;
	f->credit = f->window = UFS_CONN_WINDOW;
	list_init(&f->pending);
	list_init(&f->in_sock);
	list_init(&f->in_all);
	f->conn = outbound_open(UFS_PROTO_UDP, to);
	list_add(&f->in_conns, bucket(f->conn));
	sk->nflows++;
	nflows++;
	return f;
}

/* As a network does: what finds no credit or no room in the ring is lost. */
static void transmit(struct flow *f, struct skmsg *msg)
{
	if (msg->len <= f->credit && queue_send(UFS_MSG_DATA, f->conn, 0, msg->data, msg->len))
		f->credit -= msg->len;
	skmsg_free(msg);
}

int flow_send(struct sock *sk, const struct inaddr *to, struct skmsg *msg)
{
	struct flow *f = flow_to(sk, to);
	int r = f ? -f->err : -ENOBUFS;
	if (r) {
		skmsg_free(msg);
		if (f)
			drop(f, false);
		return r;
	}
	used(f);
	if (f->connected) {
		transmit(f, msg);
		return 0;
	}
	u32 waiting = msg->len;
	list_for_each(l, &f->pending)
		waiting += list_entry(l, struct skmsg, link)->len + 1;
	if (waiting > f->credit)
		skmsg_free(msg);
	else
		list_add_tail(&msg->link, &f->pending);
	return 0;
}

void flow_taken(u32 conn, u32 n)
{
	struct flow *f = find(conn);
	if (!f || !n)
		return;
	f->window += n;
	queue_control(UFS_MSG_CREDIT, conn, n); /* at once: a datagram cannot wait for half of its credit */
}

void flow_close_all(struct sock *sk)
{
	while (!list_empty(&sk->flows)) {
		struct flow *f = list_first(&sk->flows, struct flow, in_sock);
		if (list_empty(&f->pending)) {
			drop(f, true);
			continue;
		}
		list_del(&f->in_sock);
		f->sk = NULL;
	}
	sk->nflows = 0;
}

/* Linux tells errors that come back to connected sockets only, and to those that ask for them. */
static bool error(struct flow *f, int err)
{
	struct sock *sk = f->sk;
	if (!sk || ((sk->state != SS_CONNECTED || !inaddr_same(&sk->remote, &f->to)) &&
		    !sk->opt[sk->family == AF_INET ? OPT_RECVERR : OPT_V6_RECVERR]))
		return false;
	sk->err = err;
	waitq_wake(&sk->wq, POLL_IN | POLL_OUT | POLLERR);
	return true;
}

static void connected(struct flow *f, u32 arg)
{
	if (f->connected)
		return;
	if (arg) {
		if (error(f, outbound_errno(arg)) || !f->sk) {
			drop(f, false);
		} else {
			f->err = outbound_errno(arg);
			list_del(&f->in_conns);
		}
		return;
	}
	f->connected = true;
	while (!list_empty(&f->pending)) {
		struct skmsg *msg = list_first(&f->pending, struct skmsg, link);
		list_del(&msg->link);
		transmit(f, msg);
	}
	if (!f->sk)
		drop(f, true);
}

static void receive(struct flow *f, const struct spans *s)
{
	u32 n = s->n + s->n2;
	struct sock *sk = f->sk;
	if (!f->connected || n > f->window || n > UFS_DGRAM_MAX) {
		klog("datagram stream %u: %u bytes came that it had no credit for: it is reset", f->conn, n);
		drop(f, true);
		return;
	}
	f->window -= n;
	struct skmsg *msg = NULL;
	if (!(sk->shut & SHUT_RCV) && dgram_room(sk, n) && (sk->state != SS_CONNECTED || inaddr_same(&sk->remote, &f->to)))
		msg = skmsg_alloc(n);
	if (!msg) {
		flow_taken(f->conn, n);
		return;
	}
	memcpy(msg->data, s->p, s->n);
	memcpy(msg->data + s->n, s->p2, s->n2);
	msg->from = f->to;
	msg->flow = f->conn;
	memcpy(msg->to, inaddr_v4(f->to.a) ? inet_guest : inet_guest6, 16);
	dgram_deliver(sk, msg);
}

/* A message for a stream that the guest opened; false: it is not a flow's. */
bool flow_message(const struct ufs_msg *m, const struct spans *s)
{
	if (!(m->conn & UFS_CONN_GUEST) || !(m->conn & CONN_UDP))
		return false;
	struct flow *f = find(m->conn);
	if (!f) {
		if (m->type == UFS_MSG_DATA)
			queue_control(UFS_MSG_RESET, m->conn, 0);
		return true;
	}
	switch (m->type) {
	case UFS_MSG_DATA:
		if (f->sk)
			receive(f, s);
		break;
	case UFS_MSG_CREDIT:
		f->credit = f->credit + m->arg < f->credit ? ~0U : f->credit + m->arg;
		break;
	case UFS_MSG_CONNECTED:
		connected(f, m->arg);
		break;
	case UFS_MSG_ERROR:
		error(f, outbound_errno(m->arg));
		break;
	case UFS_MSG_RESET: /* the next datagram makes a new one */
		if (m->arg)
			error(f, outbound_errno(m->arg));
		drop(f, false);
	}
	return true;
}

void flow_reset_all(void)
{
	for (u32 i = 0; i < BUCKETS; i++)
		list_for_each_safe(l, n, bucket(i)) {
			struct flow *f = list_entry(l, struct flow, in_conns);
			error(f, ECONNRESET);
			drop(f, false);
		}
}
