/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd.c: eventfd counters. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

static int fd;
static void *writer(void *arg)
{
	msleep(20);
	eventfd_write(fd, 5);
	return NULL;
}
static void *reader(void *arg)
{
	eventfd_t v;

	msleep(20);
	eventfd_read(fd, &v);
	return NULL;
}

int main(void)
{
	uint64_t v = 7;
	pthread_t t;
	struct pollfd p;

	start();
	T("create", fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
	T("bad flags", eventfd(0, 12345));
	T("read", read(fd, &v, 8));
	V("value", v);
	T("read empty", read(fd, &v, 8));
	T("read short", read(fd, &v, 7));
	T("write short", write(fd, &v, 7));
	v = 2;
	T("write", write(fd, &v, 8));
	T("write", write(fd, &v, 8));
	T("read long", read(fd, (uint64_t[2]){ 0 }, 16));
	v = ~0ull;
	T("write max", write(fd, &v, 8));
	v = ~0ull - 1;
	T("write max-1", write(fd, &v, 8));
	v = 1;
	T("write full", write(fd, &v, 8));
	p = (struct pollfd){ fd, POLLIN | POLLOUT, 0 };
	T("poll full", poll(&p, 1, 0));
	printf("events %x\n", p.revents);
	T("read bad pointer", read(fd, BAD, 8));
	read(fd, &v, 8);
	p.revents = 0;
	T("poll empty", poll(&p, 1, 0));
	printf("events %x\n", p.revents);
	T("seek", lseek(fd, 0, SEEK_SET));
	close(fd);
	T("create semaphore", fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
	for (int i = 0; i < 4; i++) {
		T("read semaphore", read(fd, &v, 8));
		V("value", v);
	}
	close(fd);
	fd = eventfd(0, 0);
	pthread_create(&t, NULL, writer, NULL);
	T("blocking read", read(fd, &v, 8));
	V("value", v);
	pthread_join(t, NULL);
	v = ~0ull - 1;
	write(fd, &v, 8);
	pthread_create(&t, NULL, reader, NULL);
	v = 9;
	T("blocking write", write(fd, &v, 8));
	pthread_join(t, NULL);
	read(fd, &v, 8);
	V("value", v);
	return 0;
}
