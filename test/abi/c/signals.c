/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c: handlers, masks, queues, waiting for signals, interrupted calls. */
#include "check.h"
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <ucontext.h>

static volatile int got, last, nested, value, from_me;
static volatile int order[10], norder;

static void count(int s) { got++; last = s; }
static void info(int s, siginfo_t *si, void *uc)
{
	got++;
	last = s;
	value = si->si_value.sival_int;
	from_me = si->si_pid == getpid() && si->si_uid == getuid();
	if (norder < 10)
		order[norder++] = s * 1000 + value;
}
static void nest(int s)
{
	sigset_t m;

	sigprocmask(SIG_BLOCK, NULL, &m);
	nested = sigismember(&m, SIGUSR1) * 100 + sigismember(&m, SIGUSR2) * 10 + sigismember(&m, SIGTERM);
	raise(SIGUSR2);
}
static void change_context(int s, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;

	uc->uc_mcontext.gregs[REG_RAX] = 77;
	sigaddset(&uc->uc_sigmask, SIGTERM);
}

static void handler(int s, void (*fn)(int), int flags)
{
	struct sigaction sa = { .sa_handler = fn, .sa_flags = flags };

	sigaction(s, &sa, NULL);
}

static void *killer(void *arg)
{
	msleep(30);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void *sleeper(void *arg)
{
	struct timespec ts = { 5, 0 };

	return (void *)(long)(nanosleep(&ts, NULL) ? errno : 0);
}

static int pfd[2];
static void *later_write(void *arg)
{
	msleep(60);
	write(pfd[1], "x", 1);
	return NULL;
}

int main(void)
{
	sigset_t set, old;
	struct sigaction sa, osa;
	struct timespec ts = { 0, 20000000 };
	siginfo_t si;
	pthread_t t, me = pthread_self();
	char c;

	start();
	handler(SIGUSR1, count, 0);
	T("raise", raise(SIGUSR1));
	printf("got %d last %d\n", got, last);
	T("kill self", kill(getpid(), SIGUSR1));
	V("got", got);
	T("kill 0 signal", kill(getpid(), 0));
	T("kill bad signal", kill(getpid(), 65));
	T("kill nobody", kill(999999, SIGTERM));
	T("tgkill", syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
	T("tgkill wrong", syscall(SYS_tgkill, getpid(), 999999, SIGUSR1));
	V("got", got);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	T("block", sigprocmask(SIG_BLOCK, &set, &old));
	got = 0;
	raise(SIGUSR1);
	raise(SIGUSR1);
	V("blocked", got);
	T("pending", sigpending(&old));
	OK("is pending", sigismember(&old, SIGUSR1) && !sigismember(&old, SIGUSR2));
	T("unblock", sigprocmask(SIG_UNBLOCK, &set, NULL));
	V("delivered once", got);
	T("bad how", sigprocmask(77, &set, NULL));
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigprocmask(SIG_SETMASK, NULL, &old);
	OK("kill and stop stay unblocked", !sigismember(&old, SIGKILL) && !sigismember(&old, SIGSTOP) && sigismember(&old, SIGTERM));
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);

	T("sigaction kill", sigaction(SIGKILL, &(struct sigaction){ .sa_handler = count }, NULL));
	T("sigaction 0", sigaction(0, NULL, &osa));
	T("sigaction 65", sigaction(65, NULL, &osa));
	T("sigaction get", sigaction(SIGUSR1, NULL, &osa));
	OK("same handler", osa.sa_handler == count);

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = nest;
	sigaddset(&sa.sa_mask, SIGTERM);
	sigaction(SIGUSR1, &sa, NULL);
	handler(SIGUSR2, count, 0);
	got = 0;
	raise(SIGUSR1);
	V("mask in handler", nested);
	V("nested", got);
	handler(SIGUSR1, nest, SA_NODEFER);
	raise(SIGUSR1);
	V("mask with nodefer", nested);
	handler(SIGUSR1, count, SA_RESETHAND);
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &osa);
	OK("reset to default", osa.sa_handler == SIG_DFL);
	handler(SIGUSR1, SIG_IGN, 0);
	T("ignored", raise(SIGUSR1));

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = info;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	T("sigqueue", sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 42 }));
	V("value", value);
	OK("from me", from_me);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	norder = 0;
	for (int i = 0; i < 3; i++) {
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i });
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i });
	}
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 7 });
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 8 });
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	V("queued", norder);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	T("sigtimedwait nothing", sigtimedwait(&set, &si, &ts));
	sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = 9 });
	T("sigwaitinfo", sigwaitinfo(&set, &si) - SIGRTMIN);
	printf("info: code %d value %d\n", si.si_code, si.si_value.sival_int);
	raise(SIGUSR1);
	T("sigwait", (sigwait(&set, &got), got));
	T("sigtimedwait zero", sigtimedwait(&set, &si, &(struct timespec){ 0, 0 }));
	T("sigtimedwait bad", sigtimedwait(&set, &si, &(struct timespec){ 0, -1 }));

	int sfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	struct signalfd_siginfo ssi;
	OK("signalfd", sfd >= 0);
	T("signalfd empty", read(sfd, &ssi, sizeof(ssi)));
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 3 });
	T("signalfd read", read(sfd, &ssi, sizeof(ssi)));
	printf("signalfd: %u value %d\n", ssi.ssi_signo, ssi.ssi_int);
	T("signalfd short", read(sfd, &ssi, 10));
	T("signalfd bad flags", signalfd(-1, &set, 1));
	close(sfd);

	/* Interrupted calls. */
	handler(SIGUSR1, count, 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	got = 0;
	pthread_create(&t, NULL, killer, &me);
	T("nanosleep interrupted", nanosleep(&(struct timespec){ 2, 0 }, &ts));
	OK("time left", ts.tv_sec == 1);
	pthread_join(t, NULL);
	pipe(pfd);
	pthread_create(&t, NULL, killer, &me);
	T("read interrupted", read(pfd[0], &c, 1));
	pthread_join(t, NULL);
	handler(SIGUSR1, count, SA_RESTART);
	pthread_t w;
	pthread_create(&w, NULL, later_write, NULL);
	pthread_create(&t, NULL, killer, &me);
	T("read restarted", read(pfd[0], &c, 1));
	pthread_join(t, NULL);
	pthread_join(w, NULL);
	V("handler ran", got);
	pthread_create(&t, NULL, killer, &me);
	T("nanosleep is not restarted", nanosleep(&(struct timespec){ 2, 0 }, NULL));
	pthread_join(t, NULL);
	pthread_create(&t, NULL, killer, &me);
	T("pause", pause());
	pthread_join(t, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pthread_create(&t, NULL, killer, &me);
	sigemptyset(&old);
	T("sigsuspend", sigsuspend(&old));
	pthread_join(t, NULL);
	sigprocmask(SIG_BLOCK, NULL, &old);
	OK("mask back", sigismember(&old, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	got = 0;
	pthread_create(&t, NULL, sleeper, NULL);
	msleep(20);
	pthread_kill(t, SIGUSR1);
	void *r;
	pthread_join(t, &r);
	printf("other thread's sleep: %s, handler ran %d\n", ename((long)r), got);

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = change_context;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGTRAP, &sa, NULL);
	long rax = 1;
	__asm__ volatile("int3" : "+a"(rax));
	V("register set by handler", rax);
	sigprocmask(SIG_BLOCK, NULL, &old);
	OK("mask set by handler", sigismember(&old, SIGTERM));

	/* Vector registers live through a handler. */
	double x = 1.5, y = 0;
	handler(SIGUSR2, count, 0);
	__asm__ volatile("movsd %1, %%xmm5\n mov $200, %%eax\n mov %2, %%edi\n mov %3, %%esi\n syscall\n movsd %%xmm5, %0"
			 : "=m"(y) : "m"(x), "r"((int)syscall(SYS_gettid)), "i"(SIGUSR2) : "rax", "rdi", "rsi", "rcx", "r11", "xmm5", "memory");
	OK("xmm kept", y == 1.5);
	return 0;
}
