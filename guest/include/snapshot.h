/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.h: what a restore from a snapshot concerns: when one is worth taking, what has to change afterwards. */
#ifndef UFS_SNAPSHOT_H
#define UFS_SNAPSHOT_H
#include "ufs.h"
#include "proc.h"

/* net/restore.c: is this a moment for a snapshot, nobody having anything to do (UFS_IDLE_READY)? */
bool snapshot_ready(void);

/* fs/snapdev.c: what /dev/snapshot tells. */
bool snapshot_wanted(void);                 /* the program has said so, or leaves it to us */
void snapshot_restored(u64 generation);     /* tells who waits to hear of it */

/* Who is woken when this happens is, or leads to, a thread that sleeps for it (fs/epoll.c). */
bool waitq_awaited(struct waitq *q);
bool tcp_awaited(void);                     /* net/tcp.c: somebody waits for a connection */
bool tcp_read_awaited(void);                /* or for bytes on one */
bool job_awaited(void);                     /* proc/spawn.c: SPAWN is waited for */

/* What a new instance may not have of the old one. */
void stack_renew(void);                     /* proc/stack.c: AT_RANDOM's bytes */
void host_rename(const char *name, u32 n);  /* net/names.c */
void tcp_reset_all(u32 but);                /* net/tcp.c, flow.c: streams that led outside */
void flow_reset_all(void);
#endif
