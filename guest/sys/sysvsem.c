/* SPDX-License-Identifier: Apache-2.0 */
/* sysvsem.c: System V semaphores: semget, semop, semtimedop, semctl, and what a process undoes when it ends. */
#include "ipc.h"
#include "poll.h"
#include "syscall.h"

#define SEMMSL 32000
#define SEMOPM 500
#define SEMVMX 32767
#define SEM_UNDO 0x1000
enum { GETPID = 11, GETVAL, GETALL, GETNCNT, GETZCNT, SETVAL, SETALL };

struct sem { u16 val, ncnt, zcnt; s32 pid; };
struct semset { struct ipc ipc; struct waitq wq; u32 refs, n; s64 otime, ctime; bool dead; struct sem sems[]; };
struct sembuf_k { u16 num; short op, flg; };
struct semid_k { struct ipc_perm perm; s64 otime, unused1, ctime, unused2; u64 n, unused[2]; };
_Static_assert(sizeof(struct semid_k) == 104, "semid64_ds");
struct undo { struct list link; struct process *p; int id; u16 num; s32 adj; };

static struct ipcs sets;
static struct list undos = LIST_INIT(undos);

static void set_put(struct semset *s)
{
	if (!--s->refs)
		kfree(s);
}

SYSCALL(semget)
{
	struct ipc *o = ipc_get(&sets, (s32)a, (u32)c);
	int n = (int)b;
	if (n < 0 || n > SEMMSL)
		return -EINVAL;
	if (o)
		return IS_ERR(o) ? PTR_ERR(o) : (u32)n > ((struct semset *)o)->n ? -EINVAL : o->id;
	if (!n)
		return -EINVAL;
	struct semset *s = kzalloc(sizeof(*s) + n * sizeof(s->sems[0]));
	if (!s)
		return -ENOMEM;
	waitq_init(&s->wq);
	s->refs = 1;
	s->n = n;
	s->ctime = ipc_now();
	int id = ipc_add(&sets, &s->ipc, (s32)a, (u32)c);
	if (id < 0)
		kfree(s);
	return id;
}

static void undo_forget(int id, int num)
{
	list_for_each_safe(l, next, &undos) {
		struct undo *u = list_entry(l, struct undo, link);
		if (u->id == id && (num < 0 || u->num == num)) {
			list_del(l);
			kfree(u);
		}
	}
}

static struct undo *undo_for(struct process *p, int id, u16 num)
{
	list_for_each(l, &undos) {
		struct undo *u = list_entry(l, struct undo, link);
		if (u->p == p && u->id == id && u->num == num)
			return u;
	}
	struct undo *u = kzalloc(sizeof(*u));
	if (!u)
		return NULL;
	u->p = p;
	u->id = id;
	u->num = num;
	list_add(&u->link, &undos);
	return u;
}

void sem_undo_all(struct process *p)
{
	list_for_each_safe(l, next, &undos) {
		struct undo *u = list_entry(l, struct undo, link);
		if (u->p != p)
			continue;
		struct semset *s = (struct semset *)ipc_find(&sets, u->id);
		if (s && u->adj) {
			s32 v = s->sems[u->num].val + u->adj;
			s->sems[u->num].val = v < 0 ? 0 : MIN(v, SEMVMX);
			s->sems[u->num].pid = p->pid;
			waitq_wake(&s->wq, 0);
		}
		list_del(l);
		kfree(u);
	}
}

/* All or none: 0 done, -ERANGE, or the operation that has to wait (1 + its index). */
static int try_ops(struct semset *s, const struct sembuf_k *ops, u32 n)
{
	int r = 0;
	u32 i;
	for (i = 0; i < n && !r; i++) {
		struct sem *m = &s->sems[ops[i].num];
		s32 v = m->val + ops[i].op;
		if (ops[i].op ? v < 0 : m->val)
			r = 1 + i;
		else if (v > SEMVMX)
			r = -ERANGE;
		else
			m->val = v;
	}
	if (!r)
		return 0;
	for (i--; i-- > 0;)
		s->sems[ops[i].num].val -= ops[i].op;
	return r;
}

static void done(struct semset *s, const struct sembuf_k *ops, u32 n)
{
	bool changed = false;
	for (u32 i = 0; i < n; i++) {
		s->sems[ops[i].num].pid = curproc()->pid;
		changed |= ops[i].op;
		struct undo *u = (ops[i].flg & SEM_UNDO) && ops[i].op ? undo_for(curproc(), s->ipc.id, ops[i].num) : NULL;
		if (u)
			u->adj -= ops[i].op;
	}
	s->otime = ipc_now();
	if (changed)
		waitq_wake(&s->wq, 0);
}

static long ops_wait(struct semset *s, const struct sembuf_k *ops, u32 n, u64 deadline)
{
	for (;;) {
		int r = try_ops(s, ops, n), blocked;
		if (r <= 0) {
			if (!r)
				done(s, ops, n);
			return r;
		}
		const struct sembuf_k *o = &ops[r - 1];
		if (o->flg & IPC_NOWAIT)
			return -EAGAIN;
		struct sem *m = &s->sems[o->num];
		u16 *count = o->op ? &m->ncnt : &m->zcnt;
		struct waiter me;
		waiter_init(&me);
		waitq_add(&s->wq, &me);
		++*count;
		blocked = thread_block(deadline, true);
		--*count;
		waitq_remove(&me);
		if (s->dead)
			return -EIDRM;
		if (blocked)
			return blocked == -ETIMEDOUT ? -EAGAIN : -EINTR;
	}
}

static long semop(int id, const void *uops, u64 n, u64 deadline)
{
	struct semset *s = (struct semset *)ipc_find(&sets, id);
	if (!n || !s)
		return -EINVAL;
	if (n > SEMOPM)
		return -E2BIG;
	struct sembuf_k *ops = kmalloc(n * sizeof(*ops));
	if (!ops)
		return -ENOMEM;
	long r = copy_from_user(ops, uops, n * sizeof(*ops));
	bool alter = false;
	for (u64 i = 0; !r && i < n; i++) {
		r = ops[i].num >= s->n ? -EFBIG : 0;
		alter |= ops[i].op;
		/* Its memory comes first: afterwards nothing fails. */
		if (!r && (ops[i].flg & SEM_UNDO) && ops[i].op && !undo_for(curproc(), id, ops[i].num))
			r = -ENOMEM;
	}
	if (!r && !ipc_allowed(&s->ipc, alter ? 2 : 4))
		r = -EACCES;
	if (!r) {
		s->refs++;
		r = ops_wait(s, ops, n, deadline);
		set_put(s);
	}
	kfree(ops);
	return r;
}

SYSCALL(semop) { return semop((int)a, (void *)b, c & 0xffffffff, ~0ULL); }

SYSCALL(semtimedop)
{
	u64 deadline;
	int r = poll_deadline((void *)d, &deadline);
	return r ? r : semop((int)a, (void *)b, c & 0xffffffff, deadline);
}

static long get_all(struct semset *s, u16 *uvals)
{
	for (u32 i = 0; i < s->n; i++)
		if (put_user(s->sems[i].val, &uvals[i]))
			return -EFAULT;
	return 0;
}

static long set_all(struct semset *s, const u16 *uvals)
{
	u16 *v = kmalloc(s->n * sizeof(*v));
	long r = !v ? -ENOMEM : copy_from_user(v, uvals, s->n * sizeof(*v));
	for (u32 i = 0; !r && i < s->n; i++)
		r = v[i] > SEMVMX ? -ERANGE : 0;
	for (u32 i = 0; !r && i < s->n; i++) {
		s->sems[i].val = v[i];
		s->sems[i].pid = curproc()->pid;
	}
	kfree(v);
	if (r)
		return r;
	undo_forget(s->ipc.id, -1);
	s->ctime = ipc_now();
	waitq_wake(&s->wq, 0);
	return 0;
}

static long control(struct semset *s, int num, u32 cmd, u64 arg)
{
	struct semid_k k = { .perm = s->ipc.perm, .otime = s->otime, .ctime = s->ctime, .n = s->n };
	bool one = cmd == GETVAL || cmd == SETVAL || cmd == GETPID || cmd == GETNCNT || cmd == GETZCNT;
	if (one && (num < 0 || (u32)num >= s->n))
		return -EINVAL;
	if ((cmd == IPC_SET || cmd == IPC_RMID) && !ipc_owned(&s->ipc))
		return -EPERM;
	if (cmd != IPC_SET && cmd != IPC_RMID && !ipc_allowed(&s->ipc, cmd == SETVAL || cmd == SETALL ? 2 : 4))
		return -EACCES;
	switch (cmd) {
	case GETVAL: return s->sems[num].val;
	case GETPID: return s->sems[num].pid;
	case GETNCNT: return s->sems[num].ncnt;
	case GETZCNT: return s->sems[num].zcnt;
	case GETALL: return get_all(s, (u16 *)arg);
	case SETALL: return set_all(s, (const u16 *)arg);
	case IPC_STAT: return copy_to_user((void *)arg, &k, sizeof(k));
	case SETVAL:
		if ((s32)arg < 0 || (s32)arg > SEMVMX)
			return -ERANGE;
		undo_forget(s->ipc.id, num);
		s->sems[num].val = (s32)arg;
		s->sems[num].pid = curproc()->pid;
		s->ctime = ipc_now();
		waitq_wake(&s->wq, 0);
		return 0;
	case IPC_SET:
		if (copy_from_user(&k, (void *)arg, sizeof(k)))
			return -EFAULT;
		ipc_set(&s->ipc, &k.perm);
		s->ctime = ipc_now();
		return 0;
	case IPC_RMID:
		undo_forget(s->ipc.id, -1);
		ipc_remove(&sets, &s->ipc);
		s->dead = true;
		waitq_wake(&s->wq, 0);
		set_put(s);
		return 0;
	}
	return -EINVAL;
}

SYSCALL(semctl)
{
	struct semset *s = (struct semset *)ipc_find(&sets, (int)a);
	return s ? control(s, (int)b, (u32)c & ~IPC_64, d) : -EINVAL;
}
