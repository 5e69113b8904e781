/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.c: the system calls of memory, on top of the mm_* functions. */
#include "internal.h"
#include "fs.h"
#include "proc.h"
#include "syscall.h"
#include <linux/membarrier.h>

static struct mm *cur_mm(void)
{
	return curproc()->mm;
}

/* Code that can run now and could not before: let the patcher see it. */
static void patch_new_code(u64 start, u64 len)
{
	patch_range(cur_mm(), start, start + ALIGN_UP(len, PAGE_SIZE));
}

/* mmap(addr, len, prot, flags, fd, off) */
SYSCALL(mmap)
{
	struct file *file = NULL;
	if (f & (PAGE_SIZE - 1))
		return -EINVAL;
	if (!(d & MAP_ANONYMOUS)) {
		file = fd_get((int)e);
		if (!file)
			return -EBADF;
	}
	long r = mm_map(cur_mm(), a, b, (int)c, (int)d, file, file ? f : 0);
	if (r >= 0 && file && (c & PROT_EXEC) && (d & MAP_TYPE) == MAP_PRIVATE) {
		if (b <= EAGER_TEXT && file->ino && inode_prepare(file->ino) == 1)
			mm_own(cur_mm(), r, b); /* the patcher reads all of it */
		patch_new_code(r, b);
	}
	if (file)
		file_put(file);
	return r;
}

SYSCALL(munmap)
{
	return mm_unmap(cur_mm(), a, b);
}

/*
 * What of [start,end) is private and not executable yet is what an mprotect with PROT_EXEC makes code. That of a file is
 * patched; what a program wrote itself it may also read and change again, so it stays as it is and traps.
 */
static void protect_exec(u64 start, u64 end, int prot)
{
	struct mm *mm = cur_mm();
	while (start < end) {
		struct vma *v = vma_at(mm, start);
		if (!v)
			return;
		u64 to = MIN(end, v->end);
		bool fresh = v->file && vma_private(v) && !(v->flags & VM_EXEC);
		if (mm_protect(mm, start, to - start, prot))
			return;
		if (fresh)
			patch_new_code(start, to - start);
		start = to;
	}
}

static long protect(u64 addr, u64 len, u64 prot)
{
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if ((prot & ~(u64)VM_PROT) == 0 && (prot & PROT_EXEC) && !(addr & (PAGE_SIZE - 1)) && end > addr)
		protect_exec(addr, end, (int)prot);
	return mm_protect(cur_mm(), addr, len, (int)prot); /* the rest, or the error */
}

SYSCALL(mprotect)
{
	return protect(a, b, c);
}

SYSCALL(brk)
{
	return mm_brk(cur_mm(), a);
}

SYSCALL(mremap)
{
	if (d & MREMAP_DONTUNMAP)
		unsupported_once("mremap: MREMAP_DONTUNMAP", d);
	return mm_remap(cur_mm(), a, b, c, d, e);
}

SYSCALL(msync)
{
	return mm_sync(cur_mm(), a, b, c);
}

SYSCALL(mincore)
{
	return mm_incore(cur_mm(), a, b, (u8 *)c);
}

SYSCALL(madvise)
{
	return mm_advise(cur_mm(), a, b, (int)c);
}

SYSCALL(mlock)
{
	return mm_lock(cur_mm(), a, b, true, true);
}

SYSCALL(mlock2)
{
	if (c & ~(u64)MLOCK_ONFAULT)
		return -EINVAL;
	return mm_lock(cur_mm(), a, b, true, !(c & MLOCK_ONFAULT));
}

SYSCALL(munlock)
{
	return mm_lock(cur_mm(), a, b, false, false);
}

SYSCALL(mlockall)
{
	return mm_lock_all(cur_mm(), a);
}

SYSCALL(munlockall)
{
	mm_unlock_all(cur_mm());
	return 0;
}

/* membarrier(cmd, flags, cpu). With one vCPU every switch between threads is a full barrier already. */
SYSCALL(membarrier)
{
	const u32 expedited = MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;
	const u32 registers = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
			      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
	u32 cmd = a, all = MEMBARRIER_CMD_GLOBAL | expedited | registers;
	struct mm *mm = cur_mm();
	if (b || (cmd & (cmd - 1)) || (cmd & ~all))
		return -EINVAL;
	if (!cmd)
		return all;
	if (cmd & registers)
		mm->membarrier |= cmd;
	/* The private commands must be registered for first: the registration is the next bit up. */
	else if ((cmd & expedited & ~(u32)MEMBARRIER_CMD_GLOBAL_EXPEDITED) && !(mm->membarrier & cmd << 1))
		return -EPERM;
	barrier();
	return 0;
}

/* pkey_mprotect(addr, len, prot, pkey). No protection keys here, so only "no key" is one. */
SYSCALL(pkey_mprotect)
{
	return (int)d == -1 ? protect(a, b, c) : -EINVAL;
}

SYSCALL(pkey_alloc)
{
	return a || (b & ~3UL) ? -EINVAL : -ENOSPC;
}

SYSCALL(pkey_free)
{
	return -EINVAL;
}
