/* SPDX-License-Identifier: Apache-2.0 */
/* sparse.c: holes, busy programs, vmsplice and splice between all kinds, moves of directories, mapped files that change. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

static char buf[70000] __attribute__((aligned(4096)));

static void holes(void)
{
	struct stat st;
	int fd = open("h", O_RDWR | O_CREAT, 0644);

	T("size", ftruncate(fd, 1 << 20));
	T("all hole data", lseek(fd, 0, SEEK_DATA));
	T("all hole hole", lseek(fd, 5, SEEK_HOLE));
	pwrite(fd, "x", 1, 65536);
	pwrite(fd, "x", 1, 200000);
	T("first data", lseek(fd, 0, SEEK_DATA));
	T("in data", lseek(fd, 65540, SEEK_DATA));
	T("hole from 0", lseek(fd, 0, SEEK_HOLE));
	T("hole behind data", lseek(fd, 65536, SEEK_HOLE));
	T("next data", lseek(fd, 70000, SEEK_DATA));
	T("no more data", lseek(fd, 210000, SEEK_DATA));
	T("last hole", lseek(fd, 1000000, SEEK_HOLE));
	T("at the end", lseek(fd, 1 << 20, SEEK_HOLE));
	T("before the start", lseek(fd, -1, SEEK_DATA));
	fstat(fd, &st);
	OK("few blocks", st.st_blocks <= 32);
	T("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 4096));
	T("data after punch", lseek(fd, 0, SEEK_DATA));
	T("huge", ftruncate(fd, 1LL << 40));
	pwrite(fd, "y", 1, (1LL << 39) + 5);
	T("far data", lseek(fd, 300000, SEEK_DATA) >> 30);
	T("far hole", (lseek(fd, 1LL << 39, SEEK_HOLE) - (1LL << 39)) <= 65536);
	T("cut", ftruncate(fd, 1000));
	T("nothing left", lseek(fd, 0, SEEK_DATA));
	T("too large", ftruncate(fd, 0x7fffffffffffffffLL) == 0 ? 0 : errno == EFBIG || errno == EINVAL ? 0 : -1);
	T("punch without keep", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	T("no length", fallocate(fd, 0, 0, 0));
	T("negative", fallocate(fd, 0, -1, 10));
	close(fd);
	fd = open("h", O_RDONLY);
	T("read-only", fallocate(fd, 0, 0, 10));
	close(fd);
}

static void vm(void)
{
	int p[2];
	struct iovec v[2] = { { "hello ", 6 }, { "world", 5 } };

	pipe(p);
	T("vmsplice", vmsplice(p[1], v, 2, 0));
	T("arrived", read(p[0], buf, 100));
	OK("same", !memcmp(buf, "hello world", 11));
	write(p[1], "back", 4);
	struct iovec w[1] = { { buf, 100 } };
	T("from pipe", vmsplice(p[0], w, 1, 0));
	T("nonblock empty", vmsplice(p[0], w, 1, SPLICE_F_NONBLOCK));
	w[0].iov_len = sizeof(buf);
	T("more than fits", vmsplice(p[1], w, 1, SPLICE_F_NONBLOCK));
	T("full", vmsplice(p[1], w, 1, SPLICE_F_NONBLOCK));
	T("no vectors", vmsplice(p[1], w, 0, 0));
	T("bad flags", vmsplice(p[1], w, 1, 0x100));
	T("bad vector", vmsplice(p[1], BAD, 1, 0));
	T("too many", vmsplice(p[0], w, 2000, SPLICE_F_NONBLOCK));
	T("bad fd", vmsplice(77, w, 1, 0));
	int fd = open("h", O_RDWR);
	T("not a pipe", vmsplice(fd, w, 1, 0));
	close(fd);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	T("no reader", vmsplice(p[1], w, 1, 0));
	signal(SIGPIPE, SIG_DFL);
	close(p[1]);
}

static void splices(void)
{
	int p[2], q[2], sv[2], fd, out;
	loff_t off = 2, zero = 0;

	put("s", "0123456789");
	fd = open("s", O_RDWR);
	out = open("o", O_RDWR | O_CREAT, 0644);
	pipe(p);
	pipe(q);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	T("file to pipe", splice(fd, NULL, p[1], NULL, 4, 0));
	T("position", lseek(fd, 0, SEEK_CUR));
	T("file to pipe at", splice(fd, &off, p[1], NULL, 3, 0));
	V("offset", off);
	T("pipe to pipe", splice(p[0], NULL, q[1], NULL, 100, 0));
	T("tee", tee(q[0], p[1], 5, 0));
	T("pipe to file", splice(q[0], NULL, out, NULL, 100, 0));
	T("pipe to file at", splice(p[0], NULL, out, &zero, 2, 0));
	T("pipe to socket", splice(p[0], NULL, sv[0], NULL, 100, 0));
	T("socket has", read(sv[1], buf, 100));
	write(sv[1], "socket", 6);
	T("socket to pipe", splice(sv[0], NULL, p[1], NULL, 100, 0));
	T("pipe has", read(p[0], buf, 100));
	pread(out, buf, 20, 0);
	buf[7] = 0;
	S("file has", buf);
	T("file to file", splice(fd, NULL, out, NULL, 4, 0));
	T("same pipe", splice(p[0], NULL, p[1], NULL, 4, 0));
	T("offset on pipe", splice(p[0], &off, out, NULL, 4, 0));
	T("empty nonblock", splice(p[0], NULL, out, NULL, 4, SPLICE_F_NONBLOCK));
	T("bad flags", splice(fd, NULL, p[1], NULL, 4, 0x100));
	T("bad fd", splice(77, NULL, p[1], NULL, 4, 0));
	T("read end for writing", splice(fd, NULL, p[0], NULL, 4, 0));
	T("nothing", splice(fd, NULL, p[1], NULL, 0, 0));
	T("directory", splice(open(".", O_RDONLY), NULL, p[1], NULL, 4, 0));
	T("tee to itself", tee(p[0], p[1], 4, 0));
	T("tee file", tee(fd, p[1], 4, 0));
	T("sendfile to pipe", (lseek(fd, 0, SEEK_SET), sendfile(p[1], fd, NULL, 5)));
	T("sendfile to socket", sendfile(sv[0], fd, NULL, 100));
	T("sendfile to file", sendfile(out, fd, &zero, 3));
	V("offset after", zero);
	T("sendfile from pipe", sendfile(out, p[0], NULL, 3));
	T("sendfile from socket", sendfile(out, sv[1], NULL, 3));
	T("sendfile bad out", sendfile(77, fd, NULL, 3));
	T("sendfile read-only out", sendfile(open("s", O_RDONLY), fd, NULL, 3));
	off = -1;
	T("sendfile negative", sendfile(out, fd, &off, 3));
	close(p[1]);
	read(p[0], buf, 100);
	T("end of pipe", splice(p[0], NULL, out, NULL, 4, 0));
	close(p[0]);
}

static void moves(void)
{
	int st;

	chmod(".", 0755);
	mkdir("from", 0777);
	mkdir("to", 0777);
	chmod("from", 0777);
	chmod("to", 0777);
	mkdir("from/closed", 0555);
	mkdir("from/open", 0777);
	put("from/f", "x");
	mkdir("from/deep", 0777);
	mkdir("from/deep/er", 0777);
	chown("from/open", 1000, 1000);
	fflush(stdout);
	if (fork() == 0) {
		setgid(1000);
		setuid(1000);
		T("directory of another", rename("from/closed", "to/closed"));
		T("in the same place", rename("from/closed", "from/closed2"));
		T("own directory", rename("from/open", "to/open"));
		T("file of another", rename("from/f", "to/f"));
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	T("into itself", rename("from", "from/deep/x"));
	T("over its parent", rename("from/deep/er", "from"));
	T("over a file", rename("from/deep", "s"));
	T("file over directory", rename("s", "from/deep"));
	T("whiteout", syscall(SYS_renameat2, AT_FDCWD, "s", AT_FDCWD, "t", 8));
	T("exchange and noreplace", syscall(SYS_renameat2, AT_FDCWD, "s", AT_FDCWD, "from", 3));
	T("noreplace", syscall(SYS_renameat2, AT_FDCWD, "s", AT_FDCWD, "from", 1));
	T("exchange file and directory", syscall(SYS_renameat2, AT_FDCWD, "s", AT_FDCWD, "from", 2));
	OK("exchanged", !access("s/deep/er", F_OK));
	T("dot", rename(".", "x"));
	T("dotdot", rename("s/..", "x"));
	T("to dot", rename("from", "s/."));
	T("slash behind file", rename("from", "x/"));
}

static sigjmp_buf env;
static void on(int sig) { siglongjmp(env, sig); }

static void mapped(void)
{
	int fd = open("m", O_RDWR | O_CREAT, 0644);
	volatile char *p;

	ftruncate(fd, 8192);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[0] = 'a';
	pread(fd, buf, 1, 0);
	V("store is read", buf[0]);
	pwrite(fd, "b", 1, 1);
	V("write is seen", p[1]);
	p[5000] = 'c';
	T("cut", ftruncate(fd, 100));
	signal(SIGBUS, on);
	int sig = sigsetjmp(env, 1);
	if (!sig)
		V("beyond the end", p[5000]);
	else
		printf("beyond the end: %s\n", sig == SIGBUS ? "SIGBUS" : "other");
	T("grow", ftruncate(fd, 8192));
	V("zero again", p[5000]);
	p[200] = 'd';
	pread(fd, buf, 1, 200);
	V("shared still", buf[0]);
	T("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	V("hole is zero", p[0]);
	p[1] = 'e';
	pread(fd, buf, 1, 1);
	V("after punch", buf[0]);
	munmap((void *)p, 8192);
	close(fd);
}

static void busy(void)
{
	char self[200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int st, fd, from, p[2];

	self[n > 0 ? n : 0] = 0;
	from = open(self, O_RDONLY);
	fd = open("prog", O_WRONLY | O_CREAT, 0755);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		write(fd, buf, n);
	fflush(stdout);
	if (fork() == 0) {
		execl("./prog", "prog", "run", NULL);
		_exit(errno == ETXTBSY ? 7 : 8);
	}
	wait(&st);
	V("exec while written", WEXITSTATUS(st));
	close(fd);
	pipe(p);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(p[0], 0);
		close(p[1]);
		execl("./prog", "prog", "run", NULL);
		_exit(9);
	}
	write(p[1], "1", 1);
	while (!waitpid(pid, &st, WNOHANG)) { /* it runs when its name has changed */
		char path[40], name[20] = "";
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		int c = open(path, O_RDONLY);
		read(c, name, sizeof(name));
		close(c);
		if (!strncmp(name, "prog", 4))
			break;
		msleep(1);
	}
	T("write while it runs", open("prog", O_WRONLY));
	T("truncate while it runs", truncate("prog", 0));
	T("truncating open", open("prog", O_RDONLY | O_TRUNC));
	T("no program any more", chmod("prog", 0600));
	T("but it runs", truncate("prog", 0));
	T("read while it runs", open("prog", O_RDONLY) >= 0);
	T("rename while it runs", rename("prog", "prog2"));
	T("unlink while it runs", unlink("prog2"));
	close(p[1]);
	waitpid(pid, &st, 0);
	V("it ended", WEXITSTATUS(st));
}

/* Deeper than any path can say. */
static void deep(void)
{
	int depth = 0, fd;

	while (depth < 2500 && !mkdir("e", 0755) && !chdir("e"))
		depth++;
	V("depth", depth);
	T("cwd", syscall(SYS_getcwd, buf, sizeof(buf)));
	T("file", (fd = open("f", O_RDWR | O_CREAT, 0644)) >= 0);
	T("write", write(fd, "x", 1));
	close(fd);
	T("stat", access("f", F_OK));
	T("unlink", unlink("f"));
	for (; depth > 0; depth--)
		if (chdir("..") || rmdir("e"))
			break;
	V("back", depth);
	OK("cwd again", syscall(SYS_getcwd, buf, sizeof(buf)) > 0 && !strcmp(buf, scratch_dir));
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		char c;
		while (read(0, &c, 1) > 0)
			;
		return 5;
	}
	scratch();
	holes();
	vm();
	splices();
	moves();
	mapped();
	deep();
	busy();
	return 0;
}
