/* SPDX-License-Identifier: Apache-2.0 */
/* exit.c: the end of threads and processes. */
#include "internal.h"
#include "fs.h"
#include "restart.h"
#include "syscall.h"
#include "../time/internal.h"

/* Marks every thread of p but `except` to end on its way out, and gets those that sleep there. */
static void threads_end(struct process *p, struct thread *except)
{
	list_for_each(l, &p->threads) {
		struct thread *t = list_entry(l, struct thread, siblings);
		if (t == except)
			continue;
		t->flags |= TF_EXITING | TF_NEED_SIGNAL;
		thread_wake_with(t, -ERESTARTSYS);
		thread_run(t);
	}
}

/* End p from outside: no thread of it runs program code again. */
void process_kill(struct process *p, int wait_status)
{
	if (p->exiting || p->zombie)
		return;
	if (p == init_process) {
		if (wait_status & 0x7f)
			report_fatal(wait_status & 0x7f, 0, list_first(&p->threads, struct thread, siblings)->regs);
		platform_exit(wait_status);
	}
	p->exiting = true;
	p->exit_status = wait_status;
	p->stop_sig = 0;
	threads_end(p, NULL);
}

_Noreturn void process_exit(int wait_status)
{
	struct process *p = curproc();
	if (!p->exiting && !p->exec_waiter) {
		p->exiting = true;
		p->exit_status = wait_status;
		p->stop_sig = 0;
		threads_end(p, current());
	}
	thread_exit(wait_status >> 8 & 0xff);
}

/* What exec needs: no other thread, and the number of the leader. The others cannot stop it: they are ended first. */
void exec_other_threads_end(void)
{
	struct thread *t = current();
	struct process *p = t->proc;
	if (p->exec_waiter) /* another thread was first, and has ended this one */
		thread_exit(0);
	threads_end(p, t);
	p->exec_waiter = t;
	while (p->nthreads > 1)
		thread_block(~0ULL, false);
	p->exec_waiter = NULL;
	if (p->leader != t) {
		p->leader = t;
		thread_set_tid(t, p->pid);
	}
}

/* ---- children of a process that ends ---- */

bool child_autoreap(struct process *parent)
{
	struct ksigaction *act = parent->sighand ? &parent->sighand->act[SIGCHLD - 1] : NULL;
	return act && (act->handler == SIG_IGN || (act->flags & SA_NOCLDWAIT));
}

void child_notify(struct process *p, int code, int status)
{
	struct process *parent = p->parent;
	struct ksiginfo si = { .signo = code <= CLD_DUMPED ? p->exit_signal : SIGCHLD, .code = code, .pid = p->pid, .uid = p->uid, .status = status };
	if (si.signo && parent->sighand)
		signal_send_process(parent, &si);
	waitq_wake(parent->child_wait, 0);
	waitq_wake(&pidfd_waitq, POLLIN);
}

static void zombie_announce(struct process *p)
{
	int st = p->exit_status, sig = st & 0x7f;
	bool reap = p->exit_signal == SIGCHLD && child_autoreap(p->parent);
	struct process *parent = p->parent;
	if (reap)
		parent->cpu_ns_children += p->cpu_ns_dead + p->cpu_ns_children;
	child_notify(p, sig ? CLD_KILLED : CLD_EXITED, sig ? sig : st >> 8 & 0xff);
	if (reap)
		process_free(p);
}

static struct process *new_parent(struct process *p)
{
	for (struct process *a = p->parent; a && a != &kernel_process; a = a->parent)
		if (a->subreaper && !a->exiting)
			return a;
	return init_process;
}

static void reparent_children(struct process *p)
{
	struct process *to = new_parent(p);
	list_for_each_safe(l, n, &p->children) {
		struct process *c = list_entry(l, struct process, sibling);
		list_del(&c->sibling);
		list_add_tail(&c->sibling, &to->children);
		c->parent = to;
		c->exit_signal = SIGCHLD;
		if (c->pdeath_sig && !c->zombie) {
			struct ksiginfo si = { .signo = c->pdeath_sig, .code = SI_USER, .pid = p->pid, .uid = p->uid };
			signal_send_process(c, &si);
		}
		if (c->zombie)
			zombie_announce(c);
	}
}

/* A group of stopped processes that nobody is left to continue gets SIGHUP and SIGCONT. */
static void release_stopped(struct process *p)
{
	bool stopped = false;
	list_for_each(l, &process_list) {
		struct process *q = list_entry(l, struct process, all);
		if (q->pgid == p->pgid && q != p && q->stop_sig)
			stopped = true;
	}
	if (!stopped || !pgrp_orphaned(p->pgid))
		return;
	list_for_each_safe(l, n, &process_list) {
		struct process *q = list_entry(l, struct process, all);
		if (q->pgid != p->pgid || q == p || q->zombie)
			continue;
		signal_send_process(q, &(struct ksiginfo){ .signo = SIGHUP, .code = SI_KERNEL });
		signal_send_process(q, &(struct ksiginfo){ .signo = SIGCONT, .code = SI_KERNEL });
	}
}

/* Run by the last thread, which still counts: closing files may sleep. */
static void process_finish(struct process *p)
{
	p->exiting = true;
	sem_undo_all(p);
	itimers_free(p);
	posix_timers_free(p);
	fdtable_put(p->files);
	p->files = NULL;
	if (p->sid == p->pid)
		tty_session_end(p->sid);
	fsctx_put(p->fs);
	p->fs = NULL;
	if (p->mm) {
		struct mm *mm = p->mm;
		struct mmstat st;
		mm_stat(mm, &st);
		p->maxrss = MAX(p->maxrss, st.rss);
		p->mm = NULL;
		/* This stack needs page tables until it is left: those of process 1 always exist. */
		if (!mm_tables_shared(mm))
			platform_switch_mm(mm_cr3(init_process->mm));
		mm_put(mm);
	}
	vfork_release(p);
	reparent_children(p);
	sigqueue_flush(&p->sigqueue, &p->sigpending);
}

_Noreturn void thread_exit(int code)
{
	struct thread *t = current();
	struct process *p = t->proc;
	t->flags |= TF_EXITING;
	if (p != &kernel_process) {
		futex_thread_exit(t);
		thread_timers_free(t);
		if (p->leader == t && !p->exiting)
			p->exit_status = (code & 0xff) << 8;
	}
	bool last = p != &kernel_process && p->nthreads == 1;
	/* With process 1 the instance ends; closing its files is all that others can still see of it. */
	if (last && p == init_process) {
		fdtable_put(p->files);
		platform_exit(p->exit_status);
	}
	if (last)
		process_finish(p);
	sigqueue_flush(&t->sigqueue, &t->sigpending);
	u64 now = now_ns();
	t->cpu_ns += now - t->cpu_start;
	t->cpu_start = now;
	thread_unlink(t);
	if (p->exec_waiter && p->nthreads == 1)
		thread_wake(p->exec_waiter);
	if (last) {
		/* From here on p belongs to whoever waits for it. */
		t->proc = &kernel_process;
		sighand_put(p->sighand);
		p->sighand = NULL;
		p->zombie = true;
		release_stopped(p);
		zombie_announce(p);
	}
	t->state = T_DEAD;
	list_add_tail(&t->run, &dead_threads);
	schedule();
	__builtin_unreachable();
}

SYSCALL(exit)
{
	thread_exit((int)a & 0xff);
}

SYSCALL(exit_group)
{
	process_exit(((int)a & 0xff) << 8);
}
