/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.c: programs started by request (UFS_BOOT_SPAWN): process 1 is the libos's own, each SPAWN runs the boot block's program.
 *
 *   stream of the request --> job thread --> pipe --> stdin  \
 *   stream of the request <-- job thread <-- pipe <-- stdout /  program, a session of its own
 *
 * Real pipes stand between, so that the program may do with its standard streams whatever it does with pipes elsewhere. The job is
 * over when the program has ended: what it wrote until then is sent, then ENDED. What it left running goes on without the streams.
 */
#include "internal.h"
#include "fs.h"
#include "poll.h"
#include "snapshot.h"
#include "../fs/vfs.h"
#include "../net/stream.h"
#include <asm/fcntl.h>

#define BUF_SIZE 16384

struct job {
	struct list link;
	struct xstream x;
	struct waitq wq;          /* stream: input, credit, end */
	struct process *proc;
	struct file *in, *out;    /* our ends; in is NULL once it was closed */
	bool end, gone;           /* no more input comes; the request was given up */
	char *env;                /* NUL-terminated strings of the request, env_len bytes */
	u32 env_len;
	struct file *theirs[2];   /* the program's ends, until it has them */
	u8 *buf;
};

static struct list jobs = LIST_INIT(jobs);

static bool others(void (*fn)(struct process *p, int arg), int sid, int arg)
{
	bool any = false;
	list_for_each_safe(l, n, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p == init_process || p->zombie || (sid && p->sid != sid))
			continue;
		fn(p, arg);
		any = true;
	}
	return any;
}

static void send_signal(struct process *p, int signo)
{
	signal_send_process(p, &(struct ksiginfo){ .signo = signo, .code = SI_KERNEL });
}

/* ---- the stream's side ---- */

bool job_message(const struct ufs_msg *m, const struct spans *s)
{
	list_for_each(l, &jobs) {
		struct job *j = list_entry(l, struct job, link);
		if (j->x.conn != m->conn)
			continue;
		switch (m->type) {
		case UFS_MSG_DATA:
			if (!j->in)
				xs_taken(&j->x, m->len); /* nobody reads it */
			else if (xs_receive(&j->x, s)) {
				klog("request: %u bytes came that there is no room for; its input ends here", m->len);
				j->end = true;
			}
			break;
		case UFS_MSG_CREDIT:
			xs_credit(&j->x, m->arg);
			break;
		case UFS_MSG_RESET:
			j->gone = true;
			others(send_signal, j->proc->sid, SIGKILL);
			/* fall through */
		case UFS_MSG_EOF:
			j->end = true;
		}
		waitq_wake(&j->wq, POLL_IN | POLL_OUT);
		return true;
	}
	return false;
}

/* Bytes of the request to the program. True if something moved. */
static bool pump_in(struct job *j)
{
	struct iter it;
	long n;
	if (!j->in)
		return false;
	u32 bits = j->in->ops->poll(j->in, NULL);
	if (!(bits & POLLERR) && (j->x.rx.len || !j->end)) {
		if (!j->x.rx.len || !(bits & POLLOUT))
			return false;
		iter_kernel(&it, j->buf, BUF_SIZE);
		n = bytes_get(&j->x.rx, &it, BUF_SIZE, true);
		if (n <= 0)
			return false;
		iter_kernel(&it, j->buf, n);
		n = j->in->ops->write(j->in, &it, NULL);
		if (n <= 0)
			return false;
		bytes_drop(&j->x.rx, n);
		xs_taken(&j->x, n);
		return true;
	}
	/* All is delivered, or nobody reads any more. */
	file_put(j->in);
	j->in = NULL;
	xs_taken(&j->x, j->x.rx.len);
	bytes_drop(&j->x.rx, j->x.rx.len);
	return true;
}

/* Bytes of the program to the request: how many went. */
static long pump_out(struct job *j)
{
	struct iter it;
	u32 n = MIN(MIN(j->x.credit, queue_data_room()), (u32)BUF_SIZE);
	if (j->gone)
		n = BUF_SIZE;
	else if (!n)
		xs_want_room(&j->x);
	if (!n)
		return 0;
	iter_kernel(&it, j->buf, n);
	long got = j->out->ops->read(j->out, &it, NULL);
	if (got <= 0 || j->gone)
		return MAX(got, 0L);
	if (!queue_send(UFS_MSG_DATA, j->x.conn, 0, j->buf, got))
		panic("request: no room for %ld bytes that there was room for", got);
	j->x.credit -= got;
	return got;
}

static bool out_pending(struct job *j)
{
	return !j->gone && (j->out->ops->poll(j->out, NULL) & POLLIN);
}

/* ---- waiting on all of it ---- */

struct sources { struct poll_table pt; struct waiter w[6]; int n; };

static void source_queue(struct poll_table *pt, struct waitq *q)
{
	struct sources *s = container_of(pt, struct sources, pt);
	if (s->n == (int)ARRAY_SIZE(s->w))
		panic("request: a pipe end waits on more queues than expected");
	waiter_init(&s->w[s->n]);
	waitq_add(q, &s->w[s->n++]);
}

static void job_free(struct job *j)
{
	for (int i = 0; i < 2; i++)
		if (j->theirs[i])
			file_put(j->theirs[i]);
	if (j->in)
		file_put(j->in);
	if (j->out)
		file_put(j->out);
	list_del(&j->link);
	xs_free(&j->x);
	kfree(j->buf);
	kfree(j->env);
	kfree(j);
}

/* The job's own thread: moves bytes until the program has ended, and reports that. */
static void job_thread(void *arg)
{
	struct job *j = arg;
	long left = pipe_size(j->out, false, 0); /* after the end: what may be in the pipe. Somebody else may go on writing */
	for (;;) {
		struct sources s = { .pt.queue = source_queue };
		bool ended = j->proc->zombie, moved = pump_in(j);
		long n = pump_out(j);
		left -= ended ? n : 0;
		if (ended && (!out_pending(j) || left <= 0))
			break;
		if (moved || n)
			continue;
		source_queue(&s.pt, &j->wq);
		source_queue(&s.pt, init_process->child_wait);
		j->out->ops->poll(j->out, &s.pt);
		if (j->in)
			j->in->ops->poll(j->in, &s.pt);
		thread_block(~0ULL, false);
		while (s.n)
			waitq_remove(&s.w[--s.n]);
	}
	struct process *p = j->proc;
	if (!j->gone)
		queue_control(UFS_MSG_ENDED, j->x.conn, p->exit_status);
	job_free(j);
	process_reap(p, init_process);
}

/* ---- the program ---- */

static bool same_key(const char *a, const char *b)
{
	while (*a && *a == *b && *a != '=')
		a++, b++;
	return *a == '=' && *b == '=';
}

/* The boot block's variables, then those of the request, which replace those of the same name. */
static char **job_env(const struct job *j, int *count)
{
	u32 n = BOOT->envc, more = 0;
	for (u32 i = 0; i < j->env_len; i++)
		more += !j->env[i];
	char **boot = boot_strings(BOOT->envp, n), **v = kmalloc((n + more + 1) * sizeof(*v));
	if (!boot || !v) {
		kfree(boot);
		kfree(v);
		return NULL;
	}
	memcpy(v, boot, n * sizeof(*v));
	kfree(boot);
	for (char *s = j->env; s < j->env + j->env_len; s += strlen(s) + 1) {
		u32 i = 0;
		while (i < n && !same_key(v[i], s))
			i++;
		v[i] = s;
		n = MAX(n, i + 1);
	}
	v[n] = NULL;
	*count = n;
	return v;
}

/* First code of the program's own thread. */
static void program_thread(void *arg)
{
	struct job *j = NULL;
	struct process *p = curproc();
	list_for_each(l, &jobs)
		if (list_entry(l, struct job, link)->proc == p)
			j = list_entry(l, struct job, link);
	long r = -ESRCH;
	int n;
	for (int fd = 0; j && fd < 2; fd++) {
		fd_close(p->files, fd);
		r = fd_install_at(p->files, fd, j->theirs[fd], false);
		if (r < 0)
			break;
		j->theirs[fd] = NULL;
	}
	const char *program = (const char *)BOOT + BOOT->program;
	if (r >= 0) {
		char **argv = boot_strings(BOOT->argv, BOOT->argc), **env = job_env(j, &n);
		r = argv && env ? exec_program(program, argv, BOOT->argc, env, n) : -ENOMEM;
		kfree(argv);
		kfree(env);
	}
	if (r < 0) {
		exec_failed(program, r);
	}
	thread_start_user();
}

static struct process *program_process(void)
{
	struct process *p = process_alloc(init_process);
	if (!p)
		return NULL;
	mm_get(mm_boot);
	p->mm = mm_boot; /* until exec has made its own */
	p->files = fdtable_copy(init_process->files);
	p->fs = fsctx_create();
	p->sighand = sighand_create();
	p->pgid = p->sid = p->pid;
	struct thread *t = p->files && p->fs && p->sighand ? thread_alloc(p) : NULL;
	if (!t) {
		process_undo(p);
		return NULL;
	}
	strlcpy(t->name, "spawn", sizeof(t->name));
	platform_thread_init(t, program_thread, NULL);
	thread_run(t);
	return p;
}

/* Called while messages are taken: may not block. */
void job_spawn(u32 conn, const struct spans *env)
{
	struct job *j = BOOT->flags & UFS_BOOT_SPAWN ? kzalloc(sizeof(*j)) : NULL;
	u32 n = env->n + env->n2;
	if (!j) {
		queue_control(UFS_MSG_RESET, conn, 0);
		return;
	}
	waitq_init(&j->wq);
	xs_init(&j->x, conn, &j->wq);
	list_add_tail(&j->link, &jobs);
	j->buf = kmalloc(BUF_SIZE);
	j->env = kmalloc(n + 1);
	bool ok = j->buf && j->env && !pipe_pair(&j->theirs[0], &j->in, 0) && !pipe_pair(&j->out, &j->theirs[1], 0);
	if (ok) {
		j->in->flags |= O_NONBLOCK;
		j->out->flags |= O_NONBLOCK;
		memcpy(j->env, env->p, env->n);
		memcpy(j->env + env->n, env->p2, env->n2);
		j->env[n] = 0;
		j->env_len = n && j->env[n - 1] ? n + 1 : n;
		j->proc = program_process();
	}
	struct thread *t = ok && j->proc ? kthread_create(job_thread, j, "job") : NULL;
	if (t)
		return;
	if (j->proc)
		process_kill(j->proc, SIGKILL); /* its thread finds no job */
	job_free(j);
	queue_control(UFS_MSG_RESET, conn, 0);
	klog("request refused: out of memory");
}

bool job_awaited(void) { return BOOT->flags & UFS_BOOT_SPAWN && list_empty(&jobs); }

/* ---- process 1 ---- */

static bool has_job(const struct process *p)
{
	list_for_each(l, &jobs)
		if (list_entry(l, struct job, link)->proc == p)
			return true;
	return false;
}

static void reap_orphans(void)
{
	list_for_each_safe(l, n, &init_process->children) {
		struct process *p = list_entry(l, struct process, sibling);
		if (p->zombie && !has_job(p))
			process_reap(p, init_process);
	}
}

static void nothing(struct process *p, int arg) {}

/* Asked to end: the programs are asked in turn. */
static void shut_down(void)
{
	sigqueue_flush(&init_process->sigqueue, &init_process->sigpending);
	others(send_signal, 0, SIGTERM);
	while (others(nothing, 0, 0)) {
		wait_on(init_process->child_wait, !others(nothing, 0, 0), ~0ULL);
		sigqueue_flush(&init_process->sigqueue, &init_process->sigpending);
		reap_orphans();
	}
	platform_exit(0);
}

_Noreturn void spawn_init(void)
{
	struct waiter w;
	strlcpy(init_process->exe, "/init", sizeof(init_process->exe));
	strlcpy(current()->name, "init", sizeof(current()->name));
	CTL->tsc_user = CTL->tsc_listen = rdtsc();
	queue_control(UFS_MSG_LISTEN, 0, 0);
	waiter_init(&w);
	waitq_add(init_process->child_wait, &w);
	for (;;) {
		reap_orphans();
		if (thread_block(~0ULL, true) == -ERESTARTSYS)
			shut_down();
	}
}
