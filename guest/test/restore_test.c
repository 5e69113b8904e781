/* SPDX-License-Identifier: Apache-2.0 */
/* restore_test.c: when a snapshot is worth taking, and what TABLES and RESTORE do, from an honest monitor and from others. */
#include "net_fake.h"
#include "platform.h"
#include "snapshot.h"
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <linux/in.h>
#include <linux/eventpoll.h>

int waitpid(int pid, int *status, int options); /* its header and the library OS's do not go together */

#define A(s) &(s), sizeof(s)
#define NONBLOCK 04000

static struct sockaddr_in at(u32 ip, u16 port)
{
	return (struct sockaddr_in){ .sin_family = 2, .sin_port = __builtin_bswap16(port), .sin_addr.s_addr = __builtin_bswap32(ip) };
}

/* ---- ready ---- */

static int listener(u16 port)
{
	struct sockaddr_in a = at(0, port);
	int fd = SYS(socket, 2, 1, 0);
	EQ(SYS(bind, fd, A(a)), 0);
	EQ(SYS(listen, fd, 5), 0);
	return fd;
}

static void in_accept(void *arg) { SYS(accept, (long)arg, 0, 0); }
static void in_epoll(void *arg)
{
	struct epoll_event e;
	SYS(epoll_wait, (long)arg, &e, 1, -1);
}
static void in_poll(void *arg)
{
	struct { int fd; short ev, rev; } p = { (long)arg, POLLIN, 0 };
	SYS(poll, &p, 1, -1);
}

/* With fn(fd) asleep, and after a signal has ended that. */
static bool ready_in(void (*fn)(void *), int fd)
{
	spawn(fn, (void *)(long)fd);
	settle();
	bool r = snapshot_ready();
	interrupt();
	settle();
	CHECK(!snapshot_ready());
	return r;
}

static void ready(void)
{
	struct epoll_event in = { .events = EPOLLIN }, out = { .events = EPOLLOUT }, once = { .events = EPOLLIN | EPOLLONESHOT };
	CHECK(!snapshot_ready());
	int ls = listener(80), other = SYS(eventfd2, 0, 0), ep = SYS(epoll_create1, 0), ep2 = SYS(epoll_create1, 0), ep3 = SYS(epoll_create1, 0);
	CHECK(!snapshot_ready()); /* made, but nobody waits */
	EQ(warmed, 0);
	CHECK(ready_in(in_accept, ls));
	CHECK(ready_in(in_poll, ls));
	CHECK(!ready_in(in_poll, other));
	/* An instance that watches something else; then the listener too; then not for connections. */
	EQ(SYS(epoll_ctl, ep, EPOLL_CTL_ADD, other, &in), 0);
	CHECK(!ready_in(in_epoll, ep));
	EQ(SYS(epoll_ctl, ep, EPOLL_CTL_ADD, ls, &in), 0);
	CHECK(!snapshot_ready()); /* registered, but nobody waits there */
	CHECK(!ready_in(in_epoll, ep2));
	CHECK(ready_in(in_epoll, ep));
	EQ(SYS(epoll_ctl, ep, EPOLL_CTL_MOD, ls, &out), 0);
	CHECK(!ready_in(in_epoll, ep));
	EQ(SYS(epoll_ctl, ep, EPOLL_CTL_MOD, ls, &once), 0);
	CHECK(ready_in(in_epoll, ep));
	/* Through others. */
	CHECK(ready_in(in_poll, ep));
	EQ(SYS(epoll_ctl, ep2, EPOLL_CTL_ADD, ep, &in), 0);
	EQ(SYS(epoll_ctl, ep3, EPOLL_CTL_ADD, ep2, &in), 0);
	CHECK(ready_in(in_epoll, ep2));
	CHECK(ready_in(in_epoll, ep3));
	EQ(SYS(epoll_ctl, ep3, EPOLL_CTL_MOD, ep2, &out), 0);
	CHECK(!ready_in(in_epoll, ep3));
	/* The program wants to choose the moment; or the monitor starts it. */
	snap_wanted = false;
	CHECK(!ready_in(in_accept, ls));
	job_waits = true;
	CHECK(!snapshot_ready());
	snap_wanted = true;
	CHECK(snapshot_ready());
	any_out = true; /* memory that the monitor has not told of yet */
	CHECK(!snapshot_ready());
	any_out = job_waits = false;
	/* A second listener; and none of them any more: closed, or shut down. */
	int second = listener(81);
	CHECK(ready_in(in_accept, second) && ready_in(in_accept, ls));
	EQ(SYS(shutdown, ls, 2), 0);
	CHECK(!ready_in(in_poll, ls));
	fake_close(second);
	fake_close(ls);
	fake_close(other);
	fake_close(ep);
	fake_close(ep2);
	fake_close(ep3);
	CHECK(!snapshot_ready());
	EQ(warmed, 1);
}

/* ---- TABLES ---- */

#define ENTRIES (UFS_MSG_MAX / sizeof(struct ufs_entry))
static struct ufs_entry entries[ENTRIES];
static u64 *const tables = (u64 *)(UFS_PHYS_VA + UFS_TABLES_PA);

static void table_entries(void)
{
	/* Larger than the ring in all, so that some lie across its end. */
	for (int round = 0; round < 20; round++) {
		u32 n = round ? ENTRIES - round * 7 : 1;
		for (u32 i = 0; i < n; i++) {
			u64 k = (i * 61 + round) % ((UFS_TABLES_END - UFS_TABLES_PA) / 8);
			entries[i] = (struct ufs_entry){ UFS_TABLES_PA + 8 * k, 1000000UL * round + i };
		}
		int before = flushes;
		CHECK(monitor_put(UFS_MSG_TABLES, 0, 0, entries, n * sizeof(entries[0])));
		queue_poll();
		CHECK(flushes > before);
		for (u32 i = 0; i < n; i++)
			EQ(tables[(entries[i].pa - UFS_TABLES_PA) / 8], entries[i].value);
	}
	struct ufs_entry last = { UFS_TABLES_END - 8, 5 };
	CHECK(monitor_put(UFS_MSG_TABLES, 0, 0, &last, sizeof(last)));
	queue_poll();
	EQ(tables[(UFS_TABLES_END - UFS_TABLES_PA) / 8 - 1], 5);
}

/* A message that makes the libos give up. */
static void refused(u16 type, u32 arg, const void *p, u32 n)
{
	int st;
	fflush(stderr);
	pid_t pid = fork();
	if (!pid) {
		CHECK(freopen("/dev/null", "w", stderr));
		monitor_put(type, 0, arg, p, n);
		queue_poll();
		_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid && (st & 127) == SIGABRT);
}

static void table_entries_refused(void)
{
	static const u64 bad[] = { UFS_TABLES_PA - 8, UFS_TABLES_END, 0, ~7ULL, UFS_TABLES_PA + 4, UFS_SHARED_GPA };
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ufs_entry e[2] = { { UFS_TABLES_PA, 1 }, { bad[i], 1 } };
		refused(UFS_MSG_TABLES, 0, e, sizeof(e));
	}
	struct ufs_entry e = { UFS_TABLES_PA, 1 };
	refused(UFS_MSG_TABLES, 0, &e, 8);
	struct ufs_range r[3] = { { 1, 10 }, { 2, 20 }, { 3, 30 } };
	CHECK(monitor_put(UFS_MSG_FREED, 0, 0, r, sizeof(r)));
	queue_poll();
	EQ(freed_bytes, 60);
	refused(UFS_MSG_FREED, 0, r, sizeof(r) - 8);
}

/* ---- RESTORE ---- */

static void restore(u32 kind, u64 generation, const char *name)
{
	struct { struct ufs_restore r; char name[64]; } m = { { .generation = generation, .hostname = strlen(name) }, "" };
	memcpy(m.name, name, strlen(name));
	CHECK(monitor_put(UFS_MSG_RESTORE, 0, kind, &m, sizeof(m.r) + strlen(name)));
	queue_poll();
	EQ(snap_generation, generation);
}

static void kinds(void)
{
	int w = wipes, r = renewals;
	restore(UFS_RESTORE_CLONE, 7, "first");
	CHECK(!strcmp(renamed, "first") && wipes == w + 1 && renewals == r + 1);
	restore(UFS_RESTORE_WAKE, 8, "");
	CHECK(!strcmp(renamed, "first") && wipes == w + 1 && renewals == r + 1);
	restore(UFS_RESTORE_REWIND, ~0ULL, "0123456789012345678901234567890123456789012345678901234567890123");
	CHECK(strlen(renamed) == 64 && wipes == w + 2 && renewals == r + 2);
	for (int i = 0; i < 8000; i++) /* all places of the ring */
		restore(UFS_RESTORE_REWIND, i, "name-of-some-length-that-the-ring-cuts");
	CHECK(!strcmp(renamed, "name-of-some-length-that-the-ring-cuts"));
	struct { struct ufs_restore r; char name[100]; } bad = { .r.hostname = 65 };
	refused(UFS_MSG_RESTORE, 1, &bad, sizeof(bad));
	refused(UFS_MSG_RESTORE, 1, &bad, 8);
	bad.r.hostname = 10;
	refused(UFS_MSG_RESTORE, 1, &bad, sizeof(bad.r) + 9);
	refused(UFS_MSG_RESTORE, 0, &bad, sizeof(bad));
	refused(UFS_MSG_RESTORE, 4, &bad, sizeof(bad));
}

static struct got got;
static u32 next_connect(void)
{
	CHECK(monitor_get(&got));
	EQ(got.type, UFS_MSG_CONNECT);
	return got.conn;
}

static int so_error(int fd)
{
	u32 v = 77, l = 4;
	EQ(SYS(getsockopt, fd, 1, 4, &v, &l), 0);
	return v;
}

static struct sockaddr_in away;
static long result[4];
static void blocked_connect(void *arg) { result[0] = SYS(connect, (long)arg, A(away)); }
static void blocked_recv(void *arg)
{
	char b[8];
	result[1] = SYS(recvfrom, (long)arg, b, 8, 0);
}
static void blocked_send(void *arg)
{
	static char b[UFS_CONN_WINDOW * 4];
	EQ(SYS(sendto, (long)arg, b, sizeof(b), 0x4000), UFS_CONN_WINDOW);
	result[2] = SYS(sendto, (long)arg, b, sizeof(b), 0x4000);
}
static void blocked_datagram(void *arg)
{
	char b[8];
	result[3] = SYS(recvfrom, (long)arg, b, 8, 0);
}

static int established(void)
{
	int fd = SYS(socket, 2, 1 | NONBLOCK, 0);
	EQ(SYS(connect, fd, A(away)), -EINPROGRESS);
	u32 conn = next_connect();
	CHECK(monitor_put(UFS_MSG_CONNECTED, conn, 0, NULL, 0));
	queue_poll();
	fake_nonblock(fd, false);
	return fd;
}

static void outbound(void)
{
	char b[8];
	away = at(0x08080808, 443);
	int connecting = SYS(socket, 2, 1, 0), reading = established(), writing = established(), unread = established(), half = established();
	u32 half_conn = got.conn;
	int quiet = SYS(socket, 2, 1 | NONBLOCK, 0);
	EQ(SYS(connect, quiet, A(away)), -EINPROGRESS);
	next_connect();
	/* One with bytes that nobody has read, one that both sides have half closed. */
	CHECK(monitor_put(UFS_MSG_DATA, half_conn - 1, 0, "hello", 5));
	EQ(SYS(shutdown, half, 1), 0);
	/* Datagrams: to a connected socket, to one that waits to be connected, to one that hears of nothing. */
	int udp = SYS(socket, 2, 2, 0), pending = SYS(socket, 2, 2, 0), loose = SYS(socket, 2, 2, 0), waiting = SYS(socket, 2, 2, 0);
	EQ(SYS(connect, udp, A(away)), 0);
	EQ(SYS(sendto, udp, "x", 1, 0), 1);
	EQ(SYS(connect, waiting, A(away)), 0);
	EQ(SYS(sendto, waiting, "x", 1, 0), 1);
	EQ(SYS(sendto, loose, "x", 1, 0, A(away)), 1);
	while (monitor_get(&got))
		if (got.type == UFS_MSG_CONNECT)
			CHECK(monitor_put(UFS_MSG_CONNECTED, got.conn, 0, NULL, 0));
	queue_poll();
	EQ(SYS(connect, pending, A(away)), 0);
	EQ(SYS(sendto, pending, "x", 1, 0), 1);
	/* What stays inside the guest stays as it is. */
	int ls = listener(90), in = SYS(socket, 2, 1, 0);
	struct sockaddr_in home = at(0x7f000001, 90);
	EQ(SYS(connect, in, A(home)), 0);
	int in2 = SYS(accept, ls, 0, 0);
	memset(result, 0, sizeof(result));
	spawn(blocked_connect, (void *)(long)connecting);
	spawn(blocked_recv, (void *)(long)reading);
	spawn(blocked_send, (void *)(long)writing);
	spawn(blocked_datagram, (void *)(long)waiting);
	settle();
	for (int i = 0; i < 4; i++)
		EQ(result[i], 0);
	while (monitor_get(&got))
		;
	restore(UFS_RESTORE_REWIND, 3, "");
	settle();
	EQ(result[0], -ECONNRESET);
	EQ(result[1], -ECONNRESET);
	EQ(result[2], -ECONNRESET);
	EQ(result[3], -ECONNRESET);
	EQ(so_error(quiet), ECONNRESET);
	EQ(SYS(recvfrom, unread, b, 8, 0), 5);
	EQ(SYS(recvfrom, unread, b, 8, 0), -ECONNRESET);
	EQ(SYS(recvfrom, unread, b, 8, 0), 0);
	EQ(SYS(recvfrom, half, b, 8, 0), -ECONNRESET);
	EQ(so_error(udp), ECONNRESET);
	EQ(so_error(pending), ECONNRESET);
	EQ(so_error(loose), 0);
	CHECK(!monitor_get(&got)); /* the monitor does not know these streams any more */
	EQ(SYS(sendto, in, "abc", 3, 0), 3);
	EQ(SYS(recvfrom, in2, b, 8, 0), 3);
	/* All of them work again. */
	EQ(SYS(sendto, udp, "x", 1, 0), 1);
	next_connect();
	EQ(SYS(sendto, loose, "x", 1, 0, A(away)), 1);
	next_connect();
	EQ(SYS(connect, quiet, A(away)), -ECONNABORTED); /* how the last one ended: the error itself was asked for */
	EQ(SYS(connect, quiet, A(away)), -EINPROGRESS);
	next_connect();
	int all[] = { connecting, reading, writing, unread, half, quiet, udp, pending, loose, waiting, ls, in, in2 };
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		fake_close(all[i]);
	while (monitor_get(&got))
		;
}

int main(void)
{
	machine_start();
	CHECK(mmap(tables, UFS_TABLES_END - UFS_TABLES_PA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == tables);
	((struct ufs_boot *)BOOT)->flags |= UFS_BOOT_NET;
	ready();
	table_entries();
	table_entries_refused();
	while (monitor_get(&got))
		;
	kinds();
	outbound();
	EQ(open_files(), 0);
	return 0;
}
