/* SPDX-License-Identifier: Apache-2.0 */
/* futexkey.c: what identifies a futex word, and the table of waiters. */
#include "futex.h"

#define BUCKETS 256
static struct list table[BUCKETS];
static u32 by_page_waiters; /* while there are none, a wake-up need not find out about pages */
static u32 pi_waiters;

void futex_init(void)
{
	for (int i = 0; i < BUCKETS; i++)
		list_init(&table[i]);
}

struct list *fbucket(const struct fkey *key)
{
	u64 h = ((key->addr >> 2) ^ (key->where >> 6)) * 0x9e3779b97f4a7c15ULL;
	return &table[h >> 56];
}

struct lookup { u64 addr; bool shared; };

static void look(const struct mapinfo *m, void *arg)
{
	struct lookup *l = arg;
	if (l->addr >= m->start && l->addr < m->end)
		l->shared = m->flags & 1; /* MAP_SHARED */
}

int fkey_get(u32 *uaddr, bool shared, bool for_wake, struct fkey *key, bool *by_page)
{
	struct mm *mm = curproc()->mm;
	*by_page = false;
	if ((u64)uaddr & 3)
		return -EINVAL;
	if (!access_ok(uaddr, sizeof(*uaddr)))
		return -EFAULT;
	*key = (struct fkey){ (u64)mm + shared, (u64)uaddr };
	if (!shared || (for_wake && !by_page_waiters))
		return 0;
	struct lookup l = { (u64)uaddr, false };
	mm_each(mm, look, &l);
	if (!l.shared)
		return 0;
	u32 v;
	if (user_load32(uaddr, &v))
		return -EFAULT;
	const void *page = mm_peek(mm, (u64)uaddr & PAGE_MASK);
	if (!page)
		return -EFAULT;
	*key = (struct fkey){ (u64)page, (u64)uaddr & ~PAGE_MASK };
	*by_page = true;
	return 0;
}

void fwaiter_add(struct fwaiter *w, struct thread *t)
{
	w->thread = t;
	w->woken = false;
	by_page_waiters += w->by_page;
	pi_waiters += w->pi;
	struct list *head = fbucket(&w->key), *l = head->prev;
	while (l != head && list_entry(l, struct fwaiter, link)->thread->prio < t->prio)
		l = l->prev;
	list_add(&w->link, l);
}

void fwaiter_remove(struct fwaiter *w)
{
	if (list_empty(&w->link))
		return;
	list_del(&w->link);
	by_page_waiters -= w->by_page;
	pi_waiters -= w->pi;
}

void fwaiter_wake(struct fwaiter *w)
{
	fwaiter_remove(w);
	w->woken = true;
	thread_wake(w->thread);
}

int fwaiter_sleep(struct fwaiter *w, u64 deadline)
{
	int r = 0;
	while (!w->woken && !r)
		r = thread_block(deadline, true);
	fwaiter_remove(w);
	return w->woken ? w->err : r;
}

struct fwaiter *fwaiter_first(const struct fkey *key)
{
	list_for_each(l, fbucket(key)) {
		struct fwaiter *w = list_entry(l, struct fwaiter, link);
		if (fkey_equal(&w->key, key))
			return w;
	}
	return NULL;
}

struct fwaiter *fwaiter_of_owner(int tid)
{
	for (int i = 0; pi_waiters && i < BUCKETS; i++)
		list_for_each(l, &table[i]) {
			struct fwaiter *w = list_entry(l, struct fwaiter, link);
			if (w->pi && w->owner == tid)
				return w;
		}
	return NULL;
}
