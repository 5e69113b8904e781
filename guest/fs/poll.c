/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c: poll, ppoll, select, pselect6: waiting for any of several files. */
#include "poll.h"
#include "syscall.h"
#include "net.h"
#include "time.h"

void poll_wait(struct poll_table *pt, struct waitq *q)
{
	if (pt)
		pt->queue(pt, q);
}

long noop_seek(struct file *f, s64 off, int whence) { return f->pos; }

/* ---- one wait ---- */

struct poll_entry { struct waiter w; struct poller *p; };
struct poll_block { struct poll_block *next; struct poll_entry e[32]; };
struct poller {
	struct poll_table pt;    /* first */
	struct thread *thread;
	bool triggered, nomem;
	u32 n;                   /* entries used in the newest block, or in first */
	struct poll_block *more;
	struct poll_entry first[6];
};

static void poller_wake(struct waiter *w, u32 events)
{
	struct poller *p = container_of(w, struct poll_entry, w)->p;
	p->triggered = true;
	thread_wake(p->thread);
}

static void poller_queue(struct poll_table *pt, struct waitq *q)
{
	struct poller *p = (struct poller *)pt;
	struct poll_entry *e;
	if (!p->more && p->n < ARRAY_SIZE(p->first)) {
		e = &p->first[p->n++];
	} else {
		if (!p->more || p->n == ARRAY_SIZE(p->more->e)) {
			struct poll_block *b = kmalloc(sizeof(*b));
			if (!b) {
				p->nomem = true;
				return;
			}
			b->next = p->more;
			p->more = b;
			p->n = 0;
		}
		e = &p->more->e[p->n++];
	}
	waiter_init(&e->w);
	e->w.wake = poller_wake;
	e->p = p;
	waitq_add(q, &e->w);
}

static void poller_end(struct poller *p)
{
	u32 n = p->n;
	while (p->more) {
		struct poll_block *b = p->more;
		while (n)
			waitq_remove(&b->e[--n].w);
		p->more = b->next;
		n = p->more ? ARRAY_SIZE(b->e) : ARRAY_SIZE(p->first);
		kfree(b);
	}
	while (n)
		waitq_remove(&p->first[--n].w);
}

/* What is asked about one descriptor. f holds a reference while the call lasts: its wait queues must stay. */
struct pent { int fd; u32 want, got; struct file *f; };

static u32 scan(struct pent *e, u32 n, struct poller *p)
{
	u32 ready = 0;
	struct poll_table *pt = p ? &p->pt : NULL;
	for (u32 i = 0; i < n; i++) {
		if (e[i].fd < 0)
			continue;
		if (e[i].f) {
			u32 bits = file_poll(e[i].f, ready ? NULL : pt);
			bits |= (bits & POLLIN ? POLLRDNORM : 0) | (bits & POLLOUT ? POLLWRNORM : 0);
			e[i].got = bits & e[i].want;
		}
		ready += e[i].got != 0;
	}
	return ready;
}

/* How many of the entries are ready, 0 at the deadline, -EINTR, -ENOMEM. */
static long poll_entries(struct pent *e, u32 n, u64 deadline)
{
	struct poller p;
	p.pt.queue = poller_queue;
	p.thread = current();
	p.triggered = p.nomem = false;
	p.n = 0;
	p.more = NULL;
	queue_poll();
	for (u32 i = 0; i < n; i++) {
		e[i].f = e[i].fd >= 0 ? fd_get(e[i].fd) : NULL;
		e[i].got = e[i].fd >= 0 && !e[i].f ? POLLNVAL : 0;
	}
	struct poller *reg = deadline ? &p : NULL;
	int blocked = 0;
	long r;
	for (;;) {
		p.triggered = false;
		r = scan(e, n, reg);
		reg = NULL; /* registered once */
		if (r || blocked || !deadline)
			break;
		if (p.nomem) {
			r = -ENOMEM;
			break;
		}
		if (!p.triggered)
			blocked = thread_block(deadline, true);
	}
	if (!r && blocked == -ERESTARTSYS)
		r = -EINTR;
	poller_end(&p);
	for (u32 i = 0; i < n; i++)
		if (e[i].f)
			file_put(e[i].f);
	return r;
}

/* ---- time-out of a call ---- */

static u64 after(u64 ns)
{
	u64 now = now_ns();
	return ns > ~0ULL - 1 - now ? ~0ULL : now + ns;
}

static void time_left(u64 deadline, struct kts *ts)
{
	u64 now = now_ns(), ns = deadline > now ? deadline - now : 0;
	ts->sec = ns / NSEC;
	ts->nsec = ns % NSEC;
}

int poll_deadline(const void *uts, u64 *deadline)
{
	struct kts ts;
	*deadline = ~0ULL;
	if (!uts)
		return 0;
	int r = get_timespec(uts, &ts);
	if (r)
		return r;
	if (ts.sec < 0)
		return -EINVAL;
	*deadline = !ts.sec && !ts.nsec ? 0 : (u64)ts.sec > ~0ULL / NSEC - 1 ? ~0ULL : after(ts.sec * NSEC + ts.nsec);
	return 0;
}

static void put_timespec_left(void *uts, u64 deadline)
{
	struct kts ts;
	if (!uts || deadline == ~0ULL)
		return;
	time_left(deadline, &ts);
	copy_to_user(uts, &ts, sizeof(ts)); /* read-only memory is fine, as on Linux */
}

static long interrupted(long r)
{
	return r == -EINTR ? -ERESTARTNOHAND : r;
}

/* ---- poll ---- */

struct pollfd_k { int fd; u16 events, revents; };
#define ON_STACK 16

static long do_poll(struct pollfd_k *ufds, u32 n, u64 deadline)
{
	struct pent stack[ON_STACK], *e = stack;
	struct pollfd_k buf[32];
	if (n > curproc()->rlim[7].cur)
		return -EINVAL;
	if (n > ON_STACK && !(e = kmalloc(n * sizeof(*e))))
		return -ENOMEM;
	long r = -EFAULT;
	for (u32 i = 0; i < n; i++) {
		if (i % ARRAY_SIZE(buf) == 0 && copy_from_user(buf, ufds + i, MIN(n - i, (u32)ARRAY_SIZE(buf)) * sizeof(*buf)))
			goto out;
		struct pollfd_k *p = &buf[i % ARRAY_SIZE(buf)];
		e[i] = (struct pent){ .fd = p->fd, .want = p->events | POLLERR | POLLHUP };
	}
	r = poll_entries(e, n, deadline);
	if (r >= 0)
		for (u32 i = 0; i < n; i++)
			if (put_user((u16)(e[i].fd < 0 ? 0 : e[i].got), &ufds[i].revents)) {
				r = -EFAULT;
				break;
			}
out:
	if (e != stack)
		kfree(e);
	return r;
}

SYSCALL(poll)
{
	int ms = (int)c;
	return do_poll((void *)a, (u32)b, ms < 0 ? ~0ULL : ms ? after(ms * 1000000ULL) : 0);
}

SYSCALL(ppoll)
{
	u64 deadline;
	long r = poll_deadline((void *)c, &deadline);
	if (!r)
		r = signal_mask_push((void *)d, e);
	if (r)
		return r;
	r = interrupted(do_poll((void *)a, (u32)b, deadline));
	put_timespec_left((void *)c, deadline);
	return signal_mask_pop(r);
}

/* ---- select: a poll of the descriptors whose bits are set ---- */

#define SEL_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SEL_OUT (POLLWRNORM | POLLWRBAND_ | POLLOUT | POLLERR)
#define POLLWRBAND_ 0x200
static const u32 sel_mask[3] = { SEL_IN, SEL_OUT, POLLPRI };

static long do_select(int n, u64 *const uset[3], u64 deadline)
{
	if (n < 0)
		return -EINVAL;
	/* No descriptor lies above the limit, and Linux ignores bits past its table, too. */
	n = MIN((u64)n, ALIGN_UP(MIN(curproc()->rlim[7].max, 1UL << 20), 64));
	u32 words = (n + 63) / 64, count = 0;
	u64 small[3 * 4], *set = small; /* 256 descriptors */
	struct pent stack[ON_STACK], *e = stack;
	if (words > 4 && !(set = kmalloc(3 * words * 8)))
		return -ENOMEM;
	long r = -EFAULT;
	memset(set, 0, 3 * words * 8);
	for (int k = 0; k < 3; k++)
		if (uset[k] && copy_from_user(set + k * words, uset[k], words * 8))
			goto out;
	if (n % 64)
		for (int k = 0; k < 3; k++)
			set[k * words + words - 1] &= (1ULL << n % 64) - 1;
	for (u32 w = 0; w < words; w++)
		count += __builtin_popcountll(set[w] | set[words + w] | set[2 * words + w]);
	r = -ENOMEM;
	if (count > ON_STACK && !(e = kmalloc(count * sizeof(*e))))
		goto out;
	u32 i = 0;
	for (u32 w = 0; w < words; w++)
		for (u64 bits = set[w] | set[words + w] | set[2 * words + w]; bits; bits &= bits - 1) {
			u32 bit = __builtin_ctzll(bits), want = 0;
			for (int k = 0; k < 3; k++)
				want |= set[k * words + w] >> bit & 1 ? sel_mask[k] : 0;
			e[i++] = (struct pent){ .fd = w * 64 + bit, .want = want };
		}
	r = poll_entries(e, count, deadline);
	if (r >= 0) {
		r = 0;
		for (i = 0; i < count; i++) {
			u32 w = e[i].fd / 64;
			u64 bit = 1ULL << e[i].fd % 64;
			if (e[i].got == POLLNVAL) {
				r = -EBADF;
				break;
			}
			for (int k = 0; k < 3; k++)
				if (set[k * words + w] & bit) {
					if (e[i].got & sel_mask[k])
						r++;
					else
						set[k * words + w] &= ~bit;
				}
		}
		for (int k = 0; k < 3 && r >= 0; k++)
			if (uset[k] && copy_to_user(uset[k], set + k * words, words * 8))
				r = -EFAULT;
	}
	if (e != stack)
		kfree(e);
out:
	if (set != small)
		kfree(set);
	return r;
}

SYSCALL(select)
{
	u64 *const sets[3] = { (u64 *)b, (u64 *)c, (u64 *)d };
	u64 deadline = ~0ULL;
	struct ktv tv;
	struct kts ts;
	if (e) {
		if (get_user(tv, e))
			return -EFAULT;
		if (tv.sec < 0 || tv.usec < 0)
			return -EINVAL;
		u64 sec = (u64)tv.sec + tv.usec / 1000000;
		deadline = !tv.sec && !tv.usec ? 0 : sec > ~0ULL / NSEC - 1 ? ~0ULL : after(sec * NSEC + tv.usec % 1000000 * 1000);
	}
	long r = interrupted(do_select((int)a, sets, deadline));
	if (e && deadline != ~0ULL) {
		time_left(deadline, &ts);
		tv = (struct ktv){ ts.sec, ts.nsec / 1000 };
		copy_to_user((void *)e, &tv, sizeof(tv));
	}
	return r;
}

SYSCALL(pselect6)
{
	u64 *const sets[3] = { (u64 *)b, (u64 *)c, (u64 *)d };
	struct { u64 mask, size; } sig = { 0, 0 };
	u64 deadline;
	if (f && get_user(sig, f))
		return -EFAULT;
	long r = poll_deadline((void *)e, &deadline);
	if (!r)
		r = signal_mask_push((void *)sig.mask, sig.size);
	if (r)
		return r;
	r = interrupted(do_select((int)a, sets, deadline));
	put_timespec_left((void *)e, deadline);
	return signal_mask_pop(r);
}
