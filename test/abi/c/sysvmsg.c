/* SPDX-License-Identifier: Apache-2.0 */
/* sysvmsg.c: System V message queues: order, types, limits, permissions, who waits and who is told of the end. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/wait.h>

#ifndef MSG_NOERROR
#define MSG_NOERROR 010000
#endif
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif

static struct { long type; char text[8200]; } m;

static int send(int q, long type, const char *text, int flags)
{
	m.type = type;
	strcpy(m.text, text);
	return msgsnd(q, &m, strlen(text), flags);
}

static void recv_one(const char *name, int q, size_t size, long type, int flags)
{
	memset(&m, 0, sizeof(m));
	ssize_t n = msgrcv(q, &m, size, type, flags | IPC_NOWAIT);
	if (n < 0)
		printf("%s: errno %d\n", name, errno);
	else
		printf("%s: %zd type %ld %.*s\n", name, n, m.type, (int)n, m.text);
}

static void order(void)
{
	int q = msgget(IPC_PRIVATE, 0600);
	OK("private queue", q >= 0);
	send(q, 3, "three", 0);
	send(q, 1, "one", 0);
	send(q, 2, "two", 0);
	send(q, 3, "three again", 0);
	recv_one("first", q, 100, 0, 0);
	recv_one("of a type", q, 100, 2, 0);
	send(q, 2, "two", 0);
	recv_one("lowest up to 2", q, 100, -2, 0);
	recv_one("not of a type", q, 100, 3, MSG_EXCEPT);
	recv_one("too long", q, 4, 0, 0);
	recv_one("cut", q, 4, 0, MSG_NOERROR);
	recv_one("none", q, 100, 0, 0);
	recv_one("none of a type", q, 100, 9, 0);
	T("type 0", send(q, 0, "x", 0));
	T("type -1", send(q, -1, "x", 0));
	m.type = 1;
	T("too large", msgsnd(q, &m, 8193, 0));
	T("negative size", msgsnd(q, &m, -1, 0));
	T("no address", msgsnd(q, NULL, 1, 0));
	T("receive of negative size", msgrcv(q, &m, -1, 0, 0));
	T("empty message", msgsnd(q, &m, 0, 0));
	recv_one("empty", q, 0, 0, 0);
	T("largest", msgsnd(q, &m, 8192, 0));
	T("largest twice", msgsnd(q, &m, 8192, 0));
	T("full", msgsnd(q, &m, 1, IPC_NOWAIT));
	struct msqid_ds ds;
	T("stat", msgctl(q, IPC_STAT, &ds));
	printf("state: %lu messages %lu bytes of %lu mode %o\n", ds.msg_qnum, ds.__msg_cbytes, ds.msg_qbytes, ds.msg_perm.mode);
	OK("last sender", ds.msg_lspid == getpid() && ds.msg_stime > 0 && ds.msg_ctime > 0);
	ds.msg_qbytes = 100;
	ds.msg_perm.mode = 0400;
	T("set", msgctl(q, IPC_SET, &ds));
	T("stat again", msgctl(q, IPC_STAT, &ds));
	printf("state after set: %lu mode %o\n", ds.msg_qbytes, ds.msg_perm.mode);
	T("unknown command", msgctl(q, 99, &ds));
	T("stat nowhere", msgctl(q, IPC_STAT, NULL));
	T("remove", msgctl(q, IPC_RMID, NULL));
	T("removed: send", send(q, 1, "x", 0));
	T("removed: receive", msgrcv(q, &m, 1, 0, IPC_NOWAIT));
	T("removed: stat", msgctl(q, IPC_STAT, &ds));
	T("never was", msgctl(0x7ffffff, IPC_STAT, &ds));
	T("negative id", msgsnd(-1, &m, 1, 0));
}

static void keys(void)
{
	key_t key = 0x55460000 | getpid();
	int q;
	T("missing key", msgget(key, 0600));
	q = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
	OK("made", q >= 0);
	T("made twice", msgget(key, IPC_CREAT | IPC_EXCL | 0600));
	OK("found", msgget(key, 0) == q);
	T("remove by key", msgctl(q, IPC_RMID, NULL));
	T("gone", msgget(key, 0));
}

/* A child that waits is told: of a message, of room, of the end of the queue. */
static void waits(void)
{
	int q = msgget(IPC_PRIVATE, 0600), st;
	pid_t pid = fork();
	if (!pid)
		_exit(msgrcv(q, &m, 100, 7, 0) == 5 && !memcmp(m.text, "seven", 5) ? 21 : 1);
	send(q, 1, "other", 0);
	send(q, 7, "seven", 0);
	waitpid(pid, &st, 0);
	printf("woken by a message: %d\n", WEXITSTATUS(st));
	recv_one("the other is left", q, 100, 0, 0);
	m.type = 1;
	msgsnd(q, &m, 8192, 0);
	msgsnd(q, &m, 8192, 0);
	if (!(pid = fork()))
		_exit(send(q, 5, "late", 0) ? 1 : 22);
	msgrcv(q, &m, 8192, 1, 0);
	waitpid(pid, &st, 0);
	printf("woken by room: %d\n", WEXITSTATUS(st));
	recv_one("late", q, 100, 5, 0);
	if (!(pid = fork()))
		_exit(msgrcv(q, &m, 100, 9, 0) < 0 && (errno == EIDRM || errno == EINVAL) ? 23 : 1);
	T("remove under a waiter", msgctl(q, IPC_RMID, NULL));
	waitpid(pid, &st, 0);
	printf("woken by the end: %d\n", WEXITSTATUS(st));
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	order();
	keys();
	waits();
	return 0;
}
