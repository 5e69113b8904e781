/* SPDX-License-Identifier: Apache-2.0 */
/* scm.c: descriptors on their way through AF_UNIX sockets. */
#include "sock.h"

/* Descriptors in flight in the whole guest: those in a socket that is itself in flight are never seen again, so
 * their number is bounded as on Linux. */
static u32 in_flight;

struct scm *scm_alloc(u32 n)
{
	if (in_flight + n > MAX(curproc()->rlim[7].cur, 64UL))
		return ERR_PTR(-ETOOMANYREFS);
	struct scm *s = kzalloc(sizeof(*s) + n * sizeof(s->f[0]));
	if (!s)
		return NULL;
	list_init(&s->link);
	s->n = n;
	in_flight += n;
	return s;
}

struct scm *scm_dup(struct scm *s)
{
	struct scm *d = scm_alloc(s->n);
	if (!d || IS_ERR(d))
		return NULL;
	for (u32 i = 0; i < s->n; i++)
		if ((d->f[i] = s->f[i]))
			file_get(d->f[i]);
	return d;
}

/* Closing a socket frees what is in it, perhaps sockets with descriptors in them, and so on: a list, not recursion. */
void scm_free(struct scm *s)
{
	static struct list dead = LIST_INIT(dead);
	static bool draining;
	if (!s)
		return;
	list_del(&s->link);
	list_add_tail(&s->link, &dead);
	if (draining)
		return;
	draining = true;
	while (!list_empty(&dead)) {
		s = list_first(&dead, struct scm, link);
		list_del(&s->link);
		in_flight -= s->n;
		for (u32 i = 0; i < s->n; i++)
			if (s->f[i])
				file_put(s->f[i]);
		kfree(s);
	}
	draining = false;
}
