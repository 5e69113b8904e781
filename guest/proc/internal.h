/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h: what the files of proc/ share and no other folder uses.
 *
 *   sched.c    run queue, switching, sleeping       signal.c    sending and queues
 *   wait.c     wait queues                          deliver.c   what a signal does to the program
 *   process.c  threads and processes as objects     sigframe.c  the frame a handler runs on
 *   clone.c    made                                 stop.c      stopped and continued processes
 *   exit.c     ended                                futex.c, futexkey.c, futexpi.c, robust.c
 *   waitpid.c  waited for                          rseq.c      restartable sequences
 */
#ifndef UFS_PROC_INTERNAL_H
#define UFS_PROC_INTERNAL_H
#include "boot_hooks.h"
#include "errno.h"
#include "mm.h"
#include "platform.h"
#include "proc.h"
#include "time.h"

#define SLICE_NS 10000000ULL
#define THREADS_MAX 32768
#define PID_MAX 4194304
#define ERESTARTNOINTR 513 /* restart whatever the handler's flags */
#define CAP(n) (1ULL << (n))

/* sched.c */
extern struct process kernel_process;
void thread_wake_with(struct thread *t, int result);
void thread_run(struct thread *t);          /* a stopped or new thread goes on */
extern struct list dead_threads;
#define SCHED_FIFO 1
void thread_requeue(void);                  /* sched_yield */
void thread_set_prio(struct thread *t, int prio);
void futex_lend(struct thread *t);          /* t's priority is its own, or that of who waits for a futex it owns */

/* process.c */
struct process *process_alloc(struct process *parent); /* NULL: no memory. No thread, mm, files, fs, sighand yet */
void process_free(struct process *p);       /* a zombie that was waited for, or one that never ran */
void thread_free(struct thread *t);         /* one that ended, or never ran */
void thread_unlink(struct thread *t);
void thread_set_tid(struct thread *t, int tid);
void threads_reap(void);
struct groups *groups_dup(const struct groups *g);
extern u32 thread_count, process_count;      /* zombies count as processes */

void sem_undo_all(struct process *p);       /* sys/sysvsem.c: at its end */
u32 procs_max(void), threads_max(void);      /* in the instance: from the boot block, or as memory allows */

/* exit.c */
struct vfork_wait { struct thread *t; bool done; };
void vfork_release(struct process *p);
void process_kill(struct process *p, int wait_status);
bool child_autoreap(struct process *parent);
void child_notify(struct process *p, int code, int status); /* SIGCHLD and wake-up of the parent */

/* clone.c: of a process that never ran */
void process_undo(struct process *p);

/* waitpid.c: a zombie was waited for by its parent */
void process_reap(struct process *p, struct process *parent);

/* stop.c */
void process_stop(struct process *p, int signo);
void process_continue(struct process *p);
void stop_here(void);                       /* current sleeps while its process is stopped */
bool pgrp_orphaned(int pgid);

/* signal.c */
struct sighand { u32 refs; struct ksigaction act[NSIG]; };
/* pidfd.c */
extern struct waitq pidfd_waitq;
long pidfd_new(struct process *p, bool nonblock); /* the descriptor, or a negative errno */
int pidfd_pid_or_folder(int fd);                  /* a folder of /proc too */
int pidfd_pid(int fd, bool *nonblock);            /* 0: the process is gone; -EBADF: not such a descriptor */
struct sigq { struct list link; struct ksiginfo si; };
#define SIG_STOPS (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define SIG_IGNORED (SIGBIT(SIGCHLD) | SIGBIT(SIGURG) | SIGBIT(SIGWINCH) | SIGBIT(SIGCONT))
#define SIG_SYNC (SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGFPE) | SIGBIT(SIGSYS))
#define SIG_UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
void sighand_reset(struct sighand *sh);      /* handlers back to default, ignored ones stay */
void signal_kick(struct thread *t);         /* look at pending signals soon */
void signal_drop(struct process *p, u64 set); /* from all queues */
/* The same as signal_send_*, for signals that a program sends: -EAGAIN when its queue is full. t NULL: to the process. */
int signal_post(struct process *p, struct thread *t, const struct ksiginfo *si, bool user);
struct sigq *sigqueue_find(struct list *q, int signo);

#define SS_AUTODISARM 0x80000000U
#define MINSIGSTKSZ 2048
/* sigframe.c: -EFAULT when the stack cannot take it. */
int sigframe_push(struct regs *r, const struct ksigaction *act, const struct ksiginfo *si, u64 oldmask);
bool on_altstack(const struct thread *t, u64 sp);

/* rseq.c: before r goes on elsewhere than where it was interrupted, or after others had the CPU. */
void rseq_fix(struct regs *r);

/* futex.c */
void futex_init(void);
void futex_thread_exit(struct thread *t);   /* robust list, PI owners, clear_child_tid */
long futex_wake_addr(u32 *uaddr, int n);
#endif
