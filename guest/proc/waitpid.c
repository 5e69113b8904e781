/* SPDX-License-Identifier: Apache-2.0 */
/* waitpid.c: wait4 and waitid. */
#include "internal.h"
#include "rusage.h"
#include "syscall.h"

#define WNOHANG 1
#define WSTOPPED 2
#define WEXITED 4
#define WCONTINUED 8
#define WNOWAIT 0x01000000
#define WNOTHREAD 0x20000000
#define WALL 0x40000000
#define WCLONE 0x80000000U
#define CLD_STOPPED 5
#define CLD_CONTINUED 6

enum { P_ALL, P_PID, P_PGID, P_PIDFD };

struct wanted { int type, id; u32 options; };
struct outcome { int pid, code, status, wait_status; u32 uid; struct rusage_k ru; };

static bool eligible(const struct process *p, const struct wanted *w)
{
	if ((w->type == P_PID && p->pid != w->id) || (w->type == P_PGID && p->pgid != w->id))
		return false;
	/* Children that report with another signal than SIGCHLD are "clone children". */
	return (w->options & WALL) || (p->exit_signal != SIGCHLD) == !!(w->options & WCLONE);
}

void process_reap(struct process *p, struct process *me)
{
	me->cpu_ns_children += p->cpu_ns_dead + p->cpu_ns_children;
	me->maxrss_children = MAX(me->maxrss_children, MAX(p->maxrss, p->maxrss_children));
	process_free(p);
}

/* Fills o if p has something to tell that was asked for. */
static bool look_at(struct process *p, u32 options, struct outcome *o)
{
	bool keep = options & WNOWAIT;
	int st = p->exit_status, sig = st & 0x7f;
	if (p->zombie && (options & WEXITED)) {
		o->code = sig ? CLD_KILLED : CLD_EXITED;
		o->status = sig ? sig : st >> 8 & 0xff;
		o->wait_status = st;
	} else if (p->stop_sig && p->stop_report && (options & WSTOPPED)) {
		o->code = CLD_STOPPED;
		o->status = p->stop_sig;
		o->wait_status = p->stop_sig << 8 | 0x7f;
		p->stop_report = keep;
	} else if (p->cont_report && (options & WCONTINUED)) {
		o->code = CLD_CONTINUED;
		o->status = SIGCONT;
		o->wait_status = 0xffff;
		p->cont_report = keep;
	} else {
		return false;
	}
	o->pid = p->pid;
	o->uid = p->uid;
	rusage_of(p, &o->ru);
	if (p->zombie && !keep)
		process_reap(p, curproc());
	return true;
}

/* 1: o is filled, 0: none yet, -ECHILD: there never will be. */
static int scan(const struct wanted *w, struct outcome *o)
{
	int r = -ECHILD;
	list_for_each(l, &curproc()->children) {
		struct process *p = list_entry(l, struct process, sibling);
		if (!eligible(p, w))
			continue;
		r = 0;
		if (look_at(p, w->options, o))
			return 1;
	}
	return r;
}

static int wait_for(const struct wanted *w, struct outcome *o)
{
	int blocked = 0, r;
	struct waiter me;
	waiter_init(&me);
	waitq_add(curproc()->child_wait, &me);
	/* Not wait_on(): looking takes the child away, so each look counts. */
	while (!(r = scan(w, o)) && !blocked && !(w->options & WNOHANG))
		blocked = thread_block(~0ULL, true);
	waitq_remove(&me);
	return r ? r : blocked;
}

SYSCALL(wait4)
{
	int pid = (int)a;
	u32 options = (u32)c;
	struct outcome o = { 0 };
	if (options & ~(WNOHANG | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL))
		return -EINVAL;
	if (pid == (int)0x80000000)
		return -ESRCH;
	struct wanted w = { P_ALL, 0, options | WEXITED };
	if (pid > 0)
		w = (struct wanted){ P_PID, pid, w.options };
	else if (pid != -1)
		w = (struct wanted){ P_PGID, pid ? -pid : curproc()->pgid, w.options };
	int r = wait_for(&w, &o);
	if (r <= 0)
		return r;
	if ((b && put_user(o.wait_status, (int *)b)) || (d && copy_to_user((void *)d, &o.ru, sizeof(o.ru))))
		return -EFAULT;
	return o.pid;
}

SYSCALL(waitid)
{
	u32 options = (u32)d;
	struct outcome o = { 0 };
	struct wanted w = { (int)a, (int)b, options };
	u8 info[128];
	bool again = false;
	if ((options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL)) ||
	    !(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	switch (w.type) {
	case P_ALL: break;
	case P_PID: if (w.id <= 0) return -EINVAL; break;
	case P_PGID: if (w.id < 0) return -EINVAL; if (!w.id) w.id = curproc()->pgid; break;
	case P_PIDFD: {
		bool nonblock = false;
		if (w.id < 0)
			return -EINVAL;
		w.type = P_PID;
		w.id = pidfd_pid((int)b, &nonblock);
		if (w.id <= 0)
			return w.id ? w.id : -ECHILD;
		again = nonblock && !(options & WNOHANG);
		w.options |= nonblock ? WNOHANG : 0;
		break;
	}
	default: return -EINVAL;
	}
	int r = wait_for(&w, &o);
	if (r < 0 || (!r && again))
		return r ? r : -EAGAIN;
	if (e && r && copy_to_user((void *)e, &o.ru, sizeof(o.ru)))
		return -EFAULT;
	if (c) {
		struct ksiginfo si = { .signo = SIGCHLD, .code = o.code, .pid = o.pid, .uid = o.uid, .status = o.status };
		siginfo_fill(info, &si);
		if (!r)
			memset(info, 0, sizeof(info));
		if (copy_to_user((void *)c, info, sizeof(info)))
			return -EFAULT;
	}
	return 0;
}
