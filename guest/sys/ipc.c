/* SPDX-License-Identifier: Apache-2.0 */
/* ipc.c: keys, identifiers and permissions of System V objects. */
#include "ipc.h"
#include "time.h"

s64 ipc_now(void)
{
	return real_ns() / 1000000000;
}

bool ipc_allowed(const struct ipc *o, u32 want)
{
	struct process *p = curproc();
	const struct ipc_perm *m = &o->perm;
	u32 mode = m->mode;
	if (p->euid == m->uid || p->euid == m->cuid)
		mode >>= 6;
	else if (p->egid == m->gid || p->egid == m->cgid)
		mode >>= 3;
	return !(want & ~mode & 7) || (p->cap_eff & 1ULL << 15); /* CAP_IPC_OWNER */
}

bool ipc_owned(const struct ipc *o)
{
	struct process *p = curproc();
	return p->euid == o->perm.uid || p->euid == o->perm.cuid || (p->cap_eff & 1ULL << 21); /* CAP_SYS_ADMIN */
}

struct ipc *ipc_get(struct ipcs *t, s32 key, u32 flags)
{
	for (u32 i = 0; key && i < t->n; i++) {
		struct ipc *o = t->v[i];
		if (!o || o->perm.key != key)
			continue;
		if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
			return ERR_PTR(-EEXIST);
		/* Asked for are the bits of any of the three classes. */
		u32 want = (flags >> 6 | flags >> 3 | flags) & 7;
		return ipc_allowed(o, want) ? o : ERR_PTR(-EACCES);
	}
	return key && !(flags & IPC_CREAT) ? ERR_PTR(-ENOENT) : NULL;
}

int ipc_add(struct ipcs *t, struct ipc *o, s32 key, u32 mode)
{
	u32 i = 0;
	while (i < t->n && t->v[i])
		i++;
	if (i == t->n) {
		u32 n = t->n ? t->n * 2 : 16;
		if (n > 4096)
			return -ENOSPC;
		struct ipc **v = krealloc(t->v, n * sizeof(*v));
		if (!v)
			return -ENOMEM;
		memset(v + t->n, 0, (n - t->n) * sizeof(*v));
		t->v = v;
		t->n = n;
	}
	struct process *p = curproc();
	t->v[i] = o;
	t->seq = (t->seq + 1) % (0x7fffffff / IPC_MAX);
	o->id = t->seq * IPC_MAX + i;
	o->perm = (struct ipc_perm){ .key = key, .uid = p->euid, .gid = p->egid, .cuid = p->euid, .cgid = p->egid, .mode = mode & 0777, .seq = t->seq };
	return o->id;
}

struct ipc *ipc_find(struct ipcs *t, int id)
{
	u32 i = (u32)id % IPC_MAX;
	struct ipc *o = id >= 0 && i < t->n ? t->v[i] : NULL;
	return o && o->id == id ? o : NULL;
}

void ipc_remove(struct ipcs *t, struct ipc *o)
{
	t->v[(u32)o->id % IPC_MAX] = NULL;
	o->id = -1;
}

void ipc_set(struct ipc *o, const struct ipc_perm *p)
{
	o->perm.uid = p->uid;
	o->perm.gid = p->gid;
	o->perm.mode = (o->perm.mode & ~0777u) | (p->mode & 0777);
}
