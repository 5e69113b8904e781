/* SPDX-License-Identifier: Apache-2.0 */
/* main.cc: what a dynamic program sees of its loader: TLS, dlopen, exceptions, the auxiliary vector, constructors. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdexcept>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

extern "C" {
extern __thread int early;
int *general_addr();
int tls_sum();
int indirect();
}
void thrower();

__attribute__((constructor)) static void begin() { puts("main: constructor"); }
__attribute__((destructor)) static void end() { puts("main: destructor"); }

static int (*count)();

static void *thread(void *)
{
	printf("thread: general %d, sum %d, count %d\n", *general_addr(), tls_sum(), count());
	*general_addr() = 100;
	return 0;
}

static int each(dl_phdr_info *, size_t, void *n) { return ++*(int *)n, 0; }

static void auxiliary()
{
	static const unsigned long same[] = { AT_SECURE, AT_PAGESZ, AT_CLKTCK, AT_PHNUM, AT_PHENT, AT_FLAGS, AT_UID, AT_EUID, AT_GID, AT_EGID };
	static const unsigned long there[] = { AT_PHDR, AT_BASE, AT_ENTRY, AT_RANDOM, AT_SYSINFO_EHDR, AT_HWCAP, AT_EXECFN, AT_PLATFORM, AT_MINSIGSTKSZ };
	for (unsigned long k : same)
		printf("auxv %lu: %lu\n", k, getauxval(k));
	for (unsigned long k : there)
		printf("auxv %lu: %s\n", k, getauxval(k) ? "there" : "missing");
	printf("program: %s\n", (char *)getauxval(AT_EXECFN));
	printf("platform: %s\n", (char *)getauxval(AT_PLATFORM));
	unsigned long seed;
	memcpy(&seed, (char *)getauxval(AT_RANDOM), sizeof(seed));
	printf("seed: %s\n", seed ? "random" : "zero");
}

int main(int argc, char **argv)
{
	printf("early %d, general %d, sum %d, indirect %d\n", early, *general_addr(), tls_sum(), indirect());
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 20);
	path[n < 0 ? 0 : n] = 0;
	printf("exe: %s\n", slash = strrchr(path, '/'));
	Dl_info where;
	dladdr((void *)general_addr, &where);
	strcpy(path, where.dli_fname);
	strcpy(strrchr(path, '/'), "/liblater.so");
	void *h = dlopen(path, RTLD_NOW);
	if (!h)
		return puts(dlerror()), 1;
	count = (int (*)())dlsym(h, "count");
	printf("count %d\n", count());
	pthread_t t;
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	printf("main: general %d\n", *general_addr());
	try {
		thrower();
	} catch (std::exception &e) {
		printf("caught: %s\n", e.what());
	}
	printf("a library that is not there: %s\n", dlopen("none.so", RTLD_NOW) ? "opened" : dlerror());
	dlclose(h);
	int objects = 0;
	dl_iterate_phdr(each, &objects);
	printf("objects: %d\n", objects);
	auxiliary();
	struct timespec ts;
	printf("clock: %d\n", clock_gettime(CLOCK_MONOTONIC, &ts));
	atexit([] { puts("main: at exit"); });
	return 3;
}
