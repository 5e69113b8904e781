/* SPDX-License-Identifier: Apache-2.0 */
/* xstream.c: a stream to the monitor: credit for sending, the receive buffer, credit given back. */
#include "stream.h"
#include "errno.h"

void xs_init(struct xstream *x, u32 conn, struct waitq *wq)
{
	memset(x, 0, sizeof(*x));
	x->conn = conn;
	x->credit = x->window = UFS_CONN_WINDOW;
	list_init(&x->room.link);
	x->room.wq = wq;
}

void xs_free(struct xstream *x)
{
	bytes_drop(&x->rx, x->rx.len);
	list_del(&x->room.link);
}

long xs_send(struct xstream *x, struct iter *it)
{
	size_t start = it->left;
	while (it->left && x->credit) {
		u32 n = MIN(it->left, (size_t)x->credit);
		u32 room = queue_data_room();
		if (!room) {
			queue_want_room(&x->room);
			if (!(room = queue_data_room()))
				break;
		}
		size_t before = it->left;
		int r = queue_send_iter(UFS_MSG_DATA, x->conn, it, MIN(n, room));
		x->credit -= before - it->left;
		if (r < 0 && it->left == start)
			return r;
		if (r <= 0 || it->left == before)
			break;
	}
	return start - it->left;
}

int xs_receive(struct xstream *x, const struct spans *s)
{
	u32 n = s->n + s->n2;
	if (n > x->window)
		return -EPROTO;
	int r = bytes_add(&x->rx, s->p, s->n);
	if (!r)
		r = bytes_add(&x->rx, s->p2, s->n2);
	x->window -= n;
	return r;
}

void xs_credit(struct xstream *x, u32 more)
{
	x->credit = x->credit + more < x->credit ? ~0U : x->credit + more;
}

void xs_taken(struct xstream *x, u32 n)
{
	x->taken += n;
	if (x->taken < UFS_CONN_WINDOW / 2)
		return;
	queue_control(UFS_MSG_CREDIT, x->conn, x->taken);
	x->window += x->taken;
	x->taken = 0;
}
