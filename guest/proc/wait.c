/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c: wait queues. */
#include "proc.h"

static void wake_thread(struct waiter *w, u32 events)
{
	thread_wake(w->thread);
}

void waiter_init(struct waiter *w)
{
	list_init(&w->link);
	w->wake = wake_thread;
	w->thread = current();
	w->exclusive = 0;
}

/* Exclusive waiters stand behind all others, so that waking one is a walk that stops. */
void waitq_add(struct waitq *q, struct waiter *w)
{
	if (w->exclusive)
		list_add_tail(&w->link, &q->waiters);
	else
		list_add(&w->link, &q->waiters);
}

void waitq_remove(struct waiter *w)
{
	list_del(&w->link);
}

/*
 * wake() may remove its own waiter and others, or add some: a mark in the list keeps the place. Removed waiters are
 * never touched again, and one that is added while the walk is under way stands before the mark or is woken as well.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdangling-pointer" /* the mark is out of the list in the end */
static void wake(struct waitq *q, u32 events, bool one)
{
	struct waiter mark = { .wake = NULL };
	list_add(&mark.link, &q->waiters);
	while (mark.link.next != &q->waiters) {
		struct waiter *w = list_entry(mark.link.next, struct waiter, link);
		list_del(&mark.link);
		list_add(&mark.link, &w->link);
		if (!w->wake) /* the mark of a walk further out */
			continue;
		/* A thread that was woken but has not run yet still stands here: it must not swallow a second wake-up. */
		bool last = one && w->exclusive && (w->wake != wake_thread || w->thread->state == T_BLOCKED);
		w->wake(w, events);
		if (last)
			break;
	}
	list_del(&mark.link);
}
#pragma GCC diagnostic pop

void waitq_wake(struct waitq *q, u32 events)
{
	if (!list_empty(&q->waiters))
		wake(q, events, false);
}

void waitq_wake_one(struct waitq *q, u32 events)
{
	if (!list_empty(&q->waiters))
		wake(q, events, true);
}
