/* SPDX-License-Identifier: Apache-2.0 */
/* net_fake.c: threads that take turns, descriptors, a clock and a monitor, for the tests of net/. */
#include "net_fake.h"
#include <ucontext.h>
#include <sys/mman.h>
#include <string.h>
#include "platform.h"
#include "mm.h"
#include "../mm/uaccess.h"
#include "ring.h"
#include "snapshot.h"

#undef current
struct percpu percpu;
struct process *init_process;
static struct process proc1;
u64 fake_now = 1000000000;
int sigpipes, signals, bells, idles;
void signal_send_group(int pgid, int signo) { }
u64 last_signal;
bool oom, monitor_lazy;

/* ---- threads ---- */

#define THREADS 16
struct fiber { struct thread t; ucontext_t ctx; bool used, done; u64 deadline; int result; void (*fn)(void *); void *arg; char *stack; };
static struct fiber fibers[THREADS];
static struct fiber *running;

static void switch_to(struct fiber *f)
{
	struct fiber *old = running;
	running = f;
	percpu.current = &f->t;
	if (old != f)
		swapcontext(&old->ctx, &f->ctx);
}

static struct fiber *next_runnable(void)
{
	static unsigned turn;
	for (unsigned i = 0; i < THREADS; i++) {
		struct fiber *f = &fibers[turn++ % THREADS];
		if (f->used && !f->done && f->t.state == T_RUNNABLE && f != running)
			return f;
	}
	return NULL;
}

static void timers_check(void);
static u64 timers_next(void);
static void settled(void);

static void fiber_main(void)
{
	running->fn(running->arg);
	running->done = true;
	running->t.state = T_DEAD;
	schedule();
	abort();
}

/* The idle loop: lets the monitor and the clock work until somebody can run. */
void schedule(void)
{
	for (;;) {
		struct fiber *f = next_runnable();
		if (f) {
			switch_to(f);
			return;
		}
		if (running->t.state == T_RUNNABLE)
			return;
		idles++;
		settled();
		if (!monitor_lazy)
			monitor_drain();
		queue_poll();
		if (running->t.state == T_RUNNABLE || next_runnable())
			continue;
		u64 at = timers_next();
		for (int i = 0; i < THREADS; i++)
			if (fibers[i].used && fibers[i].t.state == T_BLOCKED)
				at = MIN(at, fibers[i].deadline);
		if (at == ~0ULL) {
			fprintf(stderr, "all threads sleep for ever\n");
			abort();
		}
		fake_now = MAX(fake_now, at);
		timers_check();
		for (int i = 0; i < THREADS; i++)
			if (fibers[i].used && fibers[i].t.state == T_BLOCKED && fibers[i].deadline <= fake_now) {
				fibers[i].result = -ETIMEDOUT;
				fibers[i].t.state = T_RUNNABLE;
			}
	}
}

int thread_block(u64 deadline, bool interruptible)
{
	struct fiber *f = running;
	if (deadline <= fake_now)
		return -ETIMEDOUT;
	f->t.state = T_BLOCKED;
	f->deadline = deadline;
	f->result = 0;
	schedule();
	return f->result;
}

void thread_wake(struct thread *t)
{
	if (t->state == T_BLOCKED)
		t->state = T_RUNNABLE;
}

void interrupt(void)
{
	for (int i = 0; i < THREADS; i++)
		if (fibers[i].used && fibers[i].t.state == T_BLOCKED) {
			fibers[i].result = -ERESTARTSYS;
			fibers[i].t.state = T_RUNNABLE;
		}
}

static struct fiber *settling;
static void settled(void)
{
	if (settling) {
		settling->t.state = T_RUNNABLE;
		settling = NULL;
	}
}

void settle(void)
{
	settling = running;
	running->t.state = T_BLOCKED;
	running->deadline = ~0ULL;
	schedule();
	queue_poll();
}

void spawn(void (*fn)(void *), void *arg)
{
	struct fiber *volatile f = fibers;
	while (f->used && !f->done)
		f++;
	CHECK(f < fibers + THREADS);
	free(f->stack);
	memset((void *)f, 0, sizeof(*f));
	f->used = true;
	f->fn = fn;
	f->arg = arg;
	f->t.proc = &proc1;
	f->t.state = T_RUNNABLE;
	getcontext(&f->ctx);
	f->stack = malloc(256 << 10);
	f->ctx.uc_stack.ss_sp = f->stack;
	f->ctx.uc_stack.ss_size = 256 << 10;
	makecontext(&f->ctx, fiber_main, 0);
}

/* ---- time ---- */

u64 now_ns(void) { return fake_now; }
u64 real_ns(void) { return fake_now; }
static struct ktimer *armed[64];
void timer_set(struct ktimer *t, u64 deadline)
{
	timer_cancel(t);
	t->deadline = deadline;
	t->slot = 1;
	for (int i = 0; i < 64; i++)
		if (!armed[i]) {
			armed[i] = t;
			return;
		}
	abort();
}
void timer_cancel(struct ktimer *t)
{
	for (int i = 0; i < 64; i++)
		if (armed[i] == t)
			armed[i] = NULL;
	t->slot = 0;
}
static u64 timers_next(void)
{
	u64 at = ~0ULL;
	for (int i = 0; i < 64; i++)
		if (armed[i])
			at = MIN(at, armed[i]->deadline);
	return at;
}
static void timers_check(void)
{
	for (int i = 0; i < 64; i++)
		if (armed[i] && armed[i]->deadline <= fake_now) {
			struct ktimer *t = armed[i];
			timer_cancel(t);
			t->fn(t);
		}
}
int get_timespec(const void *uts, struct kts *ts)
{
	if (copy_from_user(ts, uts, sizeof(*ts)))
		return -EFAULT;
	return ts->sec < 0 || ts->nsec < 0 || ts->nsec >= (s64)NSEC ? -EINVAL : 0;
}
u64 ts_to_ns(const struct kts *ts) { return ts->sec * NSEC + ts->nsec; }
struct kts ns_to_ts(u64 ns) { return (struct kts){ ns / NSEC, ns % NSEC }; }
u64 clock_to_mono(int id, u64 ns) { return ns < fake_now ? 0 : ns; }
int clock_read(int id, u64 *ns) { *ns = fake_now; return 0; }

/* ---- memory ---- */

void *kmalloc(size_t n) { return oom ? NULL : malloc(n ? n : 1); }
void *kzalloc(size_t n) { return oom ? NULL : calloc(1, n ? n : 1); }
void *krealloc(void *p, size_t n) { return oom ? NULL : realloc(p, n); }
void kfree(void *p) { free(p); }
void *page_alloc(unsigned order, unsigned flags) { return oom ? NULL : aligned_alloc(4096, 4096UL << order); }
void page_put(void *p) { free(p); }
/* Addresses below 64 KiB are not mapped, nor is what follows `edge`. */
u64 uaccess_copy(void *dst, const void *src, u64 n)
{
	if ((u64)dst < 65536 || (u64)src < 65536)
		return n;
	memcpy(dst, src, n);
	return 0;
}
u64 uaccess_zero(void *dst, u64 n) { memset(dst, 0, n); return 0; }
int copy_from_user(void *d, const void *s, size_t n) { return access_ok(s, n) && !uaccess_copy(d, s, n) ? 0 : -EFAULT; }
int copy_to_user(void *d, const void *s, size_t n) { return !n || (access_ok(d, n) && !uaccess_copy(d, s, n)) ? 0 : -EFAULT; }
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

/* ---- signals, logs ---- */

int signal_send_thread(struct thread *t, const struct ksiginfo *si)
{
	sigpipes += si->signo == SIGPIPE;
	return 0;
}
int signal_send_process(struct process *p, const struct ksiginfo *si)
{
	signals++;
	last_signal = si->signo;
	return 0;
}
int signal_mask_push(const void *uset, size_t size) { return uset && size != 8 ? -EINVAL : 0; }
long signal_mask_pop(long ret) { return ret; }
void unsupported_once(const char *what, u64 val) { }
struct pentry;
const char *pentry_name(const struct pentry *e) { return ""; } /* nobody reads /proc here */
void klog(const char *fmt, ...) { }
void panic(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	abort();
}

/* ---- files ---- */

#define FDS 4096
struct fdtable { struct file *f[FDS]; };
static struct fdtable table;

void inode_get(struct inode *ino) { ino->refs++; }
void inode_put(struct inode *ino)
{
	if (!ino || --ino->refs)
		return;
	if (ino->ops->release)
		ino->ops->release(ino);
	else
		free(ino);
}
u64 inode_new_number(void) { static u64 n = 100; return n++; }
struct file *file_alloc(const struct file_ops *ops, u32 flags, void *priv)
{
	struct file *f = kzalloc(sizeof(*f));
	if (!f)
		return NULL;
	f->ops = ops;
	f->refs = 1;
	f->flags = flags;
	f->priv = priv;
	list_init(&f->epolls);
	return f;
}
void file_get(struct file *f) { f->refs++; }
void file_put(struct file *f)
{
	if (!f || --f->refs)
		return;
	epoll_file_gone(f);
	if (f->ops->release)
		f->ops->release(f);
	inode_put(f->ino);
	kfree(f);
}
struct file *fake_file(int fd) { return (u32)fd < FDS ? table.f[fd] : NULL; }
struct file *fd_get_any(int fd) { return fd_get(fd); }
struct file *fd_get(int fd)
{
	struct file *f = fake_file(fd);
	if (f)
		f->refs++;
	return f;
}
int fd_install(struct file *f, int min, bool cloexec)
{
	for (u32 fd = min; fd < MIN((u64)FDS, proc1.rlim[7].cur); fd++)
		if (!table.f[fd]) {
			table.f[fd] = f;
			return fd;
		}
	return -EMFILE;
}
int fd_install_at(struct fdtable *t, int fd, struct file *f, bool cloexec) { table.f[fd] = f; return fd; }
int fd_close(struct fdtable *t, int fd)
{
	struct file *f = fake_file(fd);
	if (!f)
		return -EBADF;
	table.f[fd] = NULL;
	file_put(f);
	return 0;
}
int open_files(void)
{
	int n = 0;
	for (int i = 0; i < FDS; i++)
		n += table.f[i] != NULL;
	return n;
}
long fake_close(int fd) { return fd_close(&table, fd); }
long fake_read(int fd, void *buf, size_t n)
{
	struct file *f = fd_get(fd);
	struct iter it;
	iter_user(&it, buf, n);
	long r = f ? f->ops->read(f, &it, &f->pos) : -EBADF;
	file_put(f);
	return r;
}
long fake_write(int fd, const void *buf, size_t n)
{
	struct file *f = fd_get(fd);
	struct iter it;
	iter_user(&it, (void *)buf, n);
	long r = f ? f->ops->write(f, &it, &f->pos) : -EBADF;
	file_put(f);
	return r;
}
long fake_ioctl(int fd, u64 cmd, void *arg) { return fake_file(fd)->ops->ioctl(fake_file(fd), cmd, (u64)arg); }
void fake_nonblock(int fd, bool on) { fake_file(fd)->flags = on ? fake_file(fd)->flags | 04000 : fake_file(fd)->flags & ~04000; }

/* Paths: names in one flat directory. */
static struct { char name[64]; struct inode *ino; } nodes[16];
static const struct inode_ops node_ops;
struct inode *path_lookup_kernel(const char *path, bool follow)
{
	for (int i = 0; i < 16; i++)
		if (nodes[i].ino && !strcmp(nodes[i].name, path)) {
			nodes[i].ino->refs++;
			return nodes[i].ino;
		}
	return ERR_PTR(-ENOENT);
}
struct inode *path_mknod_kernel(const char *path, u32 mode, u64 rdev)
{
	struct inode *ino = path_lookup_kernel(path, true);
	if (!IS_ERR(ino)) {
		inode_put(ino);
		return ERR_PTR(-EEXIST);
	}
	for (int i = 0; i < 16; i++)
		if (!nodes[i].ino) {
			ino = calloc(1, sizeof(*ino));
			ino->ops = &node_ops;
			ino->refs = 2;
			ino->mode = mode;
			ino->ino = inode_new_number();
			strlcpy(nodes[i].name, path, 64);
			return nodes[i].ino = ino;
		}
	return ERR_PTR(-ENOSPC);
}
int inode_may(struct inode *ino, int mask) { return 0; }
void random_bytes(void *buf, size_t n) { memset(buf, 7, n); }

/* ---- the monitor ---- */

static u8 *inbox;
static size_t in_head, in_tail, in_cap;
static u64 mon_tx_tail, mon_rx_head;
static u8 *last;

void monitor_drain(void)
{
	u64 head = CTL->tx_head;
	struct ufs_msg m;
	int r;
	while ((r = ring_peek((u8 *)UFS_SHARED_VA + UFS_TX_OFF, UFS_TX_SIZE, head, mon_tx_tail, &m)) == 1) {
		CHECK(m.flags == 0);
		size_t need = in_head + sizeof(m) + m.len;
		if (need > in_cap)
			inbox = realloc(inbox, in_cap = need * 2);
		memcpy(inbox + in_head, &m, sizeof(m));
		ring_read((u8 *)UFS_SHARED_VA + UFS_TX_OFF, UFS_TX_SIZE, mon_tx_tail + 16, inbox + in_head + 16, m.len);
		in_head = need;
		mon_tx_tail += ring_space(m.len);
	}
	CHECK(r == 0);
	CTL->tx_tail = mon_tx_tail;
}

bool monitor_get(struct got *g)
{
	struct ufs_msg m;
	monitor_drain();
	free(last);
	last = NULL;
	if (in_tail == in_head) {
		in_tail = in_head = 0;
		return false;
	}
	memcpy(&m, inbox + in_tail, sizeof(m));
	last = malloc(m.len + 1);
	memcpy(last, inbox + in_tail + 16, m.len);
	in_tail += 16 + m.len;
	*g = (struct got){ m.type, m.conn, m.arg, m.len, last };
	return true;
}

bool monitor_put(u16 type, u32 conn, u32 arg, const void *data, u32 len)
{
	u8 *rx = (u8 *)UFS_SHARED_VA + UFS_RX_OFF;
	struct ufs_msg m = { .len = len, .type = type, .conn = conn, .arg = arg };
	s64 used = ring_used(UFS_RX_SIZE, mon_rx_head, CTL->rx_tail);
	CHECK(used >= 0);
	if (UFS_RX_SIZE - used < ring_space(len))
		return false;
	ring_write(rx, UFS_RX_SIZE, mon_rx_head, &m, 16);
	ring_write(rx, UFS_RX_SIZE, mon_rx_head + 16, data, len);
	mon_rx_head += ring_space(len);
	CTL->rx_head = mon_rx_head;
	return true;
}

void doorbell(u32 off, u32 value)
{
	bells++;
	if (!monitor_lazy)
		monitor_drain();
}

void machine_start(void)
{
	CHECK(mmap((void *)UFS_SHARED_VA, UFS_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
	      (void *)UFS_SHARED_VA);
	init_process = &proc1;
	proc1.pid = 1;
	proc1.files = (void *)&table;
	proc1.euid = proc1.uid = 1000;
	for (unsigned i = 0; i < ARRAY_SIZE(proc1.rlim); i++)
		proc1.rlim[i].cur = proc1.rlim[i].max = 1024;
	running = &fibers[0];
	running->used = true;
	running->t.proc = &proc1;
	running->t.state = T_RUNNABLE;
	percpu.current = &running->t;
	queue_init();
	net_init();
}


/* ---- what a restore does elsewhere ---- */

int flushes, wipes, renewals, warmed;
void mm_warm(void) { warmed++; }
bool snap_wanted = true, job_waits;
u64 snap_generation;
char renamed[65];
void platform_flush(u64 va, u64 len) { flushes++; }
u64 freed_bytes;
void mm_wipe(void) { wipes++; }
void memory_freed(u64 pa, u64 size) { freed_bytes += size; }
bool any_out;
bool page_any_out(void) { return any_out; }
void stack_renew(void) { renewals++; }
void host_rename(const char *name, u32 n) { memcpy(renamed, name, n); renamed[n] = 0; }
bool snapshot_wanted(void) { return snap_wanted; }
void snapshot_restored(u64 generation) { snap_generation = generation; }
bool job_awaited(void) { return job_waits; }

struct spans;
void host_message(const struct ufs_msg *m, const struct spans *s);
void host_message(const struct ufs_msg *m, const struct spans *s) { abort(); }
/* ---- programs by request: there are none here ---- */
struct spans;
void job_spawn(u32 conn, const struct spans *env) { abort(); }
bool job_message(const struct ufs_msg *m, const struct spans *s) { return false; }
