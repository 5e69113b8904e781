/* SPDX-License-Identifier: Apache-2.0 */
/* fatal.c: ways to end: the argument says which. Only the exit status and the output are compared. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

static void *thread_exit_main(void *arg)
{
	msleep(20);
	printf("other thread ends the program\n");
	exit(23);
}

static void at_exit(void) { printf("atexit ran\n"); }

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	pthread_t t;

	start();
	printf("%s\n", how);
	if (!strcmp(how, "segv"))
		*(volatile int *)16 = 1;
	else if (!strcmp(how, "abort"))
		abort();
	else if (!strcmp(how, "ill"))
		__asm__ volatile("ud2");
	else if (!strcmp(how, "fpe"))
		__asm__ volatile("xor %%ecx, %%ecx\n mov $1, %%eax\n cltd\n idiv %%ecx" ::: "eax", "ecx", "edx");
	else if (!strcmp(how, "trap"))
		__asm__ volatile("int3");
	else if (!strcmp(how, "bus")) {
		char name[] = "/tmp/abi-XXXXXX";
		int fd = mkstemp(name);
		unlink(name);
		*(volatile char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) = 1;
	} else if (!strcmp(how, "term"))
		raise(SIGTERM);
	else if (!strcmp(how, "kill"))
		kill(getpid(), SIGKILL);
	else if (!strcmp(how, "pipe")) {
		int p[2];
		pipe(p);
		close(p[0]);
		write(p[1], "x", 1);
	} else if (!strcmp(how, "rt"))
		raise(SIGRTMIN + 3);
	else if (!strcmp(how, "alarm")) {
		alarm(1);
		pause();
	} else if (!strcmp(how, "exit3")) {
		atexit(at_exit);
		exit(3);
	} else if (!strcmp(how, "exit256"))
		exit(256 + 9);
	else if (!strcmp(how, "_exit")) {
		atexit(at_exit);
		_exit(4);
	} else if (!strcmp(how, "thread")) {
		pthread_create(&t, NULL, thread_exit_main, NULL);
		pthread_join(t, NULL);
	} else if (!strcmp(how, "mainexit")) {
		pthread_create(&t, NULL, thread_exit_main, NULL);
		pthread_exit(NULL);
	} else if (!strcmp(how, "blockedsegv")) {
		sigset_t s;
		sigfillset(&s);
		sigprocmask(SIG_SETMASK, &s, NULL);
		*(volatile int *)16 = 1;
	} else if (!strcmp(how, "ignoredsegv")) {
		signal(SIGSEGV, SIG_IGN);
		*(volatile int *)16 = 1;
	} else if (!strcmp(how, "nosigstack")) {
		/* No room for the handler's frame. */
		signal(SIGSEGV, (void (*)(int))at_exit);
		__asm__ volatile("xor %%esp, %%esp\n push %%rax" ::: "memory");
	}
	return 0;
}
