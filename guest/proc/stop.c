/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c: stopped and continued processes (job control without a terminal). */
#include "internal.h"

#define CLD_STOPPED 5
#define CLD_CONTINUED 6

/* Nobody in the session outside the group could continue it. */
bool pgrp_orphaned(int pgid)
{
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->pgid == pgid && !p->zombie && p->parent->sid == p->sid && p->parent->pgid != pgid)
			return false;
	}
	return true;
}

static void tell_parent(struct process *p, int code, int status)
{
	struct process *parent = p->parent;
	if (parent->sighand && (parent->sighand->act[SIGCHLD - 1].flags & SA_NOCLDSTOP))
		waitq_wake(parent->child_wait, 0);
	else
		child_notify(p, code, status);
}

void process_stop(struct process *p, int signo)
{
	p->stop_sig = signo;
	p->stop_report = true;
	p->cont_report = false;
	list_for_each(l, &p->threads)
		signal_kick(list_entry(l, struct thread, siblings));
	tell_parent(p, CLD_STOPPED, signo);
}

void process_continue(struct process *p)
{
	if (!p->stop_sig)
		return;
	p->stop_sig = 0;
	p->stop_report = false;
	p->cont_report = true;
	list_for_each(l, &p->threads)
		thread_run(list_entry(l, struct thread, siblings));
	tell_parent(p, CLD_CONTINUED, SIGCONT);
}

void stop_here(void)
{
	struct thread *t = current();
	while (t->proc->stop_sig && !(t->flags & TF_EXITING)) {
		t->state = T_STOPPED;
		schedule();
	}
}
