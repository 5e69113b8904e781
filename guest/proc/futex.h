/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex.h: threads that wait on words of the program's memory.
 *
 * A private word is known by address space and address. A shared one in a MAP_SHARED mapping is known by its page, so
 * that processes which map it elsewhere meet; in private memory Linux falls back to the address, and so do we.
 */
#ifndef UFS_FUTEX_H
#define UFS_FUTEX_H
#include "internal.h"

#define FUTEX_WAITERS 0x80000000U
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_TID_MASK 0x3fffffffU
#define BITSET_ALL 0xffffffffU

struct fkey { u64 where, addr; };         /* address space or page; address or offset */
struct fwaiter {
	struct list link;                 /* in the bucket of its key */
	struct fkey key;
	struct thread *thread;
	u32 bitset;
	bool woken, by_page;
	bool pi;                          /* waits to own the word; owner is the thread that does */
	int owner, err;
	u32 *uaddr;
	struct mm *mm;
};

/* futexkey.c; for_wake: only find those who may be there. */
int fkey_get(u32 *uaddr, bool shared, bool for_wake, struct fkey *key, bool *by_page);
struct list *fbucket(const struct fkey *key);
static inline bool fkey_equal(const struct fkey *a, const struct fkey *b) { return a->where == b->where && a->addr == b->addr; }
void fwaiter_add(struct fwaiter *w, struct thread *t);
void fwaiter_remove(struct fwaiter *w);
void fwaiter_wake(struct fwaiter *w);
/* Sleeps until w was woken; w->err, -ETIMEDOUT, -ERESTARTSYS. Removes w. */
int fwaiter_sleep(struct fwaiter *w, u64 deadline);
struct fwaiter *fwaiter_first(const struct fkey *key);
struct fwaiter *fwaiter_of_owner(int tid);

/* futexpi.c */
long futex_lock_pi(u32 *uaddr, bool shared, u64 deadline, bool try);
long futex_unlock_pi(u32 *uaddr, bool shared);
void futex_pi_owner_died(struct thread *t);
#endif
