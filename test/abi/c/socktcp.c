/* SPDX-License-Identifier: Apache-2.0 */
/* socktcp.c: TCP on loopback: connecting, refusing, closing in each order, names, ports, backlogs, IPv6. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/sockios.h>

#define A(s) (struct sockaddr *)&(s), sizeof(s)

static struct sockaddr_in at(uint32_t ip, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
}
#define LO 0x7f000001

static int port_of(int fd)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);

	return getsockname(fd, (struct sockaddr *)&sa, &len) ? -1 : ntohs(sa.sin6_port);
}

static void show_name(const char *what, int fd, int (*call)(int, struct sockaddr *, socklen_t *), int port)
{
	union { struct sockaddr_in a; struct sockaddr_in6 b; } u = { .b = { 0 } };
	socklen_t len = sizeof(u);
	char s[64] = "?";
	int r = call(fd, (struct sockaddr *)&u, &len);

	if (r) {
		printf("%s: %s\n", what, ename(errno));
		return;
	}
	int v6 = u.a.sin_family == AF_INET6, p = ntohs(v6 ? u.b.sin6_port : u.a.sin_port);
	inet_ntop(u.a.sin_family, v6 ? (void *)&u.b.sin6_addr : (void *)&u.a.sin_addr, s, sizeof(s));
	printf("%s: family %d %s port %s length %d\n", what, u.a.sin_family, s, p == port ? "same" : p ? "other" : "0", (int)len);
}

/* Waits for any of the bits, then shows those that hold. */
static void show_poll(const char *what, int fd, int wait)
{
	struct pollfd p = { fd, wait, 0 };

	if (wait)
		poll(&p, 1, 5000);
	p.events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI;
	poll(&p, 1, 0);
	printf("%s: %s%s%s%s%s%s\n", what, p.revents & POLLIN ? "IN " : "", p.revents & POLLOUT ? "OUT " : "", p.revents & POLLRDHUP ? "RDHUP " : "",
	       p.revents & POLLERR ? "ERR " : "", p.revents & POLLHUP ? "HUP " : "", p.revents & POLLNVAL ? "NVAL " : "");
}

static int so_error(int fd)
{
	int v = -1;
	socklen_t len = sizeof(v);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len);
	return v;
}
#define E(name, e) do { int e_ = (e); printf("%s: %s\n", name, e_ ? ename(e_) : "0"); } while (0)

static int tcp_state(int fd)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len);
	return ti.tcpi_state;
}

static int listener(uint32_t ip, int backlog)
{
	struct sockaddr_in sa = at(ip, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, A(sa)) || listen(fd, backlog))
		exit(98);
	return fd;
}

static void pair(int ls, int s[2])
{
	struct sockaddr_in sa = at(LO, port_of(ls));

	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(s[0], A(sa)))
		exit(97);
	s[1] = accept(ls, NULL, NULL);
}

static void binding(void)
{
	struct sockaddr_in sa = at(LO, 0), any = at(0, 0), x;
	int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0), c, one = 1, zero = 0;

	T("bind loopback", bind(a, A(sa)));
	sa.sin_port = any.sin_port = htons(port_of(a));
	T("bind same", bind(b, A(sa)));
	T("bind any same port", bind(b, A(any)));
	x = at(0x7f000002, ntohs(sa.sin_port));
	T("bind other loopback", bind(b, A(x)));
	close(b);
	b = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &one, 4);
	T("reuseaddr one side", bind(b, A(sa)));
	setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &one, 4);
	T("reuseaddr both", bind(b, A(sa)));
	T("listen first", listen(a, 1));
	T("listen second", listen(b, 1));
	c = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(c, SOL_SOCKET, SO_REUSEADDR, &one, 4);
	T("reuseaddr with listener", bind(c, A(sa)));
	close(a);
	close(b);
	close(c);
	a = socket(AF_INET, SOCK_STREAM, 0);
	b = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &one, 4);
	sa = at(LO, 0);
	bind(a, A(sa));
	sa.sin_port = htons(port_of(a));
	T("reuseport one side", bind(b, A(sa)));
	setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &one, 4);
	T("reuseport both", bind(b, A(sa)));
	T("listen both", listen(a, 5) | listen(b, 5));
	/* Each gets some of them. */
	int got[2] = { 0, 0 }, fds[40];
	for (int i = 0; i < 40; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		connect(fds[i], A(sa));
		struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
		poll(p, 2, 5000);
		for (int k = 0; k < 2; k++)
			if (p[k].revents) {
				close(accept(p[k].fd, NULL, NULL));
				got[k]++;
			}
		close(fds[i]);
	}
	V("all accepted", got[0] + got[1]);
	OK("shared", got[0] > 0 && got[1] > 0);
	close(a);
	close(b);
	a = socket(AF_INET, SOCK_STREAM, 0);
	x = at(0x01020304, 0);
	T("bind foreign", bind(a, A(x)));
	setsockopt(a, IPPROTO_IP, IP_FREEBIND, &one, 4);
	T("bind foreign, free", bind(a, A(x)));
	setsockopt(a, IPPROTO_IP, IP_FREEBIND, &zero, 4);
	x.sin_family = AF_INET6;
	T("bind wrong family", bind(a, A(x)));
	T("bind no address", bind(a, NULL, 16));
	T("bind long address", bind(a, (struct sockaddr *)&x, 200));
	T("bind again", (x = at(LO, 0), bind(a, A(x))));
	close(a);
	a = socket(AF_INET, SOCK_STREAM, 0);
	T("listen unbound", listen(a, 3));
	OK("port given", port_of(a) > 0);
	show_name("listener", a, getsockname, port_of(a));
	T("listen again", listen(a, 5));
	T("connect listener", connect(a, A(x)));
	V("listen state", tcp_state(a));
	close(a);
	a = socket(AF_INET, SOCK_STREAM, 0);
	x = (struct sockaddr_in){ .sin_family = AF_UNSPEC };
	T("bind unspec any", bind(a, A(x)));
	close(a);
	a = socket(AF_INET, SOCK_STREAM, 0);
	x.sin_addr.s_addr = htonl(LO);
	T("bind unspec loopback", bind(a, A(x)));
	close(a);
}

static void connecting(void)
{
	int ls = listener(LO, 5), s[2], fd;
	struct sockaddr_in sa = at(LO, port_of(ls)), none = { .sin_family = AF_UNSPEC }, x;
	char buf[100];

	fd = socket(AF_INET, SOCK_STREAM, 0);
	show_poll("poll fresh", fd, 0);
	V("fresh state", tcp_state(fd));
	T("read fresh", read(fd, buf, 1));
	T("send fresh", send(fd, "x", 1, MSG_NOSIGNAL));
	T("disconnect fresh", connect(fd, A(none)));
	T("connect", connect(fd, A(sa)));
	V("connected state", tcp_state(fd));
	show_poll("poll connected", fd, POLLOUT);
	show_name("own name", fd, getsockname, 0);
	show_name("peer name", fd, getpeername, ntohs(sa.sin_port));
	s[1] = accept(ls, NULL, NULL);
	show_name("accepted name", s[1], getsockname, ntohs(sa.sin_port));
	show_name("accepted peer", s[1], getpeername, port_of(fd));
	T("connect again", connect(fd, A(sa)));
	T("listen connected", listen(fd, 1));
	T("sendto with address", sendto(fd, "ab", 2, 0, A(sa)));
	T("recvfrom", recvfrom(s[1], buf, 100, 0, (struct sockaddr *)&x, &(socklen_t){ sizeof(x) }));
	T("disconnect", connect(fd, A(none)));
	show_poll("poll disconnected", fd, 0);
	show_name("peer disconnected", fd, getpeername, 0);
	show_poll("other disconnected", s[1], POLLIN);
	T("read disconnected", read(s[1], buf, 1));
	close(s[1]);
	T("connect anew", connect(fd, A(sa)));
	close(accept(ls, NULL, NULL));
	close(fd);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	x = at(LO, 1);
	T("nonblock refused", connect(fd, A(x)));
	show_poll("poll refused", fd, POLLOUT);
	E("refused error", so_error(fd));
	E("error again", so_error(fd));
	show_poll("poll after error", fd, 0);
	T("connect after", connect(fd, A(x)));
	T("nonblock connect", connect(fd, A(sa)));
	show_poll("poll nonblock", fd, POLLOUT);
	E("no error", so_error(fd));
	T("connect done", connect(fd, A(sa)));
	T("connect twice", connect(fd, A(sa)));
	close(fd);
	close(accept(ls, NULL, NULL));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	x = at(LO, 1);
	T("refused", connect(fd, A(x)));
	show_poll("poll blocking refused", fd, 0);
	E("blocking error", so_error(fd));
	T("refused again", connect(fd, A(x)));
	T("then connected", connect(fd, A(sa)));
	close(accept(ls, NULL, NULL));
	close(fd);
	x = at(0, ntohs(sa.sin_port));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("connect any", connect(fd, A(x)));
	show_name("peer of any", fd, getpeername, ntohs(sa.sin_port));
	close(fd);
	close(accept(ls, NULL, NULL));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	x = at(LO, 0);
	T("connect port 0", connect(fd, A(x)));
	T("connect short", connect(fd, (struct sockaddr *)&sa, 8));
	T("connect bad address", connect(fd, BAD, 16));
	x = at(0xe0000001, 80);
	T("connect multicast", connect(fd, A(x)));
	x = at(0xffffffff, 80);
	T("connect broadcast", connect(fd, A(x)));
	close(fd);
	/* To itself. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	x = at(LO, 0);
	bind(fd, A(x));
	x = at(LO, port_of(fd));
	T("connect self", connect(fd, A(x)));
	T("write self", write(fd, "me", 2));
	T("read self", recv(fd, buf, 10, 0));
	T("shutdown self", shutdown(fd, SHUT_WR));
	T("read self end", recv(fd, buf, 10, 0));
	close(fd);
	close(ls);
}

static void closing(void)
{
	int ls = listener(LO, 5), s[2];
	char buf[100];
	struct linger lg = { 1, 0 };

	pair(ls, s);
	T("shutdown write", shutdown(s[0], SHUT_WR));
	show_poll("half closed", s[0], 0);
	show_poll("peer of half closed", s[1], POLLIN);
	V("close wait", tcp_state(s[1]));
	T("read end", read(s[1], buf, 1));
	T("read end again", recv(s[1], buf, 1, MSG_DONTWAIT));
	T("write back", write(s[1], "abc", 3));
	T("read back", read(s[0], buf, 10));
	T("send after shutdown", send(s[0], "x", 1, MSG_NOSIGNAL));
	T("shutdown twice", shutdown(s[0], SHUT_WR));
	T("shutdown peer", shutdown(s[1], SHUT_WR));
	show_poll("both closed", s[0], POLLIN);
	show_poll("both closed too", s[1], POLLHUP);
	T("shutdown again", shutdown(s[1], SHUT_RDWR));
	show_name("peer name after", s[1], getpeername, 0);
	close(s[0]);
	close(s[1]);

	pair(ls, s);
	T("shutdown read", shutdown(s[0], SHUT_RD));
	show_poll("read shut", s[0], 0);
	T("read shut", recv(s[0], buf, 1, 0));
	T("write to read shut", write(s[1], "x", 1));
	show_poll("data for read shut", s[0], POLLIN);
	close(s[0]);
	close(s[1]);

	pair(ls, s);
	T("close peer", close(s[1]));
	show_poll("peer closed", s[0], POLLIN);
	T("read closed", read(s[0], buf, 1));
	T("write closed", send(s[0], "x", 1, MSG_NOSIGNAL));
	show_poll("after write", s[0], POLLERR | POLLHUP);
	E("error", so_error(s[0]));
	T("write closed again", send(s[0], "x", 1, MSG_NOSIGNAL));
	T("read after reset", read(s[0], buf, 1));
	close(s[0]);

	pair(ls, s);
	write(s[0], "unread", 6);
	struct pollfd p = { s[1], POLLIN, 0 };
	poll(&p, 1, 5000);
	close(s[1]);
	show_poll("reset by unread data", s[0], POLLERR);
	T("read reset", read(s[0], buf, 1));
	T("read after", read(s[0], buf, 1));
	T("write after", send(s[0], "x", 1, MSG_NOSIGNAL));
	close(s[0]);

	pair(ls, s);
	write(s[1], "last words", 10);
	setsockopt(s[1], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
	close(s[1]);
	show_poll("reset with data", s[0], POLLERR);
	E("reset error", so_error(s[0]));
	close(s[0]);

	pair(ls, s);
	close(s[0]);
	T("wait end", recv(s[1], buf, 1, 0));
	T("write one", send(s[1], "x", 1, MSG_NOSIGNAL));
	p = (struct pollfd){ s[1], 0, 0 };
	poll(&p, 1, 5000);
	signal(SIGPIPE, SIG_DFL);
	pid_t pid = fork();
	if (!pid) {
		write(s[1], "x", 1);
		_exit(0);
	}
	int st = 0;
	waitpid(pid, &st, 0);
	V("killed by", WIFSIGNALED(st) ? WTERMSIG(st) : 0);
	signal(SIGPIPE, SIG_IGN);
	close(s[1]);

	/* A listener that goes with connections in its backlog. */
	struct sockaddr_in sa = at(LO, port_of(ls));
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	connect(s[0], A(sa));
	close(ls);
	show_poll("backlog reset", s[0], POLLERR);
	T("read backlog", read(s[0], buf, 1));
	T("connect no listener", connect(s[0], A(sa)));
	close(s[0]);
	ls = listener(LO, 5);
	T("shutdown listener", shutdown(ls, SHUT_RD));
	show_poll("listener shut", ls, 0);
	T("accept shut", accept(ls, NULL, NULL));
	T("listen shut", listen(ls, 1));
	close(ls);
}

static void moving(void)
{
	int ls = listener(LO, 5), s[2], v, p[2];
	char buf[200];
	struct iovec iv[3] = { { "one", 3 }, { "", 0 }, { "three", 5 } };

	pair(ls, s);
	show_poll("quiet", s[0], POLLOUT);
	T("writev", writev(s[0], iv, 3));
	T("peek", recv(s[1], buf, 4, MSG_PEEK | MSG_WAITALL));
	T("trunc", recv(s[1], NULL, 3, MSG_TRUNC));
	T("rest", recv(s[1], buf, 100, 0));
	printf("rest is %.5s\n", buf);
	T("zero write", write(s[0], "", 0));
	T("zero read", read(s[1], buf, 0));
	T("nothing", recv(s[1], buf, 1, MSG_DONTWAIT));
	T("oob inline off", recv(s[1], buf, 1, MSG_OOB));
	T("errqueue", recv(s[1], buf, 1, MSG_ERRQUEUE));
	T("bad buffer", send(s[0], BAD, 10, 0));
	write(s[0], "data", 4);
	struct pollfd pf = { s[1], POLLIN, 0 };
	poll(&pf, 1, 5000);
	T("fionread", (ioctl(s[1], FIONREAD, &v), v));
	T("read to nowhere", recv(s[1], BAD, 4, 0));
	T("still there", recv(s[1], buf, 10, 0));
	T("siocatmark", (v = 7, ioctl(s[1], SIOCATMARK, &v), v));
	T("ioctl none", ioctl(s[1], 0x1234, &v));
	T("fionbio", (v = 1, ioctl(s[1], FIONBIO, &v)));
	T("nonblocking", read(s[1], buf, 1));
	T("flags", fcntl(s[1], F_GETFL) & O_NONBLOCK);
	T("seek", lseek(s[0], 0, SEEK_SET));
	T("pread", pread(s[0], buf, 1, 0));
	T("ftruncate", ftruncate(s[0], 0));
	T("fsync", fsync(s[0]));
	struct stat st;
	fstat(s[0], &st);
	OK("is a socket", S_ISSOCK(st.st_mode));
	V("mode", st.st_mode & 0777);
	T("sendfile", (put("f", "from a file"), v = open("f", O_RDONLY), sendfile(s[0], v, NULL, 100)));
	poll(&pf, 1, 5000);
	T("got", recv(s[1], buf, 100, 0));
	close(v);
	pipe(p);
	write(p[1], "through a pipe", 14);
	T("splice in", splice(p[0], NULL, s[0], NULL, 100, 0));
	poll(&pf, 1, 5000);
	T("splice out", splice(s[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
	T("piped", read(p[0], buf, 100));
	struct timeval tv = { 0, 50000 };
	setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	T("timed out", recv(s[0], buf, 1, 0));
	struct timespec ts = { 0, 1000000 };
	struct mmsghdr mm[3];
	memset(mm, 0, sizeof(mm));
	for (int i = 0; i < 3; i++) {
		mm[i].msg_hdr.msg_iov = &iv[0];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	T("sendmmsg", sendmmsg(s[0], mm, 3, 0));
	V("sent each", mm[2].msg_len);
	iv[0] = (struct iovec){ buf, 3 };
	do
		ioctl(s[1], FIONREAD, &v);
	while (v < 9);
	T("recvmmsg", recvmmsg(s[1], mm, 3, MSG_DONTWAIT, &ts));
	struct msghdr mh = { .msg_iov = iv, .msg_iovlen = 2000 };
	T("too many pieces", sendmsg(s[0], &mh, 0));
	mh.msg_iovlen = 1;
	mh.msg_control = buf;
	mh.msg_controllen = 16;
	memset(buf, 0, sizeof(buf));
	T("bad control", sendmsg(s[0], &mh, 0));
	close(s[0]);
	close(s[1]);
	/* Small buffers hold little. */
	pair(ls, s);
	v = 4096;
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 4);
	setsockopt(s[1], SOL_SOCKET, SO_RCVBUF, &v, 4);
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	static char big[65536];
	long n, sum = 0;
	while (sum < (8 << 20) && (n = write(s[0], big, sizeof(big))) > 0)
		sum += n;
	OK("full", sum < (8 << 20) && errno == EAGAIN);
	show_poll("full buffer", s[0], 0);
	while (sum > 0 && (n = read(s[1], big, sizeof(big))) > 0)
		sum -= n;
	V("all came", sum);
	show_poll("empty again", s[0], POLLOUT);
	close(s[0]);
	close(s[1]);
	close(ls);
}

static void backlog(void)
{
	int ls = listener(LO, 1), fd[3];
	struct sockaddr_in sa = at(LO, port_of(ls));

	show_poll("listener quiet", ls, 0);
	fcntl(ls, F_SETFL, O_NONBLOCK);
	T("accept none", accept(ls, NULL, NULL));
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		T("connect", connect(fd[i], A(sa)));
	}
	fd[2] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	T("one too many", connect(fd[2], A(sa)));
	show_poll("listener ready", ls, POLLIN);
	T("accept bad name", accept(ls, BAD, &(socklen_t){ 16 }) < 0 ? -1 : 0);
	T("accept bad flags", accept4(ls, NULL, NULL, 0x55));
	poll(&(struct pollfd){ ls, POLLIN, 0 }, 1, 5000);
	int c = accept4(ls, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	T("cloexec", fcntl(c, F_GETFD));
	T("nonblock", fcntl(c, F_GETFL) & O_NONBLOCK);
	close(c);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(ls);
}

static void v6(void)
{
	int ls = socket(AF_INET6, SOCK_STREAM, 0), fd, c, one = 1, zero = 0;
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT }, x;
	struct sockaddr_in s4;

	if (bind(ls, A(sa))) { /* a machine without IPv6 */
		printf("no IPv6\n");
		return;
	}
	listen(ls, 5);
	sa.sin6_port = htons(port_of(ls));
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	T("connect6", connect(fd, A(sa)));
	c = accept(ls, NULL, NULL);
	show_name("peer6", c, getpeername, port_of(fd));
	show_name("own6", c, getsockname, port_of(ls));
	close(fd);
	close(c);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	s4 = at(LO, ntohs(sa.sin6_port));
	T("4 to ::1", connect(fd, A(s4)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	T("6 socket, 4 address", connect(fd, A(s4)));
	close(fd);
	close(ls);
	ls = socket(AF_INET6, SOCK_STREAM, 0);
	memset(&sa, 0, sizeof(sa));
	sa.sin6_family = AF_INET6;
	bind(ls, A(sa));
	listen(ls, 5);
	sa.sin6_port = htons(port_of(ls));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	s4 = at(LO, ntohs(sa.sin6_port));
	T("4 to ::", connect(fd, A(s4)));
	c = accept(ls, NULL, NULL);
	show_name("mapped peer", c, getpeername, port_of(fd));
	show_name("mapped own", c, getsockname, port_of(ls));
	close(c);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	x = sa;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &x.sin6_addr);
	T("mapped connect", connect(fd, A(x)));
	show_name("mapped own name", fd, getsockname, 0);
	close(fd);
	close(accept(ls, NULL, NULL));
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4);
	T("mapped, v6 only", connect(fd, A(x)));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("4 any with 6 any", (s4 = at(0, ntohs(sa.sin6_port)), bind(fd, A(s4))));
	close(fd);
	close(ls);
	ls = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(ls, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4);
	sa.sin6_port = 0;
	bind(ls, A(sa));
	listen(ls, 5);
	T("v6only late", setsockopt(ls, IPPROTO_IPV6, IPV6_V6ONLY, &zero, 4));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	s4 = at(LO, port_of(ls));
	T("4 to v6only", connect(fd, A(s4)));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	s4 = at(0, port_of(ls));
	T("4 beside v6only", bind(fd, A(s4)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	x = sa;
	T("bind mapped foreign", (inet_pton(AF_INET6, "::ffff:1.2.3.4", &x.sin6_addr), x.sin6_port = 0, bind(fd, A(x))));
	T("bind6 foreign", (inet_pton(AF_INET6, "2001:db8::1", &x.sin6_addr), bind(fd, A(x))));
	T("bind6 short", bind(fd, (struct sockaddr *)&x, 20));
	T("connect any6", (x.sin6_addr = in6addr_any, x.sin6_port = htons(port_of(ls)), connect(fd, A(x))));
	show_name("any6 peer", fd, getpeername, port_of(ls));
	close(fd);
	close(ls);
}

int main(void)
{
	scratch();
	signal(SIGPIPE, SIG_IGN);
	binding();
	connecting();
	closing();
	moving();
	backlog();
	v6();
	return 0;
}
