/* SPDX-License-Identifier: Apache-2.0 */
/* sysvshm.c: System V shared memory: shmget, shmat, shmdt, shmctl. A segment is a file in memory without a name. */
#include "internal.h"
#include "fs.h"
#include "../sys/ipc.h"
#include "syscall.h"
#include <linux/fcntl.h>

#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define SHM_HUGETLB 04000

struct shm { struct ipc ipc; struct file *file; u64 size; s64 atime, dtime, ctime; s32 cpid, lpid; };
struct shmid_k { struct ipc_perm perm; u64 size; s64 atime, dtime, ctime; s32 cpid, lpid; u64 nattch, unused[2]; };
_Static_assert(sizeof(struct shmid_k) == 112, "shmid64_ds");

static struct ipcs segments;
static const struct file_ops shm_ops = { .name = "/SYSV" };

/* Mappings that begin with the segment's first byte: one for each shmat() and each fork after it. */
static u64 attached(const struct shm *s)
{
	u64 n = 0;
	list_for_each(l, &mm_list) {
		struct mm *mm = list_entry(l, struct mm, all);
		for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end))
			n += v->file == s->file && v->off == 0;
	}
	return n;
}

static void destroy(struct shm *s)
{
	ipc_remove(&segments, &s->ipc);
	file_put(s->file);
	kfree(s);
}

/* Removed segments go with the last that is attached; who detached last may have been a process that ended. */
static struct shm *find(int id)
{
	for (u32 i = 0; i < segments.n; i++) {
		struct shm *s = (struct shm *)segments.v[i];
		if (s && (s->ipc.perm.mode & SHM_DEST) && s->file->refs == 1) /* mappings hold it too */
			destroy(s);
	}
	return (struct shm *)ipc_find(&segments, id);
}

static long create(s32 key, u64 size, u32 flags)
{
	if (!size || (flags & SHM_HUGETLB))
		return size ? -ENOMEM : -EINVAL;
	if (size > page_total_bytes())
		return -ENOMEM;
	struct shm *s = kzalloc(sizeof(*s));
	struct inode *ino = s ? shm_inode_create(ALIGN_UP(size, PAGE_SIZE)) : ERR_PTR(-ENOMEM);
	if (IS_ERR(ino) || !(s->file = file_alloc(&shm_ops, O_RDWR, NULL))) {
		if (!IS_ERR(ino))
			inode_put(ino);
		kfree(s);
		return -ENOMEM;
	}
	s->file->ino = ino;
	s->size = size;
	s->ctime = ipc_now();
	s->cpid = curproc()->pid;
	int id = ipc_add(&segments, &s->ipc, key, flags);
	if (id < 0) {
		file_put(s->file);
		kfree(s);
	}
	return id;
}

SYSCALL(shmget)
{
	find(-1);
	struct ipc *o = ipc_get(&segments, (s32)a, (u32)c);
	if (IS_ERR(o))
		return PTR_ERR(o);
	if (!o)
		return create((s32)a, b, (u32)c);
	return b > ((struct shm *)o)->size ? -EINVAL : o->id;
}

/* shmat(id, addr, flags) */
SYSCALL(shmat)
{
	u32 flags = (u32)c;
	u64 addr = b;
	bool ro = flags & SHM_RDONLY;
	struct shm *s = find((int)a);
	if (!s)
		return -EINVAL;
	if (addr & (PAGE_SIZE - 1)) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		addr = ALIGN_DOWN(addr, PAGE_SIZE);
	}
	if (!addr && (flags & SHM_REMAP))
		return -EINVAL;
	if (!ipc_allowed(&s->ipc, ro ? 4 : 6))
		return -EACCES;
	int prot = PROT_READ | (ro ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
	int how = MAP_SHARED | (!addr ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE);
	long r = mm_map(curproc()->mm, addr, s->size, prot, how, s->file, 0);
	if (r < 0)
		return r == -EEXIST ? -EINVAL : r;
	s->atime = ipc_now();
	s->lpid = curproc()->pid;
	return r;
}

SYSCALL(shmdt)
{
	struct mm *mm = curproc()->mm;
	struct vma *v = vma_at(mm, a);
	if (!v || v->start != a || v->off || !v->file || v->file->ops != &shm_ops)
		return -EINVAL;
	struct file *file = v->file;
	u64 end = a;
	/* What mprotect() made of it may be several mappings. */
	for (; v && v->start == end && v->file == file && v->off == v->start - a; v = vma_at(mm, end))
		end = v->end;
	file_get(file);
	long r = mm_unmap(mm, a, end - a);
	for (u32 i = 0; !r && i < segments.n; i++) {
		struct shm *s = (struct shm *)segments.v[i];
		if (s && s->file == file) {
			s->dtime = ipc_now();
			s->lpid = curproc()->pid;
		}
	}
	file_put(file);
	find(-1);
	return r;
}

SYSCALL(shmctl)
{
	struct shm *s = find((int)a);
	struct shmid_k k;
	u32 cmd = (u32)b & ~IPC_64;
	if (!s)
		return -EINVAL;
	switch (cmd) {
	case IPC_STAT:
		if (!ipc_allowed(&s->ipc, 4))
			return -EACCES;
		k = (struct shmid_k){ s->ipc.perm, s->size, s->atime, s->dtime, s->ctime, s->cpid, s->lpid, attached(s), { 0 } };
		return copy_to_user((void *)c, &k, sizeof(k));
	case IPC_SET:
		if (copy_from_user(&k, (void *)c, sizeof(k)))
			return -EFAULT;
		if (!ipc_owned(&s->ipc))
			return -EPERM;
		ipc_set(&s->ipc, &k.perm);
		s->ctime = ipc_now();
		return 0;
	case IPC_RMID:
		if (!ipc_owned(&s->ipc))
			return -EPERM;
		s->ipc.perm.mode |= SHM_DEST;
		s->ipc.perm.key = 0;
		find(-1);
		return 0;
	case SHM_LOCK:
	case SHM_UNLOCK: /* nothing is ever swapped out */
		if (!ipc_owned(&s->ipc))
			return -EPERM;
		s->ipc.perm.mode = (s->ipc.perm.mode & ~SHM_LOCKED) | (cmd == SHM_LOCK ? SHM_LOCKED : 0);
		return 0;
	}
	return -EINVAL;
}
