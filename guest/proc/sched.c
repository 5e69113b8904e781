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

/*
 * Who has had least of the CPU comes next: the queue is in order of vrun, CPU time weighed by the nice value. A thread that slept
 * comes back with what it had, but at most CREDIT_NS ahead: it runs before those that always want the CPU and cannot
 * starve them. Before all of them come real-time threads, by priority and then by who came first.
 */
#define CREDIT_NS 3000000ULL
#define STRETCH_NS 1000000ULL /* of the CPU at a time before a thread that wakes may take it */
#define NICE_IDLE 26          /* SCHED_IDLE: a 340th of the CPU */

static u64 least = SLICE_NS;  /* vrun of the last one taken; never less than before */

/* Each nice level is a quarter more, as in Linux. */
static u64 weigh(const struct thread *t, u64 ns)
{
	int n = t->policy == 5 ? NICE_IDLE : t->proc->nice;
	for (; n > 0; n--)
		ns += ns / 4;
	for (; n < 0; n++)
		ns -= ns / 5;
	return ns;
}

static void charge(struct thread *t, u64 now)
{
	t->cpu_ns += now - t->cpu_start;
	if (likely(!t->prio))
		t->vrun += weigh(t, now - t->cpu_start);
	t->cpu_start = now;
}

static bool comes_before(const struct thread *t, const struct list *l, bool front)
{
	const struct thread *o = list_entry(l, struct thread, run);
	if (likely(o->prio == t->prio))
		return t->prio ? front : t->vrun < o->vrun;
	return t->prio > o->prio;
}

/* front: before those of the same real-time priority. */
static void enqueue(struct thread *t, bool front)
{
	struct list *at = percpu.runq.prev;
	t->state = T_RUNNABLE;
	if (at != &percpu.runq && comes_before(t, percpu.runq.next, front))
		at = &percpu.runq;
	while (at != &percpu.runq && comes_before(t, at, front))
		at = at->prev;
	list_add(&t->run, at);
	percpu.nrun++;
	publish();
}

/* t was not in the queue and wants the CPU. */
static void enqueue_woken(struct thread *t)
{
	struct thread *cur = current();
	u64 now = 0;
	if (cur->cpu_start != NOT_RUNNING) {
		charge(cur, now = now_ns());
		if (list_empty(&percpu.runq))
			least = MAX(least, cur->vrun);
	}
	t->vrun = MAX(t->vrun, t->flags & TF_FRESH ? MAX(cur->vrun, least) : least - CREDIT_NS);
	if (unlikely(t->prio != cur->prio) ? t->prio > cur->prio : !t->prio && now > cur->loses_after && t->vrun < cur->vrun)
		CTL->preempt = 1;
	enqueue(t, false);
}

void thread_set_prio(struct thread *t, int prio)
{
	t->prio = prio;
	t->vrun = MAX(t->vrun, least);
	CTL->preempt = 1;
	if (t->state != T_RUNNABLE || t == current())
		return;
	list_del(&t->run);
	percpu.nrun--;
	enqueue(t, false);
}

/* Real-time threads leave the others a slice a second, so that one that never sleeps can still be stopped. */
#define RT_MAX 950000000ULL

static u64 ordinary_ns; /* when no ordinary thread had waited */

static struct thread *pick(const struct thread *prev, u64 now)
{
	struct thread *next = list_first(&percpu.runq, struct thread, run);
	if (likely(!prev->prio || list_entry(percpu.runq.prev, struct thread, run)->prio))
		ordinary_ns = now;
	if (next->prio && now - ordinary_ns > RT_MAX)
		while (next->prio)
			next = list_entry(next->run.next, struct thread, run);
	return next;
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
	charge(prev, now);
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
		now = ordinary_ns = now_ns();
	}
	next = pick(prev, now);
	list_del(&next->run);
	percpu.nrun--;
	publish();
	least = MAX(least, next->vrun);
	if (CTL->preempt) /* timers and messages were looked at */
		CTL->preempt = 0;
	next->cpu_start = now;
	next->loses_after = now + STRETCH_NS;
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
	enqueue_woken(t);
}

void thread_wake(struct thread *t)
{
	thread_wake_with(t, 0);
}

void thread_run(struct thread *t)
{
	if (t->state == T_STOPPED)
		enqueue_woken(t);
}

static void requeue(bool behind)
{
	struct thread *t = current();
	if (list_empty(&percpu.runq))
		return;
	charge(t, now_ns());
	struct thread *first = list_first(&percpu.runq, struct thread, run);
	/* Behind at least one other, and as many as a slice is worth: it may wait for any of them. */
	if (behind && !t->prio)
		t->vrun = MAX(MIN(t->vrun + SLICE_NS, list_entry(percpu.runq.prev, struct thread, run)->vrun),
			      MAX(t->vrun, first->vrun));
	/* SCHED_FIFO has no slices; who gives way to a higher priority goes on before his equals. */
	enqueue(t, !behind && (t->policy == SCHED_FIFO || first->prio > t->prio));
	schedule();
}

void thread_requeue(void)
{
	requeue(true);
}

/* Preempted: unlike a thread inside a call, this one may be in the middle of a restartable sequence. */
void thread_yield(void)
{
	struct thread *t = current();
	if (t->rseq && !list_empty(&percpu.runq)) {
		t->rseq_event = true;
		t->flags |= TF_NEED_SIGNAL;
	}
	requeue(false);
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
