/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h: byte streams to the monitor, what queue.c and their users (console.c, tcp.c) share. */
#ifndef UFS_STREAM_H
#define UFS_STREAM_H
#include "ufs.h"
#include "fs.h"
#include "net.h"
#include "bytes.h"

/* Payload of a message where it lies in the ring: at most two pieces. */
struct spans { const u8 *p; u32 n; const u8 *p2; u32 n2; };

/* ---- queue.c ---- */
/* Somebody who found no room in the tx ring; wq is woken once there is some. */
struct room_waiter { struct list link; struct waitq *wq; };
void queue_want_room(struct room_waiter *w);
/* Payload bytes that one DATA message could carry now. */
u32 queue_data_room(void);
/* Messages that must not get lost. */
void queue_control(u16 type, u32 conn, u32 arg);
void queue_control_data(u16 type, u32 conn, u32 arg, const void *data, u32 len); /* a short payload */
void console_message(const struct ufs_msg *m, const struct spans *s);
void tcp_message(const struct ufs_msg *m, const struct spans *s);
bool flow_message(const struct ufs_msg *m, const struct spans *s); /* false: no flow's */
void tcp_open(u32 conn, u32 port);
void host_message(const struct ufs_msg *m, const struct spans *s); /* fs/hostfs.c */
/* restore.c */
void restore_tables(const struct spans *s);
void free_done(const struct spans *s);
void restore_done(u32 kind, const struct spans *s);
/* proc/spawn.c: programs started by request. */
void job_spawn(u32 conn, const struct spans *env);
bool job_message(const struct ufs_msg *m, const struct spans *s); /* false: no job's */

/* ---- xstream.c: one stream with its credits ---- */
struct xstream {
	u32 conn;
	u32 credit;              /* bytes that we may still send */
	u32 window;              /* bytes that the monitor may still send */
	u32 taken;               /* bytes read since we last gave credit */
	struct bytes rx;
	struct room_waiter room;
};
void xs_init(struct xstream *x, u32 conn, struct waitq *wq);
void xs_free(struct xstream *x);
/* Sends what credit and ring allow now. Bytes, 0 if none (the wait queue is woken when it may be tried again), -EFAULT. */
long xs_send(struct xstream *x, struct iter *it);
static inline bool xs_writable(struct xstream *x) { return x->credit && queue_data_room(); }
/* Not writable: for the ring's fullness? Then be woken by its end, as by that of credit. */
static inline void xs_want_room(struct xstream *x)
{
	if (x->credit)
		queue_want_room(&x->room);
}
/* Payload that came: 0, -ENOMEM, or -EPROTO when the monitor had no credit for it. */
int xs_receive(struct xstream *x, const struct spans *s);
void xs_credit(struct xstream *x, u32 more);
/* n bytes were read from rx: gives credit back once half of the window is due. */
void xs_taken(struct xstream *x, u32 n);
#endif
