/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scm.c: descriptors on their way through AF_UNIX sockets.
 *
 * A socket whose descriptor is only in messages that wait in sockets of the same kind, in itself even, can never be
 * received. Such sockets are found as a garbage collector does: what has a reference that is not a message's is
 * reached, and what messages in the reached hold; the messages of the others lose their descriptors.
 */
#include "sock.h"

static u32 in_flight; /* descriptors, in the whole guest */
static u32 closes;    /* of AF_UNIX sockets since the last collection */

static void collect(void);

struct scm *scm_alloc(u32 n)
{
	u64 max = MAX(curproc()->rlim[7].cur, 64UL);
	if (in_flight + n > max)
		collect();
	if (in_flight + n > max)
		return ERR_PTR(-ETOOMANYREFS);
	struct scm *s = kzalloc(sizeof(*s) + n * sizeof(s->f[0]));
	if (!s)
		return NULL;
	list_init(&s->link);
	s->n = n;
	in_flight += n;
	return s;
}

struct scm *scm_dup(struct scm *s)
{
	struct scm *d = scm_alloc(s->n);
	if (!d || IS_ERR(d))
		return NULL;
	for (u32 i = 0; i < s->n; i++)
		if ((d->f[i] = s->f[i]))
			file_get(d->f[i]);
	return d;
}

/* Closing a socket frees what is in it, perhaps sockets with descriptors in them, and so on: a list, not recursion. */
void scm_free(struct scm *s)
{
	static struct list dead = LIST_INIT(dead);
	static bool draining;
	if (!s)
		return;
	list_del(&s->link);
	list_add_tail(&s->link, &dead);
	if (draining)
		return;
	draining = true;
	while (!list_empty(&dead)) {
		s = list_first(&dead, struct scm, link);
		list_del(&s->link);
		in_flight -= s->n;
		for (u32 i = 0; i < s->n; i++)
			if (s->f[i])
				file_put(s->f[i]);
		kfree(s);
	}
	draining = false;
}

/* ---- sockets that only messages know ---- */

static struct list reached = LIST_INIT(reached);

static void reach(struct sock *sk)
{
	if (sk->reached)
		return;
	sk->reached = true;
	list_add_tail(&sk->in_gc, &reached);
}

static void count(struct sock *sk) { sk->inflight++; }

static void each_socket(struct scm *s, void (*fn)(struct sock *sk))
{
	for (u32 i = 0; s && i < s->n; i++)
		if (s->f[i] && s->f[i]->ops == &socket_fops)
			fn(s->f[i]->priv);
}

static void each_message(struct sock *sk, void (*fn)(struct sock *sk))
{
	list_for_each(l, &sk->scms)
		each_socket(list_entry(l, struct scm, link), fn);
	list_for_each(l, &sk->msgs)
		each_socket(list_entry(l, struct skmsg, link)->scm, fn);
}

static void collect(void)
{
	static bool busy;
	struct list garbage = LIST_INIT(garbage);
	if (busy)
		return;
	busy = true;
	closes = 0;
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		sk->inflight = 0;
		sk->reached = false;
	}
	list_for_each(l, &socks)
		each_message(list_entry(l, struct sock, in_all), count);
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		if (sk->file ? sk->file->refs > sk->inflight : list_empty(&sk->in_backlog))
			reach(sk);
	}
	while (!list_empty(&reached)) {
		struct sock *sk = list_first(&reached, struct sock, in_gc);
		list_del(&sk->in_gc);
		each_message(sk, reach);
		list_for_each(l, &sk->backlog)
			reach(list_entry(l, struct sock, in_backlog));
	}
	list_for_each(l, &socks) {
		struct sock *sk = list_entry(l, struct sock, in_all);
		if (sk->reached)
			continue;
		while (!list_empty(&sk->scms)) {
			struct list *s = sk->scms.next;
			list_del(s);
			list_add_tail(s, &garbage);
		}
		list_for_each(k, &sk->msgs) {
			struct skmsg *msg = list_entry(k, struct skmsg, link);
			if (msg->scm)
				list_add_tail(&msg->scm->link, &garbage);
			msg->scm = NULL;
		}
	}
	while (!list_empty(&garbage))
		scm_free(list_first(&garbage, struct scm, link));
	busy = false;
}

/* Not each time: looking at all sockets should cost as much as the closing did. */
void scm_closed(void)
{
	if (in_flight && ++closes > 16 + in_flight)
		collect();
}
