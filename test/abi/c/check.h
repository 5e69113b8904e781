/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h: how the Linux ABI programs print what they see.
 *
 * Each check is one line "name: result". The same program runs on Linux and in the guest and the lines are compared, so a
 * result must not depend on the machine: no process ids, times, inode numbers or addresses.
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *ename(int e)
{
	static char buf[16];

	switch (e) {
#define N(x) case x: return #x
	N(EPERM); N(ENOENT); N(ESRCH); N(EINTR); N(EIO); N(ENXIO); N(E2BIG); N(ENOEXEC); N(EBADF); N(ECHILD); N(EAGAIN); N(ENOMEM);
	N(EACCES); N(EFAULT); N(EBUSY); N(EEXIST); N(EXDEV); N(ENODEV); N(ENOTDIR); N(EISDIR); N(EINVAL); N(ENFILE); N(EMFILE);
	N(ENOTTY); N(ETXTBSY); N(EFBIG); N(ENOSPC); N(ESPIPE); N(EROFS); N(EMLINK); N(EPIPE); N(EDOM); N(ERANGE); N(EDEADLK);
	N(ENAMETOOLONG); N(ENOSYS); N(ENOTEMPTY); N(ELOOP); N(EOVERFLOW); N(ENOTSOCK); N(EDESTADDRREQ); N(EMSGSIZE); N(EPROTOTYPE);
	N(ENOPROTOOPT); N(EPROTONOSUPPORT); N(EOPNOTSUPP); N(EAFNOSUPPORT); N(EADDRINUSE); N(EADDRNOTAVAIL); N(ENETUNREACH);
	N(ECONNABORTED); N(ECONNRESET); N(ENOBUFS); N(EISCONN); N(ENOTCONN); N(ETIMEDOUT); N(ECONNREFUSED); N(EALREADY);
	N(EINPROGRESS); N(ECANCELED); N(ESOCKTNOSUPPORT);
#undef N
	}
	snprintf(buf, sizeof(buf), "errno-%d", e);
	return buf;
}

static inline void show(const char *name, long r, int e)
{
	if (r == -1 && e)
		printf("%s: -1 %s\n", name, ename(e));
	else
		printf("%s: %ld\n", name, r);
}

/* A call that gives -1 and errno. */
#define T(name, expr) do { errno = 0; long r_ = (long)(expr); int e_ = errno; show(name, r_, e_); } while (0)
/* The same, but only whether it worked: for results that differ from run to run. */
#define W(name, expr) do { errno = 0; long r_ = (long)(expr); int e_ = errno; show(name, r_ == -1 ? -1 : 0, e_); } while (0)
/* A call that returns the error number (pthread_*). */
#define P(name, expr) do { int r_ = (expr); printf("%s: %s\n", name, r_ ? ename(r_) : "0"); } while (0)
#define OK(name, cond) printf("%s: %s\n", name, (cond) ? "yes" : "no")
#define V(name, val) printf("%s: %ld\n", name, (long)(val))
#define S(name, str) printf("%s: \"%s\"\n", name, str)

/* A fresh folder as the working directory, removed at the end. */
static char scratch_dir[32];
static pid_t scratch_pid;

static inline void scratch_rm(const char *p)
{
	DIR *d = opendir(p);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char q[512];
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(q, sizeof(q), "%s/%s", p, e->d_name);
		if (!lstat(q, &st) && S_ISDIR(st.st_mode)) {
			chmod(q, 0700);
			scratch_rm(q);
			rmdir(q);
		} else {
			unlink(q);
		}
	}
	if (d)
		closedir(d);
}

static inline void scratch_end(void)
{
	if (getpid() != scratch_pid)
		return;
	if (chdir("/") == 0)
		scratch_rm(scratch_dir);
	rmdir(scratch_dir);
}

static inline void start(void)
{
	setvbuf(stdout, NULL, _IOLBF, 4096);
	syscall(436 /* close_range */, 3, ~0u, 0); /* what the test's own parent left open */
	umask(022);
}

static inline void scratch(void)
{
	start();
	strcpy(scratch_dir, "/tmp/abi-XXXXXX");
	if (!mkdtemp(scratch_dir) || chdir(scratch_dir)) {
		perror("scratch folder");
		exit(99);
	}
	scratch_pid = getpid();
	atexit(scratch_end);
}

static inline int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		close(fd);
		return -1;
	}
	return close(fd);
}

static inline uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static inline void msleep(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* A pointer that is never mapped. */
#define BAD ((void *)(uintptr_t)0x10)
#endif
