/* SPDX-License-Identifier: Apache-2.0 */
/* patherr.c: every call that takes a path, with every kind of path that has something wrong. */
#include "check.h"
#include <stdbool.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <sys/inotify.h>
#include <utime.h>
#include <sys/time.h>

static char longname[400], longpath[5000], nearly[4200], buf[5000];
static int in;

struct path { const char *what, *p; };
static struct path paths[] = {
	{ "missing", "none" }, { "below missing", "none/x" }, { "below file", "f/x" }, { "file/", "f/" }, { "file/.", "f/." }, { "loop", "loop" },
	{ "below loop", "loop/x" }, { "dangling", "dangling" }, { "below dangling", "dangling/x" }, { "dangling/", "dangling/" }, { "long name", longname },
	{ "long path", longpath }, { "just fits", nearly }, { "empty", "" }, { "bad", BAD }, { "null", NULL }, { "dot", "." }, { "dotdot", "d/.." },
	{ "dir", "d" }, { "dir/", "d/" }, { "link to dir/", "ld/" }, { "root", "/" }, { "proc missing", "/proc/none" },
	{ "null device", "/dev/null/x" }, { "closed", "closed/f" }, { "closed missing", "closed/none" },
};

#define C(expr) do { errno = 0; long r_ = (long)(expr); show(line, r_ < 0 ? -1 : 0, r_ < 0 ? errno : 0); } while (0)
#define CALL(name, expr) do { snprintf(line, sizeof(line), name " %s", what); C(expr); } while (0)

static int shut(int fd)
{
	int e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	return fd;
}

/* Calls that change nothing, or put it back. */
static void reads(const char *what, const char *p)
{
	char line[100];
	struct stat st;
	struct statfs sf;
	struct { char b[256]; } sx;

	CALL("open", shut(syscall(SYS_open, p, O_RDONLY | O_NONBLOCK)));
	CALL("open write", shut(syscall(SYS_open, p, O_WRONLY | O_NONBLOCK)));
	CALL("open directory", shut(syscall(SYS_open, p, O_RDONLY | O_DIRECTORY)));
	CALL("open nofollow", shut(syscall(SYS_open, p, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)));
	CALL("open path", shut(syscall(SYS_open, p, O_PATH)));
	CALL("open path nofollow", shut(syscall(SYS_open, p, O_PATH | O_NOFOLLOW)));
	CALL("open tmpfile read", shut(syscall(SYS_open, p, O_TMPFILE | O_RDONLY, 0600)));
	CALL("open exclusive", shut(syscall(SYS_open, p, O_PATH | O_DIRECTORY | O_NOFOLLOW)));
	CALL("stat", syscall(SYS_stat, p, &st));
	CALL("lstat", syscall(SYS_lstat, p, &st));
	if (p) /* newer kernels take it as empty */
		CALL("fstatat empty", syscall(SYS_newfstatat, AT_FDCWD, p, &st, AT_EMPTY_PATH));
	CALL("fstatat bad fd", syscall(SYS_newfstatat, 77, p, &st, 0));
	CALL("fstatat file fd", syscall(SYS_newfstatat, 100, p, &st, 0));
	CALL("fstatat bad flag", syscall(SYS_newfstatat, AT_FDCWD, p, &st, 0x8000));
	CALL("statx", syscall(332, AT_FDCWD, p, 0, 0x7ff, &sx));
	if (p)
		CALL("statx empty", syscall(332, AT_FDCWD, p, 0x1000, 0x7ff, &sx));
	CALL("statfs", syscall(SYS_statfs, p, &sf));
	CALL("access", syscall(SYS_access, p, R_OK));
	CALL("access write", syscall(SYS_access, p, W_OK));
	CALL("access execute", syscall(SYS_access, p, X_OK));
	CALL("faccessat2", syscall(439, AT_FDCWD, p, F_OK, AT_SYMLINK_NOFOLLOW));
	CALL("faccessat2 empty", syscall(439, AT_FDCWD, p, F_OK, AT_EMPTY_PATH));
	CALL("readlink", syscall(SYS_readlink, p, buf, 100));
	CALL("readlink none", syscall(SYS_readlink, p, buf, 0));
	CALL("readlinkat bad fd", syscall(SYS_readlinkat, 77, p, buf, 100));
	CALL("getxattr", getxattr(p, "user.none", buf, 10));
	CALL("lgetxattr", lgetxattr(p, "user.none", buf, 10));
	CALL("listxattr", listxattr(p, NULL, 0));
	CALL("removexattr", removexattr(p, "user.none"));
	CALL("inotify", inotify_add_watch(in, p, IN_OPEN));
	CALL("inotify dir", inotify_add_watch(in, p, IN_OPEN | IN_ONLYDIR));
	CALL("execve", syscall(SYS_execve, p, NULL, NULL));
	CALL("chdir", syscall(SYS_chdir, p) ? -1 : fchdir(101));
	CALL("mkdir below", syscall(SYS_mkdirat, 100, p, 0700));
	CALL("openat file fd", shut(syscall(SYS_openat, 100, p, O_RDONLY | O_NONBLOCK)));
}

/* Calls that would change what is there, where the path lets them. */
static void writes(const char *what, const char *p)
{
	char line[100];
	struct utimbuf ut = { 1, 2 };
	struct timespec ts[2] = { { 1, 0 }, { 2, 0 } };

	CALL("mkdir", syscall(SYS_mkdir, p, 0755));
	CALL("rmdir", syscall(SYS_rmdir, p));
	CALL("mknod", syscall(SYS_mknod, p, S_IFIFO | 0644, 0));
	CALL("unlink", syscall(SYS_unlink, p));
	CALL("unlinkat bad flags", syscall(SYS_unlinkat, AT_FDCWD, p, 1));
	CALL("symlink", syscall(SYS_symlink, "target", p));
	CALL("unlink it", syscall(SYS_unlink, p));
	CALL("symlink to it", syscall(SYS_symlink, p, "sl"));
	CALL("unlink sl", syscall(SYS_unlink, "sl"));
	CALL("link from", syscall(SYS_link, p, "hl"));
	CALL("unlink hl", syscall(SYS_unlink, "hl"));
	CALL("link to", syscall(SYS_link, "keep", p));
	CALL("unlink link", syscall(SYS_unlink, p));
	CALL("linkat follow", syscall(SYS_linkat, AT_FDCWD, p, AT_FDCWD, "hl", AT_SYMLINK_FOLLOW));
	CALL("unlink hl", syscall(SYS_unlink, "hl"));
	CALL("linkat empty", syscall(SYS_linkat, AT_FDCWD, p, AT_FDCWD, "d", AT_EMPTY_PATH));
	CALL("linkat bad flags", syscall(SYS_linkat, AT_FDCWD, p, AT_FDCWD, "hl", 0x8000));
	CALL("rename over dir", syscall(SYS_rename, p, "full"));
	CALL("rename dir to", syscall(SYS_rename, "full", p));
	CALL("rename back", syscall(SYS_rename, p, "full"));
	CALL("rename file to", syscall(SYS_rename, "keep", p));
	CALL("rename back", syscall(SYS_rename, p, "keep"));
	CALL("noreplace", syscall(SYS_renameat2, AT_FDCWD, "keep", AT_FDCWD, p, 1));
	CALL("rename back", syscall(SYS_rename, p, "keep"));
	CALL("exchange", syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, "missing", 2));
	CALL("creat", shut(syscall(SYS_creat, p, 0644)));
	CALL("unlink created", syscall(SYS_unlink, p));
	CALL("open creat excl", shut(syscall(SYS_open, p, O_CREAT | O_EXCL | O_RDONLY, 0644)));
	CALL("unlink created", syscall(SYS_unlink, p));
	CALL("open creat directory", shut(syscall(SYS_open, p, O_CREAT | O_RDONLY | O_DIRECTORY, 0644)));
	CALL("open creat nofollow", shut(syscall(SYS_open, p, O_CREAT | O_NOFOLLOW | O_RDONLY, 0644)));
	CALL("unlink created", syscall(SYS_unlink, p));
	CALL("truncate", syscall(SYS_truncate, p, 5));
	CALL("truncate negative", syscall(SYS_truncate, p, -5));
	CALL("chmod", syscall(SYS_chmod, p, 0755));
	CALL("chown", syscall(SYS_chown, p, -1, -1));
	CALL("lchown", syscall(SYS_lchown, p, -1, -1));
	CALL("fchownat empty", syscall(SYS_fchownat, AT_FDCWD, p, -1, -1, AT_EMPTY_PATH));
	CALL("fchownat bad flags", syscall(SYS_fchownat, AT_FDCWD, p, -1, -1, 0x8000));
	CALL("utime", syscall(SYS_utime, p, &ut));
	CALL("utimes", syscall(SYS_utimes, p, NULL));
	CALL("utimensat", syscall(SYS_utimensat, AT_FDCWD, p, ts, AT_SYMLINK_NOFOLLOW));
	CALL("utimensat bad flags", syscall(SYS_utimensat, AT_FDCWD, p, ts, 1));
	CALL("setxattr", setxattr(p, "user.x", "1", 1, XATTR_REPLACE));
	CALL("acl get", getxattr(p, "user.", buf, 10));
}

static void again(void)
{
	mkdir("d", 0755);
	mkdir("full", 0755);
	put("full/x", "x");
	put("f", "file");
	put("keep", "keep");
	symlink("loop", "loop");
	symlink("nowhere", "dangling");
	symlink("d", "ld");
	mkdir("closed", 0700);
	put("closed/f", "x");
	chmod("d", 0755);
	chmod("f", 0644);
}

static void all(bool change)
{
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		const char *p = paths[i].p;
		if (!change) {
			reads(paths[i].what, p);
			continue;
		}
		if (p && p != BAD && (*p == '/' || !strcmp(p, "d/..") || !strcmp(p, "."))) /* not what others use */
			continue;
		writes(paths[i].what, p);
		unlink("nowhere");
		again();
	}
}

static void links(void)
{
	char a[20], b[20], line[60];

	symlink("f", "n0");
	for (int i = 1; i < 60; i++) {
		snprintf(a, sizeof(a), "n%d", i - 1);
		snprintf(b, sizeof(b), "n%d", i);
		symlink(a, b);
	}
	for (int i = 36; i < 44; i++) {
		snprintf(a, sizeof(a), "n%d", i);
		snprintf(line, sizeof(line), "links %d", i + 1);
		C(shut(open(a, O_RDONLY)));
	}
	memset(buf, 'x', sizeof(buf));
	buf[4096] = 0;
	T("target of 4096", symlink(buf, "big"));
	buf[4095] = 0;
	T("target of 4095", symlink(buf, "big"));
	T("its length", readlink("big", longpath, sizeof(longpath)));
	T("its use", open("big", O_RDONLY));
	T("empty target", symlink("", "e"));
}

int main(void)
{
	int st;

	scratch();
	memset(longname, 'n', 256);
	memset(longpath, 'p', 4999);
	for (int i = 0; i < 4998; i += 50)
		longpath[i] = '/';
	longpath[0] = '.';
	for (int i = 0; i < 4094; i++)
		nearly[i] = i & 1 ? '/' : '.';
	nearly[4094] = 'd';
	again();
	chmod(".", 0777);
	in = inotify_init1(O_NONBLOCK);
	dup2(open("f", O_RDONLY), 100);
	dup2(open(".", O_RDONLY), 101);
	all(false);
	all(true);
	printf("-- not root\n");
	fflush(stdout);
	if (fork() == 0) {
		if (setgid(1000) || setuid(1000))
			_exit(1);
		all(false);
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	V("not root ended", st);
	links();
	return 0;
}
