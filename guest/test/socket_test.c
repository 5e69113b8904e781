/* SPDX-License-Identifier: Apache-2.0 */
/* socket_test.c: sockets inside the guest: TCP, UDP, AF_UNIX, descriptors on the way, options, netlink. */
#include "net_fake.h"
#include "platform.h"
#include <string.h>
#include <linux/in.h>
#include <linux/in6.h>

struct sa_un { u16 family; char path[108]; };
struct mh { void *name; int namelen, pad; struct iovec *iov; size_t niov; void *control; size_t controllen; int flags, pad2; };
struct ch { size_t len; int level, type; };

static char big[500000];

static struct sockaddr_in at(u32 ip, u16 port)
{
	return (struct sockaddr_in){ .sin_family = 2, .sin_port = __builtin_bswap16(port), .sin_addr.s_addr = __builtin_bswap32(ip) };
}
#define LO 0x7f000001
#define A(s) &(s), sizeof(s)

static u16 port_of(int fd)
{
	struct sockaddr_in6 sa;
	u32 len = sizeof(sa);
	EQ(SYS(getsockname, fd, &sa, &len), 0);
	return __builtin_bswap16(sa.sin6_port);
}

static int poll1(int fd, int ev)
{
	struct { int fd; short ev, rev; } p = { fd, ev, 0 };
	long r = SYS(poll, &p, 1, 0);
	EQ(r, p.rev != 0);
	return p.rev;
}
#define ALL (POLLIN | POLLOUT | POLLRDHUP)

static void tcp(void)
{
	struct sockaddr_in sa = at(LO, 0), to, any = at(0, 0);
	u32 len = sizeof(sa), v, l4 = 4;
	char buf[64];
	int ls = SYS(socket, 2, 1, 0), c, s, x;
	EQ(SYS(accept, ls, 0, 0), -EINVAL);
	EQ(poll1(ls, ALL), POLLOUT | POLLHUP);
	EQ(SYS(bind, ls, &sa, 3), -EINVAL);
	to = at(0x08080808, 0);
	EQ(SYS(bind, ls, A(to)), -EADDRNOTAVAIL);
	EQ(SYS(bind, ls, A(sa)), 0);
	EQ(SYS(bind, ls, A(sa)), -EINVAL);
	EQ(SYS(listen, ls, 1), 0);
	sa = at(LO, port_of(ls));
	any.sin_port = sa.sin_port;
	CHECK(port_of(ls) >= 32768);
	c = SYS(socket, 2, 1, 0);
	EQ(SYS(bind, c, A(sa)), -EADDRINUSE);
	EQ(SYS(bind, c, A(any)), -EADDRINUSE);
	v = 1;
	EQ(SYS(setsockopt, c, 1, 2, &v, 4), 0); /* SO_REUSEADDR does not help against a listener */
	EQ(SYS(bind, c, A(sa)), -EADDRINUSE);
	EQ(fake_read(c, buf, 1), -ENOTCONN);
	sigpipes = 0;
	EQ(fake_write(c, buf, 1), -EPIPE);
	EQ(SYS(sendto, c, buf, 1, 0x4000, 0, 0), -EPIPE);
	EQ(sigpipes, 1);
	EQ(SYS(shutdown, c, 2), -ENOTCONN);
	EQ(SYS(shutdown, c, 3), -EINVAL);
	to = at(0x08080808, 80);
	EQ(SYS(connect, c, A(to)), -ENETUNREACH);
	to = at(LO, 1);
	EQ(SYS(connect, c, A(to)), -ECONNREFUSED);
	EQ(SYS(connect, c, A(sa)), 0);
	EQ(SYS(connect, c, A(sa)), -EISCONN);
	s = SYS(accept, ls, &to, &len);
	CHECK(s >= 0);
	EQ(__builtin_bswap16(to.sin_port), port_of(c));
	EQ(poll1(s, ALL), POLLOUT);
	EQ(fake_write(c, "hello", 5), 5);
	EQ(poll1(s, ALL), POLLIN | POLLOUT);
	EQ(SYS(recvfrom, s, buf, 3, 2), 3); /* MSG_PEEK */
	EQ(fake_ioctl(s, 0x541b, &v), 0);
	EQ(v, 5);
	EQ(SYS(recvfrom, s, 0, 2, 0x20), 2); /* MSG_TRUNC throws away */
	EQ(SYS(recvfrom, s, (void *)8, 2, 0), -EFAULT);
	EQ(fake_read(s, buf, 64), 3);
	CHECK(!memcmp(buf, "llo", 3));
	EQ(SYS(recvfrom, s, buf, 5, 0x40), -EAGAIN);
	/* Fill, drain, poll in between. */
	fake_nonblock(c, true);
	long sum = 0, n;
	while ((n = fake_write(c, big, 30000)) > 0)
		sum += n;
	EQ(n, -EAGAIN);
	EQ(sum, 212992);
	EQ(poll1(c, ALL), 0);
	EQ(fake_read(s, big, 1000), 1000);
	EQ(poll1(c, ALL), 0); /* not for a few bytes */
	while (sum > 1000)
		sum -= fake_read(s, big, MIN(sum - 1000, (long)sizeof(big)));
	EQ(poll1(c, ALL), POLLOUT);
	/* Half-close and what is seen of it. */
	EQ(SYS(shutdown, c, 1), 0);
	EQ(poll1(s, ALL), POLLIN | POLLOUT | POLLRDHUP);
	EQ(fake_read(s, buf, 10), 0);
	EQ(fake_write(s, "bye", 3), 3);
	EQ(SYS(shutdown, s, 1), 0);
	EQ(poll1(s, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	EQ(fake_read(c, buf, 10), 3);
	EQ(fake_read(c, buf, 10), 0);
	fake_close(c);
	fake_close(s);
	/* Sending to a closed one: accepted, then EPIPE. */
	c = SYS(socket, 2, 1, 0);
	EQ(SYS(connect, c, A(sa)), 0);
	s = SYS(accept, ls, 0, 0);
	fake_close(s);
	EQ(poll1(c, ALL), POLLIN | POLLOUT | POLLRDHUP);
	EQ(fake_write(c, "a", 1), 1);
	EQ(fake_write(c, "a", 1), -EPIPE);
	fake_close(c);
	/* Closing with data unread resets. */
	c = SYS(socket, 2, 1, 0);
	EQ(SYS(connect, c, A(sa)), 0);
	s = SYS(accept, ls, 0, 0);
	fake_write(c, "unread", 6);
	fake_close(s);
	EQ(poll1(c, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
	EQ(SYS(getsockopt, c, 1, 4, &v, &l4), 0); /* SO_ERROR */
	EQ(v, ECONNRESET);
	EQ(fake_read(c, buf, 1), 0);
	fake_close(c);
	/* Not blocking: in progress, then the truth. */
	c = SYS(socket, 2, 1 | 04000, 0);
	to = at(LO, 1);
	EQ(SYS(connect, c, A(to)), -EINPROGRESS);
	CHECK(poll1(c, ALL) & POLLERR);
	EQ(SYS(connect, c, A(to)), -ECONNREFUSED);
	EQ(SYS(connect, c, A(sa)), -EINPROGRESS);
	EQ(poll1(c, POLLOUT), POLLOUT);
	EQ(SYS(connect, c, A(sa)), 0);
	EQ(SYS(connect, c, A(sa)), -EISCONN);
	/* Backlog 1 takes two; the third waits and gets in. */
	x = SYS(socket, 2, 1, 0);
	EQ(SYS(connect, x, A(sa)), 0);
	int y = SYS(socket, 2, 1 | 04000, 0);
	EQ(SYS(connect, y, A(sa)), -EINPROGRESS);
	EQ(poll1(y, ALL), 0);
	EQ(SYS(connect, y, A(sa)), -EALREADY);
	fake_close(SYS(accept, ls, 0, 0));
	EQ(poll1(y, ALL), POLLOUT);
	/* Blocking connect with a full backlog: times out. */
	int z = SYS(socket, 2, 1, 0);
	u64 t0 = fake_now;
	EQ(SYS(connect, z, A(sa)), -ETIMEDOUT);
	EQ(fake_now - t0, 127 * NSEC);
	/* The listener goes: who waits in its backlog is reset. */
	fake_close(ls);
	EQ(fake_read(y, buf, 1), -ECONNRESET);
	fake_close(c);
	fake_close(x);
	fake_close(y);
	fake_close(z);
}

static void tcp6(void)
{
	struct sockaddr_in6 s6 = { .sin6_family = 10 };
	struct sockaddr_in sa;
	u32 len = sizeof(s6), v = 1;
	int ls = SYS(socket, 10, 1, 0), c;
	EQ(SYS(bind, ls, A(s6)), 0);
	EQ(SYS(listen, ls, 5), 0);
	u16 port = port_of(ls);
	sa = at(0, port);
	c = SYS(socket, 2, 1, 0);
	EQ(SYS(bind, c, A(sa)), -EADDRINUSE); /* :: is 0.0.0.0, too */
	EQ(SYS(connect, c, A(sa)), 0);        /* any is this host */
	int s = SYS(accept, ls, &s6, &len);
	CHECK(s >= 0);
	EQ(len, 28);
	EQ(s6.sin6_family, 10);
	CHECK(!memcmp(&s6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16));
	EQ(SYS(getpeername, c, &sa, &len), 0);
	EQ(sa.sin_addr.s_addr, __builtin_bswap32(LO));
	fake_close(c);
	fake_close(s);
	memset(&s6, 0, sizeof(s6));
	s6.sin6_family = 10;
	s6.sin6_addr.in6_u.u6_addr8[15] = 1;
	s6.sin6_port = __builtin_bswap16(port);
	c = SYS(socket, 10, 1, 0);
	EQ(SYS(connect, c, A(s6)), 0);
	fake_close(c);
	/* v6only and 0.0.0.0 are apart. */
	s = SYS(socket, 10, 1, 0);
	EQ(SYS(setsockopt, s, 41, 26, &v, 4), 0);
	memset(&s6.sin6_addr, 0, 16);
	s6.sin6_port = __builtin_bswap16(7777);
	EQ(SYS(bind, s, A(s6)), 0);
	EQ(SYS(setsockopt, s, 41, 26, &v, 4), -EINVAL);
	c = SYS(socket, 2, 1, 0);
	sa = at(0, 7777);
	EQ(SYS(bind, c, A(sa)), 0);
	fake_close(c);
	fake_close(s);
	fake_close(ls);
}

static void sleeper(void *arg)
{
	char c;
	*(long *)arg = fake_read((int)*(long *)arg, &c, 1);
}

static void timeouts(void)
{
	int sv[2];
	char c;
	struct ktv tv = { 0, 50000 }, got;
	u32 len = sizeof(got);
	EQ(SYS(socketpair, 1, 1, 0, sv), 0);
	EQ(SYS(setsockopt, sv[0], 1, 20, &tv, sizeof(tv)), 0);
	EQ(SYS(getsockopt, sv[0], 1, 20, &got, &len), 0);
	EQ(got.usec, 50000);
	u64 t0 = fake_now;
	EQ(fake_read(sv[0], &c, 1), -EAGAIN);
	EQ(fake_now - t0, 50000000);
	long a = sv[0], b = sv[1];
	spawn(sleeper, &a);
	spawn(sleeper, &b);
	EQ(SYS(poll, 0, 0, 1), 0);
	interrupt();
	EQ(SYS(poll, 0, 0, 1), 0);
	EQ(a, -EINTR);          /* with a time-out: not restarted */
	EQ(b, -ERESTARTSYS);
	a = sv[0];
	spawn(sleeper, &a);
	EQ(SYS(poll, 0, 0, 1), 0);
	EQ(fake_write(sv[1], "x", 1), 1);
	EQ(SYS(poll, 0, 0, 1), 0);
	EQ(a, 1);
	fake_close(sv[0]);
	fake_close(sv[1]);
}

static void udp(void)
{
	struct sockaddr_in sa = at(LO, 0), from;
	u32 len = sizeof(from), v, l4 = 4;
	char buf[64];
	int a = SYS(socket, 2, 2, 0), b = SYS(socket, 2, 2, 0);
	EQ(SYS(bind, a, A(sa)), 0);
	sa = at(LO, port_of(a));
	EQ(fake_write(b, "x", 1), -EDESTADDRREQ);
	EQ(SYS(sendto, b, "hello", 5, 0, A(sa)), 5);
	EQ(SYS(sendto, b, "", 0, 0, A(sa)), 0);
	EQ(SYS(recvfrom, a, buf, 3, 0x20, &from, &len), 5);
	EQ(from.sin_addr.s_addr, __builtin_bswap32(LO));
	EQ(__builtin_bswap16(from.sin_port), port_of(b));
	EQ(SYS(recvfrom, a, buf, 3, 0), 0);
	EQ(SYS(recvfrom, a, buf, 3, 0x40), -EAGAIN);
	EQ(SYS(sendto, b, big, 70000, 0, A(sa)), -EMSGSIZE);
	EQ(SYS(sendto, b, big, 65507, 0, A(sa)), 65507);
	EQ(SYS(recvfrom, a, big, 70000, 0), 65507);
	/* Overflow is silent. */
	for (int i = 0; i < 1000; i++)
		EQ(SYS(sendto, b, big, 1000, 0, A(sa)), 1000);
	int n = 0;
	while (SYS(recvfrom, a, big, 2000, 0x40) == 1000)
		n++;
	CHECK(n > 100 && n < 300);
	/* Connected: only from the peer; refused comes back. */
	EQ(SYS(connect, b, A(sa)), 0);
	int c = SYS(socket, 2, 2, 0);
	struct sockaddr_in bsa = at(LO, port_of(b));
	EQ(SYS(sendto, c, "no", 2, 0, A(bsa)), 2);
	EQ(SYS(recvfrom, b, buf, 3, 0x40), -EAGAIN);
	EQ(SYS(sendto, a, "yes", 3, 0, A(bsa)), 3);
	EQ(SYS(recvfrom, b, buf, 3, 0x40), 3);
	fake_close(a);
	EQ(fake_write(b, "x", 1), 1);
	EQ(poll1(b, POLLIN), POLLERR);
	EQ(SYS(getsockopt, b, 1, 4, &v, &l4), 0);
	EQ(v, ECONNREFUSED);
	from = at(0x01010101, 53);
	EQ(SYS(sendto, c, "x", 1, 0, A(from)), -ENETUNREACH);
	EQ(SYS(listen, c, 1), -EOPNOTSUPP);
	EQ(SYS(accept, c, 0, 0), -EOPNOTSUPP);
	fake_close(b);
	fake_close(c);
}

static long send_fds(int via, const char *s, size_t n, int *fds, int count)
{
	struct { struct ch h; int fd[8]; } c = { { sizeof(struct ch) + 4 * count, 1, 1 }, { 0 } };
	struct iovec iov = { (void *)s, n };
	struct mh m = { .iov = &iov, .niov = 1, .control = &c, .controllen = sizeof(struct ch) + 4 * count };
	memcpy(c.fd, fds, 4 * count);
	return SYS(sendmsg, via, &m, 0x4000);
}

static long recv_fds(int via, char *s, size_t n, int *fds, size_t room, int *flags)
{
	struct { struct ch h; int fd[8]; } c = { { 0 }, { 0 } };
	struct iovec iov = { s, n };
	struct mh m = { .iov = &iov, .niov = 1, .control = &c, .controllen = room };
	long r = SYS(recvmsg, via, &m, 0x40);
	*flags = m.flags;
	if (m.controllen)
		memcpy(fds, c.fd, c.h.len - sizeof(c.h));
	return r < 0 ? r : r * 100 + (long)(m.controllen ? (c.h.len - sizeof(c.h)) / 4 : 0);
}

static void unix_stream(void)
{
	struct sa_un sa = { 1, "/tmp/s" }, abs = { 1, "\0abstract" }, got;
	u32 len = sizeof(got), v[3], l12 = 12;
	char buf[64];
	int ls = SYS(socket, 1, 1, 0), c = SYS(socket, 1, 1, 0), s, sv[2], fl;
	EQ(SYS(connect, c, A(sa)), -ENOENT);
	EQ(SYS(listen, ls, 1), -EINVAL);
	EQ(SYS(bind, ls, A(sa)), 0);
	EQ(SYS(connect, c, A(sa)), -ECONNREFUSED);
	EQ(SYS(listen, ls, 5), 0);
	EQ(SYS(bind, c, A(sa)), -EADDRINUSE);
	EQ(SYS(bind, c, &abs, 11), 0);
	EQ(fake_write(c, "x", 1), -ENOTCONN);
	EQ(fake_read(c, buf, 1), -EINVAL);
	EQ(SYS(connect, c, A(sa)), 0);
	s = SYS(accept, ls, &got, &len);
	CHECK(s >= 0);
	EQ(len, 11);
	CHECK(!memcmp(got.path, "\0abstract", 9));
	len = sizeof(got);
	EQ(SYS(getpeername, c, &got, &len), 0);
	EQ(len, 2 + 7);
	CHECK(!strcmp(got.path, "/tmp/s"));
	EQ(SYS(getsockopt, s, 1, 17, v, &l12), 0); /* SO_PEERCRED */
	EQ(v[0], 1);
	EQ(v[1], 1000);
	EQ(SYS(sendto, c, "x", 1, 0, A(sa)), -EISCONN);
	EQ(fake_write(c, "abc", 3), 3);
	fake_close(c);
	EQ(poll1(s, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	EQ(fake_read(s, buf, 10), 3);
	EQ(fake_read(s, buf, 10), 0);
	EQ(fake_write(s, "x", 1), -EPIPE);
	fake_close(s);
	fake_close(ls);
	c = SYS(socket, 1, 1, 0);
	EQ(SYS(connect, c, A(sa)), -ECONNREFUSED);
	fake_close(c);

	/* Descriptors: bound to their bytes, closed when nobody takes them. */
	EQ(SYS(socketpair, 1, 1, 0, sv), 0);
	int ev = SYS(eventfd2, 0, 0), out[8];
	struct file *f = fake_file(ev);
	EQ(f->refs, 1);
	EQ(fake_write(sv[0], "ab", 2), 2);
	EQ(send_fds(sv[0], "cd", 2, (int[]){ ev, ev }, 2), 2);
	EQ(fake_write(sv[0], "ef", 2), 2);
	EQ(f->refs, 3);
	EQ(send_fds(sv[0], "x", 1, (int[]){ 999 }, 1), -EBADF);
	EQ(recv_fds(sv[1], buf, 1, out, 64, &fl), 100);
	EQ(recv_fds(sv[1], buf, 64, out, sizeof(struct ch) + 8, &fl), 302); /* "bcd" and both, not "ef" */
	EQ(fl, 0);
	EQ(f->refs, 3);
	EQ(fake_close(out[0]) | fake_close(out[1]), 0);
	EQ(fake_read(sv[1], buf, 64), 2);
	EQ(send_fds(sv[0], "x", 1, (int[]){ ev, ev }, 2), 1);
	EQ(recv_fds(sv[1], buf, 64, out, sizeof(struct ch) + 4, &fl), 101);
	EQ(fl, 8); /* MSG_CTRUNC */
	EQ(f->refs, 2);
	fake_close(out[0]);
	EQ(send_fds(sv[0], "x", 1, &ev, 1), 1);
	EQ(fake_read(sv[1], buf, 64), 1);
	EQ(f->refs, 1);
	EQ(send_fds(sv[0], "x", 1, &ev, 1), 1);
	fake_close(sv[0]);
	fake_close(sv[1]);
	EQ(f->refs, 1);
	fake_close(ev);

	/* A long chain of sockets in sockets goes without recursion. */
	EQ(SYS(socketpair, 1, 1, 0, sv), 0);
	int head[2] = { sv[0], sv[1] };
	for (int i = 0; i < 900; i++) {
		int n[2];
		EQ(SYS(socketpair, 1, i & 1 ? 1 : 2, 0, n), 0);
		EQ(send_fds(n[0], "x", 1, &head[0], 1), 1);
		EQ(fake_close(head[0]) | fake_close(head[1]), 0);
		head[0] = n[1];
		head[1] = n[0];
	}
	EQ(open_files(), 2);
	fake_close(head[0]);
	fake_close(head[1]);
}

static void unix_dgram(void)
{
	struct sa_un a = { 1, "\0a" }, b = { 1, "\0b" }, from;
	u32 len = sizeof(from);
	char buf[64];
	int x = SYS(socket, 1, 2, 0), y = SYS(socket, 1, 2, 0), sv[2], n = 0;
	EQ(SYS(bind, x, &a, 4), 0);
	EQ(SYS(bind, y, &b, 4), 0);
	EQ(SYS(sendto, x, "m1", 2, 0, &b, 4), 2);
	EQ(SYS(sendto, x, "m22", 3, 0, &b, 4), 3);
	EQ(SYS(recvfrom, y, buf, 64, 0, &from, &len), 2);
	EQ(len, 4);
	CHECK(!memcmp(&from, &a, 4));
	EQ(SYS(recvfrom, y, buf, 64, 0), 3);
	EQ(fake_write(x, "q", 1), -ENOTCONN);
	EQ(SYS(connect, x, &b, 4), 0);
	fake_nonblock(x, true);
	while (fake_write(x, big, 1000) == 1000)
		n++;
	CHECK(n > 100);
	EQ(fake_write(x, big, 1000), -EAGAIN);
	EQ(SYS(recvfrom, y, big, 1000, 0), 1000);
	EQ(fake_write(x, big, 1000), 1000);
	EQ(SYS(sendto, x, big, 300000, 0, &b, 4), -EMSGSIZE);
	EQ(SYS(connect, y, &a, 4), 0);
	int z = SYS(socket, 1, 2, 0);
	EQ(SYS(connect, z, &a, 4), 0 - EPERM); /* it talks to y only... once it is connected itself */
	fake_close(y);
	EQ(fake_write(x, "q", 1), -ECONNREFUSED);
	EQ(fake_write(x, "q", 1), -ENOTCONN);
	fake_close(x);
	fake_close(z);
	EQ(SYS(socketpair, 1, 5, 0, sv), 0); /* SOCK_SEQPACKET */
	EQ(fake_write(sv[0], "one", 3), 3);
	EQ(fake_write(sv[0], "two", 3), 3);
	EQ(fake_read(sv[1], buf, 2), 2);
	EQ(fake_read(sv[1], buf, 64), 3);
	fake_write(sv[1], "last", 4);
	fake_close(sv[1]);
	EQ(fake_read(sv[0], buf, 64), 4);
	EQ(fake_read(sv[0], buf, 64), 0);
	EQ(fake_write(sv[0], "x", 1), -EPIPE);
	fake_close(sv[0]);
}

static void netlink(void)
{
	static u8 buf[4096];
	struct { u32 len; u16 type, flags; u32 seq, pid; u8 family, pad[3]; } req = { 20, 18, 0x301, 7, 0, 0, { 0 } };
	struct { u16 family, pad; u32 pid, groups; } sa = { 16, 0, 0, 0 };
	int fd = SYS(socket, 16, 3, 0);
	EQ(SYS(bind, fd, A(sa)), 0);
	EQ(SYS(socket, 16, 3, 4), -EPROTONOSUPPORT);
	for (int t = 18; t <= 26; t += 4) { /* RTM_GETLINK, GETADDR, GETROUTE */
		req.type = t;
		EQ(SYS(sendto, fd, A(req), 0, A(sa)), 20);
		long n = SYS(recvfrom, fd, A(buf), 0);
		u32 at = 0, last = 0, count = 0;
		while (at < n) {
			u32 len;
			u16 type;
			memcpy(&len, buf + at, 4);
			memcpy(&type, buf + at + 4, 2);
			CHECK(len >= 16 && len % 4 == 0);
			last = type;
			count++;
			at += len;
		}
		EQ(at, n);
		EQ(last, 3); /* NLMSG_DONE */
		EQ(count, t == 18 ? 3 : t == 22 ? 5 : 3);
	}
	/* Nonsense of any kind: an answer or none, never harm. */
	srand(1);
	for (int i = 0; i < 20000; i++) {
		u32 n = rand() % 100;
		for (u32 k = 0; k < n; k++)
			buf[k] = rand() % 4 ? rand() % 32 : rand();
		SYS(sendto, fd, buf, n, 0x40, 0, 0);
		SYS(recvfrom, fd, A(buf), 0x40);
	}
	fake_close(fd);
}

/* Random calls with random arguments on a few descriptors: nothing may crash, hang or leak. */
static void nonsense(void)
{
	static const int families[] = { 1, 2, 10, 16 };
	static u8 mem[256];
	srand(2);
	for (int i = 0; i < 100000; i++) {
		u64 arg[6];
		for (int k = 0; k < 6; k++)
			switch (rand() % 6) {
			case 0: arg[k] = rand() % 4; break;
			case 1: arg[k] = (u64)mem + rand() % 100; break;
			case 2: arg[k] = rand() % 120; break;
			case 3: arg[k] = rand() % 3 - 2; break;
			case 4: arg[k] = 8; break;
			default: arg[k] = (u64)rand() << 31 ^ rand();
			}
		arg[0] = rand() % 12;
		for (int k = 0; k < 20; k++)
			mem[rand() % 256] = rand() % 3 ? rand() % 17 : rand();
		int fd = rand() % 12;
		if (fake_file(fd))
			fake_nonblock(fd, true);
#define GO(name) SYS(name, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5])
		switch (rand() % 24) {
		case 0: SYS(socket, families[rand() % 4], (rand() % 5 + 1) | 04000, 0); break;
		case 1: SYS(socketpair, 1, (rand() % 5 + 1) | 04000, 0, mem); break;
		case 2: GO(bind); break;
		case 3: GO(connect); break;
		case 4: GO(listen); break;
		case 5: GO(accept4); break;
		case 6: SYS(sendto, arg[0], mem, arg[2] % 200, arg[3] | 0x40, arg[4], arg[5]); break;
		case 7: SYS(recvfrom, arg[0], mem, arg[2] % 200, arg[3] | 0x40, arg[4], arg[5]); break;
		case 8: SYS(sendmsg, arg[0], mem, arg[2] | 0x40); break;
		case 9: GO(shutdown); break;
		case 10: GO(getsockname); break;
		case 11: GO(getpeername); break;
		case 12: GO(setsockopt); break;
		case 13: GO(getsockopt); break;
		case 14: SYS(eventfd2, 0, 04000); break;
		case 15: SYS(epoll_create1, 0); break;
		case 16: GO(epoll_ctl); break;
		case 17: SYS(epoll_ctl, arg[0], 1, rand() % 12, mem); break;
		case 18: SYS(epoll_wait, arg[0], mem, 8, 0); break;
		case 19:
			if (fake_file(fd))
				send_fds(arg[0], (char *)mem, 10, &fd, 1);
			break;
		case 20: if (fake_file(arg[0]) && fake_file(arg[0])->ops->write) fake_write(arg[0], mem, rand() % 256); break;
		case 21: if (fake_file(arg[0]) && fake_file(arg[0])->ops->read && fake_file(arg[0])->flags & 04000) fake_read(arg[0], mem, rand() % 256); break;
		default:
			if (rand() % 3 == 0)
				fake_close(arg[0]);
			if (fake_file(arg[0]) && rand() % 2) {
				struct { int fd; short ev, rev; } p = { arg[0], ALL, 0 };
				SYS(poll, &p, 1, 0);
			}
			oom = rand() % 8 == 0;
		}
		for (int k = 12; k < 30; k++)
			fake_close(k);
		for (int k = 0; k < 12; k++) /* nothing blocks */
			if (fake_file(k))
				fake_nonblock(k, true);
	}
	oom = false;
	for (int k = 0; k < 64; k++)
		fake_close(k);
}

int main(void)
{
	machine_start();
	tcp();
	tcp6();
	timeouts();
	udp();
	unix_stream();
	unix_dgram();
	netlink();
	EQ(open_files(), 0);
	nonsense();
	EQ(open_files(), 0);
	return 0;
}
