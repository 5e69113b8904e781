/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.h: threads, processes, the scheduler, waiting, signals.
 *
 * The libos runs on one vCPU and is never preempted: a thread inside it gives up the CPU only in
 * thread_block() or thread_yield(). So no locks; what is checked before thread_block() still holds when it sleeps.
 */
#ifndef UFS_PROC_H
#define UFS_PROC_H
#include "ufs.h"
#include "ksignal.h"

struct mm;
struct fdtable;
struct fsctx;
struct waitq { struct list waiters; };

/* The program's registers on kernel entry: as platform/entry.S pushes them, offsets used there. */
struct regs {
	u64 r15, r14, r13, r12, rbp, rbx;      /* 0 .. 40 */
	u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi; /* 48 .. 112 */
	u64 orig_rax;                          /* 120: system call number, -1 when not in one */
	u64 rip, cs, rflags, rsp, ss;          /* 128 .. 160 */
};

enum tstate { T_RUNNABLE, T_BLOCKED, T_STOPPED, T_DEAD };

#define KSTACK_SIZE 16384
struct thread {
	u64 ksp;                 /* 0: saved kernel stack pointer while not running; used by platform/switch.S */
	u64 kstack_top;          /* 8: entry.S switches to it */
	u64 fsbase, gsbase;      /* 16, 24: saved while not running */
	void *xsave;             /* 32: 64-byte aligned, xsave_size bytes */
	enum tstate state;       /* 40 */
	u32 flags;               /* TF_* */
	void *kstack;
	struct regs *regs;       /* user registers, at the top of the kernel stack */
	struct process *proc;
	struct list run;         /* run queue */
	struct list siblings;    /* process.threads */
	struct list hash;        /* tid table */
	int tid;
	u64 loses_after;         /* ns: when a thread that wakes may take the CPU from this one */
	u64 cpu_ns, cpu_start;   /* CPU time used; start of the current stretch */
	u64 vrun;                /* ns of CPU time, weighed: the least comes next */
	int wake_result;         /* what thread_block() returns */
	bool interruptible;
	/* signals (proc/signal.c) */
	u64 sigmask, saved_sigmask;
	bool restore_sigmask;    /* put saved_sigmask back after the handler frame is made (sigsuspend, ppoll) */
	u64 sigpending;
	struct list sigqueue;
	stack_ksig sigalt;       /* sigaltstack */
	/* futex and exit (proc/futex.c) */
	u32 *clear_child_tid;
	void *robust_list;
	size_t robust_len;
	char name[16];
	u32 last_nr[16]; s32 last_ret[16]; u32 last_pos; /* the last system calls, for reports */
	u64 trap_no, trap_err, trap_addr; /* last fault, for the signal frame */
	u64 sigwait;             /* sigtimedwait: taken although blocked */
	u64 rseq;                /* registered area of restartable sequences (proc/rseq.c), 0 none */
	u32 rseq_len, rseq_sig;
	bool rseq_event;         /* lost the CPU: a sequence has to be aborted */
	u8 policy;               /* SCHED_*, as asked for */
	u8 prio, rt_prio;        /* real-time priority in force (a PI futex lends one), as asked for; 0 ordinary */
	bool reset_on_fork;
	u64 restart_deadline;    /* of a relative sleep that is restarted after a stop; 0 none */
};
#define NOT_RUNNING (~0ULL) /* cpu_start of a thread that has not the CPU */
#define TF_FRESH 1           /* never ran: no kernel frames */
#define TF_EXITING 2
#define TF_NEED_SIGNAL 4     /* look at pending signals on the way out */
#define TF_KTHREAD 8
#define TF_AS_REAL 16        /* in access(): may what the real user may */

struct groups { u32 n; u32 gid[]; };
struct process {
	int pid, pgid, sid;
	struct process *parent;
	struct list children, sibling, threads, all;
	int nthreads;
	struct mm *mm;
	struct fdtable *files;
	struct fsctx *fs;        /* cwd, root, umask */
	struct sighand *sighand; /* handlers */
	u64 sigpending;          /* process-wide */
	struct list sigqueue;
	struct waitq *child_wait; /* wait4 sleepers */
	u32 uid, gid, euid, egid;
	int exit_status;         /* as wait4 gives it */
	bool exiting, zombie;
	int exit_signal;
	u64 cpu_ns_dead;         /* CPU time of threads that ended */
	u64 start_ns;
	struct ktimer *itimer[4]; /* the last for RLIMIT_CPU */
	struct posix_timer *timers;
	char exe[256];           /* path of the ELF file */
	char *cmdline; size_t cmdline_len;
	u64 arg_start, env_start, env_end;
	u64 vdso, at_random;
	struct rlimit_k { u64 cur, max; } rlim[16];
	u32 oom_killed;
	/* proc/ only */
	struct list hash;        /* pid table */
	struct waitq child_waitq;/* what child_wait points to */
	struct vfork_wait *vfork;/* parent that waits for exec or exit */
	struct thread *exec_waiter; /* waits for the other threads to end */
	struct thread *leader;   /* the one with tid = pid, NULL once it ended */
	bool vm_shared;          /* mm is or was shared with another process */
	bool did_exec, no_new_privs, keep_caps, subreaper, dumpable;
	bool thp_disable;        /* asked for: kept and reported */
	bool stop_report, cont_report; /* what waitpid has not been told yet */
	int stop_sig;            /* stopped by this signal, 0 running */
	int pdeath_sig, nice;
	int snap_signal;         /* sent at each restore, 0 none (fs/snapdev.c) */
	u32 suid, sgid, fsuid, fsgid;
	struct groups *groups;   /* supplementary, NULL none */
	u64 cap_eff, cap_perm, cap_inh, cap_bset;
	u64 cpu_ns_children, maxrss, maxrss_children, timer_slack;
};

/* Per-CPU state. One vCPU today; everything per-CPU is reached through here so that more can follow. */
struct percpu {
	struct thread *current;  /* 0: used by entry.S */
	u64 user_rsp;            /* 8 */
	u64 scratch;             /* 16 */
	u64 scratch2;            /* 24 */
	struct thread *idle;
	struct list runq;
	u32 nrun;
	u64 cr3;                 /* loaded last by platform_switch_mm() */
};
extern struct percpu percpu;
static inline struct thread *current(void) { return percpu.current; }
static inline struct process *curproc(void) { return percpu.current->proc; }

/* ---- scheduler (proc/sched.c) ---- */
/* Boot code becomes current() as a thread of no process (curproc()->pid is 0, its mm NULL). */
void sched_init(void);
u64 thread_cpu_ns(struct thread *t);     /* CPU time used up to now */
u64 process_cpu_ns(struct process *p);   /* of all its threads, ended ones too */
/* Sleep until thread_wake() or deadline (absolute CLOCK_MONOTONIC ns, ~0 none). 0 woken, -ETIMEDOUT, or
 * -ERESTARTSYS when interruptible and a signal is to be handled (also if one is pending at the call). */
int thread_block(u64 deadline, bool interruptible);
void thread_wake(struct thread *t);      /* harmless if not blocked */
void thread_yield(void);
void schedule(void);
bool signal_pending(void);               /* for current */

/* ---- wait queues (proc/wait.c) ---- */
struct waiter {
	struct list link;
	void (*wake)(struct waiter *w, u32 events);   /* must not block; may remove w */
	struct thread *thread;
	u32 exclusive;                            /* waitq_wake_one stops after the first of these */
};
#define WAITQ_INIT(q) { LIST_INIT((q).waiters) }
static inline void waitq_init(struct waitq *q) { list_init(&q->waiters); }
void waiter_init(struct waiter *w);           /* wakes current() */
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waiter *w);
void waitq_wake(struct waitq *q, u32 events);     /* every waiter; events: POLL* bits */
void waitq_wake_one(struct waitq *q, u32 events); /* all non-exclusive ones and one exclusive one */
/* Blocks on q until cond, evaluated before each sleep; r: 0, -ETIMEDOUT, -ERESTARTSYS. */
#define wait_on(q, cond, deadline) ({                              \
	int r_ = 0; struct waiter w_; waiter_init(&w_); waitq_add((q), &w_); \
	while (!(cond)) { r_ = thread_block((deadline), true); if (r_ && !(cond)) break; r_ = 0; } \
	waitq_remove(&w_); r_; })

/* ---- creation and end (proc/process.c, proc/clone.c, proc/exit.c) ---- */
struct thread *thread_alloc(struct process *p);
struct thread *kthread_create(void (*fn)(void *), void *arg, const char *name);
struct thread *thread_find(int tid);
struct process *process_find(int pid);
extern struct list process_list;
extern struct process *init_process;
_Noreturn void thread_exit(int code);                 /* exit(2): this thread only */
_Noreturn void process_exit(int wait_status);         /* exit_group(2), fatal signals */
/* Entry from the switch code for a fresh thread: returns to the program with t->regs. */
void thread_start_user(void);

/* ---- signals (proc/signal.c) ---- */
struct ksiginfo { int signo, code, err; int pid; u32 uid; u64 addr; long value; int status; int timerid, overrun; };
int signal_send_thread(struct thread *t, const struct ksiginfo *si);
int signal_send_process(struct process *p, const struct ksiginfo *si);
void signal_force(int signo, int code, u64 addr, u64 trapno, u64 err); /* a fault of current; cannot be blocked */
/* Change the mask of current; what became deliverable is noticed on the way out. */
void signal_set_mask(u64 mask);
/* Temporary mask of ppoll, pselect6, epoll_pwait: uset may be NULL; 0, -EFAULT or -EINVAL (size). pop with what the call
 * returns: an interrupted call (-EINTR, -ERESTART*) keeps the mask until its handler frame is made. Returns ret. */
int signal_mask_push(const void *uset, size_t size);
long signal_mask_pop(long ret);
/* For signalfd: woken whenever a signal becomes pending; the set of pending signals of current and its process. */
extern struct waitq signal_arrived;
u64 signal_pending_set(void);
/* siginfo_t of 128 bytes, as programs see it. */
void siginfo_fill(u8 out[128], const struct ksiginfo *si);
/* Terminals (proc/session.c): a signal of the kernel to a group; the session of a group, or -ESRCH; what a process that is not of the
 * foreground group gets for touching the terminal: 0 (go on), -EIO, or -ERESTARTSYS after sig went to its group. */
void signal_send_group(int pgid, int signo);
int pgrp_session(int pgid);
int job_background(int foreground, int sig);
/* On the way out to the program: delivers signals, restarts or interrupts the call. May not return. */
void signal_deliver(struct regs *r);
struct sighand *sighand_create(void);
struct sighand *sighand_copy(struct sighand *sh);
void sighand_get(struct sighand *sh);
void sighand_put(struct sighand *sh);
void sighand_exec(struct sighand *sh);     /* handlers back to default, ignored ones stay */
/* For /proc: the signals whose handler is SIG_IGN, and those with one of the program's. */
void signal_sets(struct process *p, u64 *ignored, u64 *caught);
void sigqueue_flush(struct list *q, u64 *pending);
/* Remove and fill the next pending signal in set (for sigtimedwait, signalfd); its number or 0. */
int signal_dequeue(u64 set, struct ksiginfo *si);

/* ---- exec (proc/exec.c, proc/elf.c, proc/patch.c) ---- */
/* Replace current's program. Strings are kernel memory. 0 or negative errno; after -E* past the point of no return the process dies. */
long exec_program(const char *path, char *const argv[], int argc, char *const envp[], int envc);
_Noreturn void exec_failed(const char *path, long r); /* says why, and ends the process with the status that shells give */
/* Rewrite the `syscall` sites of [start,end) that can be, just mapped executable. */
void patch_range(struct mm *mm, u64 start, u64 end);
/* The same bytes in one piece somewhere else, as they are in an image; NULL if they are not. And patching by what stands there,
 * after the range itself was copied. */
const u8 *patch_source(struct mm *mm, u64 start, u64 end);
void patch_from(struct mm *mm, u64 start, u64 end, const u8 *source);
#endif
