/* SPDX-License-Identifier: Apache-2.0 */
/* net_fake.h: a small machine for the tests of net/: threads that take turns, descriptors, a clock, a monitor. */
#ifndef UFS_TEST_NET_FAKE_H
#define UFS_TEST_NET_FAKE_H
#include <stdio.h>
#include <stdlib.h>
#include <asm/unistd.h>
#include "errno.h"
#include "fs.h"
#include "net.h"
#include "poll.h"
#include "time.h"

#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); abort(); } } while (0)
#define EQ(x, want) do { long x_ = (long)(x), w_ = (long)(want); if (x_ != w_) { \
	fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", __FILE__, __LINE__, #x, x_, w_); abort(); } } while (0)

void machine_start(void);
/* A second thread, which runs when this one sleeps. */
void spawn(void (*fn)(void *), void *arg);
/* Lets other threads run until none can. */
void settle(void);
extern u64 fake_now;
extern int sigpipes, signals, bells, idles;
extern u64 last_signal;
extern bool oom;                          /* allocations fail */
void interrupt(void);                     /* the sleeping threads get a signal */
int open_files(void);

/* What a restore did outside of net/. */
extern int flushes, wipes, renewals, warmed;
extern bool snap_wanted, job_waits, any_out;
extern u64 snap_generation, freed_bytes;
extern char renamed[65];

/* The monitor. */
struct got { u16 type; u32 conn, arg, len; u8 *data; };
bool monitor_put(u16 type, u32 conn, u32 arg, const void *data, u32 len); /* false: no room */
bool monitor_get(struct got *g);          /* next message of the guest, in order; data is valid until the next call */
extern bool monitor_lazy;                 /* doorbells change nothing: the tx ring fills */
void monitor_drain(void);

/* System calls as the program makes them. */
#define CALLS(X) X(socket) X(socketpair) X(bind) X(connect) X(listen) X(accept4) X(accept) X(sendto) X(recvfrom) X(sendmsg) \
	X(recvmsg) X(recvmmsg) X(sendmmsg) X(shutdown) X(getsockname) X(getpeername) X(setsockopt) X(getsockopt) X(poll) X(ppoll) X(select) \
	X(pselect6) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(epoll_pwait) X(epoll_pwait2) X(eventfd2) X(timerfd_create) X(timerfd_settime) \
	X(timerfd_gettime)
#define X(name) long sys_##name(u64, u64, u64, u64, u64, u64);
CALLS(X)
#undef X
#define SYS6(name, a, b, c, d, e, f, ...) sys_##name((u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))
#define SYS(name, ...) SYS6(name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
long fake_read(int fd, void *buf, size_t n);
long fake_write(int fd, const void *buf, size_t n);
long fake_close(int fd);
long fake_ioctl(int fd, u64 cmd, void *arg);
void fake_nonblock(int fd, bool on);
struct file *fake_file(int fd);
#endif
