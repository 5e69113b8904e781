/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c: pipes and FIFOs. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static int p[2];
static void *drain(void *arg)
{
	char buf[1000];
	long n = 0, r;

	while ((r = read(p[0], buf, sizeof(buf))) > 0)
		n += r;
	return (void *)n;
}
static void *late_close(void *arg)
{
	msleep(20);
	close(p[1]);
	return NULL;
}
static void *open_fifo(void *arg)
{
	int fd = open("fifo", O_WRONLY);

	write(fd, "via fifo", 8);
	close(fd);
	return NULL;
}

int main(void)
{
	static char buf[200000];
	pthread_t t;
	void *r;
	int n;

	scratch();
	signal(SIGPIPE, SIG_IGN);
	T("pipe", pipe(p));
	printf("fds %d %d\n", p[0], p[1]);
	T("write", write(p[1], "hello", 5));
	T("fionread", ioctl(p[0], FIONREAD, &n));
	V("available", n);
	T("read part", read(p[0], buf, 3));
	T("read rest", read(p[0], buf, 10));
	T("read write end", read(p[1], buf, 1));
	T("write read end", write(p[0], buf, 1));
	T("seek", lseek(p[0], 0, SEEK_SET));
	T("pread", pread(p[0], buf, 1, 0));
	T("nonblock", fcntl(p[0], F_SETFL, O_NONBLOCK));
	T("read empty nonblock", read(p[0], buf, 1));
	T("pipe size", fcntl(p[1], F_GETPIPE_SZ));
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	T("fill", write(p[1], buf, sizeof(buf)));
	T("write full", write(p[1], buf, 1));
	struct pollfd pf[2] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 } };
	T("poll", poll(pf, 2, 0));
	printf("events %x %x\n", pf[0].revents, pf[1].revents);
	T("read 100", read(p[0], buf, 100));
	T("atomic write does not fit", write(p[1], buf, 4096));
	T("read 4096", read(p[0], buf, 3996));
	T("atomic write fits", write(p[1], buf, 4096));
	fcntl(p[0], F_SETFL, 0);
	fcntl(p[1], F_SETFL, 0);
	while (ioctl(p[0], FIONREAD, &n) == 0 && n > 0)
		read(p[0], buf, sizeof(buf));
	pthread_create(&t, NULL, drain, NULL);
	T("blocking write", write(p[1], buf, sizeof(buf)));
	struct iovec v[2] = { { buf, 100000 }, { buf, 50000 } };
	T("blocking writev", writev(p[1], v, 2));
	close(p[1]);
	pthread_join(t, &r);
	V("drained", (long)r);
	T("read at eof", read(p[0], buf, 1));
	close(p[0]);
	pipe(p);
	close(p[0]);
	T("write no reader", write(p[1], "x", 1));
	close(p[1]);
	pipe(p);
	pthread_create(&t, NULL, late_close, NULL);
	T("read until closed", read(p[0], buf, 1));
	pthread_join(t, NULL);
	pf[0].fd = p[0];
	T("poll closed", poll(pf, 1, 0));
	printf("events %x\n", pf[0].revents);
	close(p[0]);
	T("pipe2", pipe2(p, O_CLOEXEC | O_NONBLOCK));
	T("cloexec", fcntl(p[0], F_GETFD));
	T("nonblock", (fcntl(p[1], F_GETFL) & O_NONBLOCK) != 0);
	T("pipe2 bad flags", pipe2(p, O_APPEND));
	T("pipe bad pointer", syscall(SYS_pipe, BAD));
	close(p[0]);
	close(p[1]);

	T("mkfifo", mkfifo("fifo", 0600));
	T("open write nonblock no reader", open("fifo", O_WRONLY | O_NONBLOCK));
	pthread_create(&t, NULL, open_fifo, NULL);
	n = open("fifo", O_RDONLY); /* which of the two gets the lower number is a race */
	OK("open fifo", n >= 0);
	T("read fifo", read(n, buf, 100));
	T("read fifo eof", read(n, buf, 100));
	pthread_join(t, NULL);
	close(n);
	pipe(p);
	int q[2];
	pipe(q);
	write(p[1], "splice me", 9);
	T("splice", splice(p[0], NULL, q[1], NULL, 100, 0));
	T("read spliced", read(q[0], buf, 100));
	write(p[1], "tee", 3);
	fcntl(q[0], F_SETFL, O_NONBLOCK);
	T("tee", tee(p[0], q[1], 10, 0));
	T("read tee", read(q[0], buf, 100));
	T("read original", read(p[0], buf, 100));
	return 0;
}
