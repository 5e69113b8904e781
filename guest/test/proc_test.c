/* SPDX-License-Identifier: Apache-2.0 */
/* proc_test.c: scheduler, wait queues, processes, futexes. */
#include "proc_fake.h"

#define THREAD 0x50f00UL /* VM FS FILES SIGHAND THREAD SYSVSEM */
#define CLEARTID 0x200000UL
static char trace[256];
static u32 ntrace;
static void note(char c) { trace[ntrace++ % sizeof(trace)] = c; }
static bool traced(const char *s)
{
	bool same = ntrace == strlen(s) && !memcmp(trace, s, ntrace);
	if (!same)
		host_say("trace is %.*s, not %s\n", (int)ntrace, trace, s);
	ntrace = 0;
	return same;
}
static void sleep_ms(u64 ms) { thread_block(now_ns() + ms * 1000000, true); }

/* ---- scheduler ---- */

static void yielder(u64 c)
{
	for (int i = 0; i < 3; i++) {
		note(c);
		CALL(sched_yield);
	}
}

static void test_yield(void)
{
	for (char c = 'a'; c <= 'c'; c++)
		CHECK(fake_clone(THREAD, yielder, c, NULL) > 1);
	CHECK_EQ(CTL->runnable, 3);
	sleep_ms(1);
	CHECK(traced("abcabcabc"));
	CHECK_EQ(curproc()->nthreads, 1);
	CHECK_EQ(CTL->runnable, 0);
}

/* Wants the CPU for four time slices. */
static void hog(u64 c)
{
	if (c == 'i')
		current()->policy = 5; /* SCHED_IDLE */
	for (int i = 0; i < 4; i++) {
		note(c);
		fake_advance(10000000);
		timers_run();
		thread_yield();
	}
}

static void short_sleeper(u64 ms)
{
	sleep_ms(ms);
	note('s');
	CALL(sched_yield);
	note('S');
}

static void test_fair(void)
{
	/* Who slept comes before those who had the CPU, and after them once it gives way. */
	fake_clone(THREAD, hog, 'a', NULL);
	fake_clone(THREAD, hog, 'b', NULL);
	fake_clone(THREAD, short_sleeper, 15, NULL);
	sleep_ms(100);
	CHECK(traced("ababsabSab"));
	/* but cannot keep the CPU for that */
	fake_clone(THREAD, hog, 'a', NULL);
	sleep_ms(15);
	fake_clone(THREAD, hog, 'b', NULL);
	sleep_ms(100);
	CHECK(traced("aaababbb"));
	fake_clone(THREAD, hog, 'i', NULL);
	fake_clone(THREAD, hog, 'a', NULL);
	sleep_ms(100);
	CHECK(traced("iaaaaiii"));
}

static struct thread *sleeper_thread;
static int sleeper_result;
static void sleeper(u64 deadline)
{
	sleeper_thread = current();
	sleeper_result = thread_block(deadline, true);
	note('w');
}

static void test_block(void)
{
	u64 t0 = now_ns();
	CHECK_EQ(thread_block(t0 + 5000, false), -ETIMEDOUT);
	CHECK_EQ(now_ns(), t0 + 5000);
	CHECK_EQ(thread_block(t0, false), -ETIMEDOUT); /* already over */
	CHECK_EQ(CTL->next_timer, ~0ULL);
	fake_clone(THREAD, sleeper, ~0ULL, NULL);
	sleep_ms(1);
	thread_wake(sleeper_thread);
	thread_wake(sleeper_thread);
	sleep_ms(1);
	CHECK_EQ(sleeper_result, 0);
	CHECK(traced("w"));
	/* one that wakes gets the CPU at once from one that had it for long */
	fake_clone(THREAD, sleeper, ~0ULL, NULL);
	sleep_ms(20);
	fake_advance(20000000);
	thread_wake(sleeper_thread);
	CHECK_EQ(CTL->preempt, 1);
	sleep_ms(1);
	CHECK_EQ(CTL->preempt, 0);
	CHECK(traced("w"));
	/* a signal for a sleeper */
	fake_clone(THREAD, sleeper, ~0ULL, NULL);
	sleep_ms(1);
	curproc()->sighand->act[SIGUSR1 - 1].handler = 0x30000;
	CHECK_EQ(CALL(tkill, sleeper_thread->tid, SIGUSR1), 0);
	sleeper_thread->sigmask = ~0ULL; /* the fake program cannot run handlers */
	sleep_ms(1);
	CHECK_EQ(sleeper_result, -ERESTARTSYS);
	CHECK(traced("w"));
	CHECK_EQ(CTL->next_timer, ~0ULL);
}

static void burner(u64 ns)
{
	fake_advance(ns);
}

static void test_cpu_time(void)
{
	u64 me = thread_cpu_ns(current()), all = process_cpu_ns(curproc());
	fake_clone(THREAD, burner, 7000, NULL);
	fake_advance(1000);
	sleep_ms(1);
	CHECK_EQ(thread_cpu_ns(current()) - me, 1000);
	CHECK_EQ(process_cpu_ns(curproc()) - all, 8000);
}

/* ---- wait queues ---- */

static struct waitq wq = WAITQ_INIT(wq);
struct probe { struct waiter w; char c; bool again; struct probe *kill; };
static void probe_wake(struct waiter *w, u32 events)
{
	struct probe *p = container_of(w, struct probe, w);
	note(p->c);
	if (p->kill)
		waitq_remove(&p->kill->w);
	if (p->again) {
		p->again = false;
		waitq_wake(&wq, events); /* from inside a walk */
	}
}

static void add(struct probe *p, char c, u32 exclusive)
{
	memset(p, 0, sizeof(*p));
	waiter_init(&p->w);
	p->w.wake = probe_wake;
	p->w.exclusive = exclusive;
	p->c = c;
	waitq_add(&wq, &p->w);
}

static void excl_thread(u64 c)
{
	struct waiter w;
	waiter_init(&w);
	w.exclusive = 1;
	waitq_add(&wq, &w);
	thread_block(~0ULL, false);
	waitq_remove(&w);
	note(c);
}

static void test_waitq(void)
{
	struct probe a, b, c;
	waitq_wake(&wq, 1);
	add(&a, 'a', 0); add(&b, 'b', 1); add(&c, 'c', 1);
	waitq_wake(&wq, 1);
	CHECK(traced("abc"));
	waitq_wake_one(&wq, 1);
	CHECK(traced("ab"));
	a.again = true;
	waitq_wake(&wq, 1);
	CHECK(traced("aabcbc"));
	a.kill = &b;
	waitq_wake(&wq, 1);
	CHECK(traced("ac"));
	waitq_remove(&a.w); waitq_remove(&c.w);
	CHECK(list_empty(&wq.waiters));
	/* two events reach two threads even if the first has not run in between */
	for (char x = '1'; x <= '3'; x++)
		fake_clone(THREAD, excl_thread, x, NULL);
	sleep_ms(1);
	waitq_wake_one(&wq, 1);
	waitq_wake_one(&wq, 1);
	sleep_ms(1);
	CHECK(traced("12"));
	waitq_wake_one(&wq, 1);
	sleep_ms(1);
	CHECK(traced("3"));
}

/* ---- processes ---- */

static void exit_with(u64 code) { CALL(exit_group, code); }
static void killed_by(u64 signo) { CALL(kill, curproc()->pid, signo); }
static void sleep_then_exit(u64 ms)
{
	thread_block(now_ns() + ms * 1000000, false);
	CALL(exit_group, 5);
}

static void test_wait(void)
{
	int st = 0;
	u8 info[128];
	CHECK_EQ(CALL(wait4, -1, &st, 0, 0), -ECHILD);
	long pid = fake_clone(SIGCHLD, exit_with, 7, NULL);
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK_EQ(st, 7 << 8);
	CHECK_EQ(fake_mms, 0);
	CHECK_EQ(fake_files, 1);
	pid = fake_clone(SIGCHLD, killed_by, SIGTERM, NULL);
	CHECK_EQ(CALL(wait4, -1, &st, 1, 0), 0); /* WNOHANG */
	CHECK_EQ(CALL(waitid, 1, pid, info, 4 | 0x01000000, 0), 0); /* WEXITED | WNOWAIT */
	CHECK_EQ(((int *)info)[2], CLD_KILLED);
	CHECK_EQ(((int *)info)[6], SIGTERM);
	CHECK_EQ(CALL(wait4, -1, &st, 0, 0), pid);
	CHECK_EQ(st, SIGTERM);
	CHECK_EQ(CALL(wait4, -1, &st, 0x10000, 0), -EINVAL);
	/* SIGKILL reaches all threads at once, also one that cannot be interrupted */
	pid = fake_clone(SIGCHLD, sleep_then_exit, 1000, NULL);
	sleep_ms(1);
	CHECK_EQ(CALL(kill, pid, SIGKILL), 0);
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK_EQ(st, SIGKILL);
	CHECK_EQ(CALL(kill, pid, 0), -ESRCH);
}

static void test_autoreap(void)
{
	struct ksigaction *act = &curproc()->sighand->act[SIGCHLD - 1];
	act->handler = SIG_IGN;
	long pid = fake_clone(SIGCHLD, exit_with, 1, NULL);
	CHECK_EQ(CALL(wait4, pid, 0, 0, 0), -ECHILD);
	CHECK(!process_find(pid));
	act->handler = SIG_DFL;
}

static void grandchild(u64 x)
{
	sleep_ms(10);
	CHECK_EQ(CALL(getppid), 1);
	CALL(exit_group, 9);
}
static void orphan_maker(u64 x) { fake_clone(SIGCHLD, grandchild, 0, NULL); }

static void test_reparent(void)
{
	int st;
	long pid = fake_clone(SIGCHLD, orphan_maker, 0, NULL);
	CHECK_EQ(CALL(wait4, -1, &st, 0, 0), pid);
	CHECK(CALL(wait4, -1, &st, 0, 0) > pid);
	CHECK_EQ(st, 9 << 8);
	CHECK_EQ(fake_mms, 0);
}

static void vfork_child(u64 x) { sleep_ms(5); note('c'); CALL(exit_group, 3); }

static void test_vfork(void)
{
	int st;
	long pid = fake_clone(0x4100 | SIGCHLD, vfork_child, 0, NULL); /* VM | VFORK */
	note('p');
	CHECK(traced("cp"));
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK_EQ(mm_boot == curproc()->mm, 1);
}

static void in_group(u64 x)
{
	struct kts ts = { 0, 50000000 };
	for (;;)
		CALL(nanosleep, &ts, 0);
}
static void two_threads(u64 x)
{
	fake_clone(THREAD, in_group, 0, NULL);
	fake_clone(THREAD, in_group, 0, NULL);
	sleep_ms(3);
	CALL(exit_group, 4);
}

static void test_group_exit(void)
{
	int st;
	u32 threads = thread_count;
	long pid = fake_clone(SIGCHLD, two_threads, 0, NULL);
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK_EQ(st, 4 << 8);
	threads_reap();
	CHECK_EQ(thread_count, threads);
}

static void stopper(u64 x) { CALL(kill, curproc()->pid, SIGSTOP); note('s'); CALL(exit_group, 0); }

static void test_stop(void)
{
	int st;
	long pid = fake_clone(SIGCHLD, stopper, 0, NULL);
	CHECK_EQ(CALL(wait4, pid, &st, 2, 0), pid); /* WUNTRACED */
	CHECK_EQ(st, SIGSTOP << 8 | 0x7f);
	CHECK_EQ(CALL(wait4, pid, &st, 3, 0), 0);
	sleep_ms(20);
	CHECK(traced(""));
	CHECK_EQ(CALL(kill, pid, SIGCONT), 0);
	CHECK_EQ(CALL(wait4, pid, &st, 8, 0), pid); /* WCONTINUED */
	CHECK_EQ(st, 0xffff);
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK(traced("s"));
	/* killed while stopped */
	pid = fake_clone(SIGCHLD, stopper, 0, NULL);
	CHECK_EQ(CALL(wait4, pid, &st, 2, 0), pid);
	CALL(kill, pid, SIGKILL);
	CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	CHECK_EQ(st, SIGKILL);
}

static void test_clone_flags(void)
{
	static const u64 wrong[] = { 0x10000, 0x10800, 0x800, 0x20200, 0x8000, 0x10100, 0x10900 };
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK_EQ(CALL(clone, wrong[i] | SIGCHLD, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(CALL(clone, 0x20000000 | SIGCHLD, 0, 0, 0, 0), -EPERM);
	u64 args[12] = { 0 };
	CHECK_EQ(CALL(clone3, args, 63), -EINVAL);
	CHECK_EQ(CALL(clone3, args, 5000), -E2BIG);
	args[11] = 1;
	CHECK_EQ(CALL(clone3, args, 96), -E2BIG);
	args[4] = 65;
	CHECK_EQ(CALL(clone3, args, 88), -EINVAL);
	CHECK_EQ(CALL(clone3, 16, 88), -EFAULT);
	CHECK_EQ(fake_mms, 0);
}


/* ---- futexes ---- */

static u32 word, word2;
static void fwait_thread(u64 c)
{
	long r = CALL(futex, &word, 128, 0, 0, 0, 0);
	note(r ? '!' : c);
}

static void test_futex(void)
{
	struct kts ts = { 0, 1000 };
	u64 t0 = now_ns();
	word = 1;
	CHECK_EQ(CALL(futex, &word, 128, 0, 0, 0, 0), -EAGAIN);
	word = 0;
	CHECK_EQ(CALL(futex, &word, 128, 0, &ts, 0, 0), -ETIMEDOUT);
	CHECK_EQ(now_ns(), t0 + 1000);
	CHECK_EQ(CALL(futex, (char *)&word + 1, 128, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(CALL(futex, 64, 128, 0, 0, 0, 0), -EFAULT);
	CHECK_EQ(CALL(futex, &word, 9 | 128, 0, 0, 0, 0), -EINVAL); /* empty bitset */
	for (char c = 'a'; c <= 'f'; c++)
		fake_clone(THREAD, fwait_thread, c, NULL);
	sleep_ms(1);
	CHECK_EQ(CALL(futex, &word, 1, 1, 0, 0, 0), 0);        /* shared is another key */
	CHECK_EQ(CALL(futex, &word, 1 | 128, 2, 0, 0, 0), 2);
	sleep_ms(1);
	CHECK(traced("ab"));
	CHECK_EQ(CALL(futex, &word, 4 | 128, 1, 2, &word2, 1), -EAGAIN);
	CHECK_EQ(CALL(futex, &word, 4 | 128, 1, 2, &word2, 0), 3); /* c woken, d e moved */
	CHECK_EQ(CALL(futex, &word2, 1 | 128, 1, 0, 0, 0), 1);
	sleep_ms(1);
	CHECK(traced("cd"));
	/* WAKE_OP: word2 += 5 if it was 0: wakes f on word, e on word2 */
	CHECK_EQ(CALL(futex, &word, 5 | 128, 1, 1, &word2, 1 << 28 | 0 << 24 | 5 << 12 | 0), 2);
	CHECK_EQ(word2, 5);
	sleep_ms(1);
	CHECK(traced("fe"));
	CHECK_EQ(CALL(futex, &word, 77, 0, 0, 0, 0), -ENOSYS);
}

static u32 shared_page[1024] __attribute__((aligned(4096)));
static void shared_waiter(u64 x) { note(CALL(futex, &shared_page[3], 0, 0, 0, 0, 0) ? '!' : 's'); }

static void test_futex_shared(void)
{
	int st;
	fake_shared_lo = (u64)shared_page;
	fake_shared_hi = fake_shared_lo + 4096;
	fake_clone(SIGCHLD, shared_waiter, 0, NULL); /* another address space */
	sleep_ms(1);
	CHECK_EQ(CALL(futex, &shared_page[3], 1 | 128, 1, 0, 0, 0), 0);
	CHECK_EQ(CALL(futex, &shared_page[3], 1, 1, 0, 0, 0), 1);
	CALL(wait4, -1, &st, 0, 0);
	CHECK(traced("s"));
	fake_shared_lo = fake_shared_hi = 0;
}

static void pi_thread(u64 c)
{
	CHECK_EQ(CALL(futex, &word, 6 | 128, 0, 0, 0, 0), 0);
	CHECK_EQ(word & 0x3fffffff, current()->tid);
	note(c);
	if (c == 'x')
		return; /* ends as the owner */
	CHECK_EQ(CALL(futex, &word, 7 | 128, 0, 0, 0, 0), 0);
}

static void test_futex_pi(void)
{
	struct kts ts = { 0, 0 };
	word = 0;
	CHECK_EQ(CALL(futex, &word, 6 | 128, 0, 0, 0, 0), 0);
	CHECK_EQ(word, current()->tid);
	CHECK_EQ(CALL(futex, &word, 6 | 128, 0, 0, 0, 0), -EDEADLK);
	fake_clone(THREAD, pi_thread, 'a', NULL);
	fake_clone(THREAD, pi_thread, 'x', NULL);
	fake_clone(THREAD, pi_thread, 'b', NULL);
	sleep_ms(1);
	CHECK_EQ(word, current()->tid | 0x80000000);
	CHECK(traced(""));
	CHECK_EQ(CALL(futex, &word, 7 | 128, 0, 0, 0, 0), 0);
	CHECK_EQ(CALL(futex, &word, 7 | 128, 0, 0, 0, 0), -EPERM);
	sleep_ms(1);
	CHECK(traced("axb"));
	CHECK_EQ(word, 0);
	word = 999999;
	CHECK_EQ(CALL(futex, &word, 6 | 128, 0, &ts, 0, 0), -ESRCH);
	CHECK_EQ(CALL(futex, &word, 8 | 128, 0, 0, 0, 0), -EAGAIN);
}

struct entry { u64 next; u64 pad; u32 word; };
static struct { u64 next; s64 offset; u64 pending; } rhead;
static struct entry rent[2];
static void robust_thread(u64 x)
{
	rhead.next = (u64)&rent[0];
	rhead.offset = offsetof(struct entry, word);
	rhead.pending = 0;
	rent[0].next = (u64)&rent[1];
	rent[1].next = (u64)&rhead;
	rent[0].word = current()->tid | 0x80000000;
	rent[1].word = 12345;
	CHECK_EQ(CALL(set_robust_list, &rhead, 24), 0);
}

static void test_robust(void)
{
	int tid = 1;
	CHECK_EQ(CALL(set_robust_list, &rhead, 23), -EINVAL);
	fake_clone(THREAD | CLEARTID, robust_thread, 0, &tid);
	CHECK_EQ(CALL(futex, &tid, 0, 1, 0, 0, 0), 0); /* as pthread_join */
	CHECK_EQ(tid, 0);
	CHECK_EQ(rent[0].word, 0xc0000000);
	CHECK_EQ(rent[1].word, 12345);
}

static void all(void *arg)
{
	sleep_ms(1);
	test_yield();
	test_fair();
	test_block();
	test_cpu_time();
	test_waitq();
	test_wait();
	test_autoreap();
	test_reparent();
	test_vfork();
	test_group_exit();
	test_stop();
	test_clone_flags();
	test_futex();
	test_futex_shared();
	test_futex_pi();
	test_robust();
	/* nothing is left behind, whatever was started and ended */
	int st;
	threads_reap();
	unsigned long before = host_allocated();
	for (int i = 0; i < 50; i++) {
		long pid = fake_clone(SIGCHLD, i & 1 ? two_threads : exit_with, 0, NULL);
		CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
	}
	threads_reap();
	CHECK_EQ(host_allocated(), before);
	process_exit(0);
}

int main(void)
{
	fake_boot(all);
}
