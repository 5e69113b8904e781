/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c: listening sockets: backlogs, accept, who waits to get into a full backlog. */
#include "sock.h"

bool backlog_full(struct sock *ls) { return ls->nback > ls->maxback; } /* one more than asked for, as on Linux */

void backlog_add(struct sock *ls, struct sock *sk)
{
	list_add_tail(&sk->in_backlog, &ls->backlog);
	ls->nback++;
	waitq_wake(&ls->wq, POLL_IN);
}

static int establish(struct sock *ls, struct sock *sk)
{
	struct sock *child = ls->ops->child(ls, sk);
	if (!child)
		return -ENOMEM;
	stream_pair(sk, child);
	sk->peercred = ls->cred;
	backlog_add(ls, child);
	return 0;
}

int listener_connect(struct sock *ls, struct sock *sk)
{
	if (!backlog_full(ls))
		return establish(ls, sk);
	sk->state = SS_CONNECTING;
	list_add_tail(&sk->in_backlog, &ls->connectors);
	return 0;
}

void connect_failed(struct sock *sk, int err)
{
	list_del(&sk->in_backlog);
	sk->state = SS_FREE;
	sk->err = err;
	sk->shut = sk->family == AF_UNIX ? 0 : SHUT_BOTH;
	waitq_wake(&sk->wq, POLL_IN | POLL_OUT | POLLERR | POLLHUP);
}

static void refill(struct sock *ls)
{
	while (!backlog_full(ls) && !list_empty(&ls->connectors)) {
		struct sock *sk = list_first(&ls->connectors, struct sock, in_backlog);
		list_del(&sk->in_backlog);
		int r = establish(ls, sk);
		if (r)
			connect_failed(sk, -r);
		else
			waitq_wake(&sk->wq, POLL_OUT);
	}
}

int sock_listen(struct sock *sk, int backlog)
{
	sk->maxback = (u32)backlog > BACKLOG_MAX ? BACKLOG_MAX : backlog;
	if (sk->state == SS_LISTEN) {
		refill(sk);
		return 0;
	}
	if (sk->state != SS_FREE)
		return -EINVAL;
	int r = sk->ops->listen(sk);
	if (r)
		return r;
	sk->cred = cred_current();
	sk->state = SS_LISTEN;
	return 0;
}

struct sock *sock_accept(struct sock *ls, bool nonblock)
{
	u64 deadline = 0;
	if (list_empty(&ls->backlog))
		queue_poll();
	while (list_empty(&ls->backlog)) {
		if (ls->state != SS_LISTEN || ls->shut & SHUT_RCV)
			return ERR_PTR(-EINVAL);
		if (nonblock)
			return ERR_PTR(-EAGAIN);
		if (!deadline)
			deadline = deadline_in(ls->rcvtimeo);
		long r = sock_wait(ls, !list_empty(&ls->backlog) || ls->state != SS_LISTEN || ls->shut & SHUT_RCV, deadline);
		if (r)
			return ERR_PTR(r);
	}
	struct sock *sk = list_first(&ls->backlog, struct sock, in_backlog);
	list_del(&sk->in_backlog);
	ls->nback--;
	refill(ls);
	return sk;
}

void sock_unaccept(struct sock *ls, struct sock *sk)
{
	if (ls->state != SS_LISTEN) {
		sock_end(sk);
		return;
	}
	list_add(&sk->in_backlog, &ls->backlog);
	ls->nback++;
}

void listener_stop(struct sock *ls)
{
	while (!list_empty(&ls->connectors))
		connect_failed(list_first(&ls->connectors, struct sock, in_backlog), ECONNREFUSED);
	while (!list_empty(&ls->backlog)) {
		struct sock *sk = list_first(&ls->backlog, struct sock, in_backlog);
		list_del(&sk->in_backlog);
		ls->nback--;
		sk->linger = 0; /* nobody will ever read: a reset, as Linux sends */
		sock_end(sk);
	}
}
