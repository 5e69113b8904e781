/* SPDX-License-Identifier: Apache-2.0 */
/* sigcalls.c: the system calls of signals. */
#include "internal.h"
#include "syscall.h"

#define SA_KNOWN (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND)

static bool signo_ok(u64 signo) { return (u32)signo - 1 < NSIG; }

SYSCALL(rt_sigaction)
{
	struct ksigaction act, *slot;
	int signo = (int)a;
	if (d != sizeof(u64) || !signo_ok(signo))
		return -EINVAL;
	slot = &curproc()->sighand->act[signo - 1];
	if (b && copy_from_user(&act, (void *)b, sizeof(act)))
		return -EFAULT;
	if (b && (SIGBIT(signo) & SIG_UNBLOCKABLE))
		return -EINVAL;
	if (c && copy_to_user((void *)c, slot, sizeof(*slot)))
		return -EFAULT;
	if (!b)
		return 0;
	act.mask &= ~SIG_UNBLOCKABLE;
	act.flags &= SA_KNOWN;
	*slot = act;
	if (act.handler == SIG_IGN || (act.handler == SIG_DFL && (SIG_IGNORED & SIGBIT(signo))))
		signal_drop(curproc(), SIGBIT(signo));
	return 0;
}

SYSCALL(rt_sigprocmask)
{
	struct thread *t = current();
	u64 set, old = t->sigmask;
	if (d != sizeof(u64))
		return -EINVAL;
	if (b) {
		if (get_user(set, b))
			return -EFAULT;
		switch ((int)a) {
		case 0: signal_set_mask(old | (set & ~SIG_UNBLOCKABLE)); break;
		case 1: signal_set_mask(old & ~set); break;
		case 2: signal_set_mask(set); break;
		default: return -EINVAL;
		}
	}
	return c ? put_user(old, (u64 *)c) : 0;
}

SYSCALL(rt_sigpending)
{
	struct thread *t = current();
	u64 set = signal_pending_set() & t->sigmask;
	if (b > sizeof(set))
		return -EINVAL;
	return copy_to_user((void *)a, &set, b);
}

SYSCALL(rt_sigsuspend)
{
	u64 set;
	struct thread *t = current();
	if (b != sizeof(set))
		return -EINVAL;
	if (get_user(set, a))
		return -EFAULT;
	t->saved_sigmask = t->sigmask;
	t->restore_sigmask = true;
	signal_set_mask(set);
	while (!thread_block(~0ULL, true))
		;
	return -ERESTARTNOHAND;
}

SYSCALL(pause)
{
	while (!thread_block(~0ULL, true))
		;
	return -ERESTARTNOHAND;
}

SYSCALL(rt_sigtimedwait)
{
	struct thread *t = current();
	struct ksiginfo si;
	u64 set, deadline;
	u8 info[128];
	if (d != sizeof(set))
		return -EINVAL;
	if (get_user(set, a))
		return -EFAULT;
	int r = deadline_from_user((void *)c, &deadline);
	if (r)
		return r;
	set &= ~SIG_UNBLOCKABLE;
	t->sigwait = set;
	while (!signal_dequeue(set, &si)) {
		if (r) {
			t->sigwait = 0;
			return r == -ETIMEDOUT ? -EAGAIN : -EINTR;
		}
		r = thread_block(deadline, true);
	}
	t->sigwait = 0;
	if (b) {
		siginfo_fill(info, &si);
		if (copy_to_user((void *)b, info, sizeof(info)))
			return -EFAULT;
	}
	return si.signo;
}

SYSCALL(sigaltstack)
{
	struct thread *t = current();
	stack_ksig s, old = t->sigalt;
	bool in_use = on_altstack(t, t->regs->rsp);
	if (a && copy_from_user(&s, (void *)a, sizeof(s)))
		return -EFAULT;
	old.pad = 0;
	old.ss_flags = (old.ss_flags & SS_DISABLE) | (old.ss_flags & SS_AUTODISARM) | (in_use ? SS_ONSTACK : 0);
	if (a) {
		u32 mode = s.ss_flags & ~SS_AUTODISARM;
		if (in_use)
			return -EPERM;
		if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
			return -EINVAL;
		if (mode == SS_DISABLE) {
			s.ss_sp = s.ss_size = 0;
		} else {
			if (s.ss_size < MINSIGSTKSZ)
				return -ENOMEM;
			s.ss_flags &= ~SS_ONSTACK;
		}
		t->sigalt = s;
	}
	return b ? copy_to_user((void *)b, &old, sizeof(old)) : 0;
}

/* ---- sending ---- */

static struct ksiginfo from_me(int signo, int code)
{
	return (struct ksiginfo){ .signo = signo, .code = code, .pid = curproc()->pid, .uid = curproc()->uid };
}

/* Root, or the same user; SIGCONT also within a session. */
static bool may_signal(struct process *p, int signo)
{
	struct process *me = curproc();
	return p == me || (me->cap_eff & CAP(5)) || me->euid == p->suid || me->euid == p->uid || me->uid == p->suid || me->uid == p->uid ||
		(signo == SIGCONT && me->sid == p->sid);
}

static int send_to(struct process *p, struct thread *t, const struct ksiginfo *si)
{
	if (!may_signal(p, si->signo))
		return -EPERM;
	return si->signo ? signal_post(p, t, si, true) : 0;
}

static long kill_many(int pgid, const struct ksiginfo *si)
{
	long r = -ESRCH;
	bool sent = false;
	struct process *me = curproc();
	bool self = false;
	list_for_each_safe(l, n, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (pgid == -1 ? p == init_process || p == me : p->pgid != pgid)
			continue;
		if (p == me) {
			self = true;
			continue;
		}
		int e = send_to(p, NULL, si);
		sent |= !e;
		r = e;
	}
	if (self) /* last: it may be the end of this one */
		return send_to(me, NULL, si);
	return sent ? 0 : r;
}

SYSCALL(kill)
{
	int pid = (int)a;
	struct ksiginfo si = from_me((int)b, SI_USER);
	if ((u32)si.signo > NSIG)
		return -EINVAL;
	if (pid > 0) {
		struct process *p = process_find(pid);
		/* A thread number names its process as well. */
		if (!p) {
			struct thread *t = thread_find(pid);
			p = t ? t->proc : NULL;
		}
		return p ? send_to(p, NULL, &si) : -ESRCH;
	}
	if (pid == (int)0x80000000)
		return -ESRCH;
	return kill_many(pid == 0 ? curproc()->pgid : pid == -1 ? -1 : -pid, &si);
}

static long kill_thread(int tgid, int tid, const struct ksiginfo *si)
{
	if ((u32)si->signo > NSIG || tid <= 0)
		return -EINVAL;
	struct thread *t = thread_find(tid);
	if (!t || (tgid && t->proc->pid != tgid))
		return -ESRCH;
	return send_to(t->proc, t, si);
}

SYSCALL(tkill)
{
	struct ksiginfo si = from_me((int)b, SI_TKILL);
	return kill_thread(0, (int)a, &si);
}

SYSCALL(tgkill)
{
	struct ksiginfo si = from_me((int)c, SI_TKILL);
	return (int)a <= 0 ? -EINVAL : kill_thread((int)a, (int)b, &si);
}

/* siginfo_t of the program: only a process itself may claim that the kernel or kill() sent it. */
static int info_from_user(const void *uinfo, int signo, bool self, struct ksiginfo *si)
{
	u64 raw[16];
	const s32 *w = (const s32 *)raw;
	if (copy_from_user(raw, uinfo, sizeof(raw)))
		return -EFAULT;
	*si = (struct ksiginfo){ .signo = signo, .err = w[1], .code = w[2], .pid = w[4], .uid = w[5], .value = raw[3] };
	if (si->code == SI_TIMER) {
		si->timerid = w[4];
		si->overrun = w[5];
	} else if (si->code > 0 && (u32)signo - 1 < NSIG && (SIGBIT(signo) & SIG_SYNC)) {
		si->addr = raw[2];
	} else if (si->code > 0 && signo == SIGCHLD) {
		si->status = w[6];
	}
	return (si->code >= 0 || si->code == SI_TKILL) && !self ? -EPERM : 0;
}

SYSCALL(rt_sigqueueinfo)
{
	struct ksiginfo si;
	struct process *p = process_find((int)a);
	int r = info_from_user((void *)c, (int)b, p == curproc(), &si);
	if (r)
		return r;
	if ((u32)si.signo > NSIG)
		return -EINVAL;
	return p ? send_to(p, NULL, &si) : -ESRCH;
}

SYSCALL(pidfd_send_signal)
{
	struct ksiginfo si = from_me((int)b, SI_USER);
	if ((u32)d)
		return -EINVAL;
	int pid = pidfd_pid_or_folder((int)a);
	int r = pid >= 0 && c ? info_from_user((void *)c, (int)b, pid == curproc()->pid, &si) : 0;
	if (r || pid < 0)
		return r ? r : pid;
	struct process *p = process_find(pid);
	if ((u32)si.signo > NSIG)
		return -EINVAL;
	return p ? send_to(p, NULL, &si) : -ESRCH;
}

SYSCALL(rt_tgsigqueueinfo)
{
	struct ksiginfo si;
	if ((int)a <= 0 || (int)b <= 0)
		return -EINVAL;
	int r = info_from_user((void *)d, (int)c, (int)a == curproc()->pid, &si);
	return r ? r : kill_thread((int)a, (int)b, &si);
}

/* Only the kernel's own restarts would end here, and they go through the call itself. */
SYSCALL(restart_syscall)
{
	return -EINTR;
}
