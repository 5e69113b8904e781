/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: process numbers, groups and sessions. */
#include "internal.h"
#include "syscall.h"

SYSCALL(getpid) { return curproc()->pid; }
SYSCALL(getppid) { return curproc()->parent->pid; }
SYSCALL(gettid) { return current()->tid; }
SYSCALL(getpgrp) { return curproc()->pgid; }

SYSCALL(set_tid_address)
{
	current()->clear_child_tid = (u32 *)a;
	return current()->tid;
}

static struct process *find_or_me(int pid)
{
	return pid ? process_find(pid) : curproc();
}

SYSCALL(getpgid)
{
	struct process *p = find_or_me((int)a);
	return p ? p->pgid : -ESRCH;
}

SYSCALL(getsid)
{
	struct process *p = find_or_me((int)a);
	return p ? p->sid : -ESRCH;
}

static bool group_in_session(int pgid, int sid)
{
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->pgid == pgid && p->sid == sid)
			return true;
	}
	return false;
}

SYSCALL(setpgid)
{
	struct process *me = curproc(), *p = find_or_me((int)a);
	int pgid = (int)b;
	if (pgid < 0)
		return -EINVAL;
	if (!p || (p != me && p->parent != me))
		return -ESRCH;
	if (p != me && p->sid != me->sid)
		return -EPERM;
	if (p != me && p->did_exec)
		return -EACCES;
	if (p->sid == p->pid)
		return -EPERM;
	if (!pgid)
		pgid = p->pid;
	if (pgid != p->pid && !group_in_session(pgid, me->sid))
		return -EPERM;
	p->pgid = pgid;
	return 0;
}

SYSCALL(setsid)
{
	struct process *me = curproc();
	list_for_each(l, &process_list)
		if (list_entry(l, struct process, all)->pgid == me->pid)
			return -EPERM;
	me->sid = me->pgid = me->pid;
	return me->pid;
}

/* ---- for terminals ---- */

void signal_send_group(int pgid, int signo)
{
	list_for_each_safe(l, n, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->pgid == pgid && !p->zombie)
			signal_send_process(p, &(struct ksiginfo){ .signo = signo, .code = SI_KERNEL });
	}
}

int pgrp_session(int pgid)
{
	list_for_each(l, &process_list)
		if (list_entry(l, struct process, all)->pgid == pgid)
			return list_entry(l, struct process, all)->sid;
	return -ESRCH;
}

int job_background(int foreground, int sig)
{
	struct process *me = curproc();
	if (me->pgid == foreground)
		return 0;
	if ((current()->sigmask & SIGBIT(sig)) || me->sighand->act[sig - 1].handler == SIG_IGN)
		return sig == SIGTTIN ? -EIO : 0;
	if (pgrp_orphaned(me->pgid))
		return -EIO;
	signal_send_group(me->pgid, sig);
	return -ERESTARTSYS;
}
