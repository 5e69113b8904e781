/* SPDX-License-Identifier: Apache-2.0 */
/* outbound_test.c: connections and datagrams that leave the guest, against a monitor that is honest, slow or hostile. */
#include "net_fake.h"
#include "platform.h"
#include <string.h>
#include <linux/in.h>
#include <linux/in6.h>

#define A(s) &(s), sizeof(s)
#define NONBLOCK 04000
#define DONTWAIT 0x40

static struct sockaddr_in at(u32 ip, u16 port)
{
	return (struct sockaddr_in){ .sin_family = 2, .sin_port = __builtin_bswap16(port), .sin_addr.s_addr = __builtin_bswap32(ip) };
}

static struct got got;
static u32 expect(u16 type, u32 arg)
{
	CHECK(monitor_get(&got));
	EQ(got.type, type);
	EQ(got.arg, arg);
	return got.conn;
}
static void expect_nothing(void) { CHECK(!monitor_get(&got)); }

static u32 expect_connect(u32 proto, const char *addr, u16 port)
{
	struct ufs_addr a;
	u32 conn = expect(UFS_MSG_CONNECT, proto);
	CHECK(conn & UFS_CONN_GUEST);
	EQ(got.len, sizeof(a));
	memcpy(&a, got.data, sizeof(a));
	EQ(a.port, port);
	EQ(a.scope, 0);
	EQ(a.family, addr[0] == 4 ? 4 : 6);
	CHECK(!memcmp(a.addr, addr + 1, 16));
	return conn;
}
#define V4(a, b, c, d) (const char[17]){ 4, a, b, c, d }

static void answer(u32 conn, u32 err) { CHECK(monitor_put(UFS_MSG_CONNECTED, conn, err, NULL, 0)); }

static int poll1(int fd, int ev)
{
	struct { int fd; short ev, rev; } p = { fd, ev, 0 };
	SYS(poll, &p, 1, 0);
	return p.rev;
}
#define ALL (POLLIN | POLLOUT | POLLRDHUP)

static int so_error(int fd)
{
	u32 v = 77, l = 4;
	EQ(SYS(getsockopt, fd, 1, 4, &v, &l), 0);
	return v;
}

/* A blocking connect() in a thread of its own. */
static int c_fd;
static long c_result;
static struct sockaddr_in c_to;
static void connector(void *arg)
{
	c_result = 1000;
	c_result = SYS(connect, c_fd, A(c_to));
}

static void tcp(void)
{
	struct sockaddr_in to = at(0x08080404, 443), name;
	u32 len = sizeof(name), conn;
	char buf[64];
	c_to = to;
	/* It waits, then works as a stream. */
	c_fd = SYS(socket, 2, 1, 0);
	spawn(connector, NULL);
	settle();
	EQ(c_result, 1000);
	conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
	EQ(poll1(c_fd, ALL), 0);
	answer(conn, 0);
	settle();
	EQ(c_result, 0);
	EQ(SYS(getsockname, c_fd, &name, &len), 0);
	EQ(name.sin_addr.s_addr, __builtin_bswap32(0x0a00020f));
	CHECK(name.sin_port);
	EQ(SYS(getpeername, c_fd, &name, &len), 0);
	CHECK(!memcmp(&name, &to, 8));
	EQ(fake_write(c_fd, "hello", 5), 5);
	EQ(expect(UFS_MSG_DATA, 0), conn);
	EQ(got.len, 5);
	monitor_put(UFS_MSG_DATA, conn, 0, "world!", 6);
	EQ(fake_read(c_fd, buf, 64), 6);
	/* Half-close each way. */
	EQ(SYS(shutdown, c_fd, 1), 0);
	EQ(expect(UFS_MSG_EOF, 0), conn);
	monitor_put(UFS_MSG_DATA, conn, 0, "rest", 4);
	monitor_put(UFS_MSG_EOF, conn, 0, NULL, 0);
	EQ(fake_read(c_fd, buf, 64), 4);
	EQ(fake_read(c_fd, buf, 64), 0);
	EQ(SYS(connect, c_fd, A(to)), -EISCONN);
	fake_close(c_fd);
	expect_nothing();

	/* Refused, then again with the same socket. */
	c_fd = SYS(socket, 2, 1, 0);
	spawn(connector, NULL);
	settle();
	answer(expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443), ECONNREFUSED);
	settle();
	EQ(c_result, -ECONNREFUSED);
	spawn(connector, NULL);
	settle();
	conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
	/* A signal: it goes on without us. */
	interrupt();
	settle();
	EQ(c_result, -ERESTARTSYS);
	fake_nonblock(c_fd, true);
	EQ(SYS(connect, c_fd, A(to)), -EALREADY);
	answer(conn, 0);
	EQ(SYS(poll, 0, 0, 0), 0);
	queue_poll();
	EQ(SYS(connect, c_fd, A(to)), 0);
	EQ(SYS(connect, c_fd, A(to)), -EISCONN);
	/* Reset, with the reason that the monitor gives, if it is one. */
	monitor_put(UFS_MSG_RESET, conn, ETIMEDOUT, NULL, 0);
	EQ(fake_read(c_fd, buf, 64), -ETIMEDOUT);
	fake_close(c_fd);
	expect_nothing();

	/* Not blocking: writable when connected; what failed is in SO_ERROR. */
	int fd = SYS(socket, 2, 1 | NONBLOCK, 0);
	EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
	EQ(SYS(connect, fd, A(to)), -EALREADY);
	conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
	EQ(fake_write(fd, "x", 1), -EAGAIN);
	EQ(fake_read(fd, buf, 1), -EAGAIN);
	EQ(SYS(getpeername, fd, &name, &len), -ENOTCONN);
	answer(conn, EACCES);
	queue_poll();
	EQ(poll1(fd, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
	EQ(so_error(fd), EACCES);
	EQ(so_error(fd), 0);
	EQ(SYS(connect, fd, A(to)), -ECONNABORTED);
	EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
	conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
	answer(conn, 0);
	queue_poll();
	EQ(poll1(fd, ALL), POLLOUT);
	EQ(so_error(fd), 0);
	EQ(fake_write(fd, "x", 1), 1);
	expect(UFS_MSG_DATA, 0);
	monitor_put(UFS_MSG_RESET, conn, 0, NULL, 0);
	EQ(fake_read(fd, buf, 1), -ECONNRESET);
	fake_close(fd);
	expect_nothing();

	/* Close, shutdown, disconnect while it is on its way: reset. */
	for (int i = 0; i < 3; i++) {
		fd = SYS(socket, 2, 1 | NONBLOCK, 0);
		EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
		conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
		struct sockaddr_in none = { 0 };
		if (i == 1)
			EQ(SYS(shutdown, fd, 2), 0);
		if (i == 2)
			EQ(SYS(connect, fd, A(none)), 0);
		if (i == 0)
			EQ(fake_close(fd), 0);
		EQ(expect(UFS_MSG_RESET, 0), conn);
		answer(conn, 0); /* too late: nobody is there */
		monitor_put(UFS_MSG_DATA, conn, 0, "x", 1);
		queue_poll();
		EQ(expect(UFS_MSG_RESET, 0), conn);
		if (i == 1)
			EQ(so_error(fd), ECONNRESET);
		if (i)
			fake_close(fd);
		expect_nothing();
	}

	/* No answer: the time of the socket, else Linux's. */
	struct ktv tv = { 3, 0 };
	fd = SYS(socket, 2, 1, 0);
	EQ(SYS(setsockopt, fd, 1, 21, A(tv)), 0);
	u64 t0 = fake_now;
	EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
	EQ(fake_now - t0, 3 * NSEC);
	conn = expect_connect(UFS_PROTO_TCP, V4(8, 8, 4, 4), 443);
	fake_close(fd);
	EQ(expect(UFS_MSG_RESET, 0), conn);
	fd = SYS(socket, 2, 1, 0);
	t0 = fake_now;
	EQ(SYS(connect, fd, A(to)), -ETIMEDOUT);
	EQ(fake_now - t0, 127 * NSEC);
	expect(UFS_MSG_CONNECT, UFS_PROTO_TCP);
	expect(UFS_MSG_RESET, 0);
	/* The same socket inside the guest. */
	int ls = SYS(socket, 2, 1, 0);
	struct sockaddr_in in = at(0, 9999);
	EQ(SYS(bind, ls, A(in)), 0);
	EQ(SYS(listen, ls, 1), 0);
	in = at(0x0a00020f, 9999);
	EQ(SYS(connect, fd, A(in)), 0);
	EQ(fake_write(fd, "x", 1), 1);
	fake_close(fd);
	fake_close(ls);
	expect(UFS_MSG_LISTEN, 9999);
	expect(UFS_MSG_UNLISTEN, 9999);
	expect_nothing();

	/* IPv6, and IPv4 through it; who may not. */
	struct sockaddr_in6 s6 = { .sin6_family = 10, .sin6_port = __builtin_bswap16(80) };
	memcpy(&s6.sin6_addr, "\x26\x06\x47\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	fd = SYS(socket, 10, 1 | NONBLOCK, 0);
	EQ(SYS(connect, fd, A(s6)), -EINPROGRESS);
	expect_connect(UFS_PROTO_TCP, "\6\x26\x06\x47\0\0\0\0\0\0\0\0\0\0\0\0\1", 80);
	fake_close(fd);
	expect(UFS_MSG_RESET, 0);
	memcpy(&s6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
	fd = SYS(socket, 10, 1 | NONBLOCK, 0);
	EQ(SYS(connect, fd, A(s6)), -EINPROGRESS);
	expect_connect(UFS_PROTO_TCP, V4(1, 2, 3, 4), 80);
	struct sockaddr_in6 n6;
	len = sizeof(n6);
	EQ(SYS(getsockname, fd, &n6, &len), 0);
	CHECK(!memcmp(&n6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\2\x0f", 16));
	fake_close(fd);
	expect(UFS_MSG_RESET, 0);
	fd = SYS(socket, 10, 1, 0);
	u32 one = 1;
	EQ(SYS(setsockopt, fd, 41, 26, A(one)), 0);
	EQ(SYS(connect, fd, A(s6)), -ENETUNREACH);
	fake_close(fd);
	fd = SYS(socket, 2, 1, 0);
	in = at(0x7f000001, 0);
	EQ(SYS(bind, fd, A(in)), 0);
	EQ(SYS(connect, fd, A(to)), -EINVAL);
	in = at(0xe0000001, 80);
	EQ(SYS(connect, fd, A(in)), -EINVAL);
	fake_close(fd);
	fd = SYS(socket, 2, 1, 0);
	EQ(SYS(connect, fd, A(in)), -ENETUNREACH);
	fake_close(fd);
	expect_nothing();
}

static void tcp_hostile(void)
{
	static const struct { u16 type; u32 arg, len; int err; } bad[] = {
		{ UFS_MSG_DATA, 0, 5, ECONNRESET }, { UFS_MSG_EOF, 0, 0, ECONNRESET }, { UFS_MSG_ERROR, 5, 0, ECONNRESET },
		{ UFS_MSG_RESET, 0, 0, ECONNREFUSED }, { UFS_MSG_CONNECTED, ~0U, 0, EIO }, { UFS_MSG_CONNECTED, 134, 0, EIO },
	};
	struct sockaddr_in to = at(0x08080404, 443);
	static char big[70000];
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = SYS(socket, 2, 1 | NONBLOCK, 0);
		EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
		u32 conn = expect(UFS_MSG_CONNECT, UFS_PROTO_TCP);
		monitor_put(bad[i].type, conn, bad[i].arg, big, bad[i].len);
		queue_poll();
		EQ(so_error(fd), bad[i].err);
		if (bad[i].err == ECONNRESET)
			EQ(expect(UFS_MSG_RESET, 0), conn);
		fake_close(fd);
		expect_nothing();
	}
	/* Connected twice; more data than credit; credit that overflows; streams that never were. */
	int fd = SYS(socket, 2, 1 | NONBLOCK, 0);
	EQ(SYS(connect, fd, A(to)), -EINPROGRESS);
	u32 conn = expect(UFS_MSG_CONNECT, UFS_PROTO_TCP);
	answer(conn, 0);
	answer(conn, 0);
	answer(conn, 7);
	monitor_put(UFS_MSG_CREDIT, conn, ~0U, NULL, 0);
	monitor_put(UFS_MSG_DATA, conn, 0, big, 65536);
	monitor_put(UFS_MSG_DATA, conn, 0, big, 1);
	for (u32 c = 0; c < 8; c++)
		monitor_put(UFS_MSG_CONNECTED, (c & 3) << 30 | c << 8 | c, c, NULL, 0);
	for (u32 c = 0; c < 8; c++)
		monitor_put(UFS_MSG_ERROR, (c & 3) << 30 | c << 8 | c, c, NULL, 0);
	queue_poll();
	EQ(so_error(fd), ECONNRESET);
	EQ(expect(UFS_MSG_RESET, 0), conn);
	fake_close(fd);
	expect_nothing();
}

static void udp(void)
{
	struct sockaddr_in dns = at(0x08080808, 53), other = at(0x01010101, 53), from;
	u32 len = sizeof(from), c1, c2, n;
	static char buf[66000];
	int fd = SYS(socket, 2, 2, 0);
	/* The first datagrams wait for the answer. */
	EQ(SYS(sendto, fd, "one", 3, 0, A(dns)), 3);
	EQ(SYS(sendto, fd, "", 0, 0, A(dns)), 0);
	EQ(SYS(sendto, fd, "other", 5, 0, A(other)), 5);
	c1 = expect_connect(UFS_PROTO_UDP, V4(8, 8, 8, 8), 53);
	c2 = expect_connect(UFS_PROTO_UDP, V4(1, 1, 1, 1), 53);
	CHECK(c1 != c2);
	expect_nothing();
	answer(c2, 0);
	answer(c1, 0);
	queue_poll();
	EQ(expect(UFS_MSG_DATA, 0), c2);
	EQ(expect(UFS_MSG_DATA, 0), c1);
	EQ(got.len, 3);
	EQ(expect(UFS_MSG_DATA, 0), c1);
	EQ(got.len, 0);
	EQ(SYS(sendto, fd, "two", 3, 0, A(dns)), 3);
	EQ(expect(UFS_MSG_DATA, 0), c1);
	/* Answers have their addresses; reading gives credit back. */
	monitor_put(UFS_MSG_DATA, c2, 0, "answer", 6);
	monitor_put(UFS_MSG_DATA, c1, 0, "", 0);
	EQ(SYS(recvfrom, fd, buf, 3, 2 /* PEEK */, &from, &len), 3);
	expect_nothing();
	EQ(SYS(recvfrom, fd, buf, 3, 0x20 /* TRUNC */, &from, &len), 6);
	CHECK(!memcmp(&from, &other, 8));
	EQ(expect(UFS_MSG_CREDIT, 6), c2);
	EQ(SYS(recvfrom, fd, buf, 3, 0, &from, &len), 0);
	CHECK(!memcmp(&from, &dns, 8));
	EQ(SYS(recvfrom, fd, buf, 3, DONTWAIT), -EAGAIN);
	expect_nothing();
	/* The largest, both ways; then there is no credit: lost. */
	EQ(SYS(sendto, fd, buf, 65507, 0, A(other)), 65507);
	EQ(expect(UFS_MSG_DATA, 0), c2);
	EQ(got.len, 65507);
	EQ(SYS(sendto, fd, buf, 65507, 0, A(other)), 65507);
	expect_nothing();
	monitor_put(UFS_MSG_CREDIT, c2, 65507 + 5, NULL, 0);
	queue_poll();
	EQ(SYS(sendto, fd, buf, 65507, 0, A(other)), 65507);
	EQ(expect(UFS_MSG_DATA, 0), c2);
	EQ(SYS(sendto, fd, buf, 65508, 0, A(other)), -EMSGSIZE);
	monitor_put(UFS_MSG_DATA, c1, 0, buf, 65507);
	EQ(SYS(recvfrom, fd, buf, 66000, 0), 65507);
	EQ(expect(UFS_MSG_CREDIT, 65507), c1);
	/* A full receive queue loses datagrams and gives their credit back. */
	n = 2048;
	EQ(SYS(setsockopt, fd, 1, 8, A(n)), 0);
	for (int i = 0; i < 60; i++)
		monitor_put(UFS_MSG_DATA, c1, 0, buf, 1000);
	queue_poll();
	for (n = 0; SYS(recvfrom, fd, buf, 1000, DONTWAIT) == 1000;)
		n++;
	CHECK(n >= 1 && n < 10);
	for (int i = 0; i < 60; i++)
		EQ(expect(UFS_MSG_CREDIT, 1000), c1);
	expect_nothing();
	/* Errors are told to the connected only. */
	monitor_put(UFS_MSG_ERROR, c1, ECONNREFUSED, NULL, 0);
	queue_poll();
	EQ(so_error(fd), 0);
	EQ(SYS(connect, fd, A(dns)), 0);
	monitor_put(UFS_MSG_ERROR, c2, ECONNREFUSED, NULL, 0);
	monitor_put(UFS_MSG_DATA, c2, 0, "not now", 7);
	queue_poll();
	EQ(expect(UFS_MSG_CREDIT, 7), c2);
	EQ(so_error(fd), 0);
	monitor_put(UFS_MSG_ERROR, c1, ECONNREFUSED, NULL, 0);
	queue_poll();
	EQ(poll1(fd, ALL), POLLOUT | POLLERR);
	EQ(SYS(recvfrom, fd, buf, 10, DONTWAIT), -ECONNREFUSED);
	EQ(fake_write(fd, "more", 4), 4);
	EQ(expect(UFS_MSG_DATA, 0), c1);
	EQ(SYS(getsockname, fd, &from, &len), 0);
	EQ(from.sin_addr.s_addr, __builtin_bswap32(0x0a00020f));
	/* The monitor forgets a flow: the next datagram makes another. */
	monitor_put(UFS_MSG_RESET, c1, 0, NULL, 0);
	EQ(SYS(recvfrom, fd, buf, 10, DONTWAIT), -EAGAIN);
	EQ(fake_write(fd, "again", 5), 5);
	c1 = expect_connect(UFS_PROTO_UDP, V4(8, 8, 8, 8), 53);
	answer(c1, EACCES);
	EQ(SYS(recvfrom, fd, buf, 10, DONTWAIT), -EACCES);
	fake_close(fd);
	EQ(expect(UFS_MSG_RESET, 0), c2);
	expect_nothing();
	/* Refused and not connected: the next send says so, the one after tries again. */
	fd = SYS(socket, 2, 2, 0);
	EQ(SYS(sendto, fd, "x", 1, 0, A(dns)), 1);
	answer(expect(UFS_MSG_CONNECT, UFS_PROTO_UDP), EACCES);
	queue_poll();
	EQ(SYS(sendto, fd, "x", 1, 0, A(dns)), -EACCES);
	EQ(SYS(sendto, fd, "x", 1, 0, A(dns)), 1);
	c1 = expect(UFS_MSG_CONNECT, UFS_PROTO_UDP);
	/* Closed before the answer came: what was sent still goes. */
	fake_close(fd);
	expect_nothing();
	answer(c1, 0);
	queue_poll();
	EQ(expect(UFS_MSG_DATA, 0), c1);
	EQ(expect(UFS_MSG_RESET, 0), c1);
	expect_nothing();
	/* What waits is bounded by credit. */
	fd = SYS(socket, 2, 2, 0);
	for (int i = 0; i < 100; i++)
		EQ(SYS(sendto, fd, buf, 10000, 0, A(dns)), 10000);
	c1 = expect(UFS_MSG_CONNECT, UFS_PROTO_UDP);
	answer(c1, 0);
	queue_poll();
	for (int i = 0; i < 6; i++)
		EQ(expect(UFS_MSG_DATA, 0), c1);
	expect_nothing();
	/* Broadcast and multicast. */
	from = at(0xffffffff, 9);
	EQ(SYS(sendto, fd, "x", 1, 0, A(from)), -EACCES);
	n = 1;
	EQ(SYS(setsockopt, fd, 1, 6, A(n)), 0);
	EQ(SYS(sendto, fd, "x", 1, 0, A(from)), -ENETUNREACH);
	from = at(0xe00000fb, 5353);
	EQ(SYS(sendto, fd, "x", 1, 0, A(from)), -ENETUNREACH);
	fake_close(fd);
	EQ(expect(UFS_MSG_RESET, 0), c1);
	expect_nothing();
}

/* Many destinations, many sockets: the oldest flows go, none is lost track of. */
static void udp_many(void)
{
	int fd[20];
	u32 connects = 0, resets = 0, datas = 0;
	for (u32 i = 0; i < 20; i++) {
		fd[i] = SYS(socket, 2, 2, 0);
		for (u32 k = 0; k < 100; k++) {
			struct sockaddr_in to = at(0x08000000 + k, 1000);
			EQ(SYS(sendto, fd[i], "x", 1, 0, A(to)), 1);
			while (monitor_get(&got)) {
				if (got.type == UFS_MSG_CONNECT) {
					connects++;
					answer(got.conn, 0);
				}
				resets += got.type == UFS_MSG_RESET;
				datas += got.type == UFS_MSG_DATA;
			}
			queue_poll();
		}
	}
	EQ(connects, 2000);
	EQ(resets, 2000 - 512);
	for (u32 i = 0; i < 20; i++)
		fake_close(fd[i]);
	while (monitor_get(&got)) {
		resets += got.type == UFS_MSG_RESET;
		datas += got.type == UFS_MSG_DATA;
	}
	EQ(resets, 2000);
	EQ(datas, 2000);
}

static void udp_hostile(void)
{
	struct sockaddr_in to = at(0x08080808, 53);
	static char big[66000];
	for (int i = 0; i < 4; i++) {
		int fd = SYS(socket, 2, 2, 0);
		EQ(SYS(sendto, fd, "x", 1, 0, A(to)), 1);
		u32 conn = expect(UFS_MSG_CONNECT, UFS_PROTO_UDP);
		if (i)
			answer(conn, 0);
		answer(conn, 0);
		monitor_put(UFS_MSG_EOF, conn, 0, NULL, 0);
		monitor_put(UFS_MSG_CREDIT, conn, ~0U, NULL, 0);
		monitor_put(UFS_MSG_ERROR, conn, ~0U, NULL, 0);
		queue_poll();
		expect(UFS_MSG_DATA, 0);
		if (i == 1)
			monitor_put(UFS_MSG_DATA, conn, 0, big, 65508);
		if (i == 2) { /* beyond its credit */
			monitor_put(UFS_MSG_DATA, conn, 0, big, 60000);
			monitor_put(UFS_MSG_DATA, conn, 0, big, 6000);
		}
		if (i == 3)
			oom = true;
		monitor_put(UFS_MSG_DATA, conn, 0, big, 10);
		queue_poll();
		oom = false;
		if (i == 0)
			EQ(SYS(recvfrom, fd, big, 100, DONTWAIT), 10);
		if (i == 1 || i == 2) {
			expect(UFS_MSG_RESET, 0);
			expect(UFS_MSG_RESET, 0);
		} else {
			expect(UFS_MSG_CREDIT, 10);
		}
		fake_close(fd);
		if (i == 0 || i == 3)
			expect(UFS_MSG_RESET, 0);
		expect_nothing();
	}
	/* Data before the answer. */
	int fd = SYS(socket, 2, 2, 0);
	EQ(SYS(sendto, fd, "x", 1, 0, A(to)), 1);
	u32 conn = expect(UFS_MSG_CONNECT, UFS_PROTO_UDP);
	monitor_put(UFS_MSG_DATA, conn, 0, "early", 5);
	queue_poll();
	EQ(expect(UFS_MSG_RESET, 0), conn);
	fake_close(fd);
	/* Anything at all, at random, on streams that are there and not. */
	static const u16 types[] = { UFS_MSG_DATA, UFS_MSG_EOF, UFS_MSG_RESET, UFS_MSG_CREDIT, UFS_MSG_CONNECTED, UFS_MSG_ERROR };
	static u32 ids[64];
	u32 nids = 0;
	srand(3);
	for (int i = 0; i < 200000; i++) {
		int f = 3 + rand() % 8, was = fake_file(f) != NULL;
		to = at(0x08080800 + rand() % 6, 53);
		oom = rand() % 16 == 0;
		switch (rand() % 8) {
		case 0: if (!was && rand() % 4 == 0) SYS(socket, 2, 1 + rand() % 2, 0); break;
		case 1: if (was) { fake_nonblock(f, true); SYS(connect, f, A(to)); } break;
		case 2: if (was) SYS(sendto, f, big, rand() % 3000, DONTWAIT, &to, rand() % 2 ? sizeof(to) : 0); break;
		case 3: if (was) SYS(recvfrom, f, big, 3000, DONTWAIT); break;
		case 4: if (was && rand() % 4 == 0) fake_close(f); break;
		default: if (nids) monitor_put(types[rand() % 6], ids[rand() % MIN(nids, 64U)], rand() % 3 ? 0 : rand(), big, rand() % 4 ? rand() % 2000 : 0);
		}
		queue_poll();
		oom = false;
		while (monitor_get(&got))
			if (got.type == UFS_MSG_CONNECT)
				ids[nids++ % 64] = got.conn;
	}
	for (int f = 0; f < 64; f++)
		fake_close(f);
	while (monitor_get(&got))
		;
}

int main(void)
{
	struct sockaddr_in to = at(0x08080404, 443);
	machine_start();
	int fd = SYS(socket, 2, 1, 0);
	EQ(SYS(connect, fd, A(to)), -ENETUNREACH);
	fake_close(fd);
	((struct ufs_boot *)BOOT)->flags |= UFS_BOOT_NET;
	tcp();
	tcp_hostile();
	udp();
	udp_many();
	udp_hostile();
	EQ(open_files(), 0);
	return 0;
}
