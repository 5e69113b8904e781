/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: byte buffers, the queue, the console and TCP streams over the rings. */
#include "net_fake.h"
#include "bytes.h"
#include "platform.h"
#include <string.h>
#include <linux/in.h>

static u64 seed = 42;
static u32 rnd(u32 n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(seed >> 33) % n;
}

static void byte_buffer(void)
{
	static u8 in[20000], out[20000];
	struct bytes b = { 0 };
	u8 next_in = 0, next_out = 0;
	struct iter it;
	for (int i = 0; i < 3000; i++) {
		u32 n = 1 + rnd(rnd(4) ? 300 : sizeof(in));
		if (b.len < 100000 && rnd(2)) {
			for (u32 k = 0; k < n; k++)
				in[k] = next_in++;
			if (rnd(2)) {
				EQ(bytes_add(&b, in, n), 0);
			} else {
				iter_user(&it, in, n);
				EQ(bytes_put(&b, &it, n), n);
			}
		} else {
			u32 len = b.len;
			bool keep = rnd(3) == 0;
			iter_user(&it, out, n);
			long r = bytes_get(&b, &it, n, keep);
			EQ(r, MIN(n, len));
			for (u32 k = 0; k < r; k++)
				EQ(out[k], (u8)(next_out + k));
			if (!keep)
				next_out += r;
			EQ(b.len, keep ? len : len - r);
			if (rnd(5) == 0 && b.len) {
				u32 d = rnd(b.len) + 1;
				bytes_drop(&b, d);
				next_out += d;
			}
		}
	}
	bytes_drop(&b, b.len);
	CHECK(!b.first && !b.last);
	iter_user(&it, (void *)8, 10);
	EQ(bytes_put(&b, &it, 10), -EFAULT);
	CHECK(!b.first);
	oom = true;
	iter_user(&it, in, 10);
	EQ(bytes_put(&b, &it, 10), -ENOMEM);
	EQ(bytes_add(&b, in, 10), -ENOMEM);
	oom = false;
}

struct sockaddr_in at(u32 ip, u16 port)
{
	return (struct sockaddr_in){ .sin_family = 2, .sin_port = __builtin_bswap16(port), .sin_addr.s_addr = __builtin_bswap32(ip) };
}

static void expect(u16 type, u32 conn, u32 arg)
{
	struct got g;
	CHECK(monitor_get(&g));
	EQ(g.type, type);
	EQ(g.conn, conn);
	EQ(g.arg, arg);
}
static void expect_nothing(void)
{
	struct got g;
	CHECK(!monitor_get(&g));
}

static int listener(u16 port)
{
	struct sockaddr_in sa = at(0, port);
	int fd = SYS(socket, 2, 1, 0);
	EQ(SYS(bind, fd, &sa, sizeof(sa)), 0);
	EQ(SYS(listen, fd, 3), 0);
	return fd;
}

static void request(void)
{
	struct got g;
	struct sockaddr_in sa;
	u32 len = sizeof(sa);
	char buf[100];
	int ls = listener(8080), fd;
	expect(UFS_MSG_LISTEN, 0, 8080);
	CHECK(CTL->tsc_listen);
	int bells0 = bells;
	monitor_put(UFS_MSG_OPEN, 17, 8080, NULL, 0);
	monitor_put(UFS_MSG_DATA, 17, 0, "GET / HTTP/1.1\r\n\r\n", 18);
	fd = SYS(accept4, ls, &sa, &len, 0);
	CHECK(fd >= 0);
	EQ(len, 16);
	EQ(sa.sin_addr.s_addr, __builtin_bswap32(0x0a000202));
	EQ(__builtin_bswap16(sa.sin_port), 1024 + 17);
	EQ(SYS(getsockname, fd, &sa, &len), 0);
	EQ(sa.sin_addr.s_addr, __builtin_bswap32(0x0a00020f));
	EQ(__builtin_bswap16(sa.sin_port), 8080);
	EQ(fake_read(fd, buf, 100), 18);
	EQ(fake_write(fd, "HTTP/1.1 200 OK\r\n\r\n", 19), 19);
	EQ(bells, bells0); /* no exit for all this */
	expect(UFS_MSG_ACCEPTED, 17, 0);
	CHECK(monitor_get(&g));
	EQ(g.type, UFS_MSG_DATA);
	EQ(g.conn, 17);
	EQ(g.len, 19);
	CHECK(!memcmp(g.data, "HTTP/1.1 200", 12));
	EQ(fake_close(fd), 0);
	expect(UFS_MSG_EOF, 17, 0);
	monitor_put(UFS_MSG_EOF, 17, 0, NULL, 0);
	monitor_put(UFS_MSG_CREDIT, 17, 10, NULL, 0);
	queue_poll();
	expect_nothing();
	/* Half-close by the other side, then ours. */
	monitor_put(UFS_MSG_OPEN, 18, 8080, NULL, 0);
	monitor_put(UFS_MSG_DATA, 18, 0, "x", 1);
	monitor_put(UFS_MSG_EOF, 18, 0, NULL, 0);
	fd = SYS(accept, ls, 0, 0);
	expect(UFS_MSG_ACCEPTED, 18, 0);
	struct { int fd; short ev, rev; } p = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
	EQ(SYS(poll, &p, 1, 0), 1);
	EQ(p.rev, POLLIN | POLLOUT | POLLRDHUP);
	EQ(fake_read(fd, buf, 100), 1);
	EQ(fake_read(fd, buf, 100), 0);
	EQ(fake_write(fd, "yz", 2), 2);
	EQ(SYS(shutdown, fd, 1), 0);
	expect(UFS_MSG_DATA, 18, 0);
	expect(UFS_MSG_EOF, 18, 0);
	sigpipes = 0;
	EQ(fake_write(fd, "yz", 2), -EPIPE);
	EQ(sigpipes, 1);
	fake_close(fd);
	expect_nothing();
	/* Reset: by the other side; by closing with data unread; by linger. */
	monitor_put(UFS_MSG_OPEN, 19, 8080, NULL, 0);
	fd = SYS(accept, ls, 0, 0);
	monitor_put(UFS_MSG_RESET, 19, 0, NULL, 0);
	EQ(fake_read(fd, buf, 10), -ECONNRESET);
	EQ(fake_read(fd, buf, 10), 0);
	EQ(SYS(poll, &p, 1, 0), 1);
	EQ(fake_write(fd, "yz", 2), -EPIPE);
	fake_close(fd);
	expect(UFS_MSG_ACCEPTED, 19, 0);
	monitor_put(UFS_MSG_OPEN, 20, 8080, NULL, 0);
	monitor_put(UFS_MSG_DATA, 20, 0, "unread", 6);
	fd = SYS(accept, ls, 0, 0);
	fake_close(fd);
	expect(UFS_MSG_ACCEPTED, 20, 0);
	expect(UFS_MSG_RESET, 20, 0);
	/* Data after close: answered by a reset. */
	monitor_put(UFS_MSG_DATA, 20, 0, "late", 4);
	queue_poll();
	expect(UFS_MSG_RESET, 20, 0);
	/* Nobody listens; a full backlog (3 + 1), which streams from outside wait in all the same; twice the same id. */
	monitor_put(UFS_MSG_OPEN, 30, 81, NULL, 0);
	monitor_put(UFS_MSG_OPEN, 30, 70000, NULL, 0);
	queue_poll();
	expect(UFS_MSG_RESET, 30, 0);
	expect(UFS_MSG_RESET, 30, 0);
	for (u32 i = 0; i < 9; i++)
		monitor_put(UFS_MSG_OPEN, 31 + i, 8080, NULL, 0);
	monitor_put(UFS_MSG_OPEN, 39, 8080, NULL, 0);
	queue_poll();
	expect(UFS_MSG_RESET, 39, 0);
	expect_nothing();
	/* Closing the listener resets what waits. */
	fake_close(ls);
	expect(UFS_MSG_UNLISTEN, 0, 8080);
	for (u32 i = 0; i < 9; i++)
		expect(UFS_MSG_RESET, 31 + i, 0);
	expect_nothing();
}

/* A program that echoes, against a monitor that keeps to its credit and is slow at random. */
static int echo_fd;
static void echo(void *arg)
{
	static u8 buf[100000];
	for (;;) {
		long n = fake_read(echo_fd, buf, 1 + rnd(sizeof(buf)));
		if (n <= 0) {
			EQ(n, 0);
			break;
		}
		EQ(fake_write(echo_fd, buf, n), n);
	}
	fake_close(echo_fd);
}

static void credits(void)
{
	static u8 out[65536];
	int ls = listener(9000);
	expect(UFS_MSG_LISTEN, 0, 9000);
	monitor_put(UFS_MSG_OPEN, 99, 9000, NULL, 0);
	echo_fd = SYS(accept, ls, 0, 0);
	expect(UFS_MSG_ACCEPTED, 99, 0);
	spawn(echo, NULL);
	u64 sent = 0, received = 0, total = 3 << 20;
	u32 credit = UFS_CONN_WINDOW, window = UFS_CONN_WINDOW, eof = 0;
	while (!eof) {
		u32 some = 1 + rnd(40000), n = MIN(MIN(credit, (u32)(total - sent)), some);
		for (u32 i = 0; i < n; i++)
			out[i] = (u8)((sent + i) * 7 >> 3);
		if (n && monitor_put(UFS_MSG_DATA, 99, 0, out, n)) {
			sent += n;
			credit -= n;
			if (sent == total)
				monitor_put(UFS_MSG_EOF, 99, 0, NULL, 0);
		}
		settle();
		struct got g;
		while (monitor_get(&g)) {
			EQ(g.conn, 99);
			if (g.type == UFS_MSG_CREDIT) {
				credit += g.arg;
				CHECK(credit <= UFS_CONN_WINDOW);
			} else if (g.type == UFS_MSG_DATA) {
				CHECK(g.len <= window);
				window -= g.len;
				for (u32 i = 0; i < g.len; i++)
					EQ(g.data[i], (u8)((received + i) * 7 >> 3));
				received += g.len;
			} else {
				EQ(g.type, UFS_MSG_EOF);
				eof = 1;
			}
		}
		if (window < UFS_CONN_WINDOW && rnd(3) == 0) {
			u32 back = 1 + rnd(UFS_CONN_WINDOW - window);
			monitor_put(UFS_MSG_CREDIT, 99, back, NULL, 0);
			window += back;
		}
	}
	EQ(received, total);
	fake_close(ls);
	expect(UFS_MSG_UNLISTEN, 0, 9000);
}

/* The monitor takes nothing: the ring fills, nothing is lost or reordered. */
static void full_ring(void)
{
	static u8 big[65536];
	int ls = listener(9001), fd[12];
	struct got g;
	u32 got = 0;
	for (u32 i = 0; i < 12; i++) {
		monitor_put(UFS_MSG_OPEN, 200 + i, 9001, NULL, 0);
		fd[i] = SYS(accept4, ls, 0, 0, 04000);
		CHECK(fd[i] >= 0);
	}
	while (monitor_get(&g))
		;
	monitor_lazy = true;
	long sum = 0, n;
	for (u32 i = 0; i < 12; i++)
		while ((n = fake_write(fd[i], big, 10000)) > 0)
			sum += n;
	EQ(n, -EAGAIN);
	CHECK(sum > 400000 && sum < UFS_TX_SIZE);
	EQ(CTL->tx_wanted, 1);
	struct { int fd; short ev, rev; } p = { fd[11], POLLOUT, 0 };
	EQ(SYS(poll, &p, 1, 0), 0);
	/* Control messages still go: into the reserve, then they are held. */
	for (u32 i = 0; i < 2000; i++)
		monitor_put(UFS_MSG_OPEN, 1000 + i, 1, NULL, 0), queue_poll();
	for (u32 i = 0; i < 11; i++)
		fake_close(fd[i]);
	monitor_lazy = false;
	monitor_drain();
	EQ(SYS(poll, &p, 1, 0), 1);
	EQ(p.rev, POLLOUT);
	EQ(CTL->tx_wanted, 0);
	fake_close(fd[11]);
	u32 resets = 0, eofs = 0;
	while (monitor_get(&g)) {
		if (g.type == UFS_MSG_DATA)
			got += g.len;
		if (g.type == UFS_MSG_RESET)
			EQ(g.conn, 1000 + resets++);
		eofs += g.type == UFS_MSG_EOF;
	}
	EQ(got, sum);
	EQ(resets, 2000);
	EQ(eofs, 12);
	fake_close(ls);
	expect(UFS_MSG_UNLISTEN, 0, 9001);
}

static int slow_result;
static void slow_reader(void *arg)
{
	char c;
	slow_result = fake_read(0, &c, 1);
}

static void console(void)
{
	static char buf[200000];
	struct got g;
	console_open_std(NULL);
	monitor_put(UFS_MSG_DATA, 0, 0, "hello\n", 6);
	EQ(fake_read(0, buf, 100), 6);
	fake_nonblock(0, true);
	EQ(fake_read(0, buf, 100), -EAGAIN);
	fake_nonblock(0, false);
	spawn(slow_reader, NULL);
	settle();
	interrupt();
	settle();
	EQ(slow_result, -ERESTARTSYS);
	monitor_put(UFS_MSG_EOF, 0, 0, NULL, 0);
	EQ(fake_read(0, buf, 100), 0);
	EQ(fake_write(1, "out", 3), 3);
	EQ(fake_write(2, "err", 3), 3);
	console_write_kernel(2, "log\n", 4);
	expect(UFS_MSG_DATA, 1, 0);
	expect(UFS_MSG_DATA, 2, 0);
	expect(UFS_MSG_DATA, 2, 0);
	fake_nonblock(1, true);
	long n, sum = 3;
	while ((n = fake_write(1, buf, 10000)) > 0)
		sum += n;
	EQ(n, -EAGAIN);
	EQ(sum, UFS_CONN_WINDOW);
	monitor_put(UFS_MSG_CREDIT, 1, 100, NULL, 0);
	EQ(fake_write(1, buf, 10000), 100);
	fake_nonblock(1, false);
	monitor_put(UFS_MSG_RESET, 1, 0, NULL, 0);
	sigpipes = 0;
	EQ(fake_write(1, buf, 10), -EPIPE);
	EQ(sigpipes, 1);
	monitor_put(UFS_MSG_RESET, 2, ENOSPC, NULL, 0);
	monitor_put(UFS_MSG_EOF, 0, EISDIR, NULL, 0);
	EQ(fake_read(0, buf, 10), -EISDIR);
	EQ(fake_write(2, buf, 10), -ENOSPC);
	EQ(sigpipes, 1);
	EQ(fake_ioctl(1, 0x5401, buf), -ENOTTY);
	/* a terminal: its modes count the first time, its size always, and only whole messages */
	struct ufs_terminal t = { .lflag = 8, .rows = 40, .cols = 132 };
	((struct ufs_boot *)BOOT)->flags |= UFS_BOOT_STDOUT_TTY;
	monitor_put(UFS_MSG_TERMINAL, 1, 0, &t, sizeof(t) - 1);
	EQ(fake_ioctl(1, 0x5401, buf), 0);
	EQ(((u32 *)buf)[3] == 8, false);
	monitor_put(UFS_MSG_TERMINAL, 1, 0, &t, sizeof(t));
	EQ(fake_ioctl(1, 0x5401, buf), 0);
	EQ(((u32 *)buf)[3], 8);
	EQ(fake_ioctl(1, 0x5413, buf), 0);
	EQ(((u16 *)buf)[0], 40);
	t.rows = 50, t.lflag = 9;
	monitor_put(UFS_MSG_TERMINAL, 1, 0, &t, sizeof(t));
	EQ(fake_ioctl(1, 0x5413, buf), 0);
	EQ(((u16 *)buf)[0], 50);
	EQ(fake_ioctl(1, 0x5401, buf), 0);
	EQ(((u32 *)buf)[3], 8);
	((u32 *)buf)[3] = 10;
	EQ(fake_ioctl(1, 0x5402, buf), 0);
	while (monitor_get(&g) && g.type == UFS_MSG_DATA)
		;
	EQ(g.type, UFS_MSG_TERMINAL);
	EQ(g.conn, 1);
	((struct ufs_boot *)BOOT)->flags &= ~UFS_BOOT_STDOUT_TTY;
	monitor_put(UFS_MSG_SIGNAL, 0, 15, NULL, 0);
	queue_poll();
	EQ(signals, 1);
	EQ(last_signal, 15);
	for (int i = 0; i < 3; i++)
		fake_close(i);
	while (monitor_get(&g))
		;
}

int main(void)
{
	machine_start();
	byte_buffer();
	console();
	request();
	credits();
	full_ring();
	EQ(open_files(), 0);
	return 0;
}
