/* SPDX-License-Identifier: Apache-2.0 */
/* mqueue.c: POSIX message queues: names, order, limits, waiting, notification. */
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char name[64];
static int told_signal, told_code, told_value;
static volatile int told_thread;

static void by_signal(int s, siginfo_t *si, void *uc)
{
	told_signal = s;
	told_code = si->si_code;
	told_value = si->si_value.sival_int;
}

static void by_thread(union sigval v) { told_thread = v.sival_int; }

static void got(const char *what, mqd_t q, size_t room)
{
	char buf[64] = "";
	unsigned prio = 0;
	ssize_t n = mq_receive(q, buf, room, &prio);

	if (n < 0)
		show(what, -1, errno);
	else
		printf("%s: %ld \"%s\" at %u\n", what, (long)n, buf, prio);
}

static void names(struct mq_attr *at)
{
	char longname[300];
	mqd_t q;

	memset(longname, 'n', sizeof(longname));
	longname[0] = '/';
	longname[299] = 0;
	T("open what is missing", mq_open(name, O_RDWR));
	T("open a long name", mq_open(longname, O_RDWR | O_CREAT, 0600, at));
	longname[256] = 0;
	W("open the longest name", q = mq_open(longname, O_RDWR | O_CREAT, 0600, at));
	mq_close(q);
	T("unlink the longest name", mq_unlink(longname));
	T("open with a slash", syscall(SYS_mq_open, "a/b", O_RDWR | O_CREAT, 0600, at));
	T("open dot", syscall(SYS_mq_open, ".", O_RDWR | O_CREAT, 0600, at));
	T("open nothing", syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, at));
	T("open NULL", syscall(SYS_mq_open, NULL, O_RDWR | O_CREAT, 0600, at));
	T("open with attributes nowhere", syscall(SYS_mq_open, name + 1, O_RDWR | O_CREAT, 0600, 8));
	T("unlink what is missing", mq_unlink(name));
	T("unlink with a slash", syscall(SYS_mq_unlink, "a/b"));
	at->mq_maxmsg = 0;
	T("no messages", mq_open(name, O_RDWR | O_CREAT, 0600, at));
	at->mq_maxmsg = 3;
	at->mq_msgsize = -1;
	T("negative size", mq_open(name, O_RDWR | O_CREAT, 0600, at));
	at->mq_msgsize = 1 << 30;
	T("huge size", mq_open(name, O_RDWR | O_CREAT, 0600, at));
	at->mq_msgsize = 16;
}

static void rights(void)
{
	mqd_t q = mq_open(name, O_RDONLY);

	T("send through one for reading", mq_send(q, "x", 1, 0));
	mq_close(q);
	q = mq_open(name, O_WRONLY);
	got("receive through one for writing", q, 16);
	mq_close(q);
	T("both", mq_open(name, O_RDWR | O_WRONLY));
	T("exclusive", mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL));
	if (fork() == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		T("open another's", mq_open(name, O_RDONLY));
		T("unlink another's", syscall(SYS_mq_unlink, name + 1));
		_exit(0);
	}
	wait(NULL);
}

static void order(mqd_t q)
{
	struct pollfd p = { .fd = q, .events = POLLIN | POLLOUT };
	struct timespec past = { 1, 0 }, bad = { 1, 1000000000 };
	struct mq_attr at, set = { .mq_flags = O_NONBLOCK, .mq_maxmsg = 9 };
	char buf[128];
	ssize_t n;

	T("poll empty", poll(&p, 1, 0));
	OK("only room", p.revents == POLLOUT);
	T("send", mq_send(q, "one", 4, 1));
	T("send", mq_send(q, "two", 4, 5));
	T("send", mq_send(q, "three", 6, 1));
	T("poll full", poll(&p, 1, 0));
	OK("only messages", p.revents == POLLIN);
	T("send to a full one in time", mq_timedsend(q, "four", 5, 0, &past));
	T("send with a bad time", mq_timedsend(q, "four", 5, 0, &bad));
	T("send too much", mq_send(q, "0123456789abcdefg", 17, 0));
	T("send at too high a priority", mq_send(q, "x", 1, 32768));
	T("send from nowhere", syscall(SYS_mq_timedsend, q, 8, 4, 0, NULL));
	T("get attributes", mq_getattr(q, &at));
	printf("attributes: %ld %ld %ld %ld\n", at.mq_flags, at.mq_maxmsg, at.mq_msgsize, at.mq_curmsgs);
	T("set attributes", mq_setattr(q, &set, &at));
	T("get attributes", mq_getattr(q, &at));
	printf("attributes: %ld %ld\n", at.mq_flags, at.mq_maxmsg);
	set.mq_flags = O_APPEND;
	T("set others", mq_setattr(q, &set, NULL));
	T("send to a full one", mq_send(q, "four", 5, 0));
	n = read(q, buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = 0;
	S("state", buf);
	got("receive into too little", q, 15);
	got("first", q, 64);
	got("second", q, 64);
	got("third", q, 64);
	got("fourth", q, 64);
	set.mq_flags = 0;
	mq_setattr(q, &set, NULL);
	T("receive in time", mq_timedreceive(q, buf, 16, NULL, &past));
	T("send nothing", mq_send(q, "", 0, 32767));
	got("nothing", q, 16);
	T("receive from a file", syscall(SYS_mq_timedreceive, 0, buf, 16, NULL, NULL));
	T("receive from none", mq_receive(77, buf, 16, NULL));
	OK("closed at exec", fcntl(q, F_GETFD) == FD_CLOEXEC);
}

static void waiting(mqd_t q)
{
	int i, st;

	if (fork() == 0) {
		char buf[16];

		for (i = 0; i < 200; i++)
			if (mq_receive(q, buf, 16, NULL) != 1 || buf[0] != (char)i)
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < 200; i++) {
		char c = i;
		if (mq_send(q, &c, 1, 7))
			break;
	}
	V("sent", i);
	wait(&st);
	V("received in order", st);
}

static void notification(mqd_t q)
{
	struct sigaction sa = { .sa_sigaction = by_signal, .sa_flags = SA_SIGINFO };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42 };
	int st;

	sigaction(SIGUSR1, &sa, NULL);
	T("notify", mq_notify(q, &ev));
	T("notify twice", mq_notify(q, &ev));
	if (fork() == 0) {
		T("notify another", mq_notify(q, &ev));
		T("another's is not ended", mq_notify(q, NULL));
		mq_send(q, "hello", 6, 3);
		_exit(0);
	}
	while (wait(&st) < 0) /* the signal interrupts it */
		;
	OK("signal", told_signal == SIGUSR1 && told_code == SI_MESGQ && told_value == 42);
	told_signal = 0;
	mq_send(q, "more", 5, 3);
	V("only once", told_signal);
	T("notify while there are some", mq_notify(q, &ev));
	mq_send(q, "more", 5, 3);
	V("only an empty one", told_signal);
	T("notify no more", mq_notify(q, NULL));
	got("hello", q, 16);
	got("more", q, 16);
	got("more", q, 16);
	ev.sigev_notify = 77;
	T("notify otherwise", mq_notify(q, &ev));
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = 65;
	T("notify by no signal", mq_notify(q, &ev));
	ev.sigev_notify = SIGEV_NONE;
	T("notify by nothing", mq_notify(q, &ev));
	T("notify twice", mq_notify(q, &ev));
	T("notify no more", mq_notify(q, NULL));
	ev = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = by_thread, .sigev_value.sival_int = 7 };
	T("notify by a thread", mq_notify(q, &ev));
	mq_send(q, "again", 6, 3);
	while (!told_thread)
		usleep(1000);
	V("thread", told_thread);
	got("again", q, 16);
}

int main(void)
{
	struct mq_attr at = { .mq_maxmsg = 3, .mq_msgsize = 16 };
	struct rlimit rl = { 4096, 819200 };
	mqd_t q;

	start();
	snprintf(name, sizeof(name), "/abi-%d", getpid());
	names(&at);
	W("create", q = mq_open(name, O_RDWR | O_CREAT, 0600, &at));
	rights();
	order(q);
	waiting(q);
	notification(q);
	T("unlink", mq_unlink(name));
	T("unlink again", mq_unlink(name));
	T("send without a name", mq_send(q, "x", 1, 0));
	got("receive without a name", q, 16);
	setrlimit(RLIMIT_MSGQUEUE, &rl);
	T("more than the limit", mq_open(name, O_RDWR | O_CREAT, 0600, NULL));
	T("close", mq_close(q));
	T("close again", mq_close(q));
	return 0;
}
