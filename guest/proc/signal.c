/* SPDX-License-Identifier: Apache-2.0 */
/* signal.c: handlers, pending signals and their queues, sending. */
#include "internal.h"
#include "../time/internal.h"

struct waitq signal_arrived = WAITQ_INIT(signal_arrived);
static u64 queued; /* entries in all queues */

/* ---- handlers: one table a process, shared by CLONE_SIGHAND ---- */

struct sighand *sighand_create(void)
{
	struct sighand *sh = kzalloc(sizeof(*sh));
	if (sh)
		sh->refs = 1;
	return sh;
}

struct sighand *sighand_copy(struct sighand *sh)
{
	struct sighand *n = kmalloc(sizeof(*n));
	if (n) {
		memcpy(n, sh, sizeof(*n));
		n->refs = 1;
	}
	return n;
}

void sighand_get(struct sighand *sh) { sh->refs++; }

void sighand_put(struct sighand *sh)
{
	if (!--sh->refs)
		kfree(sh);
}

void sighand_reset(struct sighand *sh)
{
	for (int i = 0; i < NSIG; i++) {
		u64 h = sh->act[i].handler == SIG_IGN ? SIG_IGN : SIG_DFL;
		sh->act[i] = (struct ksigaction){ .handler = h };
	}
}

void sighand_exec(struct sighand *sh)
{
	struct process *p = curproc();
	if (sh->refs > 1 && p->sighand == sh) {
		struct sighand *own = sighand_copy(sh);
		if (own) { /* else the others lose their handlers, which is better than this one keeping them */
			sighand_put(sh);
			p->sighand = sh = own;
		}
	}
	sighand_reset(sh);
}

/* ---- queues ---- */

static void sigq_free(struct sigq *q)
{
	list_del(&q->link);
	kfree(q);
	queued--;
}

void sigqueue_flush(struct list *q, u64 *pending)
{
	while (!list_empty(q))
		sigq_free(list_first(q, struct sigq, link));
	*pending = 0;
}

struct sigq *sigqueue_find(struct list *q, int signo)
{
	list_for_each(l, q) {
		struct sigq *s = list_entry(l, struct sigq, link);
		if (s->si.signo == signo)
			return s;
	}
	return NULL;
}

bool sigqueue_has_timer(struct list *q, int id)
{
	list_for_each(l, q) {
		struct sigq *s = list_entry(l, struct sigq, link);
		if (s->si.code == SI_TIMER && s->si.timerid == id)
			return true;
	}
	return false;
}

static void drop(struct list *q, u64 *pending, u64 set)
{
	if (!(*pending & set))
		return;
	*pending &= ~set;
	list_for_each_safe(l, n, q) {
		struct sigq *s = list_entry(l, struct sigq, link);
		if (set & SIGBIT(s->si.signo))
			sigq_free(s);
	}
}

void signal_drop(struct process *p, u64 set)
{
	drop(&p->sigqueue, &p->sigpending, set);
	list_for_each(l, &p->threads) {
		struct thread *t = list_entry(l, struct thread, siblings);
		drop(&t->sigqueue, &t->sigpending, set);
	}
}

/* Takes the signal that comes first in set out of one queue. */
static int take(struct list *q, u64 *pending, u64 set, struct ksiginfo *si)
{
	u64 ready = *pending & set;
	if (!ready)
		return 0;
	int signo = __builtin_ctzll(ready & SIG_SYNC ? ready & SIG_SYNC : ready) + 1;
	struct sigq *s = sigqueue_find(q, signo);
	if (s) {
		*si = s->si;
		sigq_free(s);
	} else {
		*si = (struct ksiginfo){ .signo = signo, .code = SI_USER }; /* its details found no memory */
	}
	if (signo < SIGRTMIN || !sigqueue_find(q, signo))
		*pending &= ~SIGBIT(signo);
	return signo;
}

int signal_dequeue(u64 set, struct ksiginfo *si)
{
	struct thread *t = current();
	struct process *p = t->proc;
	int signo = take(&t->sigqueue, &t->sigpending, set, si);
	if (!signo)
		signo = take(&p->sigqueue, &p->sigpending, set, si);
	if (signo && si->code == SI_TIMER)
		posix_timer_delivered(p, si);
	return signo;
}

/* ---- what is pending for whom ---- */

static u64 pending_of(const struct thread *t)
{
	return t->sigpending | t->proc->sigpending;
}

u64 signal_pending_set(void)
{
	return pending_of(current());
}

bool signal_pending(void)
{
	struct thread *t = current();
	if (!(t->flags & TF_NEED_SIGNAL) && !(pending_of(t) & ~t->sigmask))
		return false;
	t->flags |= TF_NEED_SIGNAL;
	return true;
}

void signal_kick(struct thread *t)
{
	t->flags |= TF_NEED_SIGNAL;
	if (t->interruptible)
		thread_wake_with(t, -ERESTARTSYS);
}

static bool wants(const struct thread *t, int signo)
{
	return !(t->flags & TF_EXITING) && (!(t->sigmask & SIGBIT(signo)) || (t->sigwait & SIGBIT(signo)));
}

/* The thread that a signal of the whole process goes to: the sender, the leader, or any that can take it. */
static void kick_any(struct process *p, int signo)
{
	struct thread *me = current();
	if (me->proc == p && wants(me, signo)) {
		signal_kick(me);
		return;
	}
	list_for_each(l, &p->threads) {
		struct thread *t = list_entry(l, struct thread, siblings);
		if (wants(t, signo)) {
			signal_kick(t);
			return;
		}
	}
}

void signal_set_mask(u64 mask)
{
	struct thread *t = current();
	struct process *p = t->proc;
	mask &= ~SIG_UNBLOCKABLE;
	u64 blocked = mask & ~t->sigmask & p->sigpending;
	t->sigmask = mask;
	if (pending_of(t) & ~mask)
		t->flags |= TF_NEED_SIGNAL;
	/* A signal that this thread was to take has to find another one. */
	for (; unlikely(blocked); blocked &= blocked - 1)
		kick_any(p, __builtin_ctzll(blocked) + 1);
}

int signal_mask_push(const void *uset, size_t size)
{
	u64 set;
	struct thread *t = current();
	if (!uset)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, uset, sizeof(set)))
		return -EFAULT;
	t->saved_sigmask = t->sigmask;
	t->restore_sigmask = true;
	signal_set_mask(set);
	return 0;
}

long signal_mask_pop(long ret)
{
	struct thread *t = current();
	bool interrupted = ret == -EINTR || ret == -ERESTARTSYS || ret == -ERESTARTNOHAND;
	if (!t->restore_sigmask)
		return ret;
	if (interrupted) {
		t->flags |= TF_NEED_SIGNAL; /* signal_deliver() puts the mask back */
	} else {
		t->restore_sigmask = false;
		signal_set_mask(t->saved_sigmask);
	}
	return ret;
}

/* ---- sending ---- */

static bool ignored(struct process *p, struct thread *t, int signo)
{
	u64 h = p->sighand->act[signo - 1].handler;
	if (!t && !list_empty(&p->threads))
		t = list_first(&p->threads, struct thread, siblings);
	/* A blocked one waits: the handler may be another by the time it is unblocked. */
	if (t && (t->sigmask & SIGBIT(signo)))
		return false;
	if (t && t->restore_sigmask && (t->saved_sigmask & SIGBIT(signo)))
		return false;
	return h == SIG_IGN || (h == SIG_DFL && (SIG_IGNORED & SIGBIT(signo)));
}

int signal_post(struct process *p, struct thread *t, const struct ksiginfo *si, bool user)
{
	int signo = si->signo;
	u64 bit = SIGBIT(signo);
	if (p->exiting || p->zombie || !p->sighand)
		return 0;
	if (signo == SIGKILL) {
		process_kill(p, SIGKILL);
		return 0;
	}
	if (bit & SIG_STOPS)
		signal_drop(p, SIGBIT(SIGCONT));
	if (signo == SIGCONT) {
		signal_drop(p, SIG_STOPS);
		process_continue(p);
	}
	if (ignored(p, t, signo))
		return 0;
	u64 *pending = t ? &t->sigpending : &p->sigpending;
	struct list *queue = t ? &t->sigqueue : &p->sigqueue;
	if (signo < SIGRTMIN && (*pending & bit))
		return 0;
	struct sigq *q = queued < p->rlim[11].cur || signo < SIGRTMIN ? kmalloc(sizeof(*q)) : NULL;
	if (q) {
		q->si = *si;
		list_add_tail(&q->link, queue);
		queued++;
	} else if (user && signo >= SIGRTMIN) {
		return -EAGAIN;
	}
	*pending |= bit;
	if (!t)
		kick_any(p, signo);
	else if (wants(t, signo))
		signal_kick(t);
	waitq_wake(&signal_arrived, 1); /* POLLIN */
	return 0;
}

int signal_send_thread(struct thread *t, const struct ksiginfo *si)
{
	return signal_post(t->proc, t, si, false);
}

int signal_send_process(struct process *p, const struct ksiginfo *si)
{
	return signal_post(p, NULL, si, false);
}

/* A fault cannot wait: one that is blocked or ignored ends the process. */
void signal_force(int signo, int code, u64 addr, u64 trapno, u64 err)
{
	struct thread *t = current();
	struct ksigaction *act = &t->proc->sighand->act[signo - 1];
	struct ksiginfo si = { .signo = signo, .code = code, .addr = addr };
	t->trap_no = trapno;
	t->trap_err = err;
	t->trap_addr = addr;
	if (act->handler == SIG_IGN || (t->sigmask & SIGBIT(signo))) {
		act->handler = SIG_DFL;
		t->sigmask &= ~SIGBIT(signo);
	}
	drop(&t->sigqueue, &t->sigpending, SIGBIT(signo));
	signal_send_thread(t, &si);
	t->flags |= TF_NEED_SIGNAL;
}

void signal_sets(struct process *p, u64 *ignored, u64 *caught)
{
	*ignored = *caught = 0;
	for (int i = 1; p->sighand && i <= NSIG; i++) {
		u64 handler = p->sighand->act[i - 1].handler;
		if (handler == SIG_IGN)
			*ignored |= SIGBIT(i);
		else if (handler != SIG_DFL)
			*caught |= SIGBIT(i);
	}
}
