/* SPDX-License-Identifier: Apache-2.0 */
/* epoll_test.c: epoll, poll, select, eventfd, timerfd. */
#include "net_fake.h"
#include "platform.h"
#include <string.h>
#include <linux/eventpoll.h>

static long ctl(int ep, int op, int fd, u32 events, u64 data)
{
	struct epoll_event ev = { events, data };
	return SYS(epoll_ctl, ep, op, fd, &ev);
}
static struct epoll_event ev[16];
#define WAIT(ep, max) SYS(epoll_wait, ep, ev, max, 0)

static void level_edge_oneshot(void)
{
	int ep = SYS(epoll_create1, 0), sv[2];
	char c[8];
	EQ(SYS(socketpair, 1, 1, 0, sv), 0);
	EQ(ctl(ep, 1, 77, EPOLLIN, 0), -EBADF);
	EQ(ctl(sv[0], 1, sv[1], EPOLLIN, 0), -EINVAL);
	EQ(ctl(ep, 1, ep, EPOLLIN, 0), -EINVAL);
	EQ(ctl(ep, 3, sv[0], EPOLLIN, 0), -ENOENT);
	EQ(ctl(ep, 2, sv[0], EPOLLIN, 0), -ENOENT);
	EQ(ctl(ep, 1, sv[0], EPOLLIN, 5), 0);
	EQ(ctl(ep, 1, sv[0], EPOLLIN, 5), -EEXIST);
	EQ(ctl(ep, 9, sv[0], EPOLLIN, 5), -EINVAL);
	EQ(WAIT(ep, 0), -EINVAL);
	EQ(WAIT(sv[0], 1), -EINVAL);
	EQ(WAIT(99, 1), -EBADF);
	EQ(WAIT(ep, 4), 0);
	fake_write(sv[1], "ab", 2);
	for (int i = 0; i < 3; i++) {
		EQ(WAIT(ep, 4), 1);
		EQ(ev[0].data, 5);
		EQ(ev[0].events, EPOLLIN);
	}
	fake_read(sv[0], c, 8);
	EQ(WAIT(ep, 4), 0);
	/* Edge: once for each arrival, and at once for what is there already. */
	fake_write(sv[1], "a", 1);
	EQ(ctl(ep, 3, sv[0], EPOLLIN | EPOLLOUT | EPOLLET, 6), 0);
	EQ(WAIT(ep, 4), 1);
	EQ(ev[0].events, EPOLLIN | EPOLLOUT);
	EQ(WAIT(ep, 4), 0);
	fake_write(sv[1], "b", 1);
	EQ(WAIT(ep, 4), 1);
	EQ(WAIT(ep, 4), 0);
	/* One shot. */
	EQ(ctl(ep, 3, sv[0], EPOLLIN | EPOLLONESHOT, 7), 0);
	EQ(WAIT(ep, 4), 1);
	fake_write(sv[1], "c", 1);
	EQ(WAIT(ep, 4), 0);
	EQ(ctl(ep, 3, sv[0], EPOLLIN | EPOLLRDHUP, 8), 0);
	EQ(WAIT(ep, 4), 1);
	fake_close(sv[1]);
	EQ(WAIT(ep, 4), 1);
	EQ(ev[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	fake_close(sv[0]); /* takes the registration along */
	EQ(WAIT(ep, 4), 0);
	fake_close(ep);
}

static void fairness(void)
{
	int ep = SYS(epoll_create1, 0), fd[8];
	u32 seen = 0;
	for (int i = 0; i < 8; i++) {
		fd[i] = SYS(eventfd2, 1, 04000);
		EQ(ctl(ep, 1, fd[i], EPOLLIN, i), 0);
	}
	for (int i = 0; i < 4; i++) { /* two at a time, all get their turn */
		EQ(WAIT(ep, 2), 2);
		seen |= 1 << ev[0].data | 1 << ev[1].data;
	}
	EQ(seen, 0xff);
	EQ(WAIT(ep, 16), 8);
	for (int i = 0; i < 8; i += 2)
		EQ(ctl(ep, 2, fd[i], 0, 0), 0);
	EQ(WAIT(ep, 16), 4);
	/* A buffer that ends in nothing: an error, and no event is lost. */
	EQ(SYS(epoll_wait, ep, 8, 4, 0), -EFAULT);
	EQ(WAIT(ep, 16), 4);
	fake_close(ep);
	for (int i = 0; i < 8; i++)
		fake_close(fd[i]);
}

static void nesting(void)
{
	int ep[7], e = SYS(eventfd2, 0, 04000);
	u64 one = 1;
	for (int i = 0; i < 7; i++)
		ep[i] = SYS(epoll_create1, 0);
	EQ(ctl(ep[0], 1, e, EPOLLIN, 1), 0);
	EQ(ctl(ep[1], 1, ep[0], EPOLLIN, 2), 0);
	EQ(ctl(ep[0], 1, ep[1], EPOLLIN, 2), -ELOOP);
	EQ(ctl(ep[2], 1, ep[1], EPOLLIN | EPOLLET, 3), 0);
	EQ(ctl(ep[0], 1, ep[2], EPOLLIN, 2), -ELOOP);
	EQ(WAIT(ep[2], 4), 0);
	fake_write(e, &one, 8);
	EQ(WAIT(ep[2], 4), 1);
	EQ(WAIT(ep[1], 4), 1);
	EQ(WAIT(ep[0], 4), 1);
	u64 v;
	EQ(fake_read(e, &v, 8), 8);
	EQ(WAIT(ep[1], 4), 0);
	EQ(ctl(ep[3], 1, ep[2], EPOLLIN, 3), 0);
	EQ(ctl(ep[4], 1, ep[3], EPOLLIN, 3), 0);
	EQ(ctl(ep[5], 1, ep[4], EPOLLIN, 3), -ELOOP); /* too deep */
	EQ(ctl(ep[6], 1, ep[5], EPOLLIN, 3), 0);
	EQ(ctl(ep[5], 1, ep[3], EPOLLIN, 3), -ELOOP); /* one above, four below */
	for (int i = 0; i < 7; i++)
		fake_close(ep[i]);
	fake_close(e);
}

static int shared_ep, woken, order[8];
static void waiter(void *arg)
{
	struct epoll_event e[4];
	long r = SYS(epoll_wait, shared_ep, e, 1, (long)arg);
	order[woken++] = r;
}

static void sleeping(void)
{
	int a = SYS(eventfd2, 0, 0), b = SYS(eventfd2, 0, 0);
	u64 one = 1, t0 = fake_now;
	shared_ep = SYS(epoll_create1, 0);
	EQ(ctl(shared_ep, 1, a, EPOLLIN | EPOLLET, 1), 0);
	EQ(ctl(shared_ep, 1, b, EPOLLIN | EPOLLET, 2), 0);
	EQ(SYS(epoll_wait, shared_ep, ev, 4, 30), 0);
	EQ(fake_now - t0, 30000000);
	struct kts ts = { 0, 5000000 };
	EQ(SYS(epoll_pwait2, shared_ep, ev, 4, &ts, 0, 8), 0);
	EQ(fake_now - t0, 35000000);
	/* Two sleepers, two events: each gets one. */
	spawn(waiter, (void *)-1L);
	spawn(waiter, (void *)-1L);
	EQ(SYS(poll, 0, 0, 1), 0);
	fake_write(a, &one, 8);
	fake_write(b, &one, 8);
	EQ(SYS(poll, 0, 0, 1), 0);
	EQ(woken, 2);
	EQ(order[0] + order[1], 2);
	woken = 0;
	/* One event: one of them, the other times out. */
	spawn(waiter, (void *)10L);
	spawn(waiter, (void *)10L);
	EQ(SYS(poll, 0, 0, 1), 0);
	fake_write(a, &one, 8);
	EQ(SYS(poll, 0, 0, 50), 0);
	EQ(woken, 2);
	EQ(order[0] + order[1], 1);
	woken = 0;
	spawn(waiter, (void *)-1L);
	EQ(SYS(poll, 0, 0, 1), 0);
	interrupt();
	EQ(SYS(poll, 0, 0, 1), 0);
	EQ(order[0], -EINTR);
	fake_close(a);
	fake_close(b);
	fake_close(shared_ep);
}

static void polls(void)
{
	int a = SYS(eventfd2, 0, 04000), b = SYS(eventfd2, 3, 04001);
	struct { int fd; short ev, rev; } p[200];
	u64 v, set[16] = { 0 }, out[16] = { 0 };
	p[0].fd = a, p[0].ev = POLLIN;
	p[1].fd = b, p[1].ev = POLLIN | POLLOUT;
	p[2].fd = -1, p[2].ev = POLLIN, p[2].rev = 77;
	p[3].fd = 99, p[3].ev = POLLIN;
	EQ(SYS(poll, p, 4, -1), 2);
	EQ(p[0].rev, 0);
	EQ(p[1].rev, POLLIN | POLLOUT);
	EQ(p[2].rev, 0);
	EQ(p[3].rev, POLLNVAL);
	EQ(SYS(poll, 8, 1, 0), -EFAULT);
	EQ(SYS(poll, p, 5000, 0), -EINVAL);
	for (int i = 0; i < 200; i++) {
		p[i].fd = a;
		p[i].ev = POLLIN;
	}
	EQ(SYS(poll, p, 200, 5), 0); /* more waiters than fit on the stack */
	u64 one = 1;
	fake_write(a, &one, 8);
	EQ(SYS(poll, p, 200, 5), 200);
	fake_read(a, &v, 8);
	/* select */
	set[0] = 1ULL << a | 1ULL << b;
	out[0] = 1ULL << a;
	struct ktv tv = { 0, 0 };
	EQ(SYS(select, 64, set, out, 0, &tv), 2);
	EQ(set[0], 1ULL << b);
	EQ(out[0], 1ULL << a);
	set[0] = 1ULL << a;
	tv.usec = 7000;
	u64 t0 = fake_now;
	EQ(SYS(select, 64, set, 0, 0, &tv), 0);
	EQ(fake_now - t0, 7000000);
	EQ(set[0], 0);
	EQ(tv.usec, 0);
	set[1] = 1;
	EQ(SYS(select, 65, set, 0, 0, &tv), -EBADF);
	EQ(SYS(select, 64, set, 0, 0, &tv), 0); /* the bit is past nfds */
	EQ(SYS(select, -1, 0, 0, 0, 0), -EINVAL);
	tv.usec = -1;
	EQ(SYS(select, 0, 0, 0, 0, &tv), -EINVAL);
	/* eventfd: semaphore, overflow */
	EQ(fake_read(b, &v, 8), 8);
	EQ(v, 1);
	EQ(fake_read(b, &v, 4), -EINVAL);
	v = ~0ULL;
	EQ(fake_write(a, &v, 8), -EINVAL);
	v = ~0ULL - 1;
	EQ(fake_write(a, &v, 8), 8);
	EQ(fake_write(a, &one, 8), -EAGAIN);
	p[0].ev = POLLIN | POLLOUT;
	EQ(SYS(poll, p, 1, 0), 1);
	EQ(p[0].rev, POLLIN);
	EQ(fake_read(a, &v, 8), 8);
	EQ(v, ~0ULL - 1);
	EQ(fake_read(a, &v, 8), -EAGAIN);
	fake_close(a);
	fake_close(b);
}

static void timers(void)
{
	struct { struct kts interval, value; } t = { { 0, 10000000 }, { 0, 25000000 } }, old;
	int fd = SYS(timerfd_create, 1, 04000), ep = SYS(epoll_create1, 0);
	u64 n, t0 = fake_now;
	EQ(SYS(timerfd_create, 2, 0), -EINVAL);
	EQ(SYS(timerfd_settime, ep, 0, &t, 0), -EINVAL);
	EQ(ctl(ep, 1, fd, EPOLLIN, 1), 0);
	EQ(SYS(timerfd_settime, fd, 0, &t, &old), 0);
	EQ(old.value.nsec, 0);
	EQ(fake_read(fd, &n, 8), -EAGAIN);
	EQ(SYS(timerfd_gettime, fd, &old), 0);
	EQ(old.value.nsec, 25000000);
	EQ(SYS(epoll_wait, ep, ev, 4, -1), 1);
	EQ(fake_now - t0, 25000000);
	EQ(fake_read(fd, &n, 8), 8);
	EQ(n, 1);
	fake_now += 34000000;
	EQ(WAIT(ep, 4), 1); /* although nobody ran the timers yet */
	EQ(fake_read(fd, &n, 8), 8);
	EQ(n, 3);
	EQ(SYS(timerfd_gettime, fd, &old), 0);
	EQ(old.value.nsec, 6000000);
	t.interval.nsec = 1; /* a period shorter than anything */
	t.value.nsec = 1;
	EQ(SYS(timerfd_settime, fd, 0, &t, 0), 0);
	fake_now += 1000;
	EQ(fake_read(fd, &n, 8), 8);
	EQ(n, 1000);
	t.value.nsec = 0;
	EQ(SYS(timerfd_settime, fd, 0, &t, 0), 0);
	fake_now += 1000000;
	EQ(fake_read(fd, &n, 8), -EAGAIN);
	/* Absolute and long gone: all periods since. */
	t.interval.nsec = 1000000;
	t.value.nsec = fake_now % 1000000000 - 5500000;
	t.value.sec = fake_now / 1000000000;
	EQ(SYS(timerfd_settime, fd, 1, &t, 0), 0);
	EQ(fake_read(fd, &n, 8), 8);
	EQ(n, 6);
	t.value.nsec = 1000000000;
	EQ(SYS(timerfd_settime, fd, 1, &t, 0), -EINVAL);
	fake_close(fd);
	fake_close(ep);
}

int main(void)
{
	machine_start();
	level_edge_oneshot();
	fairness();
	nesting();
	sleeping();
	polls();
	timers();
	EQ(open_files(), 0);
	return 0;
}
