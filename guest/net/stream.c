/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c: connected byte streams: TCP inside the guest and over the rings, AF_UNIX SOCK_STREAM.
 *
 * Inside the guest a writer puts its bytes straight into the reader's buffer; over the rings they go from the
 * program's memory into the tx ring. States and poll bits are those of Linux's tcp.c and af_unix.c.
 */
#include "sock.h"

void stream_pair(struct sock *a, struct sock *b)
{
	sock_get(a);
	sock_get(b);
	a->peer = b;
	b->peer = a;
	a->state = b->state = SS_CONNECTED;
	a->peercred = b->cred;
	b->peercred = a->cred;
}

/* What may be on its way from sk to its peer: the sender's buffer, with TCP half of both sides'. */
static u32 limit(struct sock *sk)
{
	if (likely(!sk->bufs && (!sk->peer || !sk->peer->bufs)))
		return SOCK_LIMIT;
	if (sk->family == AF_UNIX)
		return sk->opt[OPT_SNDBUF];
	return (sk->bufs & 1 ? (u32)sk->opt[OPT_SNDBUF] : SOCK_LIMIT) / 2 +
	       (sk->peer && sk->peer->bufs & 2 ? (u32)sk->peer->opt[OPT_RCVBUF] : SOCK_LIMIT) / 2;
}

/* Room in the peer's buffer; a peer that is gone takes everything, see push(). */
static u32 peer_room(struct sock *sk)
{
	struct sock *p = sk->peer;
	u32 max = limit(sk);
	if (!p || p->state == SS_DEAD)
		return max;
	return p->x.rx.len < max ? max - p->x.rx.len : 0;
}

/* Not at the first free byte: a writer that is woken should find worthwhile room. */
bool stream_writable(struct sock *sk)
{
	return sk->external ? xs_writable(&sk->x) : peer_room(sk) >= limit(sk) / 3;
}

/* Have both sides said that they send no more? Then TCP's connection is over, with or without descriptors. */
static void stream_closed(struct sock *sk)
{
	if (sk->fin_seen && sk->shut & SHUT_SND && sk->state == SS_CONNECTED)
		sk->state = SS_CLOSED;
}

void stream_fin(struct sock *sk, u8 shut)
{
	bool news = (sk->shut & shut) != shut;
	sk->shut |= shut;
	if (sk->type == SOCK_STREAM && sk->family != AF_UNIX) {
		sk->fin_seen = true;
		stream_closed(sk);
	}
	if (!news)
		return;
	waitq_wake(&sk->wq, POLL_IN | POLLRDHUP | (sk->shut == SHUT_BOTH ? POLLHUP | POLL_OUT : 0));
}

void stream_reset(struct sock *sk, int err)
{
	sk->err = err;
	sk->shut = SHUT_BOTH;
	if (sk->state != SS_DEAD)
		sk->state = SS_CLOSED;
	waitq_wake(&sk->wq, POLL_IN | POLL_OUT | POLLERR | POLLHUP | POLLRDHUP);
}

/* Moves what fits now: bytes, 0 no room, or a negative errno. */
static long push(struct sock *sk, struct smsg *m)
{
	long n;
	if (sk->external) {
		n = xs_send(&sk->x, &m->it);
		sk->nospace = m->it.left > 0;
		return n;
	}
	struct sock *p = sk->peer;
	if (p->state == SS_DEAD || (p->shut == SHUT_BOTH && sk->family != AF_UNIX)) {
		/* What is sent to a TCP socket that nobody can read goes well and is answered by a reset. */
		n = m->it.left;
		m->it.left = 0;
		stream_reset(sk, EPIPE);
		return n;
	}
	u32 room = peer_room(sk);
	if (!room) {
		sk->nospace = true;
		return 0;
	}
	u64 start = p->rx_pos + p->x.rx.len;
	n = bytes_put(&p->x.rx, &m->it, room);
	if (n <= 0)
		return n;
	sk->nospace = m->it.left > 0;
	p->rxcred = m->cred;
	if (m->scm) {
		m->scm->start = start;
		m->scm->end = start + n;
		list_add_tail(&m->scm->link, &p->scms);
		m->scm = NULL;
	}
	waitq_wake(&p->wq, POLL_IN);
	return n;
}

/* The error that a send meets now, 0 if none. Takes sk->err. */
static long send_error(struct sock *sk)
{
	if (sk->err) {
		int e = sk->err;
		sk->err = 0;
		return -e;
	}
	if (sk->family == AF_UNIX) {
		if (sk->state == SS_FREE || sk->state == SS_LISTEN || sk->state == SS_CONNECTING)
			return -ENOTCONN;
		if (sk->shut & SHUT_SND || !sk->peer || sk->peer->state == SS_DEAD || sk->peer->shut & SHUT_RCV)
			return -EPIPE;
		return 0;
	}
	if (sk->shut & SHUT_SND || (sk->state != SS_CONNECTED && sk->state != SS_CONNECTING))
		return -EPIPE;
	return 0;
}

static bool may_push(struct sock *sk)
{
	if (sk->err || sk->shut & SHUT_SND)
		return true;
	if (sk->state == SS_CONNECTING)
		return false;
	return sk->state != SS_CONNECTED || stream_writable(sk);
}

long stream_send(struct sock *sk, struct smsg *m)
{
	size_t total = m->it.left;
	u64 deadline = 0;
	long r;
	for (;;) {
		r = send_error(sk);
		if (r)
			break;
		if (!m->it.left)
			return total;
		r = sk->state == SS_CONNECTING ? 0 : push(sk, m);
		if (r < 0)
			break;
		if (!m->it.left)
			return total;
		if (r)
			continue;
		r = -EAGAIN;
		if (m->flags & MSG_DONTWAIT) {
			queue_poll();
			if (!may_push(sk))
				break;
			continue;
		}
		if (!deadline)
			deadline = deadline_in(sk->sndtimeo);
		r = sock_wait(sk, may_push(sk), deadline);
		if (r)
			break;
	}
	if (total > m->it.left) {
		if (r != -EPIPE && r != -EAGAIN && r != -EINTR && r != -ERESTARTSYS && r != -EFAULT && r != -ENOMEM)
			sk->err = -r; /* for the next call */
		return total - m->it.left;
	}
	if (r == -EPIPE && !(m->flags & MSG_NOSIGNAL))
		sigpipe();
	return r;
}

/* The reader took n bytes. */
static void taken(struct sock *sk, u32 n)
{
	sk->rx_pos += n;
	if (sk->external) {
		if (sk->state == SS_CONNECTED && !(sk->shut & SHUT_RCV))
			xs_taken(&sk->x, n);
		return;
	}
	struct sock *p = sk->peer;
	if (p && p->nospace && stream_writable(p)) {
		p->nospace = false;
		waitq_wake(&p->wq, POLL_OUT);
	}
}

/* Descriptors that go with the first n bytes; *n is cut so that the read ends where they do. */
static struct scm *scm_at(struct sock *sk, size_t *n)
{
	if (likely(list_empty(&sk->scms)))
		return NULL;
	struct scm *s = list_first(&sk->scms, struct scm, link);
	if (s->start >= sk->rx_pos + *n)
		return NULL;
	*n = MIN(*n, s->end - sk->rx_pos);
	return s;
}

long stream_recv(struct sock *sk, struct smsg *m)
{
	size_t want = m->it.left, done = 0;
	size_t target = m->flags & MSG_WAITALL ? want : MIN(want, (size_t)MAX(sk->opt[OPT_RCVLOWAT], 1));
	bool discard = m->flags & MSG_TRUNC && sk->family != AF_UNIX, peek = m->flags & MSG_PEEK;
	u64 deadline = 0;
	long r = 0;
	if (sk->state == SS_LISTEN || (sk->state == SS_FREE && !sk->err && !(sk->shut & SHUT_RCV)))
		return sk->family == AF_UNIX ? -EINVAL : -ENOTCONN;
	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (!sk->x.rx.len)
		queue_poll();
	for (;;) {
		if (sk->x.rx.len) {
			if (!want)
				break;
			size_t n = MIN((size_t)sk->x.rx.len, want - done);
			struct scm *s = scm_at(sk, &n);
			if (discard && !peek) {
				bytes_drop(&sk->x.rx, n);
				r = n;
			} else {
				r = discard ? (long)n : bytes_get(&sk->x.rx, &m->it, n, peek);
			}
			if (r < 0)
				break;
			done += r;
			m->cred = sk->rxcred;
			if (s && peek) {
				m->scm = scm_dup(s);
			} else if (s && !m->scm) {
				list_del(&s->link);
				m->scm = s;
			}
			if (peek)
				break;
			taken(sk, r);
			r = 0;
			if (s || done >= target)
				break;
			continue;
		}
		if (done && (sk->err || sk->shut & SHUT_RCV))
			break;
		if (sk->err && !sk->fin_seen) {
			r = -sk->err;
			sk->err = 0;
			break;
		}
		if (sk->shut & SHUT_RCV)
			break;
		r = -EAGAIN;
		if (m->flags & MSG_DONTWAIT)
			break;
		if (!deadline)
			deadline = deadline_in(sk->rcvtimeo);
		r = sock_wait(sk, sk->x.rx.len || sk->err || sk->shut & SHUT_RCV, deadline);
		if (r)
			break;
	}
	return done ? (long)done : r;
}

u32 listen_poll(struct sock *sk)
{
	return list_empty(&sk->backlog) ? 0 : POLL_IN;
}

u32 stream_poll(struct sock *sk, struct poll_table *pt)
{
	u32 bits = 0;
	poll_wait(pt, &sk->wq);
	if (sk->state == SS_LISTEN)
		return listen_poll(sk);
	if (sk->shut == SHUT_BOTH || sk->state == SS_CLOSED || sk->state == SS_FREE)
		bits |= POLLHUP;
	if (sk->shut & SHUT_RCV)
		bits |= POLL_IN | POLLRDHUP;
	if (sk->x.rx.len)
		bits |= POLL_IN;
	if (sk->shut & SHUT_SND || sk->state == SS_FREE || (sk->state == SS_CONNECTED && stream_writable(sk)))
		bits |= POLL_OUT;
	else if (sk->external && sk->state == SS_CONNECTED)
		xs_want_room(&sk->x);
	if (!(bits & POLL_OUT))
		sk->nospace = true;
	if (sk->err)
		bits |= POLLERR;
	return bits;
}

int stream_shutdown(struct sock *sk, int how)
{
	u8 new = (how + 1) & ~sk->shut;
	struct sock *p = sk->peer;
	if (sk->state == SS_LISTEN && sk->family != AF_UNIX) {
		if ((how + 1) & SHUT_RCV) {
			listener_stop(sk);
			sk->state = SS_FREE;
			waitq_wake(&sk->wq, POLL_IN | POLLHUP);
		}
		return 0;
	}
	if (sk->state != SS_CONNECTED && sk->state != SS_CONNECTING && sk->family != AF_UNIX)
		return -ENOTCONN;
	sk->shut |= new;
	if (new & SHUT_SND && sk->external)
		queue_control(UFS_MSG_EOF, sk->x.conn, 0);
	if (p && p->state != SS_DEAD) {
		if (new & SHUT_SND)
			stream_fin(p, SHUT_RCV);
		if (new & SHUT_RCV && sk->family == AF_UNIX)
			stream_fin(p, SHUT_SND);
	}
	stream_closed(sk);
	waitq_wake(&sk->wq, POLL_IN | POLLRDHUP | POLL_OUT | (sk->shut == SHUT_BOTH ? POLLHUP : 0));
	return 0;
}

void stream_release(struct sock *sk)
{
	struct sock *p = sk->peer;
	bool abort = sk->x.rx.len || (sk->linger == 0 && sk->family != AF_UNIX);
	if (sk->state == SS_LISTEN)
		listener_stop(sk);
	list_del(&sk->in_backlog);
	if (sk->state == SS_CONNECTED && p && p->state != SS_DEAD) {
		sk->state = SS_DEAD;
		if (abort) {
			stream_reset(p, sk->family != AF_UNIX && p->shut & SHUT_RCV ? EPIPE : ECONNRESET);
		} else {
			stream_fin(p, sk->family == AF_UNIX ? SHUT_BOTH : SHUT_RCV);
			if (p->nospace) {
				p->nospace = false;
				waitq_wake(&p->wq, POLL_OUT);
			}
		}
	}
	sk->state = SS_DEAD;
	sk->peer = NULL;
	sock_put(p);
	bytes_drop(&sk->x.rx, sk->x.rx.len);
	while (!list_empty(&sk->scms))
		scm_free(list_first(&sk->scms, struct scm, link));
}
