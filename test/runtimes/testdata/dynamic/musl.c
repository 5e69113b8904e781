/* SPDX-License-Identifier: Apache-2.0 */
/* musl.c: the other C library, with a library loaded later, in two threads. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static int (*count)(void);

static void *thread(void *arg)
{
	printf("thread: %d\n", count());
	return 0;
}

int main(void)
{
	pthread_t t;
	void *h = dlopen("libmusl.so", RTLD_NOW);
	if (!h)
		return puts(dlerror()), 1;
	count = (int (*)(void))dlsym(h, "count");
	printf("main: %d\n", count());
	printf("main: %d\n", count());
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	return 0;
}
