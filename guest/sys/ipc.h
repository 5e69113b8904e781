/* SPDX-License-Identifier: Apache-2.0 */
/* ipc.h: what System V's shared memory, semaphores and message queues have in common: keys, identifiers, permissions. One name space: the instance's. */
#ifndef UFS_IPC_H
#define UFS_IPC_H
#include "errno.h"
#include "mm.h"
#include "proc.h"

#define IPC_CREAT 01000
#define IPC_EXCL 02000
#define IPC_NOWAIT 04000
#define IPC_RMID 0
#define IPC_SET 1
#define IPC_STAT 2
#define IPC_INFO 3
#define IPC_64 0x100 /* what 32-bit programs add */
#define IPC_MAX 32768

struct ipc_perm { s32 key; u32 uid, gid, cuid, cgid, mode; u16 seq, pad; u32 pad2; u64 unused[2]; };
_Static_assert(sizeof(struct ipc_perm) == 48, "ipc64_perm");
struct ipc { struct ipc_perm perm; int id; }; /* the first member of each kind of object */
struct ipcs { struct ipc **v; u32 n; u16 seq; };

/* The object with this key that may be had; NULL: one has to be made; ERR_PTR. */
struct ipc *ipc_get(struct ipcs *t, s32 key, u32 flags);
int ipc_add(struct ipcs *t, struct ipc *o, s32 key, u32 mode); /* identifier, -ENOSPC, -ENOMEM */
void ipc_remove(struct ipcs *t, struct ipc *o);                /* the object is the caller's again */
struct ipc *ipc_find(struct ipcs *t, int id);                  /* NULL: EINVAL */
bool ipc_allowed(const struct ipc *o, u32 want);               /* want: 4 read, 2 write */
bool ipc_owned(const struct ipc *o);                           /* may be changed and removed */
void ipc_set(struct ipc *o, const struct ipc_perm *p);
s64 ipc_now(void);
#endif
