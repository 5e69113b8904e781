/* SPDX-License-Identifier: Apache-2.0 */
/* posixtimer.c: timer_create and its family. */
#include "internal.h"
#include "errno.h"
#include "mm.h"
#include "syscall.h"

enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };
#define TIMERS_MAX 4096 /* a process */

struct posix_timer {
	struct posix_timer *next;
	struct process *p;
	int id, clock, notify, signo, tid;
	long value;
	bool cpu, thread_cpu;
	struct ktimer kt;
	struct cputimer ct;
	u64 expiry, interval;      /* on the timer's own clock; expiry 0: not armed */
	u64 overrun, overrun_last; /* of the signal that is pending / was delivered last */
};

struct ksigevent { u64 value; s32 signo, notify, tid; u32 pad[11]; };
struct kitimerspec { struct kts interval, value; };

static u64 pt_now(const struct posix_timer *pt)
{
	u64 ns = 0;
	if (pt->cpu)
		return cpuclock_ns(pt->ct.owner);
	clock_read(pt->clock, &ns);
	return ns;
}

static void pt_disarm(struct posix_timer *pt)
{
	pt->expiry = 0;
	timer_cancel(&pt->kt);
	cputimer_cancel(&pt->ct);
}

static void pt_arm(struct posix_timer *pt, u64 expiry)
{
	pt->expiry = expiry;
	if (pt->cpu)
		cputimer_set(&pt->ct, expiry);
	else
		timer_set(&pt->kt, clock_to_mono(pt->clock, expiry));
}

/* The queue entry of an earlier expiry, if the program has not taken it yet. */
bool sigqueue_has_timer(struct list *q, int id);

static void pt_fire(struct posix_timer *pt)
{
	u64 missed = 0;
	struct thread *t = NULL;
	u64 at = pt->expiry;
	pt->expiry = 0;
	if (pt->interval)
		pt_arm(pt, next_period(at, pt->interval, pt_now(pt), &missed));
	pt->overrun += missed;
	if (pt->notify == SIGEV_NONE)
		return;
	if (pt->notify == SIGEV_THREAD_ID) {
		t = thread_find(pt->tid);
		if (!t || t->proc != pt->p)
			return;
	}
	if (sigqueue_has_timer(t ? &t->sigqueue : &pt->p->sigqueue, pt->id)) {
		pt->overrun++;
		return;
	}
	struct ksiginfo si = { .signo = pt->signo, .code = SI_TIMER, .timerid = pt->id, .value = pt->value };
	if (t)
		signal_send_thread(t, &si);
	else
		signal_send_process(pt->p, &si);
}

static void kt_due(struct ktimer *kt) { pt_fire(container_of(kt, struct posix_timer, kt)); }
static void ct_due(struct cputimer *c) { pt_fire(container_of(c, struct posix_timer, ct)); }

static struct posix_timer **pt_find(struct process *p, int id)
{
	struct posix_timer **pp = &p->timers;
	while (*pp && (*pp)->id != id)
		pp = &(*pp)->next;
	return pp;
}

void posix_timer_delivered(struct process *p, struct ksiginfo *si)
{
	struct posix_timer *pt = *pt_find(p, si->timerid);
	if (!pt)
		return;
	pt->overrun_last = MIN(pt->overrun, 0x7fffffffULL);
	pt->overrun = 0;
	si->overrun = pt->overrun_last;
}

static void pt_free(struct posix_timer **pp)
{
	struct posix_timer *pt = *pp;
	*pp = pt->next;
	pt_disarm(pt);
	kfree(pt);
}

void posix_timers_free(struct process *p)
{
	while (p->timers)
		pt_free(&p->timers);
}

/* A thread takes the timers on its own CPU clock with it: the clock no longer advances. */
void thread_timers_free(struct thread *t)
{
	for (struct posix_timer *pt = t->proc->timers; pt; pt = pt->next)
		if (pt->ct.owner.t == t) {
			pt_disarm(pt);
			pt->ct.owner.t = NULL;
		}
}

static int pt_notify(struct posix_timer *pt, const void *uev)
{
	struct ksigevent ev = { .value = pt->id, .signo = SIGALRM, .notify = SIGEV_SIGNAL };
	if (uev && copy_from_user(&ev, uev, sizeof(ev)))
		return -EFAULT;
	if (ev.notify != SIGEV_NONE && (ev.signo < 1 || ev.signo > NSIG))
		return -EINVAL;
	if (ev.notify == SIGEV_THREAD_ID) {
		struct thread *t = thread_find(ev.tid);
		if (!t || t->proc != pt->p)
			return -EINVAL;
	} else if (ev.notify < SIGEV_SIGNAL || ev.notify > SIGEV_THREAD) {
		return -EINVAL;
	}
	pt->notify = ev.notify;
	pt->signo = ev.signo;
	pt->tid = ev.tid;
	pt->value = ev.value;
	return 0;
}

static int pt_clock(struct posix_timer *pt, int id)
{
	struct cpuclock owner = { NULL, NULL };
	switch (id) {
	case C_REALTIME: case C_MONOTONIC: case C_BOOTTIME: case C_TAI: case C_REALTIME_ALARM: case C_BOOTTIME_ALARM:
		break;
	case C_MONOTONIC_RAW: case C_REALTIME_COARSE: case C_MONOTONIC_COARSE:
		return -EOPNOTSUPP;
	default:
		owner = cpuclock_of(id);
		if (!owner.p)
			return -EINVAL;
		if (owner.p != curproc()) {
			unsupported_once("timer_create on the CPU clock of another process", id);
			return -EOPNOTSUPP;
		}
		pt->cpu = true;
		pt->thread_cpu = owner.t;
	}
	pt->clock = id;
	cputimer_init(&pt->ct, owner, ct_due);
	pt->kt.fn = kt_due;
	return 0;
}

SYSCALL(timer_create)
{
	struct process *p = curproc();
	int id = 0, n = 0;
	for (struct posix_timer *q = p->timers; q; q = q->next, n++)
		if (q->id >= id)
			id = q->id + 1;
	if (n >= TIMERS_MAX || id < 0)
		return -EAGAIN;
	struct posix_timer *pt = kzalloc(sizeof(*pt));
	if (!pt)
		return -EAGAIN;
	pt->p = p;
	pt->id = id;
	int r = pt_clock(pt, (int)a);
	if (!r)
		r = pt_notify(pt, (void *)b);
	if (!r && put_user(id, (int *)c))
		r = -EFAULT;
	if (r) {
		kfree(pt);
		return r;
	}
	pt->next = p->timers;
	p->timers = pt;
	return 0;
}

static void pt_read(const struct posix_timer *pt, struct kitimerspec *v)
{
	u64 now, left = 0;
	if (pt->expiry) {
		now = pt_now(pt);
		left = pt->expiry > now ? pt->expiry - now : 1;
		/* One that nobody is told about expires unseen, but must read as expired. */
		if (pt->notify == SIGEV_NONE && !pt->interval && pt->expiry <= now)
			left = 0;
	}
	v->interval = ns_to_ts(pt->interval);
	v->value = ns_to_ts(left);
}

SYSCALL(timer_settime)
{
	struct kitimerspec v, old;
	if (!c)
		return -EINVAL;
	if (copy_from_user(&v, (void *)c, sizeof(v)))
		return -EFAULT;
	if (v.value.sec < 0 || (u64)v.value.nsec >= NSEC || v.interval.sec < 0 || (u64)v.interval.nsec >= NSEC)
		return -EINVAL;
	struct posix_timer *pt = *pt_find(curproc(), (int)a);
	if (!pt)
		return -EINVAL;
	if (pt->thread_cpu && !pt->ct.owner.t)
		return -ESRCH;
	pt_read(pt, &old);
	pt_disarm(pt);
	pt->overrun = pt->overrun_last = 0;
	pt->interval = ts_to_ns(&v.interval);
	u64 ns = ts_to_ns(&v.value);
	if (ns)
		pt_arm(pt, b & TIMER_ABSTIME ? ns : MIN(pt_now(pt) + ns, KTIME_MAX));
	else
		pt->interval = 0;
	if (d && copy_to_user((void *)d, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

SYSCALL(timer_gettime)
{
	struct kitimerspec v;
	struct posix_timer *pt = *pt_find(curproc(), (int)a);
	if (!pt)
		return -EINVAL;
	pt_read(pt, &v);
	return copy_to_user((void *)b, &v, sizeof(v));
}

SYSCALL(timer_getoverrun)
{
	struct posix_timer *pt = *pt_find(curproc(), (int)a);
	return pt ? (long)pt->overrun_last : -EINVAL;
}

SYSCALL(timer_delete)
{
	struct posix_timer **pp = pt_find(curproc(), (int)a);
	if (!*pp)
		return -EINVAL;
	pt_free(pp);
	return 0;
}
