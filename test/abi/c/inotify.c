/* SPDX-License-Identifier: Apache-2.0 */
/* inotify.c: what a watch tells of everything that happens to files and directories. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static int in, d, f;
static char buf[65536] __attribute__((aligned(8)));

static const char *mask_name(uint32_t m)
{
	static const struct { uint32_t bit; const char *name; } n[] = {
		{ IN_ACCESS, "ACCESS" }, { IN_MODIFY, "MODIFY" }, { IN_ATTRIB, "ATTRIB" }, { IN_CLOSE_WRITE, "CLOSE_WRITE" },
		{ IN_CLOSE_NOWRITE, "CLOSE_NOWRITE" }, { IN_OPEN, "OPEN" }, { IN_MOVED_FROM, "MOVED_FROM" }, { IN_MOVED_TO, "MOVED_TO" },
		{ IN_CREATE, "CREATE" }, { IN_DELETE, "DELETE" }, { IN_DELETE_SELF, "DELETE_SELF" }, { IN_MOVE_SELF, "MOVE_SELF" },
		{ IN_UNMOUNT, "UNMOUNT" }, { IN_Q_OVERFLOW, "Q_OVERFLOW" }, { IN_IGNORED, "IGNORED" }, { IN_ISDIR, "ISDIR" },
	};
	static char s[200];

	*s = 0;
	for (unsigned i = 0; i < sizeof(n) / sizeof(*n); i++)
		if (m & n[i].bit)
			sprintf(s + strlen(s), "%s%s", *s ? "|" : "", n[i].name);
	return s;
}

static void events(const char *what)
{
	ssize_t n = read(in, buf, sizeof(buf));
	uint32_t cookie = 0;
	int i = 0;

	if (n < 0) {
		printf("%s: nothing, %s\n", what, ename(errno));
		return;
	}
	for (char *p = buf; p < buf + n; i++) {
		struct inotify_event *e = (void *)p;
		printf("%s %d: %s %s%s%s", what, i, e->wd == d ? "d" : e->wd == f ? "f" : e->wd == -1 ? "-" : "?", mask_name(e->mask),
		       e->len ? " " : "", e->len ? e->name : "");
		if (e->cookie)
			printf(" cookie %s", e->cookie == cookie ? "same" : "new");
		if (e->len)
			printf(" len %u", e->len);
		printf("\n");
		cookie = e->cookie ? e->cookie : cookie;
		p += sizeof(*e) + e->len;
	}
}

static void files(void)
{
	int fd;

	mkdir("w", 0755);
	T("watch", d = inotify_add_watch(in, "w", IN_ALL_EVENTS));
	events("none");
	fd = open("w/a", O_RDWR | O_CREAT, 0644);
	events("create");
	write(fd, "hello", 5);
	write(fd, "hello", 5);
	events("write twice");
	lseek(fd, 0, SEEK_SET);
	read(fd, buf, 3);
	events("read");
	read(fd, buf, 0);
	events("read nothing");
	pread(fd, buf, 100, 1000);
	events("read at end");
	write(fd, "", 0);
	events("write nothing");
	ftruncate(fd, 2);
	events("ftruncate");
	truncate("w/a", 1);
	events("truncate");
	fchmod(fd, 0600);
	events("fchmod");
	fchown(fd, geteuid(), -1);
	events("fchown");
	futimens(fd, NULL);
	events("futimens");
	struct timespec ts[2] = { { 5, 0 }, { 0, UTIME_OMIT } };
	futimens(fd, ts);
	events("only access time");
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	futimens(fd, ts);
	events("only modification time");
	fsetxattr(fd, "user.x", "1", 1, 0);
	events("setxattr");
	fremovexattr(fd, "user.x");
	events("removexattr");
	fallocate(fd, 0, 0, 8192);
	events("fallocate");
	close(dup(fd));
	events("close of a copy");
	close(fd);
	events("close");
	close(open("w/a", O_RDONLY));
	events("open and close");
	close(open("w/a", O_WRONLY | O_TRUNC));
	events("open truncating");
	close(open("w/a", O_PATH));
	events("open path");
	open("w/none", O_RDONLY);
	events("open missing");
	struct stat st;
	stat("w/a", &st);
	events("stat");
	link("w/a", "w/b");
	events("link");
	rename("w/b", "w/c");
	events("rename");
	put("out", "x");
	rename("out", "w/in");
	events("moved in");
	rename("w/in", "out");
	events("moved out");
	rename("w/a", "w/c");
	events("rename to itself");
	unlink("w/c");
	events("unlink of two");
	unlink("w/a");
	events("unlink");
	symlink("x", "w/l");
	mkfifo("w/p", 0644);
	events("symlink and fifo");
	readlink("w/l", buf, 10);
	events("readlink");
	unlink("w/l");
	unlink("w/p");
	events("removed");
}

static void directories(void)
{
	DIR *dp;

	mkdir("w/sub", 0755);
	events("mkdir");
	put("w/sub/x", "x");
	events("below a subdirectory");
	unlink("w/sub/x");
	dp = opendir("w");
	while (readdir(dp))
		;
	closedir(dp);
	events("list");
	chmod("w/sub", 0700);
	events("chmod subdirectory");
	chmod("w", 0700);
	events("chmod itself");
	rename("w/sub", "w/sub2");
	events("rename subdirectory");
	rename("w", "v");
	events("rename itself");
	rename("v", "w");
	events("rename back");
	rmdir("w/sub2");
	events("rmdir");
	rmdir("w");
	events("gone");
	T("remove gone watch", inotify_rm_watch(in, d));
	d = 0;
}

static void file_itself(void)
{
	int fd;

	put("f", "data");
	T("watch file", f = inotify_add_watch(in, "f", IN_ALL_EVENTS));
	fd = open("f", O_RDONLY);
	read(fd, buf, 10);
	events("file read");
	close(fd);
	link("f", "g");
	events("file linked");
	unlink("f");
	events("file first name");
	rename("g", "h");
	events("file renamed");
	put("k", "other");
	fd = open("h", O_RDONLY);
	unlink("h");
	events("file last name");
	close(fd);
	events("file closed");
	T("watch k", f = inotify_add_watch(in, "k", IN_ALL_EVENTS));
	put("l", "more");
	rename("l", "k");
	events("file replaced");
	T("watch k again", f = inotify_add_watch(in, "k", IN_DELETE_SELF | IN_ATTRIB));
	unlink("k");
	events("file unlinked");
	/* both the file and its directory */
	mkdir("both", 0755);
	put("both/f", "x");
	d = inotify_add_watch(in, "both", IN_ALL_EVENTS);
	f = inotify_add_watch(in, "both/f", IN_ALL_EVENTS);
	put("both/f", "yy");
	events("both");
	unlink("both/f");
	events("both unlinked");
	mkdir("other", 0755);
	f = inotify_add_watch(in, "other", IN_MOVE);
	put("both/m", "x");
	read(in, buf, sizeof(buf));
	rename("both/m", "other/n");
	events("between directories");
	put("both/o", "x");
	read(in, buf, sizeof(buf));
	syscall(SYS_renameat2, AT_FDCWD, "both/o", AT_FDCWD, "other/n", 2);
	events("exchange");
	put("both/p", "x");
	read(in, buf, sizeof(buf));
	rename("both/p", "both/o");
	events("replaced in it");
	int a = open("both/o", O_RDONLY), b = open("both/q", O_WRONLY | O_CREAT, 0644);
	read(in, buf, sizeof(buf));
	sendfile(b, a, NULL, 1);
	events("sendfile");
	close(a);
	close(b);
	read(in, buf, sizeof(buf));
	T("rm dir watch", inotify_rm_watch(in, d));
	events("ignored");
	T("rm again", inotify_rm_watch(in, d));
	T("rm other", inotify_rm_watch(in, f));
	events("ignored too");
	d = f = 0;
}

static void masks(void)
{
	int fd, w;

	mkdir("m", 0755);
	put("m/f", "x");
	d = inotify_add_watch(in, "m", IN_CREATE);
	T("same watch", inotify_add_watch(in, "m", IN_DELETE) == d);
	put("m/g", "x");
	unlink("m/g");
	events("replaced mask");
	T("mask add", inotify_add_watch(in, "m", IN_CREATE | IN_MASK_ADD) == d);
	put("m/g", "x");
	unlink("m/g");
	events("added mask");
	T("mask create", inotify_add_watch(in, "m", IN_CREATE | IN_MASK_CREATE));
	T("mask create and add", inotify_add_watch(in, "m", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD));
	T("only dir on file", inotify_add_watch(in, "m/f", IN_OPEN | IN_ONLYDIR));
	T("only dir on dir", inotify_add_watch(in, "m", IN_OPEN | IN_ONLYDIR) == d);
	inotify_rm_watch(in, d);
	events("removed");
	f = inotify_add_watch(in, "m/f", IN_OPEN | IN_ONESHOT);
	close(open("m/f", O_RDONLY));
	close(open("m/f", O_RDONLY));
	events("one shot");
	T("one shot is gone", inotify_rm_watch(in, f));
	symlink("m/f", "ml");
	f = inotify_add_watch(in, "ml", IN_OPEN);
	close(open("m/f", O_RDONLY));
	events("through link");
	inotify_rm_watch(in, f);
	read(in, buf, sizeof(buf));
	T("dont follow", (f = inotify_add_watch(in, "ml", IN_ALL_EVENTS | IN_DONT_FOLLOW)) > 0);
	close(open("m/f", O_RDONLY));
	events("link is not followed");
	inotify_rm_watch(in, f);
	read(in, buf, sizeof(buf));
	T("no mask", inotify_add_watch(in, "m", 0));
	T("missing", inotify_add_watch(in, "none", IN_OPEN));
	T("bad path", inotify_add_watch(in, BAD, IN_OPEN));
	T("bad fd", inotify_add_watch(77, "m", IN_OPEN));
	fd = open("m/f", O_RDONLY);
	T("not inotify", inotify_add_watch(fd, "m", IN_OPEN));
	T("rm not inotify", inotify_rm_watch(fd, 1));
	T("rm bad fd", inotify_rm_watch(77, 1));
	T("rm bad wd", inotify_rm_watch(in, 9999));
	T("init1 bad flags", inotify_init1(1));
	close(fd);
	w = inotify_add_watch(in, "m", IN_OPEN | IN_CLOSE);
	d = w;
	fd = open("m/f", O_RDONLY);
	unlink("m/f");
	inotify_rm_watch(in, w);
	events("before removal");
	close(fd);
	events("after removal");
	d = f = 0;
}

static void as_file(void)
{
	struct pollfd p = { .fd = in, .events = POLLIN };
	struct epoll_event ev = { .events = EPOLLIN };
	int n, ep = epoll_create1(0);

	mkdir("q", 0755);
	d = inotify_add_watch(in, "q", IN_CREATE | IN_DELETE);
	T("poll empty", poll(&p, 1, 0));
	epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev);
	T("epoll empty", epoll_wait(ep, &ev, 1, 0));
	mkdir("q/one", 0755);
	T("poll", poll(&p, 1, 1000));
	T("epoll", epoll_wait(ep, &ev, 1, 1000));
	V("fionread", (ioctl(in, FIONREAD, &n), n));
	T("short read", read(in, buf, 16));
	T("one byte", read(in, buf, 1));
	mkdir("q/two", 0755);
	T("read one", read(in, buf, 40));
	V("fionread then", (ioctl(in, FIONREAD, &n), n));
	T("read other", read(in, buf, 100));
	T("again", read(in, buf, 100));
	mkdir("q/0123456789abcdef", 0755);
	T("long name", read(in, buf, 100));
	mkdir("q/0123456789abcde", 0755);
	T("name of 15", read(in, buf, 100));
	T("write", write(in, "x", 1));
	T("seek", lseek(in, 0, SEEK_SET));
	T("other ioctl", ioctl(in, FIONREAD + 1, &n));
	mkdir("q/bad", 0755);
	T("bad buffer", read(in, BAD, 100));
	int flags = fcntl(in, F_GETFL);
	V("flags", flags & (O_NONBLOCK | O_ACCMODE));
	close(ep);
	fflush(stdout);
	/* A blocked reader is woken. */
	fcntl(in, F_SETFL, 0);
	while (ioctl(in, FIONREAD, &n) == 0 && n)
		read(in, buf, sizeof(buf));
	if (fork() == 0) {
		mkdir("q/late", 0755);
		_exit(0);
	}
	events("blocking");
	wait(NULL);
	fcntl(in, F_SETFL, O_NONBLOCK);
}

static void overflow(void)
{
	int i, over = 0, total = 0, n, limit = 0;
	FILE *fp = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	if (fp) {
		fscanf(fp, "%d", &limit);
		fclose(fp);
	}
	OK("limit is told", limit > 0);
	if (limit > 100000)
		return;
	put("o1", "x");
	put("o2", "x");
	d = inotify_add_watch(in, "o1", IN_ATTRIB);
	f = inotify_add_watch(in, "o2", IN_ATTRIB);
	for (i = 0; i < limit / 2 + 10; i++) {
		chmod("o1", 0600);
		chmod("o2", 0600);
	}
	while ((n = read(in, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n; p += sizeof(struct inotify_event) + ((struct inotify_event *)p)->len) {
			total++;
			over += ((struct inotify_event *)p)->mask == IN_Q_OVERFLOW && ((struct inotify_event *)p)->wd == -1;
		}
	V("overflows", over);
	OK("as many as the limit", total == limit + 1);
	chmod("o1", 0600);
	events("goes on");
}

int main(void)
{
	scratch();
	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	OK("init", in >= 0);
	files();
	directories();
	file_itself();
	masks();
	as_file();
	overflow();
	close(in);
	int a = inotify_init(), b = inotify_init1(0);
	OK("two instances", a >= 0 && b >= 0);
	T("fd flags", fcntl(a, F_GETFD));
	d = inotify_add_watch(a, "o1", IN_OPEN);
	inotify_add_watch(b, "o1", IN_OPEN);
	in = a;
	close(open("o1", O_RDONLY));
	events("first");
	in = b;
	events("second");
	return 0;
}
