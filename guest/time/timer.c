/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer.c: one-shot timers in a pairing heap.
 *
 * The heap is made of the timers themselves, so arming one never needs memory and never fails. prev is the parent
 * for a first child, else the sibling on the left.
 */
#include "internal.h"
#include "platform.h"

static struct ktimer *root;

static void publish(void)
{
	CTL->next_timer = timer_next();
}

static struct ktimer *meld(struct ktimer *a, struct ktimer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->deadline < a->deadline) {
		struct ktimer *x = a;
		a = b;
		b = x;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	return a;
}

/* One heap of a list of siblings: melded in pairs from the left, then from the right into one. */
static struct ktimer *meld_all(struct ktimer *first)
{
	struct ktimer *pairs = NULL, *r = NULL;
	while (first) {
		struct ktimer *a = first, *b = a->next;
		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct ktimer *a = pairs;
		pairs = a->next;
		a->next = NULL;
		r = meld(r, a);
	}
	return r;
}

static void take_out(struct ktimer *t)
{
	struct ktimer *rest = meld_all(t->child);
	if (t == root) {
		root = rest;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		root = meld(root, rest);
	}
	t->child = t->next = t->prev = NULL;
	t->slot = 0;
}

void timer_set(struct ktimer *t, u64 deadline)
{
	struct ktimer *was = root;
	u64 at = timer_next();
	if (t->slot)
		take_out(t);
	t->deadline = deadline;
	t->child = t->next = t->prev = NULL;
	t->slot = 1;
	root = meld(root, t);
	if (root != was || root->deadline != at)
		publish();
}

void timer_cancel(struct ktimer *t)
{
	if (!t->slot)
		return;
	bool first = t == root;
	take_out(t);
	if (first)
		publish();
}

u64 timer_next(void)
{
	return root ? root->deadline : ~0ULL;
}

void timers_run(void)
{
	if (!root)
		return;
	u64 now = now_ns();
	if (root->deadline > now)
		return;
	/* Bounded, so that timers which re-arm themselves for the past cannot keep everything else from running. */
	for (int n = 0; n < 4096 && root && root->deadline <= now; n++) {
		struct ktimer *t = root;
		take_out(t);
		t->fn(t);
	}
	publish();
}
