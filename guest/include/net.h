/* SPDX-License-Identifier: Apache-2.0 */
/* net.h: the two rings to the monitor and the streams on them. */
#ifndef UFS_NET_H
#define UFS_NET_H
#include "ufs.h"
/* net/ring.c, host-testable: byte ring arithmetic. */
/* net/queue.c */
void queue_init(void);
/* Take every message the monitor has put in, dispatch it, wake who waits. Cheap when there is none (one load). */
void queue_poll(void);
bool queue_rx_ready(void);
/* Put one message; false when the tx ring has no room (wait on queue_room, or drop). bell: ring the doorbell now. */
bool queue_send(u16 type, u32 conn, u32 arg, const void *data, u32 len);
/* Same from user memory (may fault): 1 sent, 0 no room, -EFAULT. After a fault midway fewer bytes go: see it->left. */
struct iter;
int queue_send_iter(u16 type, u32 conn, struct iter *it, u32 len);
/* Who sent something waits for its answer: the monitor shall look now, also while other threads run. */
void queue_hurry(void);
/* Block until the tx ring has room for a message of len bytes; 0 or -ERESTARTSYS. */
struct waitq;
extern struct waitq queue_room;
/* Console streams (net/console.c). */
void console_write_kernel(u32 conn, const char *s, size_t n);
/* One record of a system call for the log; lost if the log takes no more now. */
void console_trace(u32 kind, const void *record, u32 n);
/* Sleeps until the log takes n bytes more, or its reader is gone. */
void console_wait_room(u32 n);
void net_init(void);
/* net/netlink.c: a message of the kernel to the netlink socket f, if it has room; n 0: only looks. 0, -ENOTSOCK or -EINVAL. */
struct file;
int netlink_post(struct file *f, const void *p, size_t n);
#endif
