/* SPDX-License-Identifier: Apache-2.0 */
/* uaccess.c: bad pointers of every kind given to system calls: an error comes back, nothing else happens. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PG 4096UL

int main(void)
{
	/* The first three are addresses that never belong to a program. */
	static const uint64_t never[] = { 0xffff800000000000, 0x800000000000, 0xfffffffffffff000, 0x7ffffffff000, 0 };
	char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), name[100];
	int fd, pfd[2];

	scratch();
	munmap(p + 3 * PG, PG);
	mprotect(p + 2 * PG, PG, PROT_READ);
	memset(p, 'a', 2 * PG);
	fd = open("f", O_RDWR | O_CREAT, 0644);
	pipe(pfd);
	for (unsigned i = 0; i < 5; i++) {
		void *b = (void *)never[i];
#define B(what, expr) do { snprintf(name, sizeof(name), what " %u", i); T(name, expr); } while (0)
		B("write", syscall(SYS_write, fd, b, 10));
		B("write pipe", syscall(SYS_write, pfd[1], b, 10));
		B("read", (pwrite(fd, "0123456789", 10, 0), syscall(SYS_pread64, fd, b, 10, 0)));
		B("open", syscall(SYS_openat, AT_FDCWD, b, 0));
		B("stat", syscall(SYS_stat, "f", b));
		B("pipe", syscall(SYS_pipe, b));
		B("clock_gettime", syscall(SYS_clock_gettime, 1, b));
		B("getcwd", syscall(SYS_getcwd, b, 100));
		B("uname", syscall(SYS_uname, b));
		B("poll", syscall(SYS_poll, b, 1, 0));
		B("writev", syscall(SYS_writev, fd, b, 1));
		B("getrandom", syscall(SYS_getrandom, b, 10, 0));
		B("socketpair", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, b));
		B("readlink", syscall(SYS_readlink, "/proc/self/exe", b, 100));
		B("getdents", syscall(SYS_getdents64, open(".", O_RDONLY), b, 4096));
		B("epoll_ctl", syscall(SYS_epoll_ctl, epoll_create1(0), EPOLL_CTL_ADD, pfd[0], b));
		if (i < 4) {
			B("nanosleep", syscall(SYS_nanosleep, b, NULL));
			B("sigaction", syscall(SYS_rt_sigaction, SIGUSR1, b, NULL, 8));
			B("sigprocmask", syscall(SYS_rt_sigprocmask, 0, b, NULL, 8));
			B("execve", syscall(SYS_execve, "/proc/self/exe", b, NULL));
		}
		struct iovec v[2] = { { "xyz", 3 }, { b, 5 } };
		B("writev part", syscall(SYS_writev, fd, v, 2));
		for (int k = 8; k < 40; k++)
			close(k);
	}
	/* Half of the buffer is there. */
	T("write across the end", pwrite(fd, p + 3 * PG - 10, 20, 0) > 0 ? 0 : -1);
	T("write from the end", pwrite(fd, p + 3 * PG, 20, 0));
	T("read into read-only", pread(fd, p + 2 * PG, 5, 0));
	memset(p + PG, 0, 10);
	T("read into the last page", pread(fd, p + 2 * PG - 5, 5, 0));
	strcpy(p, "f");
	T("open string at page end", (memcpy(p + 2 * PG - 2, "f", 2), open(p + 2 * PG - 2, O_RDONLY)) >= 0 ? 0 : -1);
	memset(p, 'x', 2 * PG);
	T("open string without end", open(p + PG, O_RDONLY));
	T("length wraps", syscall(SYS_write, fd, p, (size_t)-1));
	T("length too large", syscall(SYS_write, fd, p, 1UL << 62));
	/* Memory not touched yet is made present by the call itself. */
	char *fresh = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T("write from fresh memory", pwrite(fd, fresh, 64 * PG, 0));
	fresh = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T("read into fresh memory", pread(fd, fresh, 64 * PG, 0));
	return 0;
}
