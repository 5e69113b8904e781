/* SPDX-License-Identifier: Apache-2.0 */
/* timers.c: interval timers, POSIX timers, timerfd, sleeping. */
#include "check.h"
#include <poll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static volatile int ticks, over, val;

static void tick(int s) { ticks++; }
static void tick_info(int s, siginfo_t *si, void *uc)
{
	ticks++;
	if (si->si_overrun > over) /* later ones must not hide it */
		over = si->si_overrun;
	val = si->si_code == SI_TIMER ? si->si_value.sival_int : -1;
}

/* At least ms passed, and not absurdly more. */
static const char *took(uint64_t from, int ms)
{
	uint64_t d = (mono_ns() - from) / 1000;

	return d < ms * 1000u ? "too short" : d > ms * 1000u + 2000000 ? "too long" : "right";
}

int main(void)
{
	struct itimerval it = { { 0, 0 }, { 0, 20000 } }, old;
	struct itimerspec its = { { 0, 0 }, { 0, 20000000 } }, ots;
	struct timespec ts;
	struct sigaction sa = { .sa_handler = tick };
	uint64_t t0, n;
	timer_t tm;
	int fd;

	start();
	sigaction(SIGALRM, &sa, NULL);
	t0 = mono_ns();
	T("setitimer", setitimer(ITIMER_REAL, &it, NULL));
	T("pause", pause());
	S("took", took(t0, 20));
	V("ticks", ticks);
	T("getitimer", getitimer(ITIMER_REAL, &old));
	V("disarmed", old.it_value.tv_sec + old.it_value.tv_usec);
	it.it_interval.tv_usec = 10000;
	ticks = 0;
	setitimer(ITIMER_REAL, &it, NULL);
	while (ticks < 5)
		pause();
	S("periodic", "five");
	it.it_value.tv_usec = it.it_interval.tv_usec = 0;
	T("setitimer stop", setitimer(ITIMER_REAL, &it, &old));
	V("interval was", old.it_interval.tv_usec);
	it.it_value.tv_usec = 1000000;
	T("setitimer bad usec", setitimer(ITIMER_REAL, &it, NULL));
	for (int i = ITIMER_REAL; i <= ITIMER_PROF; i++) {
		T("setitimer interval alone", setitimer(i, &(struct itimerval){ { 10, 0 }, { 0, 0 } }, NULL));
		T("setitimer zero", setitimer(i, &(struct itimerval){ 0 }, &old));
		V("interval kept", old.it_interval.tv_sec);
	}
	T("setitimer bad which", setitimer(9, &it, NULL));
	T("setitimer bad pointer", syscall(SYS_setitimer, ITIMER_REAL, BAD, NULL));
	T("alarm", alarm(100));
	V("alarm left", alarm(0) >= 99);
	V("no alarm", alarm(0));

	/* CPU time. */
	sa.sa_handler = tick;
	sigaction(SIGVTALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	ticks = 0;
	it = (struct itimerval){ { 0, 0 }, { 0, 30000 } };
	T("setitimer virtual", setitimer(ITIMER_VIRTUAL, &it, NULL));
	t0 = mono_ns();
	while (!ticks && mono_ns() - t0 < 3000000000u)
		;
	V("virtual ticks", ticks);

	sa.sa_sigaction = tick_info;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &sa, NULL);
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 55 };
	T("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &tm));
	ticks = 0;
	t0 = mono_ns();
	T("timer_settime", timer_settime(tm, 0, &its, NULL));
	T("timer_gettime", timer_gettime(tm, &ots));
	OK("armed", ots.it_value.tv_nsec > 0);
	pause();
	S("took", took(t0, 20));
	printf("ticks %d value %d\n", ticks, val);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	its.it_value = ts;
	its.it_value.tv_sec -= 1;
	its.it_interval.tv_nsec = 1000000;
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, NULL);
	T("timer absolute past", timer_settime(tm, TIMER_ABSTIME, &its, NULL));
	msleep(30);
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	OK("overruns", over > 100 || timer_getoverrun(tm) > 0);
	T("timer_delete", timer_delete(tm));
	T("timer_delete again", syscall(SYS_timer_delete, 12345));
	T("timer_create bad clock", timer_create(77, &ev, &tm));
	ev.sigev_signo = 77;
	T("timer_create bad signal", timer_create(CLOCK_MONOTONIC, &ev, &tm));

	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	OK("timerfd", fd >= 0);
	T("timerfd read unset", read(fd, &n, 8));
	its = (struct itimerspec){ { 0, 10000000 }, { 0, 20000000 } };
	T("timerfd_settime", timerfd_settime(fd, 0, &its, NULL));
	struct pollfd pf = { fd, POLLIN, 0 };
	T("poll timerfd", poll(&pf, 1, 5000));
	msleep(45);
	T("timerfd read", read(fd, &n, 8));
	OK("expirations", n >= 4);
	T("timerfd_gettime", timerfd_gettime(fd, &ots));
	V("interval", ots.it_interval.tv_nsec);
	T("timerfd short read", read(fd, &n, 4));
	its = (struct itimerspec){ { 0, 0 }, { 0, 0 } };
	T("timerfd disarm", timerfd_settime(fd, 0, &its, NULL));
	T("poll disarmed", poll(&pf, 1, 20));
	T("timerfd bad flags", timerfd_settime(fd, 99, &its, NULL));
	T("timerfd write", write(fd, &n, 8));
	T("timerfd bad clock", timerfd_create(99, 0));
	T("timerfd_settime on other fd", timerfd_settime(1, 0, &its, NULL));
	close(fd);
	fd = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	its.it_value = ts;
	T("timerfd absolute", timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL));
	T("timerfd blocking read", read(fd, &n, 8));
	V("expirations", n);

	t0 = mono_ns();
	T("nanosleep", nanosleep(&(struct timespec){ 0, 15000000 }, NULL));
	S("took", took(t0, 15));
	T("nanosleep zero", nanosleep(&(struct timespec){ 0, 0 }, NULL));
	T("nanosleep bad", nanosleep(&(struct timespec){ 0, 1000000000 }, NULL));
	T("nanosleep negative", nanosleep(&(struct timespec){ -1, 0 }, NULL));
	T("nanosleep pointer", syscall(SYS_nanosleep, BAD, NULL));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 15000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	t0 = mono_ns();
	P("clock_nanosleep absolute", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	S("took", took(t0, 10));
	P("clock_nanosleep past", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	P("clock_nanosleep realtime", clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){ 0, 1000000 }, NULL));
	P("clock_nanosleep bad clock", clock_nanosleep(99, 0, &ts, NULL));
	P("clock_nanosleep cpu clock", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL));
	return 0;
}
