/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: threads and processes as objects: memory, numbers, tables. */
#include "internal.h"

#define BUCKETS 256
#define CACHE_MAX 16     /* ended threads whose memory is kept for new ones */
#define RLIM_INF (~0ULL)

struct list process_list = LIST_INIT(process_list);
struct process *init_process;
struct list dead_threads = LIST_INIT(dead_threads);
u32 thread_count, process_count;

static struct list *tid_table, *pid_table;
static struct list thread_cache = LIST_INIT(thread_cache);
static u32 cached;
static int last_id;
static bool wrapped;

static struct list *bucket(struct list *table, int id)
{
	return &table[(u32)id % BUCKETS];
}

static bool tables_init(void)
{
	if (tid_table)
		return true;
	struct list *t = kmalloc(2 * BUCKETS * sizeof(*t));
	if (!t)
		return false;
	for (int i = 0; i < 2 * BUCKETS; i++)
		list_init(&t[i]);
	tid_table = t;
	pid_table = t + BUCKETS;
	return true;
}

struct thread *thread_find(int tid)
{
	list_for_each(l, bucket(tid_table, tid)) {
		struct thread *t = list_entry(l, struct thread, hash);
		if (t->tid == tid)
			return t;
	}
	return NULL;
}

struct process *process_find(int pid)
{
	list_for_each(l, bucket(pid_table, pid)) {
		struct process *p = list_entry(l, struct process, hash);
		if (p->pid == pid)
			return p;
	}
	return NULL;
}

/* A number stays taken while a thread, a process, a group or a session has it. */
static bool id_taken(int id)
{
	if (thread_find(id) || process_find(id))
		return true;
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->pgid == id || p->sid == id)
			return true;
	}
	return false;
}

static int id_alloc(void)
{
	do {
		if (++last_id >= PID_MAX) {
			last_id = 300;
			wrapped = true;
		}
	} while (wrapped && id_taken(last_id));
	return last_id;
}

/* ---- threads ---- */

static struct thread *thread_memory(void)
{
	if (!list_empty(&thread_cache)) {
		struct thread *t = list_first(&thread_cache, struct thread, run);
		void *kstack = t->kstack;
		list_del(&t->run);
		cached--;
		memset(t, 0, sizeof(*t));
		t->kstack = kstack;
		t->xsave = (void *)ALIGN_UP((u64)(t + 1), 64);
		fpu_init(t->xsave); /* the parts that XSAVE leaves out show in signal frames */
		return t;
	}
	struct thread *t = kzalloc(sizeof(*t) + 64 + xsave_size);
	if (!t)
		return NULL;
	t->kstack = page_alloc(__builtin_ctz(KSTACK_SIZE / PAGE_SIZE), 0);
	if (!t->kstack) {
		kfree(t);
		return NULL;
	}
	t->xsave = (void *)ALIGN_UP((u64)(t + 1), 64);
	fpu_init(t->xsave);
	return t;
}

/* State T_STOPPED: thread_run() starts it. The first thread of a process gets the number of the process. */
struct thread *thread_alloc(struct process *p)
{
	if (!list_empty(&dead_threads))
		threads_reap();
	if (thread_count >= THREADS_MAX || !tables_init())
		return NULL;
	struct thread *t = thread_memory();
	if (!t)
		return NULL;
	thread_count++;
	t->kstack_top = (u64)t->kstack + KSTACK_SIZE;
	t->regs = (struct regs *)(t->kstack_top - sizeof(struct regs));
	t->state = T_STOPPED;
	t->proc = p;
	t->cpu_start = NOT_RUNNING;
	t->sigalt.ss_flags = SS_DISABLE;
	list_init(&t->run);
	list_init(&t->sigqueue);
	list_add_tail(&t->siblings, &p->threads);
	list_init(&t->hash);
	if (!current()->reset_on_fork) {
		t->policy = current()->policy;
		t->prio = t->rt_prio = current()->rt_prio;
	}
	if (p == &kernel_process)
		return t;
	if (!p->nthreads++)
		p->leader = t;
	t->tid = p->leader == t ? p->pid : id_alloc();
	list_add(&t->hash, bucket(tid_table, t->tid));
	return t;
}

/* Out of the tables; the memory goes with thread_free(), once nothing runs on the stack any more. */
void thread_unlink(struct thread *t)
{
	struct process *p = t->proc;
	list_del(&t->siblings);
	list_del(&t->hash);
	if (p != &kernel_process)
		p->nthreads--;
	p->cpu_ns_dead += t->cpu_ns;
	t->cpu_ns = 0;
	if (p->leader == t)
		p->leader = NULL;
}

void thread_set_tid(struct thread *t, int tid)
{
	list_del(&t->hash);
	t->tid = tid;
	list_add(&t->hash, bucket(tid_table, tid));
}

void thread_free(struct thread *t)
{
	thread_count--;
	if (cached < CACHE_MAX) {
		list_add(&t->run, &thread_cache);
		cached++;
		return;
	}
	page_put(t->kstack);
	kfree(t);
}

void threads_reap(void)
{
	list_for_each_safe(l, n, &dead_threads) {
		struct thread *t = list_entry(l, struct thread, run);
		if (t == current())
			continue;
		list_del(&t->run);
		thread_free(t);
	}
}

/* ---- processes ---- */

/* A process needs about a MiB with what it writes, a thread 64 KiB: at the limit there is memory left to end them in order. */
u32 procs_max(void)
{
	u64 n = BOOT->max_procs ? BOOT->max_procs : MAX(page_total_bytes() >> 20, 32UL);
	return MIN(n, THREADS_MAX);
}

u32 threads_max(void)
{
	u64 n = BOOT->max_procs ? BOOT->max_procs : MAX(page_total_bytes() >> 16, 256UL);
	return MIN(n, THREADS_MAX);
}

struct groups *groups_dup(const struct groups *g)
{
	if (!g)
		return NULL;
	size_t n = sizeof(*g) + g->n * sizeof(g->gid[0]);
	struct groups *d = kmalloc(n);
	return d ? memcpy(d, g, n) : NULL;
}

/* What process 1 starts with: the user and limits that the boot block names. */
static void first_process(struct process *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->rlim); i++)
		p->rlim[i] = (struct rlimit_k){ RLIM_INF, RLIM_INF };
	p->rlim[3].cur = 8 << 20;                                              /* STACK */
	p->rlim[4].cur = 0;                                                    /* CORE */
	p->rlim[6] = (struct rlimit_k){ threads_max(), threads_max() };        /* NPROC */
	p->rlim[7] = (struct rlimit_k){ BOOT->max_files, BOOT->max_files };    /* NOFILE */
	p->rlim[8] = (struct rlimit_k){ 8 << 20, 8 << 20 };                    /* MEMLOCK */
	p->rlim[11] = (struct rlimit_k){ 4096, 4096 };                         /* SIGPENDING */
	p->rlim[12] = (struct rlimit_k){ 819200, 819200 };                     /* MSGQUEUE */
	p->rlim[13] = p->rlim[14] = (struct rlimit_k){ 0, 0 };                 /* NICE, RTPRIO */
	p->uid = p->euid = p->suid = p->fsuid = BOOT->uid;
	p->gid = p->egid = p->sgid = p->fsgid = BOOT->gid;
	p->cap_bset = (1ULL << 41) - 1;
	if (!p->uid)
		p->cap_eff = p->cap_perm = p->cap_bset;
	p->timer_slack = 50000;
	p->dumpable = true;
	p->pgid = p->sid = p->pid;
}

static void inherit(struct process *p, const struct process *from)
{
	memcpy(p->rlim, from->rlim, sizeof(p->rlim));
	memcpy(p->exe, from->exe, sizeof(p->exe));
	p->uid = from->uid; p->euid = from->euid; p->suid = from->suid; p->fsuid = from->fsuid;
	p->gid = from->gid; p->egid = from->egid; p->sgid = from->sgid; p->fsgid = from->fsgid;
	p->cap_eff = from->cap_eff; p->cap_perm = from->cap_perm; p->cap_inh = from->cap_inh; p->cap_bset = from->cap_bset;
	p->no_new_privs = from->no_new_privs;
	p->thp_disable = from->thp_disable;
	p->keep_caps = from->keep_caps;
	p->dumpable = from->dumpable;
	p->timer_slack = from->timer_slack;
	p->nice = from->nice;
	p->pgid = from->pgid;
	p->sid = from->sid;
	p->arg_start = from->arg_start;
	p->env_start = from->env_start;
	p->env_end = from->env_end;
	p->vdso = from->vdso;
	p->at_random = from->at_random;
	if (from->cmdline && (p->cmdline = kmalloc(from->cmdline_len + 1))) {
		memcpy(p->cmdline, from->cmdline, from->cmdline_len);
		p->cmdline_len = from->cmdline_len;
	}
}

struct process *process_alloc(struct process *parent)
{
	if (!tables_init())
		return NULL;
	struct process *p = kzalloc(sizeof(*p));
	if (!p)
		return NULL;
	process_count++;
	p->pid = id_alloc();
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->threads);
	list_init(&p->sigqueue);
	waitq_init(&p->child_waitq);
	p->child_wait = &p->child_waitq;
	p->exit_signal = SIGCHLD;
	p->start_ns = now_ns();
	if (parent) {
		p->parent = parent;
		inherit(p, parent);
		p->groups = groups_dup(parent->groups);
		if (parent->groups && !p->groups) {
			kfree(p->cmdline);
			kfree(p);
			process_count--;
			return NULL;
		}
		list_add_tail(&p->sibling, &parent->children);
	} else {
		first_process(p);
	}
	list_add_tail(&p->all, &process_list);
	list_add(&p->hash, bucket(pid_table, p->pid));
	return p;
}

void process_free(struct process *p)
{
	list_del(&p->sibling);
	list_del(&p->all);
	list_del(&p->hash);
	kfree(p->cmdline);
	kfree(p->groups);
	kfree(p);
	process_count--;
}
