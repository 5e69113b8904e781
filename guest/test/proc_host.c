/* SPDX-License-Identifier: Apache-2.0 */
/* proc_host.c: the part of the fake machine that needs the host's headers. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK (256 << 10) /* sanitizers need more than the libos gives */

static unsigned long allocated;

void *host_alloc(unsigned long n, unsigned long align)
{
	void *p = aligned_alloc(align, (n + align - 1) / align * align);
	allocated += p != NULL;
	return p;
}

void host_free(void *p)
{
	allocated -= p != NULL;
	free(p);
}

unsigned long host_allocated(void) { return allocated; }

void host_shared_area(unsigned long at, unsigned long len)
{
	if (mmap((void *)at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at) {
		perror("proc_host: mmap");
		exit(1);
	}
}

int host_readable(const void *p, unsigned long n)
{
	char c;
	for (unsigned long at = (unsigned long)p, end = at + n; at < end; at = (at | 4095) + 1) {
		struct iovec to = { &c, 1 }, from = { (void *)at, 1 };
		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != 1)
			return 0;
	}
	return 1;
}

struct fiber { ucontext_t ctx; void *stack, *shadow; };

/* The address sanitizer wants to know which stack is in use. */
void __sanitizer_start_switch_fiber(void **save, const void *bottom, unsigned long size);
void __sanitizer_finish_switch_fiber(void *saved, const void **bottom, unsigned long *size);

void *host_fiber_new(void (*fn)(void))
{
	struct fiber *f = calloc(1, sizeof(*f));
	f->stack = malloc(STACK);
	getcontext(&f->ctx);
	f->ctx.uc_stack.ss_sp = f->stack;
	f->ctx.uc_stack.ss_size = STACK;
	makecontext(&f->ctx, fn, 0);
	return f;
}

void host_fiber_free(void *p)
{
	struct fiber *f = p;
	free(f->stack);
	free(f);
}

void host_fiber_switch(void *from, void *to)
{
	struct fiber *f = from, *t = to;
	__sanitizer_start_switch_fiber(f ? &f->shadow : NULL, t->stack, STACK);
	if (!f)
		setcontext(&t->ctx);
	swapcontext(&f->ctx, &t->ctx);
	__sanitizer_finish_switch_fiber(f->shadow, NULL, NULL);
}

void host_fiber_entered(void)
{
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}

_Noreturn void host_exit(int status)
{
	fflush(stdout);
	_exit(status); /* what sleeping threads hold is no leak */
}

void host_say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}
