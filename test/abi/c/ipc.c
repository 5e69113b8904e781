/* SPDX-License-Identifier: Apache-2.0 */
/* ipc.c: System V shared memory and semaphores, pidfds, memory shared over forks. */
#include "check.h"
#include <poll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sched.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define KEY ((key_t)(0x40000000 + getpid() * 4))
#define pidfd_open(pid, flags) syscall(434, pid, flags)
#define pidfd_send_signal(fd, sig) syscall(424, fd, sig, NULL, 0)

union arg { int val; struct semid_ds *buf; unsigned short *array; };

static void shm(void)
{
	struct shmid_ds ds;
	int st, id = shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600);
	OK("shmget", id >= 0);
	T("shmget again", shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600));
	OK("shmget same", shmget(KEY, 0, 0) == id);
	T("shmget larger", shmget(KEY, 100000, 0));
	T("shmget none", shmget(KEY + 1, 100, 0));
	T("shmget zero", shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
	volatile int *p = shmat(id, NULL, 0);
	OK("shmat", p != (void *)-1);
	OK("zero", !p[0] && !p[2499]);
	T("shmat bad address", (long)shmat(id, (char *)p + 1, 0));
	T("shmat taken", (long)shmat(id, (void *)p, 0));
	T("shmat bad id", (long)shmat(-1, NULL, 0));
	if (!fork()) {
		p[0] = 42;
		volatile int *q = shmat(id, NULL, SHM_RDONLY);
		_exit(q != p && q[0] == 42 ? 5 : 6);
	}
	wait(&st);
	printf("child %d, seen %d\n", WEXITSTATUS(st), p[0]);
	T("stat", shmctl(id, IPC_STAT, &ds));
	printf("size %zu, attached %lu, mode %o\n", ds.shm_segsz, (unsigned long)ds.shm_nattch, ds.shm_perm.mode);
	OK("creator", ds.shm_cpid == getpid());
	ds.shm_perm.mode = 0640;
	T("set", shmctl(id, IPC_SET, &ds));
	T("stat", shmctl(id, IPC_STAT, &ds));
	printf("mode %o\n", ds.shm_perm.mode);
	T("rmid", shmctl(id, IPC_RMID, NULL));
	T("key is gone", shmget(KEY, 0, 0));
	T("stat removed", shmctl(id, IPC_STAT, &ds));
	printf("mode %o attached %lu\n", ds.shm_perm.mode, (unsigned long)ds.shm_nattch);
	p[1] = 7;
	V("still there", p[1]);
	T("shmdt", shmdt((void *)p));
	T("shmdt again", shmdt((void *)p));
	T("gone", shmctl(id, IPC_STAT, &ds));

	/* Many that were removed and are attached still; then none is left. */
	static int ids[1500];
	static void *at[1500];
	int good = 0, left = 0;
	for (int i = 0; i < 1500; i++) {
		ids[i] = shmget(IPC_PRIVATE, 4096, 0600);
		at[i] = shmat(ids[i], NULL, 0);
		good += at[i] != (void *)-1 && !shmctl(ids[i], IPC_RMID, NULL);
	}
	for (int i = 0; i < 1500; i++)
		good += !shmdt(at[i]);
	for (int i = 0; i < 1500; i++)
		left += !shmctl(ids[i], IPC_STAT, &ds);
	printf("many %d, left %d\n", good, left);
}

static void sem(void)
{
	struct semid_ds ds;
	unsigned short v[3];
	int st, id = semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0600);
	struct sembuf down = { 0, -1, 0 }, up = { 0, 1, 0 }, zero = { 1, 0, IPC_NOWAIT }, far = { 9, 1, 0 }, two[2] = { { 1, 3, 0 }, { 0, -1, IPC_NOWAIT } };
	OK("semget", id >= 0);
	T("semget more", semget(KEY, 4, 0));
	T("semget none", semget(KEY + 1, 1, 0));
	T("semget zero", semget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
	T("all or none", semop(id, two, 2));
	T("untouched", semctl(id, 1, GETVAL));
	T("is zero", semop(id, &zero, 1));
	T("too far", semop(id, &far, 1));
	T("none", semop(id, &up, 0));
	T("setval", semctl(id, 2, SETVAL, (union arg){ 9 }));
	T("setval range", semctl(id, 2, SETVAL, (union arg){ 99999 }));
	T("getval", semctl(id, 2, GETVAL));
	pid_t pid = fork();
	if (!pid) {
		semop(id, &down, 1);
		_exit(3);
	}
	while (semctl(id, 0, GETNCNT) != 1)
		msleep(1);
	T("up", semop(id, &up, 1));
	waitpid(pid, &st, 0);
	V("woken", WEXITSTATUS(st));
	OK("last", semctl(id, 0, GETPID) == pid);
	if (!(pid = fork())) {
		struct sembuf undo = { 2, -4, SEM_UNDO };
		semop(id, &undo, 1);
		_exit(semctl(id, 2, GETVAL));
	}
	waitpid(pid, &st, 0);
	printf("in the child %d, after %d\n", WEXITSTATUS(st), semctl(id, 2, GETVAL));
	struct timespec soon = { 0, 1000000 };
	T("timed", semtimedop(id, &down, 1, &soon));
	v[0] = 1, v[1] = 2, v[2] = 3;
	T("setall", semctl(id, 0, SETALL, (union arg){ .array = v }));
	memset(v, 0, sizeof(v));
	T("getall", semctl(id, 0, GETALL, (union arg){ .array = v }));
	printf("%d %d %d\n", v[0], v[1], v[2]);
	T("stat", semctl(id, 0, IPC_STAT, (union arg){ .buf = &ds }));
	printf("%lu semaphores, mode %o\n", (unsigned long)ds.sem_nsems, ds.sem_perm.mode);
	if (!(pid = fork())) {
		struct sembuf never = { 1, -100, 0 };
		_exit(semop(id, &never, 1) == -1 && errno == EIDRM ? 8 : 9);
	}
	while (semctl(id, 1, GETNCNT) != 1)
		msleep(1);
	T("rmid", semctl(id, 0, IPC_RMID));
	waitpid(pid, &st, 0);
	V("removed under a sleeper", WEXITSTATUS(st));
	T("gone", semop(id, &up, 1));
}

static void pidfds(void)
{
	siginfo_t si;
	int fd, go[2];
	char c;
	pipe(go);
	pid_t pid = fork();
	if (!pid)
		_exit(read(go[0], &c, 1) == 1 ? 4 : 5);
	fd = pidfd_open(pid, 0);
	OK("pidfd_open", fd >= 0);
	V("close on exec", fcntl(fd, F_GETFD));
	struct pollfd p = { fd, POLLIN };
	T("not ended", poll(&p, 1, 0));
	T("probe", pidfd_send_signal(fd, 0));
	T("bad signal", pidfd_send_signal(fd, 99));
	T("read", read(fd, &c, 1));
	memset(&si, 0, sizeof(si));
	T("waitid nohang", waitid(P_PIDFD, fd, &si, WEXITED | WNOHANG));
	write(go[1], "x", 1);
	T("ended", poll(&p, 1, -1));
	V("events", p.revents);
	T("waitid", waitid(P_PIDFD, fd, &si, WEXITED));
	printf("code %d status %d\n", si.si_code, si.si_status);
	T("send to the dead", pidfd_send_signal(fd, SIGTERM));
	T("waitid again", waitid(P_PIDFD, fd, &si, WEXITED));
	close(fd);
	T("waitid no pidfd", waitid(P_PIDFD, go[0], &si, WEXITED));
	T("waitid bad fd", waitid(P_PIDFD, 99, &si, WEXITED));
	T("pidfd of none", pidfd_open(4194303, 0));
	T("pidfd bad", pidfd_open(0, 0));
	T("pidfd flags", pidfd_open(getpid(), 1));
	fd = -1;
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, 0);
	if (!pid)
		for (;;)
			pause();
	OK("CLONE_PIDFD", fd >= 0);
	T("kill", pidfd_send_signal(fd, SIGKILL));
	T("waitid", waitid(P_PIDFD, fd, &si, WEXITED));
	printf("code %d status %d\n", si.si_code, si.si_status);
	close(fd);
}

/* Each generation sees what the one before wrote until it writes itself, whoever runs in between. */
static int data[3000] = { 1 };
static void generations(void)
{
	int up[2], down[2], st, n;
	pipe(up);
	pipe(down);
	for (int i = 0; i < 3000; i++)
		data[i] = i;
	pid_t pid = fork();
	if (!pid) {
		for (int i = 0; i < 100; i++) {
			read(down[0], &n, sizeof(n));
			data[n] += 5;
			if (i == 40)
				free(malloc(1 << 20));
			pid_t q = i % 10 ? 0 : fork();
			if (i % 10 == 0 && !q) {
				data[n] = -1;
				_exit(data[n + 1] == n + 1);
			}
			if (q) {
				waitpid(q, &st, 0);
				data[n] += WEXITSTATUS(st);
			}
			write(up[1], &data[n], sizeof(n));
		}
		_exit(9);
	}
	long sum = 0, wrong = 0;
	for (int i = 0; i < 100; i++) {
		int j = i * 30;
		data[j] = 7 * i;
		write(down[1], &j, sizeof(j));
		read(up[0], &n, sizeof(n));
		sum += n;
		wrong += data[j] != 7 * i;
		if (i == 60)
			memset(malloc(3 << 20), 1, 3 << 20);
	}
	waitpid(pid, &st, 0);
	printf("sum %ld wrong %ld status %d\n", sum, wrong, WEXITSTATUS(st));
	for (int i = 0; i < 2000; i++) {
		if (!(pid = fork())) {
			data[i] = -1;
			_exit(data[i + 1] == i + 1 || (i + 1) % 30 == 0 ? 0 : 1);
		}
		waitpid(pid, &st, 0);
		wrong += st != 0 || data[i] == -1;
	}
	V("two thousand forks", wrong);
}

/* As many as there may be, then none more, and all is well again when they are gone. */
static void limit(void)
{
	int hold[2], n = 0, st, e = 0;
	struct rlimit rl = { 40, 40 };
	char c;
	pipe(hold);
	pid_t all = fork();
	if (!all) {
		/* Root may pass the limit. */
		if (setuid(100000 + getpid()) || setrlimit(RLIMIT_NPROC, &rl))
			_exit(99);
		close(hold[1]);
		pid_t pid;
		while (n < 200 && (pid = fork()) > 0)
			n++;
		if (!pid)
			_exit(read(hold[0], &c, 1));
		e = errno;
		_exit(n >= 20 && n < 60 && e == EAGAIN ? 7 : 8);
	}
	close(hold[0]);
	waitpid(all, &st, 0);
	close(hold[1]);
	V("limit", WEXITSTATUS(st));
	if (!(all = fork()))
		_exit(3);
	waitpid(all, &st, 0);
	V("after it", WEXITSTATUS(st));
}

int main(void)
{
	scratch();
	setvbuf(stdout, NULL, _IONBF, 0);
	shm();
	sem();
	pidfds();
	generations();
	limit();
	return 0;
}
