/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: the run queue, sleeping and waking, the change of threads. */
#include "internal.h"
#include "fs.h"
#include "net.h"
#include "platform.h"
#include "strace.h"
#include "../time/internal.h"

struct percpu percpu;
struct process kernel_process;
static struct thread boot_thread;

/* The monitor ends slices only while this is not 0. */
static void publish(void)
{
	CTL->runnable = percpu.nrun;
}

static void enqueue(struct thread *t)
{
	t->state = T_RUNNABLE;
	list_add_tail(&t->run, &percpu.runq);
	percpu.nrun++;
	publish();
}

void sched_init(void)
{
	list_init(&percpu.runq);
	list_init(&kernel_process.threads);
	list_init(&kernel_process.children);
	boot_thread.proc = &kernel_process;
	boot_thread.cpu_start = now_ns();
	list_init(&boot_thread.run);
	percpu.current = &boot_thread;
	futex_init();
	CTL->next_timer = ~0ULL;
	publish();
}

/*
 * Gives the CPU to the next runnable thread; with none, waits for one on the stack of the thread that gave it up.
 * current() has queued itself somewhere, or is dead.
 */
void schedule(void)
{
	struct thread *prev = current(), *next;
	u64 now = now_ns();
	if (strace_on())
		strace_flush();
	prev->cpu_ns += now - prev->cpu_start;
	prev->cpu_start = NOT_RUNNING;
	queue_poll();
	if (unlikely(now >= timer_next()))
		timers_run();
	while (list_empty(&percpu.runq)) {
		u64 at = timer_next();
		if (at > now)
			platform_idle(at);
		queue_poll();
		timers_run();
		now = now_ns();
	}
	next = list_first(&percpu.runq, struct thread, run);
	list_del(&next->run);
	percpu.nrun--;
	publish();
	next->cpu_start = now;
	next->slice_end = now + SLICE_NS;
	if (unlikely(!list_empty(&cputimers_parked)))
		cputimers_resume(next);
	if (next == prev)
		return;
	/* A thread of the libos runs in whichever address space is in force. */
	if (next->proc->mm)
		mm_activate(next->proc->mm);
	platform_switch(prev, next);
	if (unlikely(!list_empty(&dead_threads)))
		threads_reap();
}

void thread_wake_with(struct thread *t, int result)
{
	if (t->state != T_BLOCKED)
		return;
	t->wake_result = result;
	enqueue(t);
}

void thread_wake(struct thread *t)
{
	thread_wake_with(t, 0);
}

void thread_run(struct thread *t)
{
	if (t->state == T_STOPPED)
		enqueue(t);
}

void thread_requeue(void)
{
	if (list_empty(&percpu.runq))
		return;
	enqueue(current());
	schedule();
}

/* Preempted: unlike a thread inside a call, this one may be in the middle of a restartable sequence. */
void thread_yield(void)
{
	struct thread *t = current();
	if (t->rseq && !list_empty(&percpu.runq)) {
		t->rseq_event = true;
		t->flags |= TF_NEED_SIGNAL;
	}
	thread_requeue();
}

struct sleeper { struct ktimer kt; struct thread *t; };

static void sleeper_due(struct ktimer *kt)
{
	thread_wake_with(container_of(kt, struct sleeper, kt)->t, -ETIMEDOUT);
}

int thread_block(u64 deadline, bool interruptible)
{
	struct thread *t = current();
	if (interruptible && signal_pending())
		return -ERESTARTSYS;
	t->interruptible = interruptible;
	t->wake_result = 0;
	t->state = T_BLOCKED;
	if (deadline == ~0ULL) {
		schedule();
		return t->wake_result;
	}
	struct sleeper s = { .kt.fn = sleeper_due, .t = t };
	timer_set(&s.kt, deadline);
	schedule();
	timer_cancel(&s.kt);
	return t->wake_result;
}

/* A thread of the libos keeps its function at the far end of its stack. */
static void kthread_main(void *arg)
{
	u64 *start = current()->kstack;
	((void (*)(void *))start[0])((void *)start[1]);
	thread_exit(0);
}

struct thread *kthread_create(void (*fn)(void *), void *arg, const char *name)
{
	struct thread *t = thread_alloc(&kernel_process);
	if (!t)
		return NULL;
	t->flags |= TF_KTHREAD;
	t->xsave = NULL;
	strlcpy(t->name, name, sizeof(t->name));
	((u64 *)t->kstack)[0] = (u64)fn;
	((u64 *)t->kstack)[1] = (u64)arg;
	t->regs = NULL;
	platform_thread_init(t, kthread_main, NULL);
	thread_run(t);
	return t;
}

/* From boot to process 1; the boot stack is not used again. */
_Noreturn void process_start_init(void (*fn)(void *))
{
	struct process *p = process_alloc(NULL);
	struct thread *t = NULL;
	if (p) {
		init_process = p;
		p->mm = mm_boot;
		p->files = fdtable_create();
		p->fs = fsctx_create();
		p->sighand = sighand_create();
		t = thread_alloc(p);
	}
	if (!t || !p->files || !p->fs || !p->sighand)
		panic("no memory for process 1");
	p->parent = &kernel_process;
	platform_thread_init(t, fn, NULL);
	thread_run(t);
	boot_thread.state = T_DEAD;
	schedule();
	__builtin_unreachable();
}
