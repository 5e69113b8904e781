/* SPDX-License-Identifier: Apache-2.0 */
/* socket.c: TCP on the loopback address inside the program, and what goes wrong with sockets. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in at(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

#define A(s) (struct sockaddr *)&(s), sizeof(s)

static int port;

static void *client(void *arg)
{
	struct sockaddr_in sa = at(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char buf[100];
	long n, sum = 0;

	if (connect(fd, A(sa)))
		return (void *)-1L;
	write(fd, "ping", 4);
	shutdown(fd, SHUT_WR);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sum += n;
	close(fd);
	return (void *)sum;
}

static void *sink(void *arg)
{
	static char buf[65536];
	long n, sum = 0;

	while ((n = read((int)(long)arg, buf, sizeof(buf))) > 0)
		sum += n;
	return (void *)sum;
}

int main(void)
{
	struct sockaddr_in sa = at(0), pa;
	socklen_t len = sizeof(sa);
	static char buf[300000];
	int ls, fd, c, v;
	pthread_t t;
	void *r;

	start();
	signal(SIGPIPE, SIG_IGN);
	T("socket", ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	T("socket bad family", socket(99, SOCK_STREAM, 0));
	T("socket bad type", socket(AF_INET, 77, 0));
	T("socket bad protocol", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	v = 1;
	T("reuseaddr", setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)));
	T("accept before listen", accept(ls, NULL, NULL));
	T("bind", bind(ls, A(sa)));
	T("bind again", bind(ls, A(sa)));
	T("bind short", bind(ls, (struct sockaddr *)&sa, 3));
	T("listen", listen(ls, 5));
	T("getsockname", getsockname(ls, (struct sockaddr *)&sa, &len));
	port = ntohs(sa.sin_port);
	OK("port given", port > 0);
	V("name length", len);
	T("getpeername", getpeername(ls, (struct sockaddr *)&pa, &len));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("bind taken port", bind(fd, A(sa)));
	T("read unconnected", read(fd, buf, 1));
	T("write unconnected", write(fd, buf, 1));
	T("shutdown unconnected", shutdown(fd, SHUT_RDWR));
	close(fd);

	pthread_create(&t, NULL, client, NULL);
	len = sizeof(pa);
	W("accept", c = accept(ls, (struct sockaddr *)&pa, &len));
	OK("from loopback", pa.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && len == sizeof(pa));
	T("read", read(c, buf, 100));
	T("read eof", read(c, buf, 100));
	T("write", write(c, "pong!", 5));
	T("close", close(c));
	pthread_join(t, &r);
	V("client got", (long)r);

	T("nonblock", fcntl(ls, F_SETFL, O_NONBLOCK));
	T("accept nothing", accept(ls, NULL, NULL));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("connect", connect(fd, A(sa)));
	T("connect again", connect(fd, A(sa)));
	struct pollfd pf = { ls, POLLIN, 0 };
	T("poll listener", poll(&pf, 1, 1000));
	T("accept4", c = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
	T("accept4 bad flags", accept4(ls, NULL, NULL, 1));
	T("flags", fcntl(c, F_GETFL) & O_NONBLOCK);
	T("recv nothing", recv(c, buf, 10, 0));
	T("send", send(fd, "hello", 5, MSG_NOSIGNAL));
	pf.fd = c;
	poll(&pf, 1, 1000);
	T("peek", recv(c, buf, 3, MSG_PEEK));
	T("fionread", (ioctl(c, FIONREAD, &v), v));
	T("recv", recv(c, buf, 3, 0));
	T("recv trunc flag", recv(c, buf, 10, MSG_DONTWAIT));
	struct iovec iv[2] = { { "ab", 2 }, { "cde", 3 } };
	struct msghdr mh = { .msg_iov = iv, .msg_iovlen = 2 };
	T("sendmsg", sendmsg(fd, &mh, 0));
	poll(&pf, 1, 1000);
	T("recvfrom", recvfrom(c, buf, 100, 0, NULL, NULL));
	T("waitall", (write(fd, "12", 2), fcntl(c, F_SETFL, 0), write(fd, "34", 2), recv(c, buf, 4, MSG_WAITALL)));
	pthread_create(&t, NULL, sink, (void *)(long)c);
	memset(buf, 'y', sizeof(buf));
	T("large write", write(fd, buf, sizeof(buf)));
	T("large write", write(fd, buf, sizeof(buf)));
	T("shutdown write", shutdown(fd, SHUT_WR));
	pthread_join(t, &r);
	V("received", (long)r);
	T("write after shutdown", write(fd, "x", 1));
	T("other way", write(c, "still", 5));
	T("read other way", read(fd, buf, 10));
	close(c);
	T("read after close", read(fd, buf, 10));
	close(fd);

	len = sizeof(v);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("so_type", getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
	V("type", v);
	T("so_error", getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len));
	V("error", v);
	T("so_acceptconn", getsockopt(ls, SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
	V("listening", v);
	T("so_domain", getsockopt(ls, SOL_SOCKET, SO_DOMAIN, &v, &len));
	V("domain", v);
	v = 1;
	T("nodelay", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)));
	T("keepalive", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)));
	T("keepidle", setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof(v)));
	T("sndbuf", setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)));
	T("bad option", setsockopt(fd, SOL_SOCKET, 9999, &v, sizeof(v)));
	T("short option", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, 1));
	T("sockopt on file", setsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)));
	pa = at(1);
	T("connect refused", connect(fd, A(pa)));
	pa.sin_family = 99;
	T("connect bad family", connect(fd, A(pa)));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	v = connect(fd, A(sa));
	OK("nonblocking connect", v == 0 || errno == EINPROGRESS);
	pf = (struct pollfd){ fd, POLLOUT, 0 };
	T("poll connected", poll(&pf, 1, 1000));
	printf("events %x\n", pf.revents);
	T("getpeername", getpeername(fd, (struct sockaddr *)&pa, (len = sizeof(pa), &len)));
	OK("peer port", ntohs(pa.sin_port) == port);
	c = accept(ls, NULL, NULL);
	struct linger lg = { 1, 0 };
	T("linger", setsockopt(c, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	close(c);
	poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 1000);
	T("read reset", read(fd, buf, 10));
	close(fd);
	T("close listener", close(ls));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("connect to closed", connect(fd, A(sa)));
	close(fd);
	struct sockaddr_in6 s6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	T("socket6", ls = socket(AF_INET6, SOCK_STREAM, 0));
	T("bind6", bind(ls, A(s6)));
	T("listen6", listen(ls, 5));
	len = sizeof(s6);
	getsockname(ls, (struct sockaddr *)&s6, &len);
	V("name length", len);
	sa = at(ntohs(s6.sin6_port));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	T("connect 4 to 6", connect(fd, A(sa)));
	len = sizeof(s6);
	T("accept 6", c = accept(ls, (struct sockaddr *)&s6, &len));
	OK("mapped address", s6.sin6_family == AF_INET6 && s6.sin6_addr.s6_addr[10] == 0xff);
	return 0;
}
