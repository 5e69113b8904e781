/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timerfd.c: timers as files.
 *
 * A periodic timer is armed again when its expirations are read or asked for, not in the timer's callback: a period
 * of a nanosecond must not keep the libos busy.
 */
#include "poll.h"
#include "syscall.h"
#include "time.h"
#include <asm/fcntl.h>

#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2
struct itimerspec_k { struct kts interval, value; };

struct timerfd {
	struct ktimer timer;
	struct waitq wq;
	u64 next, interval;      /* next or last expiration, CLOCK_MONOTONIC; period, 0 none */
	u64 ticks;
	bool expired;            /* since ticks were last counted up */
	int clock;
};

static void timerfd_fire(struct ktimer *t)
{
	struct timerfd *d = container_of(t, struct timerfd, timer);
	d->expired = true;
	d->ticks++;
	waitq_wake(&d->wq, POLL_IN);
}

/* Counts the periods that went by since the timer fired and arms it for the next. */
static void timerfd_forward(struct timerfd *d)
{
	if (!d->expired || !d->interval)
		return;
	u64 now = now_ns(), missed = now > d->next ? (now - d->next) / d->interval : 0;
	d->ticks += missed;
	d->next += (missed + 1) * d->interval;
	d->expired = false;
	timer_set(&d->timer, d->next);
}

/* Due, but the timers have not been run since? */
static void timerfd_check(struct timerfd *d)
{
	if (d->timer.slot && d->next <= now_ns()) {
		timer_cancel(&d->timer);
		timerfd_fire(&d->timer);
	}
}

static long timerfd_read(struct file *f, struct iter *it, u64 *pos)
{
	struct timerfd *d = f->priv;
	if (it->left < 8)
		return -EINVAL;
	timerfd_check(d);
	while (!d->ticks) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_on(&d->wq, d->ticks, ~0ULL);
		if (r)
			return r;
	}
	timerfd_forward(d);
	u64 ticks = d->ticks;
	d->ticks = 0;
	return iter_put(it, &ticks, 8) == 8 ? 8 : -EFAULT;
}

static u32 timerfd_poll(struct file *f, struct poll_table *pt)
{
	struct timerfd *d = f->priv;
	timerfd_check(d);
	poll_wait(pt, &d->wq);
	return d->ticks ? POLL_IN : 0;
}

static void timerfd_release(struct file *f)
{
	struct timerfd *d = f->priv;
	timer_cancel(&d->timer);
	kfree(d);
}

static const struct file_ops timerfd_ops = {
	.read = timerfd_read, .poll = timerfd_poll, .release = timerfd_release, .seek = noop_seek, .name = "[timerfd]",
};

/* The alarm clocks only differ from the others on machines that suspend. */
static int clock_base(int id)
{
	switch (id) {
	case 0: case 8: return 0;
	case 1: return 1;
	case 7: case 9: return 7;
	}
	return -1;
}

SYSCALL(timerfd_create)
{
	int clock = clock_base((int)a);
	if (clock < 0 || b & ~(u64)(O_NONBLOCK | O_CLOEXEC))
		return -EINVAL;
	struct timerfd *t = kzalloc(sizeof(*t));
	struct file *file = t ? file_alloc(&timerfd_ops, O_RDWR | (b & O_NONBLOCK), t) : NULL;
	if (!file) {
		kfree(t);
		return -ENOMEM;
	}
	waitq_init(&t->wq);
	t->timer.fn = timerfd_fire;
	t->clock = clock;
	t->next = ~0ULL;
	int fd = fd_install(file, 0, b & O_CLOEXEC);
	if (fd < 0)
		file_put(file);
	return fd;
}

static long timerfd_get_file(int fd, struct file **f)
{
	*f = fd_get(fd);
	if (!*f)
		return -EBADF;
	if ((*f)->ops == &timerfd_ops)
		return 0;
	file_put(*f);
	return -EINVAL;
}

static bool valid(const struct kts *ts) { return ts->sec >= 0 && ts->nsec >= 0 && (u64)ts->nsec < NSEC; }

static void timerfd_show(struct timerfd *d, struct itimerspec_k *out)
{
	timerfd_forward(d);
	u64 now = now_ns(), left = 0;
	if (d->timer.slot)
		left = d->next > now ? d->next - now : 1; /* armed is never shown as zero */
	out->value = ns_to_ts(left);
	out->interval = ns_to_ts(d->interval);
}

SYSCALL(timerfd_settime)
{
	struct itimerspec_k new, old;
	struct file *file;
	if (get_user(new, c))
		return -EFAULT;
	if (b & ~(u64)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) || !valid(&new.value) || !valid(&new.interval))
		return -EINVAL;
	long r = timerfd_get_file((int)a, &file);
	if (r)
		return r;
	struct timerfd *t = file->priv;
	timerfd_show(t, &old);
	timer_cancel(&t->timer);
	t->ticks = 0;
	t->expired = false;
	t->interval = ts_to_ns(&new.interval);
	t->next = ~0ULL;
	u64 value = ts_to_ns(&new.value);
	if (value) {
		u64 now = now_ns();
		t->next = b & TFD_TIMER_ABSTIME ? clock_to_mono(t->clock, value) : value > ~0ULL - 1 - now ? ~0ULL - 1 : now + value;
		/* An absolute time long gone counts all periods since, which needs the real time, not zero. */
		if (b & TFD_TIMER_ABSTIME && t->next == 0 && t->interval) {
			u64 clock_now;
			if (!clock_read(t->clock, &clock_now) && clock_now > value) {
				u64 periods = (clock_now - value) / t->interval;
				t->ticks = periods;
				t->next = now - (clock_now - value - periods * t->interval);
			}
		}
		timer_set(&t->timer, t->next);
	}
	file_put(file);
	return d && put_user(old, d) ? -EFAULT : 0;
}

SYSCALL(timerfd_gettime)
{
	struct itimerspec_k now;
	struct file *file;
	long r = timerfd_get_file((int)a, &file);
	if (r)
		return r;
	timerfd_show(file->priv, &now);
	file_put(file);
	return put_user(now, b) ? -EFAULT : 0;
}
