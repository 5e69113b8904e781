/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c: datagrams on loopback: names, connecting, truncation, errors, ancillary data, IPv6. */
#include "check.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define A(s) (struct sockaddr *)&(s), sizeof(s)
#define LO 0x7f000001

static struct sockaddr_in at(uint32_t ip, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
}

static int port_of(int fd)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);

	return getsockname(fd, (struct sockaddr *)&sa, &len) ? -1 : ntohs(sa.sin6_port);
}

static void show_poll(const char *what, int fd, int wait)
{
	struct pollfd p = { fd, wait, 0 };

	if (wait)
		poll(&p, 1, 5000);
	p.events = POLLIN | POLLOUT | POLLRDHUP;
	poll(&p, 1, 0);
	printf("%s: %x\n", what, p.revents);
}

static int bound(uint32_t ip)
{
	struct sockaddr_in sa = at(ip, 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	bind(fd, A(sa));
	return fd;
}

static void basics(void)
{
	int a = bound(LO), b = socket(AF_INET, SOCK_DGRAM, 0), v;
	struct sockaddr_in sa = at(LO, port_of(a)), from, x;
	socklen_t len = sizeof(from);
	static char buf[70000];

	show_poll("fresh", b, 0);
	T("write unconnected", write(b, "x", 1));
	T("getpeername", getpeername(b, (struct sockaddr *)&x, &(socklen_t){ 16 }));
	T("shutdown unconnected", shutdown(b, SHUT_RD));
	close(b);
	b = socket(AF_INET, SOCK_DGRAM, 0);
	T("sendto", sendto(b, "hello", 5, 0, A(sa)));
	T("sendto empty", sendto(b, "", 0, 0, A(sa)));
	T("sendto short address", sendto(b, "x", 1, 0, (struct sockaddr *)&sa, 8));
	T("sendto bad family", (x = sa, x.sin_family = 99, sendto(b, "x", 1, 0, A(x))));
	T("sendto unspec", (x.sin_family = AF_UNSPEC, sendto(b, "unspec", 6, 0, A(x))));
	T("sendto port 0", (x = at(LO, 0), sendto(b, "x", 1, 0, A(x))));
	T("sendto oob", sendto(b, "x", 1, MSG_OOB, A(sa)));
	OK("own port", port_of(b) > 0);
	show_poll("readable", a, POLLIN);
	T("fionread", (ioctl(a, FIONREAD, &v), v));
	T("peek", recvfrom(a, buf, 3, MSG_PEEK, (struct sockaddr *)&from, &len));
	T("peek trunc", recvfrom(a, buf, 3, MSG_PEEK | MSG_TRUNC, NULL, NULL));
	T("recvfrom short", recvfrom(a, buf, 3, 0, (struct sockaddr *)&from, &len));
	OK("from", from.sin_addr.s_addr == htonl(LO) && ntohs(from.sin_port) == port_of(b) && len == 16);
	T("recv empty", recv(a, buf, 10, 0));
	T("recv unspec", recv(a, buf, 10, 0));
	T("recv none", recv(a, buf, 10, MSG_DONTWAIT));
	T("errqueue", recv(a, buf, 10, MSG_ERRQUEUE));
	T("largest", sendto(b, buf, 65507, 0, A(sa)));
	T("recv largest", recv(a, buf, sizeof(buf), 0));
	T("too large", sendto(b, buf, 65508, 0, A(sa)));
	T("listen", listen(b, 1));
	T("accept", accept(b, NULL, NULL));
	T("bad buffer", sendto(b, BAD, 10, 0, A(sa)));
	T("nothing came", recv(a, buf, 10, MSG_DONTWAIT));
	struct iovec iv[2] = { { "ab", 2 }, { "cde", 3 } }, in[2] = { { buf, 1 }, { buf + 10, 100 } };
	struct msghdr mh = { .msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = iv, .msg_iovlen = 2 };
	T("sendmsg", sendmsg(b, &mh, 0));
	mh = (struct msghdr){ .msg_name = &from, .msg_namelen = 100, .msg_iov = in, .msg_iovlen = 1 };
	T("recvmsg", recvmsg(a, &mh, 0));
	V("truncated", mh.msg_flags);
	V("name length", mh.msg_namelen);
	struct mmsghdr mm[4];
	memset(mm, 0, sizeof(mm));
	for (int i = 0; i < 4; i++)
		mm[i].msg_hdr = (struct msghdr){ .msg_name = &sa, .msg_namelen = 16, .msg_iov = iv, .msg_iovlen = 1 + i % 2 };
	T("sendmmsg", sendmmsg(b, mm, 4, 0));
	for (int i = 0; i < 4; i++)
		mm[i].msg_hdr = (struct msghdr){ .msg_iov = in, .msg_iovlen = 2 };
	T("recvmmsg", recvmmsg(a, mm, 4, 0, NULL));
	V("second length", mm[1].msg_len);
	sendto(b, "x", 1, 0, A(sa));
	T("recvmmsg for one", recvmmsg(a, mm, 4, MSG_WAITFORONE, NULL));
	T("recvmmsg none", recvmmsg(a, mm, 4, MSG_DONTWAIT, NULL));
	T("broadcast", (x = at(0xffffffff, 9), sendto(b, "x", 1, 0, A(x))));
	T("to any", (x = at(0, port_of(a)), sendto(b, "any", 3, 0, A(x))));
	T("any came", recv(a, buf, 10, 0));
	close(a);
	T("to nobody", sendto(b, "x", 1, 0, A(sa)));
	T("no error", sendto(b, "x", 1, 0, A(sa)));
	close(b);
}

static void connected(void)
{
	int a = bound(LO), b = socket(AF_INET, SOCK_DGRAM, 0), c = bound(LO), v;
	struct sockaddr_in sa = at(LO, port_of(a)), bs, x, none = { .sin_family = AF_UNSPEC };
	socklen_t len = sizeof(v);
	char buf[100];

	T("connect", connect(b, A(sa)));
	bs = at(LO, port_of(b));
	len = sizeof(x);
	T("getpeername", getpeername(b, (struct sockaddr *)&x, &len));
	OK("peer", x.sin_port == sa.sin_port);
	getsockname(b, (struct sockaddr *)&x, &len);
	OK("own address", x.sin_addr.s_addr == htonl(LO));
	T("write", write(b, "abc", 3));
	T("read", read(a, buf, 100));
	T("stranger", sendto(c, "no", 2, 0, A(bs)));
	T("not for us", recv(b, buf, 10, MSG_DONTWAIT));
	T("friend", sendto(a, "yes", 3, 0, A(bs)));
	T("for us", recv(b, buf, 10, 0));
	x = at(LO, port_of(c));
	T("to another", sendto(b, "other", 5, 0, A(x)));
	T("other has it", recv(c, buf, 10, 0));
	T("connect another", connect(b, A(x)));
	T("write another", write(b, "x", 1));
	T("another has it", recv(c, buf, 10, 0));
	T("disconnect", connect(b, A(none)));
	T("write disconnected", write(b, "x", 1));
	T("connect again", connect(b, A(sa)));
	close(a);
	T("write refused", write(b, "x", 1));
	show_poll("refused", b, POLLERR);
	len = sizeof(v);
	getsockopt(b, SOL_SOCKET, SO_ERROR, &v, &len);
	printf("error %s\n", ename(v));
	T("write refused", write(b, "x", 1));
	struct pollfd p = { b, 0, 0 };
	poll(&p, 1, 5000);
	T("read refused", recv(b, buf, 10, MSG_DONTWAIT));
	T("read then", recv(b, buf, 10, MSG_DONTWAIT));
	T("shutdown read", shutdown(b, SHUT_RD));
	T("read shut", recv(b, buf, 10, 0));
	show_poll("read shut", b, 0);
	T("shutdown write", shutdown(b, SHUT_WR));
	show_poll("all shut", b, 0);
	signal(SIGPIPE, SIG_IGN);
	T("write shut", write(b, "x", 1));
	close(b);
	close(c);
}

static void ports(void)
{
	int a = bound(LO), b = socket(AF_INET, SOCK_DGRAM, 0), one = 1, got[2] = { 0, 0 };
	struct sockaddr_in sa = at(LO, port_of(a)), any = at(0, port_of(a));
	char buf[10];

	T("same port", bind(b, A(sa)));
	T("any, same port", bind(b, A(any)));
	setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &one, 4);
	T("reuseaddr one side", bind(b, A(sa)));
	setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &one, 4);
	T("reuseaddr both", bind(b, A(sa)));
	close(a);
	close(b);
	a = socket(AF_INET, SOCK_DGRAM, 0);
	b = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &one, 4);
	setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &one, 4);
	sa = at(LO, 0);
	bind(a, A(sa));
	sa = at(LO, port_of(a));
	T("reuseport both", bind(b, A(sa)));
	for (int i = 0; i < 64; i++) {
		int c = socket(AF_INET, SOCK_DGRAM, 0);
		sendto(c, "x", 1, 0, A(sa));
		struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
		poll(p, 2, 5000);
		for (int k = 0; k < 2; k++)
			if (p[k].revents)
				got[k] += recv(p[k].fd, buf, 10, 0);
		close(c);
	}
	V("all came", got[0] + got[1]);
	OK("shared", got[0] && got[1]);
	close(a);
	close(b);
}

static void show_control(struct msghdr *mh)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		printf("control level %d type %d length %d", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *i = (void *)CMSG_DATA(c);
			printf(" interface %d address %08x %08x", i->ipi_ifindex, ntohl(i->ipi_addr.s_addr), ntohl(i->ipi_spec_dst.s_addr));
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			printf(" tos %d", *CMSG_DATA(c));
		} else if (c->cmsg_level != SOL_SOCKET && c->cmsg_len == CMSG_LEN(4)) {
			printf(" value %d", *(int *)CMSG_DATA(c));
		}
		printf("\n");
	}
}

static void ancillary(void)
{
	int a = bound(0), b = socket(AF_INET, SOCK_DGRAM, 0), one = 1, tos = 0x28;
	struct sockaddr_in sa = at(LO, port_of(a));
	char buf[100], control[256];
	struct iovec iv = { buf, 100 };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	setsockopt(a, IPPROTO_IP, IP_PKTINFO, &one, 4);
	setsockopt(a, IPPROTO_IP, IP_RECVTTL, &one, 4);
	setsockopt(a, IPPROTO_IP, IP_RECVTOS, &one, 4);
	setsockopt(b, IPPROTO_IP, IP_TOS, &tos, 4);
	setsockopt(a, SOL_SOCKET, SO_TIMESTAMP, &one, 4);
	sendto(b, "x", 1, 0, A(sa));
	T("with control", recvmsg(a, &mh, 0));
	V("flags", mh.msg_flags);
	V("control length", mh.msg_controllen);
	show_control(&mh);
	setsockopt(a, SOL_SOCKET, SO_TIMESTAMPNS, &one, 4);
	sendto(b, "x", 1, 0, A(sa));
	mh.msg_controllen = sizeof(control);
	recvmsg(a, &mh, 0);
	show_control(&mh);
	sendto(b, "x", 1, 0, A(sa));
	mh.msg_controllen = 40;
	T("little room", recvmsg(a, &mh, 0));
	V("flags", mh.msg_flags);
	V("control length", mh.msg_controllen);
	sendto(b, "x", 1, 0, A(sa));
	mh.msg_controllen = 0;
	T("no room", recvmsg(a, &mh, 0));
	V("flags", mh.msg_flags);
	/* The address to send from. */
	memset(control, 0, sizeof(control));
	mh = (struct msghdr){ .msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iv, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
	((struct in_pktinfo *)CMSG_DATA(c))->ipi_spec_dst.s_addr = htonl(0x7f000005);
	iv.iov_len = 1;
	T("from an address", sendmsg(b, &mh, 0));
	struct sockaddr_in from;
	T("came", recvfrom(a, buf, 10, 0, (struct sockaddr *)&from, &(socklen_t){ sizeof(from) }));
	printf("came from %08x\n", ntohl(from.sin_addr.s_addr));
	close(a);
	close(b);
}

static void v6(void)
{
	int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 }, x, from;
	struct sockaddr_in s4;
	socklen_t len = sizeof(from);
	char buf[100], s[64], control[256];
	struct iovec iv = { buf, 100 };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	bind(a, A(sa));
	x = sa;
	x.sin6_port = htons(port_of(a));
	x.sin6_addr = in6addr_loopback;
	T("to ::1", sendto(b, "six", 3, 0, A(x)));
	T("came", recvfrom(a, buf, 10, 0, (struct sockaddr *)&from, &len));
	printf("from %s length %d\n", inet_ntop(AF_INET6, &from.sin6_addr, s, sizeof(s)), (int)len);
	s4 = at(LO, port_of(a));
	T("4 to ::", sendto(c, "four", 4, 0, A(s4)));
	T("came", recvfrom(a, buf, 10, 0, (struct sockaddr *)&from, &len));
	printf("from %s\n", inet_ntop(AF_INET6, &from.sin6_addr, s, sizeof(s)));
	T("6 socket to 4 address", sendto(b, "mixed", 5, 0, A(s4)));
	T("came", recvfrom(a, buf, 10, 0, (struct sockaddr *)&from, &len));
	T("answer", sendto(a, "answer", 6, 0, A(from)));
	T("mapped", recvfrom(b, buf, 10, 0, (struct sockaddr *)&from, &len));
	printf("from %s\n", inet_ntop(AF_INET6, &from.sin6_addr, s, sizeof(s)));
	setsockopt(a, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, 4);
	setsockopt(a, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, 4);
	setsockopt(a, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, 4);
	sendto(b, "x", 1, 0, A(x));
	T("with control", recvmsg(a, &mh, 0));
	show_control(&mh);
	sendto(c, "x", 1, 0, A(s4));
	mh.msg_controllen = sizeof(control);
	T("with control, 4", recvmsg(a, &mh, 0));
	show_control(&mh);
	x.sin6_addr = in6addr_any;
	T("to ::", sendto(b, "any", 3, 0, A(x)));
	T("any came", recv(a, buf, 10, 0));
	setsockopt(b, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4);
	close(b);
	b = socket(AF_INET6, SOCK_DGRAM, 0);
	setsockopt(b, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &x.sin6_addr);
	T("v6 only to mapped", sendto(b, "x", 1, 0, A(x)));
	close(a);
	close(b);
	close(c);
}

static void overflow(void)
{
	int a = bound(LO), b = socket(AF_INET, SOCK_DGRAM, 0), v = 20000, n = 0;
	struct timeval tv = { 0, 100000 };
	struct sockaddr_in sa = at(LO, port_of(a));
	static char buf[2000];

	setsockopt(a, SOL_SOCKET, SO_RCVBUF, &v, 4);
	for (int i = 0; i < 200; i++)
		if (sendto(b, buf, 1000, MSG_DONTWAIT, A(sa)) != 1000)
			printf("send: %s\n", ename(errno));
	setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	while (recv(a, buf, sizeof(buf), 0) == 1000)
		n++;
	OK("some lost", n > 0 && n < 200);
	close(a);
	close(b);
}

int main(void)
{
	start();
	basics();
	connected();
	ports();
	ancillary();
	overflow();
	v6();
	printf("interface %u\n", if_nametoindex("lo"));
	char name[IF_NAMESIZE];
	S("interface 1", if_indextoname(1, name) ? name : "none");
	T("no interface", if_nametoindex("nothere0") ? 0 : -1);
	return 0;
}
