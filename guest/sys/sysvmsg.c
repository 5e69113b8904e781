/* SPDX-License-Identifier: Apache-2.0 */
/* sysvmsg.c: System V message queues: msgget, msgsnd, msgrcv, msgctl. */
#include "ipc.h"
#include "syscall.h"

#define MSGMAX 8192
#define MSGMNB 16384
#define MSG_NOERROR 010000
#define MSG_EXCEPT 020000
#define MSG_COPY 040000

struct msg { struct list link; s64 type; u32 len; u8 text[]; };
struct msgq { struct ipc ipc; struct waitq wq; struct list msgs; u32 refs; bool dead; u64 bytes, num, max; s64 stime, rtime, ctime; s32 lspid, lrpid; };
struct msqid_k { struct ipc_perm perm; s64 stime, rtime, ctime; u64 bytes, num, max; s32 lspid, lrpid; u64 unused[2]; };
_Static_assert(sizeof(struct msqid_k) == 120, "msqid64_ds");

static struct ipcs queues;

static struct msgq *find(int id) { return (struct msgq *)ipc_find(&queues, id); }

static void queue_put(struct msgq *q)
{
	if (!--q->refs)
		kfree(q);
}

SYSCALL(msgget)
{
	struct ipc *o = ipc_get(&queues, (s32)a, (u32)b);
	if (o)
		return IS_ERR(o) ? PTR_ERR(o) : o->id;
	struct msgq *q = kzalloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	waitq_init(&q->wq);
	list_init(&q->msgs);
	q->refs = 1;
	q->max = MSGMNB;
	q->ctime = ipc_now();
	int id = ipc_add(&queues, &q->ipc, (s32)a, (u32)b);
	if (id < 0)
		kfree(q);
	return id;
}

/* Sleeps until the queue changes: 0, or why not. The caller holds a reference. */
static long wait_change(struct msgq *q)
{
	struct waiter me;
	waiter_init(&me);
	waitq_add(&q->wq, &me);
	int blocked = thread_block(~0ULL, true);
	waitq_remove(&me);
	return q->dead ? -EIDRM : blocked ? -ERESTARTNOHAND : 0;
}

static long put(struct msgq *q, struct msg *m, u32 flags)
{
	for (;;) {
		if (!ipc_allowed(&q->ipc, 2))
			return -EACCES;
		if (q->bytes + m->len <= q->max && q->num < q->max)
			break;
		long r = flags & IPC_NOWAIT ? -EAGAIN : wait_change(q);
		if (r)
			return r;
	}
	list_add_tail(&m->link, &q->msgs);
	q->bytes += m->len;
	q->num++;
	q->stime = ipc_now();
	q->lspid = curproc()->pid;
	waitq_wake(&q->wq, 0);
	return 0;
}

SYSCALL(msgsnd)
{
	s64 type;
	u64 len = c;
	if (get_user(type, (s64 *)b))
		return -EFAULT;
	struct msgq *q = find((int)a);
	if (len > MSGMAX || type < 1)
		return -EINVAL;
	struct msg *m = kmalloc(sizeof(*m) + len);
	if (!m)
		return -ENOMEM;
	m->type = type;
	m->len = len;
	long r = copy_from_user(m->text, (u8 *)b + 8, len);
	if (!r)
		r = q && find((int)a) == q ? 0 : -EINVAL;
	if (!r) {
		q->refs++;
		r = put(q, m, (u32)d);
		queue_put(q);
	}
	if (r)
		kfree(m);
	return r;
}

/* The message that is asked for: 0 the first, > 0 the first of (or not of) this type, < 0 the first of the lowest type up to -want. */
static struct msg *pick(struct msgq *q, s64 want, u32 flags)
{
	struct msg *best = NULL;
	list_for_each(l, &q->msgs) {
		struct msg *m = list_entry(l, struct msg, link);
		if (!want || (want > 0 && (m->type == want) == !(flags & MSG_EXCEPT)))
			return m;
		if (want < 0 && (u64)m->type <= -(u64)want && (!best || m->type < best->type))
			best = m;
	}
	return best;
}

static long take(struct msgq *q, void *ubuf, u64 size, s64 want, u32 flags)
{
	struct msg *m;
	for (;;) {
		if (!ipc_allowed(&q->ipc, 4))
			return -EACCES;
		m = pick(q, want, flags);
		if (m)
			break;
		long r = flags & IPC_NOWAIT ? -ENOMSG : wait_change(q);
		if (r)
			return r;
	}
	if (m->len > size && !(flags & MSG_NOERROR))
		return -E2BIG;
	list_del(&m->link);
	q->bytes -= m->len;
	q->num--;
	q->rtime = ipc_now();
	q->lrpid = curproc()->pid;
	waitq_wake(&q->wq, 0);
	long n = MIN(size, (u64)m->len);
	if (put_user(m->type, (s64 *)ubuf) || copy_to_user((u8 *)ubuf + 8, m->text, n))
		n = -EFAULT; /* Linux loses the message, too */
	kfree(m);
	return n;
}

SYSCALL(msgrcv)
{
	struct msgq *q = find((int)a);
	if (!q || (s64)c < 0)
		return -EINVAL;
	if (e & MSG_COPY)
		return -ENOSYS;
	q->refs++;
	long r = take(q, (void *)b, c, (s64)d, (u32)e);
	queue_put(q);
	return r;
}

static void destroy(struct msgq *q)
{
	ipc_remove(&queues, &q->ipc);
	while (!list_empty(&q->msgs)) {
		struct msg *m = list_first(&q->msgs, struct msg, link);
		list_del(&m->link);
		kfree(m);
	}
	q->dead = true;
	waitq_wake(&q->wq, 0);
	queue_put(q);
}

static long set(struct msgq *q, const struct msqid_k *k)
{
	if (k->max > MSGMNB && !(curproc()->cap_eff & 1ULL << 24)) /* CAP_SYS_RESOURCE */
		return -EPERM;
	ipc_set(&q->ipc, &k->perm);
	q->max = k->max;
	q->ctime = ipc_now();
	waitq_wake(&q->wq, 0);
	return 0;
}

SYSCALL(msgctl)
{
	struct msgq *q = find((int)a);
	u32 cmd = (u32)b & ~IPC_64;
	struct msqid_k k;
	if (!q)
		return -EINVAL;
	switch (cmd) {
	case IPC_STAT:
		if (!ipc_allowed(&q->ipc, 4))
			return -EACCES;
		k = (struct msqid_k){ q->ipc.perm, q->stime, q->rtime, q->ctime, q->bytes, q->num, q->max, q->lspid, q->lrpid, { 0 } };
		return copy_to_user((void *)c, &k, sizeof(k));
	case IPC_SET:
		if (copy_from_user(&k, (void *)c, sizeof(k)))
			return -EFAULT;
		q = find((int)a); /* the copy may have slept */
		return !q ? -EIDRM : !ipc_owned(&q->ipc) ? -EPERM : set(q, &k);
	case IPC_RMID:
		if (!ipc_owned(&q->ipc))
			return -EPERM;
		destroy(q);
		return 0;
	}
	return -EINVAL;
}
