/* SPDX-License-Identifier: Apache-2.0 */
/* unixsock.c: AF_UNIX sockets: pairs, names, datagrams, passed descriptors. */
#include "check.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(void)
{
	int s[2], ls, fd, c, p[2];
	char buf[200];
	struct sockaddr_un ua = { .sun_family = AF_UNIX, .sun_path = "sock" };
	socklen_t len;

	scratch();
	signal(SIGPIPE, SIG_IGN);
	T("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	T("write", write(s[0], "hello", 5));
	T("read", read(s[1], buf, 2));
	T("read", read(s[1], buf, 10));
	T("shutdown", shutdown(s[0], SHUT_WR));
	T("read eof", read(s[1], buf, 10));
	T("write back", write(s[1], "x", 1));
	close(s[1]);
	T("read last", read(s[0], buf, 10));
	T("read closed", read(s[0], buf, 10));
	T("write closed", write(s[0], buf, 1));
	close(s[0]);
	T("socketpair inet", socketpair(AF_INET, SOCK_STREAM, 0, s));

	T("dgram pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	write(s[0], "one", 3);
	write(s[0], "two", 3);
	T("dgram read short", read(s[1], buf, 2));
	T("dgram read", read(s[1], buf, 10));
	T("dgram empty", recv(s[1], buf, 10, MSG_DONTWAIT));
	close(s[0]);
	close(s[1]);
	T("seqpacket pair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	write(s[0], "one", 3);
	write(s[0], "two", 3);
	T("seqpacket read", read(s[1], buf, 100));
	close(s[0]);
	T("seqpacket read", read(s[1], buf, 100));
	T("seqpacket eof", read(s[1], buf, 100));
	close(s[1]);

	T("socket", ls = socket(AF_UNIX, SOCK_STREAM, 0));
	T("bind", bind(ls, (struct sockaddr *)&ua, sizeof(ua)));
	struct stat st;
	T("stat", stat("sock", &st));
	OK("is socket", S_ISSOCK(st.st_mode));
	T("open socket file", open("sock", O_RDWR));
	T("listen", listen(ls, 3));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	T("bind taken", bind(fd, (struct sockaddr *)&ua, sizeof(ua)));
	T("connect", connect(fd, (struct sockaddr *)&ua, sizeof(ua)));
	len = sizeof(ua);
	T("accept", c = accept(ls, (struct sockaddr *)&ua, &len));
	V("unnamed peer", len);
	write(fd, "named", 5);
	T("read", read(c, buf, 10));
	len = sizeof(ua);
	getpeername(fd, (struct sockaddr *)&ua, &len);
	printf("peer name %s length %d\n", ua.sun_path, (int)len);
	close(c);
	close(fd);
	unlink("sock");
	strcpy(ua.sun_path, "sock");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	T("connect unlinked", connect(fd, (struct sockaddr *)&ua, sizeof(ua)));
	put("plain", "x");
	strcpy(ua.sun_path, "plain");
	T("connect to a file", connect(fd, (struct sockaddr *)&ua, sizeof(ua)));
	close(ls);
	close(fd);

	/* Abstract names. */
	ls = socket(AF_UNIX, SOCK_STREAM, 0);
	memset(&ua, 0, sizeof(ua));
	ua.sun_family = AF_UNIX;
	snprintf(ua.sun_path + 1, 40, "abi-test-%d", getpid());
	len = 2 + 1 + strlen(ua.sun_path + 1);
	T("bind abstract", bind(ls, (struct sockaddr *)&ua, len));
	listen(ls, 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	T("connect abstract", connect(fd, (struct sockaddr *)&ua, len));
	close(fd);
	close(ls);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	T("connect abstract gone", connect(fd, (struct sockaddr *)&ua, len));
	close(fd);

	/* A descriptor passed along. */
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	pipe(p);
	struct iovec iv = { "f", 1 };
	union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr h; } cm;
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1, .msg_control = &cm, .msg_controllen = sizeof(cm) };
	cm.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&cm.h), &p[1], sizeof(int));
	T("send descriptor", sendmsg(s[0], &mh, 0));
	close(p[1]);
	memset(&cm, 0, sizeof(cm));
	iv.iov_base = buf;
	mh.msg_controllen = sizeof(cm);
	T("receive descriptor", recvmsg(s[1], &mh, MSG_CMSG_CLOEXEC));
	memcpy(&fd, CMSG_DATA(&cm.h), sizeof(int));
	OK("rights", cm.h.cmsg_type == SCM_RIGHTS && cm.h.cmsg_len == CMSG_LEN(sizeof(int)));
	T("cloexec", fcntl(fd, F_GETFD));
	write(fd, "through", 7);
	close(fd);
	T("read pipe", read(p[0], buf, 100));
	T("pipe closed", read(p[0], buf, 100));
	int on = 1;
	T("passcred", setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	struct { pid_t pid; uid_t uid; gid_t gid; } cr;
	len = sizeof(cr);
	T("peercred", getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cr, &len));
	OK("it is me", cr.pid == getpid() && cr.uid == getuid());
	return 0;
}
