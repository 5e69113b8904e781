/* SPDX-License-Identifier: Apache-2.0 */
/* clone.c: new threads and processes: clone, clone3, fork, vfork. */
#include "internal.h"
#include "fs.h"
#include "syscall.h"
#include "../time/internal.h"

#define CSIGNAL 0xffULL
#define CLONE_VM 0x100ULL
#define CLONE_FS 0x200ULL
#define CLONE_FILES 0x400ULL
#define CLONE_SIGHAND 0x800ULL
#define CLONE_PIDFD 0x1000ULL
#define CLONE_VFORK 0x4000ULL
#define CLONE_PARENT 0x8000ULL
#define CLONE_THREAD 0x10000ULL
#define CLONE_SETTLS 0x80000ULL
#define CLONE_PARENT_SETTID 0x100000ULL
#define CLONE_CHILD_CLEARTID 0x200000ULL
#define CLONE_DETACHED 0x400000ULL
#define CLONE_CHILD_SETTID 0x1000000ULL
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#define CLONE_INTO_CGROUP 0x200000000ULL
#define CLONE_NEWNS 0x20000ULL
#define CLONE_NEWUSER 0x10000000ULL
#define CLONE_NEWPID 0x20000000ULL
#define CLONE_NEW 0x7e020000ULL /* new namespaces of any kind */

struct clone {
	u64 flags, stack;      /* stack: the new pointer, 0: as the caller's */
	u64 tls;
	u32 *parent_tid, *child_tid, *pidfd;
	int exit_signal;
};

static int check_flags(const struct clone *c)
{
	u64 f = c->flags;
	if ((f & CLONE_THREAD && !(f & CLONE_SIGHAND)) || (f & CLONE_SIGHAND && !(f & CLONE_VM)))
		return -EINVAL;
	if ((f & (CLONE_NEWNS | CLONE_NEWUSER)) && (f & CLONE_FS))
		return -EINVAL;
	if ((f & CLONE_THREAD) && (f & (CLONE_NEWUSER | CLONE_NEWPID)))
		return -EINVAL;
	if ((f & CLONE_CLEAR_SIGHAND) && (f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_PARENT) && curproc() == init_process)
		return -EINVAL;
	if (c->exit_signal > NSIG)
		return -EINVAL;
	if (f & CLONE_NEW) {
		unsupported_once("clone into new namespaces", f & CLONE_NEW);
		return -EPERM;
	}
	if (f & CLONE_INTO_CGROUP) {
		unsupported_once("clone with CLONE_INTO_CGROUP", f);
		return -EINVAL;
	}
	if ((f & CLONE_PIDFD) && (f & (CLONE_THREAD | CLONE_DETACHED)))
		return -EINVAL;
	/* Threads of one process have descriptors and working directory in common here. */
	if ((f & CLONE_THREAD) && (f & (CLONE_FS | CLONE_FILES)) != (CLONE_FS | CLONE_FILES)) {
		unsupported_once("clone of a thread with files or directory of its own", f);
		return -EINVAL;
	}
	if ((f & CLONE_SETTLS) && c->tls >= UFS_USER_END)
		return -EPERM;
	return 0;
}

void vfork_release(struct process *p)
{
	struct vfork_wait *w = p->vfork;
	if (!w)
		return;
	p->vfork = NULL;
	w->done = true;
	thread_wake(w->t);
}

/* The parts that a new process has of its own, or shares by reference. */
static int process_fill(struct process *p, u64 flags)
{
	struct process *from = curproc();
	cpu_limit_arm(p);
	if (flags & CLONE_VM) {
		mm_get(from->mm);
		p->mm = from->mm;
		p->vm_shared = from->vm_shared = true;
	} else {
		p->mm = mm_fork(from->mm);
	}
	if (flags & CLONE_FILES)
		fdtable_get(from->files);
	p->files = flags & CLONE_FILES ? from->files : fdtable_copy(from->files);
	if (flags & CLONE_FS)
		fsctx_get(from->fs);
	p->fs = flags & CLONE_FS ? from->fs : fsctx_copy(from->fs);
	if (flags & CLONE_SIGHAND)
		sighand_get(from->sighand);
	p->sighand = flags & CLONE_SIGHAND ? from->sighand : sighand_copy(from->sighand);
	if (!p->mm || !p->files || !p->fs || !p->sighand)
		return -ENOMEM;
	if (flags & CLONE_CLEAR_SIGHAND)
		sighand_reset(p->sighand);
	return 0;
}

void process_undo(struct process *p)
{
	itimers_free(p);
	if (p->mm)
		mm_put(p->mm);
	if (p->files)
		fdtable_put(p->files);
	if (p->fs)
		fsctx_put(p->fs);
	if (p->sighand)
		sighand_put(p->sighand);
	process_free(p);
}

static struct process *process_new(const struct clone *c)
{
	struct process *from = curproc(), *parent = c->flags & CLONE_PARENT ? from->parent : from;
	struct process *p = process_alloc(from);
	if (!p)
		return NULL;
	list_del(&p->sibling);
	list_add_tail(&p->sibling, &parent->children);
	p->parent = parent;
	p->exit_signal = c->flags & CLONE_PARENT ? from->exit_signal : c->exit_signal;
	if (process_fill(p, c->flags)) {
		process_undo(p);
		return NULL;
	}
	return p;
}

static void start_child(void *arg)
{
	thread_start_user();
}

/* The state of the caller, as it will be seen by t. */
static void thread_fill(struct thread *t, const struct clone *c)
{
	struct thread *me = current();
	*t->regs = *me->regs;
	t->regs->rax = 0;
	t->regs->orig_rax = ~0ULL;
	if (c->stack)
		t->regs->rsp = c->stack;
	fpu_save(t->xsave);
	t->fsbase = c->flags & CLONE_SETTLS ? c->tls : platform_fsbase();
	t->gsbase = platform_gsbase();
	t->sigmask = me->sigmask;
	if (!(c->flags & CLONE_VM) || (c->flags & CLONE_VFORK))
		t->sigalt = me->sigalt;
	if (!(c->flags & CLONE_VM)) {
		t->rseq = me->rseq;
		t->rseq_len = me->rseq_len;
		t->rseq_sig = me->rseq_sig;
	}
	if (c->flags & CLONE_CHILD_CLEARTID)
		t->clear_child_tid = c->child_tid;
	memcpy(t->name, me->name, sizeof(t->name));
	platform_thread_init(t, start_child, NULL);
}

static void write_tids(struct thread *t, const struct clone *c)
{
	u32 tid = t->tid;
	/* Linux ignores an address that cannot be written. */
	if (c->flags & CLONE_PARENT_SETTID)
		put_user(tid, c->parent_tid);
	if (!(c->flags & CLONE_CHILD_SETTID) || !access_ok(c->child_tid, 4))
		return;
	if (c->flags & CLONE_VM)
		put_user(tid, c->child_tid);
	else
		mm_poke(t->proc->mm, (u64)c->child_tid, &tid, sizeof(tid));
}

static long vfork_wait(struct process *p, int pid)
{
	struct vfork_wait w = { current(), false };
	p->vfork = &w;
	while (!w.done && !(current()->flags & TF_EXITING))
		thread_block(~0ULL, false);
	if (!w.done)
		p->vfork = NULL;
	return pid;
}

/* The child has no copy of it. */
static long give_pidfd(struct process *p, const struct clone *c)
{
	long fd = pidfd_new(p, false);
	if (fd < 0 || !put_user((int)fd, c->pidfd))
		return fd;
	fd_close(curproc()->files, fd);
	return -EFAULT;
}

static long do_clone(const struct clone *c)
{
	int r = check_flags(c);
	if (r)
		return r;
	struct process *me = curproc(), *p = me;
	if (thread_count >= threads_max() || (!(c->flags & CLONE_THREAD) && process_count >= procs_max()) || (thread_count >= me->rlim[6].cur && me->uid && !(me->cap_eff & (CAP(21) | CAP(24)))))
		return -EAGAIN;
	/* A thread made while all threads are being ended would live on. */
	if ((current()->flags & TF_EXITING) || (c->flags & CLONE_THREAD && me->exec_waiter))
		return -ERESTARTNOHAND;
	if (!(c->flags & CLONE_THREAD)) {
		p = process_new(c);
		if (!p)
			return -ENOMEM;
	}
	long pidfd = c->flags & CLONE_PIDFD ? give_pidfd(p, c) : 0;
	if (pidfd < 0) {
		process_undo(p);
		return pidfd;
	}
	struct thread *t = thread_alloc(p);
	if (!t) {
		if (c->flags & CLONE_PIDFD)
			fd_close(me->files, pidfd);
		if (p != me)
			process_undo(p);
		return c->flags & CLONE_THREAD ? -EAGAIN : -ENOMEM;
	}
	thread_fill(t, c);
	write_tids(t, c);
	int tid = t->tid;
	thread_run(t);
	return c->flags & CLONE_VFORK ? vfork_wait(p, tid) : tid;
}

SYSCALL(clone)
{
	struct clone k = { .flags = a & ~CSIGNAL & 0xffffffff, .exit_signal = a & CSIGNAL, .stack = b, .parent_tid = (u32 *)c, .child_tid = (u32 *)d, .pidfd = (u32 *)c, .tls = e };
	/* The old call puts the descriptor where the thread number would go. */
	if ((k.flags & CLONE_PIDFD) && (k.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
		return -EINVAL;
	return do_clone(&k);
}

SYSCALL(fork)
{
	struct clone k = { .exit_signal = SIGCHLD };
	return do_clone(&k);
}

SYSCALL(vfork)
{
	struct clone k = { .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD };
	return do_clone(&k);
}

struct clone_args_k { u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup; };

SYSCALL(clone3)
{
	struct clone_args_k k = { 0 };
	if (b > PAGE_SIZE)
		return -E2BIG;
	if (b < 64)
		return -EINVAL;
	for (u64 i = sizeof(k), x; i < b; i += 8) {
		x = 0;
		if (copy_from_user(&x, (u8 *)a + i, MIN(8, b - i)))
			return -EFAULT;
		if (x)
			return -E2BIG;
	}
	if (copy_from_user(&k, (void *)a, MIN(b, sizeof(k))))
		return -EFAULT;
	if (k.flags & (CSIGNAL | CLONE_DETACHED) || k.flags >> 34 || k.exit_signal & ~CSIGNAL || k.exit_signal > NSIG)
		return -EINVAL;
	if ((k.flags & (CLONE_THREAD | CLONE_PARENT)) && k.exit_signal)
		return -EINVAL;
	if (!k.stack != !k.stack_size || (k.stack && !access_ok((void *)k.stack, k.stack_size)))
		return -EINVAL;
	if (k.set_tid || k.set_tid_size) {
		if (!k.set_tid != !k.set_tid_size)
			return -EINVAL;
		unsupported_once("clone3 with chosen thread numbers", k.set_tid_size);
		return -EPERM;
	}
	struct clone cl = { .flags = k.flags, .exit_signal = k.exit_signal, .stack = k.stack ? k.stack + k.stack_size : 0,
		.parent_tid = (u32 *)k.parent_tid, .pidfd = (u32 *)k.pidfd, .child_tid = (u32 *)k.child_tid, .tls = k.tls };
	return do_clone(&cl);
}

void exec_done(struct process *p)
{
	p->did_exec = true;
	p->vm_shared = false;
	p->keep_caps = false;
	p->dumpable = true;
	p->snap_signal = 0;
	current()->rseq = 0;
	posix_timers_free(p);
	vfork_release(p);
}
