/* SPDX-License-Identifier: Apache-2.0 */
/* fs_fake.c: see fs_fake.h. */
#include "fs_fake.h"
#include "../proc/stack.h"
#include "../net/stream.h"

struct percpu percpu;
struct list process_list = LIST_INIT(process_list);
struct process *init_process;
int fake_signal;
long fake_pages, fake_fail_after = -1;

static struct process process;
static struct thread thread;

static bool fail(void) { return fake_fail_after >= 0 && fake_fail_after-- <= 0 && !(fake_fail_after = 0); }

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

/* ---- memory ---- */

void *kmalloc(size_t n) { return fail() ? NULL : malloc(n); }
void *kzalloc(size_t n) { return fail() ? NULL : calloc(1, n); }
void *krealloc(void *p, size_t n) { return fail() ? NULL : realloc(p, n); }
void kfree(void *p) { free(p); }

/* A page stands behind a page that holds its count and where the block began. */
struct head { void *block; u32 refs; u32 pages; };
static struct head *head(const void *page) { return (struct head *)((u64)page - sizeof(struct head)); }

/* Blocks of several pages, which may be split, stand apart: a count for each page. */
#define BLOCKS 512
static struct block { u8 *at; u32 pages; bool split; u32 refs[1024]; } blocks[BLOCKS];

static struct block *block_of(const void *page)
{
	for (u32 i = 0; i < BLOCKS; i++)
		if (blocks[i].at && (u8 *)page >= blocks[i].at && (u8 *)page < blocks[i].at + blocks[i].pages * PAGE_SIZE)
			return &blocks[i];
	return NULL;
}

static u32 *refs_of(const void *page)
{
	struct block *b = block_of(page);
	return b ? &b->refs[((u8 *)page - b->at) / PAGE_SIZE] : &head(page)->refs;
}

static void *block_alloc(unsigned order)
{
	struct block *b = blocks;
	while (b->at)
		CHECK(++b < blocks + BLOCKS);
	*b = (struct block){ .at = host_pages(1U << order), .pages = 1U << order, .refs[0] = 1 };
	fake_pages += b->pages;
	return b->at;
}

static void block_put(struct block *b, u32 i)
{
	CHECK(b->refs[i] > 0);
	if (--b->refs[i])
		return;
	fake_pages -= b->split ? 1 : b->pages;
	for (u32 k = 0; k < b->pages; k++)
		if (b->refs[k])
			return;
	host_unpages(b->at, b->pages);
	b->at = NULL;
}

void page_split(void *page, unsigned order)
{
	struct block *b = block_of(page);
	CHECK(b && b->at == page && b->pages == 1U << order && b->refs[0] == 1 && !b->split);
	b->split = true;
	for (u32 i = 0; i < b->pages; i++)
		b->refs[i] = 1;
}

void *page_alloc(unsigned order, unsigned flags)
{
	if (order)
		return fail() ? NULL : block_alloc(order);
	size_t n = PAGE_SIZE << order;
	u8 *block = fail() ? NULL : malloc(n + 2 * PAGE_SIZE), *page;

	if (!block)
		return NULL;
	page = (u8 *)ALIGN_UP((u64)block + sizeof(struct head), PAGE_SIZE);
	memset(page, flags & PG_ZERO ? 0 : 0xa5, n);
	*head(page) = (struct head){ block, 1, 1U << order };
	fake_pages += 1L << order;
	return page;
}

void page_get(void *page)
{
	if ((u64)page < UFS_IMAGE_VA || (u64)page >= UFS_IMAGE_VA + FAKE_IMAGE_MAX)
		++*refs_of(page);
}

void page_put(void *page)
{
	if ((u64)page >= UFS_IMAGE_VA && (u64)page < UFS_IMAGE_VA + FAKE_IMAGE_MAX)
		return;
	struct block *b = block_of(page);
	if (b) {
		block_put(b, ((u8 *)page - b->at) / PAGE_SIZE);
		return;
	}
	CHECK(head(page)->refs > 0);
	if (--head(page)->refs)
		return;
	fake_pages -= head(page)->pages;
	free(head(page)->block);
}

unsigned page_refs(void *page) { return *refs_of(page); }
u64 page_free_bytes(void) { return 1UL << 30; }
u64 fake_total = 1UL << 31;
u64 page_total_bytes(void) { return fake_total; }

/* ---- the program's memory: addresses below a page are bad ---- */

static bool bad(const void *p, size_t n) { return n && (u64)p < PAGE_SIZE; }

int copy_from_user(void *dst, const void *src, size_t n)
{
	if (bad(src, n))
		return -EFAULT;
	memmove(dst, src, n);
	return 0;
}

int copy_to_user(void *dst, const void *src, size_t n)
{
	if (bad(dst, n))
		return -EFAULT;
	memmove(dst, src, n);
	return 0;
}

long strncpy_from_user(char *dst, const char *src, size_t n)
{
	size_t len;

	if (bad(src, 1))
		return -EFAULT;
	len = strnlen(src, n);
	if (len == n)
		return -ENAMETOOLONG;
	memcpy(dst, src, len + 1);
	return len;
}

void iter_user(struct iter *it, void *buf, size_t n)
{
	it->one = (struct iovec){ buf, n };
	it->iov = &it->one;
	it->niov = 1;
	it->off = 0;
	it->left = n;
	it->kernel = false;
}

void iter_kernel(struct iter *it, void *buf, size_t n) { iter_user(it, buf, n); }

int iter_iov(struct iter *it, const struct iovec *iov, size_t niov)
{
	*it = (struct iter){ .iov = iov, .niov = niov };
	for (size_t i = 0; i < niov; i++)
		it->left += iov[i].iov_len;
	return 0;
}

static long iter_move(struct iter *it, u8 *kernel, size_t n, bool put)
{
	size_t done = 0;

	n = MIN(n, it->left);
	while (done < n) {
		size_t k = MIN(n - done, it->iov->iov_len - it->off);
		u8 *u = (u8 *)it->iov->iov_base + it->off;
		if (bad(u, k))
			return done ? (long)done : -EFAULT;
		if (put && kernel)
			memcpy(u, kernel + done, k);
		else if (put)
			memset(u, 0, k);
		else
			memcpy(kernel + done, u, k);
		done += k;
		it->off += k;
		it->left -= k;
		if (it->off == it->iov->iov_len && it->left) {
			it->iov++;
			it->off = 0;
		}
	}
	return done;
}

long iter_put(struct iter *it, const void *src, size_t n) { return iter_move(it, (u8 *)src, n, true); }
long iter_get(struct iter *it, void *dst, size_t n) { return iter_move(it, dst, n, false); }
long iter_zero(struct iter *it, size_t n) { return iter_move(it, NULL, n, true); }

/* ---- the folder of the host ---- */

#define WAITING 64
static struct { struct ufs_msg m; u8 payload[UFS_MSG_MAX]; } waiting[WAITING];
static u32 nwaiting;
static u64 folder_seed;
bool fake_gives_up;
void (*fake_spoil)(struct ufs_msg *m, u8 *payload);
struct waitq queue_room = WAITQ_INIT(queue_room);

static u32 folder_rnd(u32 n)
{
	folder_seed = folder_seed * 6364136223846793005UL + 1442695040888963407UL;
	return (folder_seed >> 33) % n;
}

void fake_folder(u64 seed) { folder_seed = seed | 1; }

bool queue_send(u16 type, u32 conn, u32 arg, const void *data, u32 len)
{
	char path[UFS_FILE_PATH + 1];
	struct ufs_file_req req;
	u32 n = 0;

	CHECK(folder_seed && type == UFS_MSG_FILE && len >= sizeof(req) && len <= sizeof(req) + UFS_FILE_PATH);
	if (folder_rnd(20) == 0) /* no room in the ring */
		return false;
	memcpy(&req, data, sizeof(req));
	memcpy(path, (const u8 *)data + sizeof(req), len - sizeof(req));
	path[len - sizeof(req)] = 0;
	if (arg == UFS_FILE_UNMAP) {
		folder_serve(arg, path, &req, NULL, NULL);
		return true;
	}
	CHECK(nwaiting < WAITING);
	waiting[nwaiting].m = (struct ufs_msg){ .type = UFS_MSG_FILE_REPLY, .conn = conn };
	waiting[nwaiting].m.arg = folder_serve(arg, path, &req, waiting[nwaiting].payload, &n);
	waiting[nwaiting++].m.len = n;
	return true;
}

void queue_want_room(struct room_waiter *w) { }
void queue_hurry(void) { }
void thread_wake(struct thread *t) { }

/* An answer comes, at times a spoiled one; it lies in the ring in two pieces. */
int thread_block(u64 deadline, bool interruptible)
{
	u32 i, cut;

	if (interruptible)
		return -ERESTARTSYS;
	if (!nwaiting) { /* no answer, or room in the ring */
		static u32 nothing;
		CHECK(fake_gives_up || ++nothing < 100000);
		return fake_gives_up && folder_rnd(3) == 0 ? -ERESTARTSYS : 0;
	}
	i = folder_rnd(nwaiting);
	if (fake_spoil)
		fake_spoil(&waiting[i].m, waiting[i].payload);
	cut = folder_rnd(waiting[i].m.len + 1);
	struct spans s = { waiting[i].payload, cut, waiting[i].payload + cut, waiting[i].m.len - cut };
	host_message(&waiting[i].m, &s);
	memcpy(&waiting[i], &waiting[--nwaiting], sizeof(waiting[i]));
	return 0;
}

/* ---- processes ---- */

bool signal_pending(void) { return false; }
void waiter_init(struct waiter *w) { list_init(&w->link); }
void waitq_add(struct waitq *q, struct waiter *w) { list_add_tail(&w->link, &q->waiters); }
void waitq_remove(struct waiter *w) { list_del(&w->link); }
void waitq_wake(struct waitq *q, u32 events) {}
void waitq_wake_one(struct waitq *q, u32 events) {}
void poll_wait(struct poll_table *pt, struct waitq *q) {}
long noop_seek(struct file *f, s64 off, int whence) { return f->pos; }
void epoll_file_gone(struct file *f) {}
struct process *process_find(int pid) { return pid == 1 ? &process : NULL; }
struct thread *thread_find(int tid) { return tid == 1 ? &thread : NULL; }
u64 process_cpu_ns(struct process *p) { return 0; }

int signal_send_thread(struct thread *t, const struct ksiginfo *si)
{
	fake_signal = si->signo;
	return 0;
}

int signal_send_process(struct process *p, const struct ksiginfo *si) { return signal_send_thread(&thread, si); }
void signal_sets(struct process *p, u64 *ignored, u64 *caught) { *ignored = *caught = 0; }
void signal_send_group(int pgid, int signo) { fake_signal = signo; }
int pgrp_session(int pgid) { return pgid == 1 ? 1 : -ESRCH; }
int job_background(int foreground, int sig) { return 0; }
bool console_is_ctty(void) { return false; }
int console_open_tty(struct file *f) { return -ENXIO; }

size_t stack_auxv(const u64 **v)
{
	*v = NULL;
	return 0;
}

void mm_each(struct mm *mm, void (*fn)(const struct mapinfo *, void *), void *arg) {}
void mm_file_changed(struct inode *ino, u64 from, u64 to, bool gone) {}
int mm_files_init(void) { return 0; }
int mm_files_map(u64 off, u64 len) { return 0; }
void mm_files_unmap(u64 off, u64 len) {}
void mm_stat(struct mm *mm, struct mmstat *st) { memset(st, 0, sizeof(*st)); }

u64 now_ns(void)
{
	static u64 t;
	return t += 1000;
}
u64 real_ns(void) { return 1700000000 * NSEC + now_ns(); }

void unsupported_once(const char *what, u64 val) { }
void klog(const char *fmt, ...) {}

void panic(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("panic: %s\n", line);
	host_exit(3);
}

void fake_boot(u64 image_size, u64 overlay_max)
{
	struct ufs_layer l = { 0, image_size };
	fake_layers(&l, image_size > 0, overlay_max);
}

void fake_layers(const struct ufs_layer *layer, u32 n, u64 overlay_max)
{
	struct ufs_boot *boot = (struct ufs_boot *)BOOT;

	boot->size = sizeof(*boot);
	boot->flags = folder_seed ? UFS_BOOT_FILES : 0;
	boot->layers = n;
	memcpy(boot->layer, layer, n * sizeof(*layer));
	boot->image_size = n ? layer[n - 1].offset + layer[n - 1].size : 0;
	boot->overlay_max = overlay_max;
	list_init(&process.threads);
	list_init(&process.all);
	list_add(&process.all, &process_list);
	list_add(&thread.siblings, &process.threads);
	process.pid = 1;
	process.nthreads = 1;
	process.cap_eff = process.cap_perm = ~0UL;
	for (int i = 0; i < 16; i++)
		process.rlim[i] = (struct rlimit_k){ ~0UL, ~0UL };
	process.rlim[RLIMIT_NOFILE].cur = 1024;
	thread.proc = &process;
	thread.tid = 1;
	strlcpy(thread.name, "test", sizeof(thread.name));
	init_process = &process;
	percpu.current = &thread;
	fs_init();
	process.files = fdtable_create();
	process.fs = fsctx_create();
	CHECK(process.files && process.fs);
}

/* ---- net/ ---- */

struct tnode;
struct pnode;
struct text;
struct tnode *names_supply(struct tnode *root, struct tnode *etc) { return etc; }
#define X(name) void show_net_##name(struct text *b, struct pnode *n) { }
X(dev) X(if6) X(inet) X(route) X(route6) X(sockstat) X(unix)
