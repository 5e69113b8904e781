/* SPDX-License-Identifier: Apache-2.0 */
/* dgram.c: queues of messages: UDP, AF_UNIX datagrams and packets, netlink. */
#include "sock.h"

#define QUEUE_MAX 512 /* messages */

struct skmsg *skmsg_alloc(size_t len)
{
	struct skmsg *msg = kmalloc(sizeof(*msg) + len);
	if (!msg)
		return NULL;
	memset(msg, 0, sizeof(*msg));
	list_init(&msg->link);
	msg->len = len;
	return msg;
}

struct skmsg *skmsg_new(struct smsg *m, size_t len)
{
	struct skmsg *msg = skmsg_alloc(len);
	if (!msg)
		return ERR_PTR(-ENOMEM);
	if (len && iter_get(&m->it, msg->data, len) != (long)len) {
		kfree(msg);
		return ERR_PTR(-EFAULT);
	}
	msg->scm = m->scm;
	m->scm = NULL;
	msg->cred = m->cred;
	return msg;
}

void skmsg_free(struct skmsg *msg)
{
	scm_free(msg->scm);
	uname_put(msg->name);
	kfree(msg);
}

/* An empty queue takes a message of any size. */
bool dgram_room(struct sock *to, size_t len)
{
	return !to->nmsgs || (to->nmsgs < QUEUE_MAX && to->msgbytes + len <= (u32)to->opt[OPT_RCVBUF]);
}

void dgram_deliver(struct sock *to, struct skmsg *msg)
{
	msg->stamp = to->opt[OPT_TIMESTAMP] | to->opt[OPT_TIMESTAMPNS] ? real_ns() : 0;
	list_add_tail(&msg->link, &to->msgs);
	to->msgbytes += msg->len + sizeof(*msg);
	to->nmsgs++;
	waitq_wake(&to->wq, POLL_IN);
}

static void dequeue(struct sock *sk, struct skmsg *msg)
{
	list_del(&msg->link);
	sk->msgbytes -= msg->len + sizeof(*msg);
	sk->nmsgs--;
	if (msg->flow)
		flow_taken(msg->flow, msg->len);
	while (!list_empty(&sk->starved)) {
		struct sock *from = list_first(&sk->starved, struct sock, in_starved);
		list_del(&from->in_starved);
		waitq_wake(&from->wq, POLL_OUT);
	}
}

long dgram_recv(struct sock *sk, struct smsg *m)
{
	u64 deadline = 0;
	for (;;) {
		if (sk->err) { /* comes before data, unlike with streams */
			int e = sk->err;
			sk->err = 0;
			return -e;
		}
		if (!list_empty(&sk->msgs))
			break;
		if (sk->shut & SHUT_RCV)
			return 0;
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		if (!deadline)
			deadline = deadline_in(sk->rcvtimeo);
		long r = sock_wait(sk, !list_empty(&sk->msgs) || sk->err || sk->shut & SHUT_RCV, deadline);
		if (r)
			return r;
	}
	struct skmsg *msg = list_first(&sk->msgs, struct skmsg, link);
	size_t n = MIN((size_t)msg->len, m->it.left);
	bool peek = m->flags & MSG_PEEK;
	if (!peek)
		dequeue(sk, msg); /* first: nobody else may see it while we copy */
	long r = n ? iter_put(&m->it, msg->data, n) : 0;
	if (r != (long)n)
		r = -EFAULT;
	else
		r = m->flags & MSG_TRUNC ? msg->len : n;
	m->out |= n < msg->len ? MSG_TRUNC : 0;
	m->cred = msg->cred;
	m->stamp = msg->stamp;
	memcpy(m->to, msg->to, 16);
	m->tos = msg->tos;
	if (m->addr && sk->ops->from)
		sk->ops->from(sk, msg, m->addr);
	if (peek) {
		m->scm = msg->scm ? scm_dup(msg->scm) : NULL;
	} else {
		m->scm = msg->scm;
		msg->scm = NULL;
		skmsg_free(msg);
	}
	return r;
}

void dgram_purge(struct sock *sk)
{
	list_del(&sk->in_starved);
	while (!list_empty(&sk->msgs)) {
		struct skmsg *msg = list_first(&sk->msgs, struct skmsg, link);
		dequeue(sk, msg);
		skmsg_free(msg);
	}
	while (!list_empty(&sk->starved)) {
		struct sock *from = list_first(&sk->starved, struct sock, in_starved);
		list_del(&from->in_starved);
		waitq_wake(&from->wq, POLL_OUT);
	}
}
