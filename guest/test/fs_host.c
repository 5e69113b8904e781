/* SPDX-License-Identifier: Apache-2.0 */
/* fs_host.c: the host side of the tests of fs/. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

void host_map(void);
long host_call(long nr, long a, long b, long c, long d, long e, long f);
const char *host_folder(const char *script);
unsigned long host_load(const char *path, void *to, unsigned long max);
void host_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void host_opaque(const char *dir);
void host_enter(const char *dir);
int host_is_root(void);
void host_exit(int code);
unsigned long host_seconds(void);
void host_remove(void);
void *host_pages(unsigned n);
void host_unpages(void *p, unsigned n);
int host_fork_run(int (*fn)(void *), void *arg);

static char folder[64];

static void map_fixed(unsigned long at, unsigned long len)
{
	if (mmap((void *)at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at) {
		perror("fs_host: mmap");
		exit(1);
	}
}

void host_map(void)
{
	map_fixed(UFS_IMAGE_VA, FAKE_IMAGE_MAX);
	map_fixed(UFS_SHARED_VA, UFS_SHARED_SIZE);
}

long host_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long r = syscall(nr, a, b, c, d, e, f);
	return r == -1 ? -errno : r;
}

void host_shell(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd)) {
		fprintf(stderr, "fs_host: failed: %s\n", cmd);
		exit(1);
	}
}

const char *host_folder(const char *script)
{
	const char *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"; /* tmpfs is what the guest's files are like */

	snprintf(folder, sizeof(folder), "%s/ufs-fs-XXXXXX", base);
	if (!mkdtemp(folder)) {
		perror(folder);
		exit(1);
	}
	setenv("DIR", folder, 1);
	atexit(host_remove);
	host_shell("cd $DIR && umask 022 && { %s\n}", script);
	return folder;
}

void host_remove(void)
{
	if (*folder && !access(folder, F_OK))
		host_shell("rm -rf %s", folder);
	*folder = 0;
}

unsigned long host_load(const char *path, void *to, unsigned long max)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, to, max);

	if (n < 0) {
		perror(path);
		exit(1);
	}
	close(fd);
	return n;
}

void host_opaque(const char *dir)
{
	if (setxattr(dir, "trusted.overlay.opaque", "y", 1, 0) && setxattr(dir, "user.overlay.opaque", "y", 1, 0)) {
		perror(dir);
		exit(1);
	}
}

void host_enter(const char *dir)
{
	if (chroot(dir) || chdir("/")) {
		perror(dir);
		exit(1);
	}
	umask(022);
}

int host_is_root(void) { return geteuid() == 0; }
void host_exit(int code)
{
	fflush(stdout);
	_exit(code);
}

unsigned long host_seconds(void) { return time(NULL); }

int host_fork_run(int (*fn)(void *), void *arg)
{
	int st;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		signal(SIGPIPE, SIG_IGN);
		st = fn(arg);
		fflush(stdout);
		_exit(st);
	}
	waitpid(pid, &st, 0);
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

void *host_pages(unsigned n)
{
	void *p = mmap(NULL, n * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		host_exit(1);
	memset(p, 0xa5, n * 4096UL);
	return p;
}

void host_unpages(void *p, unsigned n) { munmap(p, n * 4096UL); }
