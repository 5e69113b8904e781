/* SPDX-License-Identifier: Apache-2.0 */
/* sockunix.c: AF_UNIX in depth: names of each kind, datagrams, packets, credentials, descriptors on the way and cycles of them. */
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct sockaddr_un un(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strncpy(a.sun_path, path, sizeof(a.sun_path));
	return a;
}
#define A(s) (struct sockaddr *)&(s), sizeof(s)

static void show_poll(const char *what, int fd)
{
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0 };

	poll(&p, 1, 0);
	printf("%s: %x\n", what, p.revents);
}

static void show_name(const char *what, int fd, int (*call)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (call(fd, (struct sockaddr *)&a, &len))
		printf("%s: %s\n", what, ename(errno));
	else
		printf("%s: length %d \"%s%s\"\n", what, (int)len, a.sun_path[0] ? "" : len > 2 ? "@" : "", a.sun_path[0] ? a.sun_path : a.sun_path + 1);
}

static void names(void)
{
	struct sockaddr_un a = un("name"), b, abs = { .sun_family = AF_UNIX, .sun_path = "\0abi" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_DGRAM, 0);
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 4;
	struct stat st;

	show_name("unbound", s, getsockname);
	show_name("unconnected", s, getpeername);
	T("bind", bind(s, A(a)));
	show_name("bound", s, getsockname);
	T("bind twice", bind(s, A(a)));
	T("bind other", (b = un("other"), bind(s, A(b))));
	T("other exists", access("other", F_OK));
	T("bind taken", bind(t, A(a)));
	T("bind no folder", (b = un("no/such"), bind(t, A(b))));
	T("bind in a file", (put("file", "x"), b = un("file/x"), bind(t, A(b))));
	T("bind to a file", (b = un("file"), bind(t, A(b))));
	T("bind wrong family", (b.sun_family = AF_INET, bind(t, A(b))));
	T("bind too long", bind(t, (struct sockaddr *)&a, 200));
	T("bind short path", bind(t, (struct sockaddr *)&a, 2 + 2));
	show_name("short path", t, getsockname);
	T("mode", (stat("name", &st), st.st_mode & S_IFMT) == S_IFSOCK);
	T("permissions", st.st_mode & 0777);
	T("open", open("name", O_RDWR));
	T("connect not listening", connect(t, A(a)));
	T("connect wrong type", connect(d, A(a)));
	T("connect nothing", (b = un("nothing"), connect(t, A(b))));
	T("connect a file", (b = un("file"), connect(t, A(b))));
	T("connect unnamed", connect(t, (struct sockaddr *)&a, 2));
	T("listen", listen(s, 2));
	T("listen unbound", listen(d, 2));
	T("connect listener", connect(s, A(a)));
	T("rename", rename("name", "moved"));
	T("old name", connect(t, A(a)));
	T("new name", (b = un("moved"), connect(t, A(b))));
	show_name("peer after rename", t, getpeername);
	T("unlink", unlink("moved"));
	T("bind unlinked name", (d = socket(AF_UNIX, SOCK_STREAM, 0), b = un("moved"), bind(d, A(b))));
	close(s);
	close(t);
	close(d);

	s = socket(AF_UNIX, SOCK_STREAM, 0);
	t = socket(AF_UNIX, SOCK_STREAM, 0);
	T("bind abstract", bind(s, (struct sockaddr *)&abs, len));
	show_name("abstract", s, getsockname);
	T("abstract taken", bind(t, (struct sockaddr *)&abs, len));
	T("abstract other length", bind(t, (struct sockaddr *)&abs, len + 1));
	close(t);
	t = socket(AF_UNIX, SOCK_STREAM, 0);
	listen(s, 1);
	T("connect abstract", connect(t, (struct sockaddr *)&abs, len));
	T("connect other length", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&abs, len + 2));
	close(s);
	close(t);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	T("abstract free again", bind(s, (struct sockaddr *)&abs, len));
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	T("autobind", bind(s, (struct sockaddr *)&a, 2));
	len = sizeof(b);
	getsockname(s, (struct sockaddr *)&b, &len);
	V("autobind length", len);
	T("autobind again", bind(s, (struct sockaddr *)&a, 2));
	close(s);
	/* Permission to connect is permission to write. */
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	a = un("guarded");
	bind(s, A(a));
	listen(s, 1);
	chmod("guarded", 0500);
	pid_t pid = fork();
	if (!pid) {
		int r;
		chmod(".", 0711);
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(99);
		r = connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a));
		_exit(r ? errno : 0);
	}
	int st2;
	waitpid(pid, &st2, 0);
	printf("guarded: %s\n", ename(WEXITSTATUS(st2)));
	close(s);
}

static void streams(void)
{
	int s[2], ls = socket(AF_UNIX, SOCK_STREAM, 0), c, v;
	struct sockaddr_un a = un("ls");
	char buf[100];
	static char big[100000];

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	show_poll("pair", s[0]);
	show_name("pair name", s[0], getsockname);
	show_name("pair peer", s[0], getpeername);
	T("connect pair", connect(s[0], A(a)));
	T("accept pair", accept(s[0], NULL, NULL));
	T("listen pair", listen(s[0], 1));
	T("shutdown read", shutdown(s[0], SHUT_RD));
	show_poll("read shut", s[0]);
	show_poll("peer of read shut", s[1]);
	T("write to read shut", send(s[1], "x", 1, MSG_NOSIGNAL));
	T("write other way", write(s[0], "ab", 2));
	T("peek", recv(s[1], buf, 10, MSG_PEEK));
	T("waitall short", (shutdown(s[0], SHUT_WR), recv(s[1], buf, 10, MSG_WAITALL)));
	show_poll("all shut", s[0]);
	close(s[0]);
	show_poll("peer gone", s[1]);
	T("write peer gone", send(s[1], "x", 1, MSG_NOSIGNAL));
	T("read peer gone", read(s[1], buf, 1));
	close(s[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	write(s[0], "unread", 6);
	close(s[1]);
	T("read after unread", read(s[0], buf, 1));
	T("read again", read(s[0], buf, 1));
	close(s[0]);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s);
	v = 10000;
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 4);
	long n, sum = 0;
	while ((n = write(s[0], big, 1000)) > 0 && sum < 1000000)
		sum += n;
	OK("small buffer", sum < 100000 && errno == EAGAIN);
	show_poll("full", s[0]);
	while ((n = read(s[1], big, sizeof(big))) > 0)
		sum -= n;
	V("all came", sum);
	show_poll("empty", s[0]);
	T("siocoutq", (ioctl(s[0], TIOCOUTQ, &v), v));
	T("send with address", sendto(s[0], "x", 1, 0, A(a)));
	close(s[0]);
	close(s[1]);
	/* A full backlog: EAGAIN, not EINPROGRESS. */
	bind(ls, A(a));
	listen(ls, 0);
	T("first", connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a)));
	c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	T("second", connect(c, A(a)));
	T("accept", accept(ls, NULL, NULL) < 0);
	T("second then", connect(c, A(a)));
	close(c);
	close(ls);
}

static void datagrams(void)
{
	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0), c, s[2];
	struct sockaddr_un aa = un("dga"), ba = un("dgb"), from;
	socklen_t len = sizeof(from);
	char buf[100];

	bind(a, A(aa));
	T("sendto", sendto(b, "one", 3, 0, A(aa)));
	T("recvfrom", recvfrom(a, buf, 100, 0, (struct sockaddr *)&from, &len));
	V("unnamed sender", len);
	bind(b, A(ba));
	T("sendto named", sendto(b, "two", 3, 0, A(aa)));
	len = sizeof(from);
	T("recv short", recvfrom(a, buf, 2, MSG_TRUNC, (struct sockaddr *)&from, &len));
	printf("sender %s\n", from.sun_path);
	T("connect", connect(b, A(aa)));
	T("send", send(b, "three", 5, 0));
	T("recv", recv(a, buf, 100, 0));
	T("connect other way", connect(a, A(ba)));
	c = socket(AF_UNIX, SOCK_DGRAM, 0);
	T("to a connected one", sendto(c, "x", 1, 0, A(aa)));
	T("connect to a connected one", connect(c, A(aa)));
	T("not connected", send(c, "x", 1, 0));
	T("disconnect", connect(a, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)));
	T("to a free one", sendto(c, "x", 1, 0, A(aa)));
	T("its recv", recv(a, buf, 100, 0));
	T("zero", send(b, "", 0, 0));
	T("recv zero", recv(a, buf, 100, 0));
	close(a);
	T("send to closed", send(b, "x", 1, MSG_NOSIGNAL));
	T("sendto closed", sendto(b, "x", 1, 0, A(aa)));
	T("sendto nothing", (unlink("dga"), sendto(b, "x", 1, 0, A(aa))));
	close(b);
	close(c);

	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
	T("packet", write(s[0], "packet", 6));
	T("empty packet", send(s[0], "", 0, 0));
	struct iovec iv = { buf, 3 };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1 };
	T("short", recvmsg(s[1], &mh, 0));
	V("flags", mh.msg_flags);
	T("empty", recv(s[1], buf, 10, 0));
	T("none", recv(s[1], buf, 10, MSG_DONTWAIT));
	T("shutdown", shutdown(s[0], SHUT_WR));
	show_poll("packet shut", s[1]);
	T("end", recv(s[1], buf, 10, 0));
	T("write shut", send(s[0], "x", 1, MSG_NOSIGNAL));
	close(s[0]);
	T("write gone", send(s[1], "x", 1, MSG_NOSIGNAL));
	close(s[1]);
	a = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	aa = un("seq");
	bind(a, A(aa));
	T("packet listen", listen(a, 3));
	b = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	T("packet unconnected", send(b, "x", 1, 0));
	T("packet recv unconnected", recv(b, buf, 1, MSG_DONTWAIT));
	T("packet connect", connect(b, A(aa)));
	c = accept(a, NULL, NULL);
	T("packet write", write(b, "hello", 5));
	T("packet read", read(c, buf, 100));
	T("stream to packet", connect(socket(AF_UNIX, SOCK_STREAM, 0), A(aa)));
	close(a);
	close(b);
	close(c);
}

static long send_with(int via, int type, const void *data, size_t n, int flags)
{
	char control[1100];
	struct iovec iv = { "m", 1 };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n) };

	memset(control, 0, sizeof(control));
	CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&mh)->cmsg_type = type;
	CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), data, n);
	return sendmsg(via, &mh, flags);
}

/* Descriptors that came, -1 none; shows what else did. */
static int receive(const char *what, int via, size_t room, int *fds)
{
	char control[1100], buf[10];
	struct iovec iv = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room };
	long n = recvmsg(via, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int count = 0;

	printf("%s: %ld%s flags %x", what, n, n < 0 ? ename(errno) : "", n < 0 ? 0 : mh.msg_flags & ~MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
		printf(" type %d length %d", c->cmsg_type, (int)c->cmsg_len);
		if (c->cmsg_type == SCM_RIGHTS) {
			count = (c->cmsg_len - CMSG_LEN(0)) / 4;
			memcpy(fds, CMSG_DATA(c), count * 4);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred *u = (void *)CMSG_DATA(c);
			printf(" pid %s uid %d", u->pid == getpid() ? "mine" : u->pid ? "other" : "0", (int)u->uid);
		}
	}
	printf("\n");
	return count;
}

static void passing(void)
{
	int s[2], p[2], d[2], fds[300], n, one = 1, bad = 999;
	char buf[10];
	struct ucred uc = { getpid(), getuid(), getgid() };
	struct stat st1, st2;

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, d);
	pipe(p);
	T("one", send_with(s[0], SCM_RIGHTS, &p[1], 4, 0));
	n = receive("receive one", s[1], 200, fds);
	T("cloexec", fcntl(fds[0], F_GETFD));
	fstat(p[1], &st1);
	fstat(fds[0], &st2);
	OK("same pipe", st1.st_ino == st2.st_ino);
	close(fds[0]);
	T("bad descriptor", send_with(s[0], SCM_RIGHTS, &bad, 4, 0));
	for (n = 0; n < 254; n++)
		fds[n] = p[1];
	T("253", send_with(s[0], SCM_RIGHTS, fds, 253 * 4, 0));
	T("254", send_with(s[0], SCM_RIGHTS, fds, 254 * 4, 0));
	T("room for few", (n = receive("few", s[1], CMSG_SPACE(8), fds), n));
	for (int i = 0; i < n; i++)
		close(fds[i]);
	T("none", send_with(s[0], SCM_RIGHTS, fds, 0, 0));
	receive("with none", s[1], 200, fds);
	T("closed by nobody taking it", send_with(d[0], SCM_RIGHTS, &p[1], 4, 0));
	close(p[1]);
	T("read without control", recv(d[1], buf, 10, 0));
	T("pipe ended", read(p[0], buf, 1));
	close(p[0]);
	T("over tcp type", send_with(d[0], 77, &one, 4, 0));
	T("credentials", send_with(s[0], SCM_CREDENTIALS, &uc, sizeof(uc), 0));
	receive("not asked for", s[1], 200, fds);
	setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, 4);
	write(s[0], "x", 1);
	receive("asked for", s[1], 200, fds);
	send_with(s[0], SCM_CREDENTIALS, &uc, sizeof(uc), 0);
	receive("sent", s[1], 200, fds);
	T("short credentials", send_with(s[0], SCM_CREDENTIALS, &uc, 8, 0));
	/* Messages with descriptors do not run into each other. */
	pipe(p);
	write(s[0], "a", 1);
	send_with(s[0], SCM_RIGHTS, &p[0], 4, 0);
	send_with(s[0], SCM_RIGHTS, &p[1], 4, 0);
	one = 0;
	setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, 4);
	for (int i = 0; i < 4; i++)
		for (n = receive("in order", s[1], 200, fds); n > 0; n--)
			close(fds[n - 1]);
	close(p[0]);
	close(p[1]);
	/* A socket inside itself, and two inside each other: gone when closed, again and again. */
	close(s[0]);
	close(s[1]);
	close(d[0]);
	close(d[1]);
	int failed = 0;
	for (int i = 0; i < 5000 && !failed; i++) {
		if (socketpair(AF_UNIX, i & 1 ? SOCK_STREAM : SOCK_DGRAM, 0, s) || socketpair(AF_UNIX, SOCK_STREAM, 0, d))
			failed = 1;
		else if (send_with(s[0], SCM_RIGHTS, i & 2 ? &s[0] : &s[1], 4, 0) < 0 || send_with(s[1], SCM_RIGHTS, &d[0], 4, 0) < 0 ||
			 send_with(d[1], SCM_RIGHTS, &s[1], 4, 0) < 0)
			failed = 2;
		for (int k = 0; k < 2; k++) {
			close(s[k]);
			close(d[k]);
		}
	}
	V("cycles", failed);
	T("limit lowered", setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 8, 8 }));
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	int f[4] = { 0, 1, 2, s[0] };
	T("four", send_with(s[0], SCM_RIGHTS, f, 16, 0));
	n = receive("no room in the table", s[1], 200, fds);
	V("came", n);
}

int main(void)
{
	scratch();
	signal(SIGPIPE, SIG_IGN);
	names();
	streams();
	datagrams();
	passing();
	return 0;
}
