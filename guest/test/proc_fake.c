/* SPDX-License-Identifier: Apache-2.0 */
/* proc_fake.c: the rest of the libos and a CPU, for the tests of proc/ and time/. */
#include "proc_fake.h"
#include "fs.h"
#include "restart.h"

struct mm { int refs; };
struct fdtable { int refs; };
static struct mm boot_mm = { 1 };
struct mm *mm_boot = &boot_mm;
u64 fake_shared_lo, fake_shared_hi;
int fake_mms, fake_files, restarts, fatal_signo;
u32 xsave_size = 832;
u64 xsave_mask = 7;

/* ---- memory ---- */

void *kmalloc(size_t n) { return host_alloc(n, 16); }
void *kzalloc(size_t n) { void *p = kmalloc(n); return p ? memset(p, 0, n) : NULL; }
void kfree(void *p) { host_free(p); }
void *page_alloc(unsigned order, unsigned flags) { return host_alloc(PAGE_SIZE << order, PAGE_SIZE); }
void page_put(void *p) { host_free(p); }

static bool bad(const void *p, size_t n) { return !access_ok(p, n) || !host_readable(p, n); }
/* The program may point anywhere that is mapped, into the sanitizer's red zones, too. */
__attribute__((no_sanitize("address"))) static int copy(void *d, const void *s, size_t n, bool wrong)
{
	if (wrong)
		return -EFAULT;
	while (n--)
		*(*(volatile u8 **)&d)++ = *(*(volatile const u8 **)&s)++;
	return 0;
}
int copy_from_user(void *d, const void *s, size_t n) { return copy(d, s, n, bad(s, n)); }
int copy_to_user(void *d, const void *s, size_t n) { return copy(d, s, n, bad(d, n)); }
int clear_user(void *d, size_t n) { return bad(d, n) ? -EFAULT : (memset(d, 0, n), 0); }
int user_load32(u32 *p, u32 *v) { return get_user(*v, p); }

long strncpy_from_user(char *d, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (copy_from_user(&d[i], s + i, 1))
			return -EFAULT;
		if (!d[i])
			return i;
	}
	d[n - 1] = 0;
	return -ENAMETOOLONG;
}

int user_cmpxchg32(u32 *p, u32 expect, u32 v, u32 *old)
{
	if (bad(p, 4))
		return -EFAULT;
	*old = *p;
	if (*p == expect)
		*p = v;
	return 0;
}

void sem_undo_all(struct process *p) { }
u64 page_total_bytes(void) { return 1UL << 30; }
void mm_get(struct mm *mm) { mm->refs++; }
void mm_put(struct mm *mm)
{
	if (--mm->refs == 0) {
		fake_mms--;
		kfree(mm);
	}
}
struct mm *mm_fork(struct mm *mm)
{
	struct mm *n = kzalloc(sizeof(*n));
	n->refs = 1;
	fake_mms++;
	return n;
}
u64 mm_cr3(struct mm *mm) { return (u64)mm; }
void mm_activate(struct mm *mm) { platform_switch_mm(mm_cr3(mm)); }
bool mm_tables_shared(struct mm *mm) { return mm->refs > 1; }
long mm_poke(struct mm *mm, u64 addr, const void *src, size_t n) { return copy_to_user((void *)addr, src, n); }
const void *mm_peek(struct mm *mm, u64 va) { return (void *)va; }
void mm_stat(struct mm *mm, struct mmstat *st) { memset(st, 0, sizeof(*st)); }
void mm_each(struct mm *mm, void (*fn)(const struct mapinfo *, void *), void *arg)
{
	struct mapinfo m = { .start = fake_shared_lo, .end = fake_shared_hi, .flags = 1 };
	fn(&m, arg);
}

/* ---- files ---- */

struct fdtable *fdtable_create(void)
{
	struct fdtable *t = kzalloc(sizeof(*t));
	t->refs = 1;
	fake_files++;
	return t;
}
struct fdtable *fdtable_copy(struct fdtable *t) { return fdtable_create(); }
void fdtable_get(struct fdtable *t) { t->refs++; }
void tty_session_end(int sid) {}
void fdtable_put(struct fdtable *t)
{
	if (!--t->refs) {
		fake_files--;
		kfree(t);
	}
}
struct fsctx *fsctx_create(void)
{
	struct fsctx *c = kzalloc(sizeof(*c));
	c->refs = 1;
	return c;
}
struct fsctx *fsctx_copy(struct fsctx *c) { return fsctx_create(); }
void fsctx_get(struct fsctx *c) { c->refs++; }
void fsctx_put(struct fsctx *c)
{
	if (!--c->refs)
		kfree(c);
}
/* Without descriptors there are no pidfds. */
int fd_close(struct fdtable *t, int fd) { return -EBADF; }
struct waitq pidfd_waitq = WAITQ_INIT(pidfd_waitq);
long pidfd_new(struct process *p, bool nonblock) { return -EMFILE; }
int pidfd_pid(int fd, bool *nonblock) { return -EBADF; }
int pidfd_pid_or_folder(int fd) { return -EBADF; }
void queue_poll(void) {}

/* ---- the CPU ---- */

struct start { void (*fn)(void *); void *arg; };
static struct start *starting;
static void *dying;

static void fiber_main(void)
{
	host_fiber_entered();
	struct start s = *starting;
	kfree(starting);
	if (dying)
		host_fiber_free(dying);
	dying = NULL;
	s.fn(s.arg);
	CHECK(!"a thread came back from its function");
}

void platform_thread_init(struct thread *t, void (*fn)(void *), void *arg)
{
	struct start *s = kmalloc(sizeof(*s));
	*s = (struct start){ fn, arg };
	t->fsbase = (u64)s;
	t->ksp = (u64)host_fiber_new(fiber_main);
	t->flags |= TF_FRESH;
}

void platform_switch(struct thread *prev, struct thread *next)
{
	bool dead = prev->state == T_DEAD;
	percpu.current = next;
	if (next->flags & TF_FRESH) {
		next->flags &= ~TF_FRESH;
		starting = (struct start *)next->fsbase;
	}
	if (dead)
		dying = (void *)prev->ksp;
	host_fiber_switch(dead ? NULL : (void *)prev->ksp, (void *)next->ksp);
	if (dying)
		host_fiber_free(dying);
	dying = NULL;
}

void platform_switch_mm(u64 cr3) {}
u64 platform_fsbase(void) { return 0; }
u64 platform_gsbase(void) { return 0; }
void platform_set_fsbase(u64 v) {}
void platform_set_gsbase(u64 v) {}
static u8 fpu[832] __attribute__((aligned(64)));
void fpu_save(void *area)
{
	memcpy(area, fpu, sizeof(fpu));
	*(u32 *)((char *)area + 28) = 0xffff; /* which MXCSR bits there are: the CPU always says */
}
void fpu_restore(const void *area) { memcpy(fpu, area, sizeof(fpu)); }
void fpu_init(void *area) { memset(area, 0, xsave_size); }

void platform_idle(u64 next)
{
	volatile struct ufs_clock *c = (volatile struct ufs_clock *)CLOCK;
	CHECK_EQ(next, timer_next());
	if (next == ~0ULL)
		panic("everything sleeps for ever");
	c->mono_ns = next;
}

void fake_advance(u64 ns)
{
	((volatile struct ufs_clock *)CLOCK)->mono_ns += ns;
}

void strace_signal(int signo) { }
void strace_flush(void) { }
_Noreturn void platform_exit(int status)
{
	if (status)
		host_say("process 1 ended with 0x%x\n", status);
	host_exit(status != 0);
}

void syscall_restart(struct regs *r)
{
	restarts++;
	r->rax = r->orig_rax;
}

void report_fatal(int signo, u64 addr, struct regs *r) { fatal_signo = signo; }
void unsupported_once(const char *what, u64 val) { }
void klog(const char *fmt, ...) {}
_Noreturn void panic(const char *fmt, ...)
{
	host_say("panic: %s\n", fmt);
	host_exit(1);
}

size_t strlcpy(char *d, const char *s, size_t n)
{
	size_t len = strlen(s);
	if (n) {
		size_t k = MIN(len, n - 1);
		memcpy(d, s, k);
		d[k] = 0;
	}
	return len;
}

/* ---- the program ---- */

void fake_user_work(void)
{
	struct thread *t = current();
	if (CTL->next_timer <= now_ns())
		timers_run();
	if (t->flags & TF_NEED_SIGNAL)
		signal_deliver(t->regs);
}

void thread_start_user(void)
{
	struct regs *r = current()->regs;
	fake_user_work();
	((void (*)(u64))r->rip)(r->rdi);
	CALL(exit, 0);
}

long fake_call(long (*fn)(u64, u64, u64, u64, u64, u64), u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct regs *r = current()->regs;
	for (;;) {
		r->orig_rax = 1000;
		long ret = fn(a, b, c, d, e, f);
		if (r->orig_rax != ~0ULL)
			r->rax = ret;
		fake_user_work();
		if (r->rax != 1000)
			return r->rax;
	}
}

long fake_clone(u64 flags, void (*fn)(u64), u64 arg, int *ctid)
{
	struct regs *r = current()->regs, old = *r;
	r->rip = (u64)fn;
	r->rdi = arg;
	long ret = CALL(clone, flags, 0, 0, ctid);
	*r = old;
	return ret;
}

static void boot_fiber(void) {}

_Noreturn void fake_boot(void (*fn)(void *))
{
	host_shared_area(UFS_SHARED_VA, UFS_SHARED_SIZE);
	volatile struct ufs_clock *c = (volatile struct ufs_clock *)CLOCK;
	c->mono_ns = NSEC;
	c->real_off = 1700000000 * NSEC;
	((struct ufs_boot *)BOOT)->max_files = 1024;
	sched_init();
	current()->ksp = (u64)host_fiber_new(boot_fiber);
	process_start_init(fn);
}
