/* SPDX-License-Identifier: Apache-2.0 */
/* cputimer.c: timers on CPU-time clocks, exact to the moment while the owner runs, free while it does not. */
#include "internal.h"

struct list cputimers_parked = LIST_INIT(cputimers_parked);

static bool owner_runs(const struct cputimer *c, const struct thread *t)
{
	return t->cpu_start != NOT_RUNNING && (c->owner.t ? c->owner.t == t : c->owner.p == t->proc);
}

static void aim(struct cputimer *c)
{
	u64 used = cpuclock_ns(c->owner);
	timer_set(&c->kt, now_ns() + (c->expiry > used ? c->expiry - used : 0));
}

static void due(struct ktimer *kt)
{
	struct cputimer *c = container_of(kt, struct cputimer, kt);
	if (cpuclock_ns(c->owner) >= c->expiry)
		c->fn(c);
	else if (owner_runs(c, current()))
		aim(c);
	else
		list_add_tail(&c->parked, &cputimers_parked);
}

void cputimer_init(struct cputimer *c, struct cpuclock owner, void (*fn)(struct cputimer *))
{
	memset(c, 0, sizeof(*c));
	c->owner = owner;
	c->fn = fn;
	c->kt.fn = due;
	list_init(&c->parked);
}

void cputimer_set(struct cputimer *c, u64 expiry)
{
	cputimer_cancel(c);
	c->expiry = expiry;
	aim(c);
}

void cputimer_cancel(struct cputimer *c)
{
	timer_cancel(&c->kt);
	list_del(&c->parked);
}

void cputimers_resume(struct thread *next)
{
	list_for_each_safe(l, n, &cputimers_parked) {
		struct cputimer *c = list_entry(l, struct cputimer, parked);
		if (owner_runs(c, next)) {
			list_del(&c->parked);
			aim(c);
		}
	}
}
