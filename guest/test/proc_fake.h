/* SPDX-License-Identifier: Apache-2.0 */
/* proc_fake.h: what surrounds proc/ and time/ in their tests: memory, descriptors, a CPU and a clock that only moves when all sleep. */
#ifndef UFS_TEST_PROC_FAKE_H
#define UFS_TEST_PROC_FAKE_H
#include "../proc/internal.h"
#include "../time/internal.h"
#include "syscall.h"

/* proc_host.c: coroutines, memory, output */
void *host_alloc(unsigned long n, unsigned long align);
void host_free(void *p);
unsigned long host_allocated(void);
int host_readable(const void *p, unsigned long n);
void host_shared_area(unsigned long at, unsigned long len);
void *host_fiber_new(void (*fn)(void));
void host_fiber_free(void *f);
void host_fiber_entered(void);           /* first thing on a new one */
void host_fiber_switch(void *from, void *to); /* from NULL: never comes back */
_Noreturn void host_exit(int status);
void host_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(c) do { if (!(c)) { host_say("%s:%d: %s\n", __FILE__, __LINE__, #c); host_exit(1); } } while (0)
#define CHECK_EQ(a, b) do { long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) { \
	host_say("%s:%d: %s is %ld (0x%lx), not %ld (0x%lx)\n", __FILE__, __LINE__, #a, a_, (unsigned long)a_, b_, (unsigned long)b_); host_exit(1); } } while (0)

/* Runs fn as process 1; the program ends with its end. */
_Noreturn void fake_boot(void (*fn)(void *));
void fake_advance(u64 ns);               /* time passes while the CPU works */
void fake_user_work(void);               /* what happens on the way back to the program: signals, due timers */
/* New thread or process of current that runs fn(arg) as its program; clone() flags; its number. */
long fake_clone(u64 flags, void (*fn)(u64), u64 arg, int *ctid);
extern u64 fake_shared_lo, fake_shared_hi; /* addresses that count as MAP_SHARED */
extern int fake_mms, fake_files;         /* objects that exist */
extern int restarts, fatal_signo;

#define SYS_DECL(name) long sys_##name(u64, u64, u64, u64, u64, u64)
/* A call with the entry and exit that the dispatcher gives it. */
long fake_call(long (*fn)(u64, u64, u64, u64, u64, u64), u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
#define CALL6(name, a, b, c, d, e, f, ...) ({ SYS_DECL(name); fake_call(sys_##name, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f)); })
#define CALL(name, ...) CALL6(name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#endif
