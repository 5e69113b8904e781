/* SPDX-License-Identifier: Apache-2.0 */
/* mm_random_test.c: random mmap, munmap, mprotect, madvise, mremap, fork, reads and writes against a map of pages. */
#include <stdio.h>
#include <stdlib.h>
#include "../mm/internal.h"
#include "platform.h"
#include "mm_fake.h"

#define P PAGE_SIZE
#define BASE 0x40000000UL
#define PAGES 6144 /* the arena: 24 MiB, twelve 2 MiB blocks */
#define SPACES 3
#define FILE_PAGES 900

enum kind { FREE, ANON, IMAGE, STREAM, SHARED };

/* What the program should see at one page. */
struct mpage { u8 kind, prot, dontfork, wipe; u16 obj; u32 index; u64 val; };
struct space { struct mm *mm; struct mpage p[PAGES]; };

static struct space *space[SPACES], *cur;
static struct { struct file *f; u64 *val; } obj[200]; /* shared objects and their contents */
static unsigned nobj;
static struct file *image, *stream;
static u64 stamp = 1;
static unsigned nomem; /* calls that ran out of memory */

static u64 rnd(u64 n)
{
	return (u64)random() % n;
}

static u64 va_of(u64 i)
{
	return BASE + i * P;
}

static u64 initial(const struct mpage *m)
{
	return m->kind == IMAGE ? fake_value(50 + m->index) : m->kind == STREAM ? fake_value(m->index) : 0;
}

static u64 *value(struct mpage *m)
{
	return m->kind == SHARED ? &obj[m->obj].val[m->index] : &m->val;
}

static int expected(const struct mpage *m, int need)
{
	if (m->kind == FREE)
		return SIGSEGV + (SEGV_MAPERR << 8);
	if (need == PROT_READ ? !m->prot : !(m->prot & need))
		return SIGSEGV + (SEGV_ACCERR << 8);
	return m->kind != ANON && m->index >= FILE_PAGES ? SIGBUS : 0;
}

static void touch(u64 i, int need)
{
	struct mpage *m = &cur->p[i];
	u64 got = 0, want = m->kind == FREE || (m->kind == SHARED && m->index >= FILE_PAGES) ? 0 : *value(m);
	int e = expected(m, need), r;
	if (need == PROT_READ)
		r = user_read(va_of(i), &got);
	else if (need == PROT_WRITE)
		r = user_write(va_of(i), stamp);
	else
		r = user_exec(va_of(i));
	if (r == -ENOMEM && !e) {
		nomem++;
		return;
	}
	if (r != e || (!e && need == PROT_READ && got != want)) {
		fprintf(stderr, "page %lu kind %d prot %d need %d: %d, want %d; %lx, want %lx\n", (long)i, m->kind, m->prot, need, r, e, (long)got, (long)want);
		abort();
	}
	if (!e && need == PROT_WRITE)
		*value(m) = stamp++;
}

struct range { u64 i, n; };

static struct range some_range(void)
{
	static const u64 most[] = { 4, 40, 700, 3000 };
	struct range r = { rnd(PAGES), 1 + rnd(most[rnd(4)]) };
	if (rnd(6) == 0)
		r.i &= ~511UL;
	r.n = MIN(r.n, PAGES - r.i);
	return r;
}

static unsigned new_object(void)
{
	unsigned k = nobj < 8 ? nobj++ : rnd(8);
	if (!obj[k].f) {
		obj[k].f = fake_memory(FILE_PAGES * P);
		obj[k].val = calloc(FILE_PAGES, sizeof(u64));
	}
	return k;
}

static void do_map(void)
{
	struct range r = some_range();
	int prot = rnd(8), flags = MAP_FIXED;
	if (rnd(3))
		prot |= PROT_READ | PROT_WRITE;
	enum kind kind = rnd(3) ? ANON : IMAGE + rnd(3);
	u64 off = kind == ANON ? 0 : rnd(FILE_PAGES);
	unsigned o = kind == SHARED ? new_object() : 0;
	struct file *f = kind == IMAGE ? image : kind == STREAM ? stream : kind == SHARED ? obj[o].f : NULL;
	flags |= kind == SHARED ? MAP_SHARED : kind == ANON ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	if (rnd(10) == 0)
		flags |= MAP_STACK;
	if (rnd(10) == 0)
		flags |= MAP_POPULATE;
	long at = mm_map(cur->mm, va_of(r.i), r.n * P, prot, flags, f, off * P);
	if (at == -ENOMEM) {
		nomem++;
		return;
	}
	CHECK(at == (long)va_of(r.i));
	for (u64 k = 0; k < r.n; k++) {
		struct mpage *m = &cur->p[r.i + k];
		*m = (struct mpage){ .kind = kind, .prot = prot, .obj = o, .index = off + k };
		m->val = initial(m);
	}
}

static void do_unmap(void)
{
	struct range r = some_range();
	long e = mm_unmap(cur->mm, va_of(r.i), r.n * P);
	if (e) {
		CHECK(e == -ENOMEM);
		nomem++;
		return;
	}
	memset(&cur->p[r.i], 0, r.n * sizeof(struct mpage));
}

/* Out of memory may leave a call half done: learn from the mappings how far it came. */
static void learn_prot(void)
{
	nomem++;
	for (u64 i = 0; i < PAGES; i++) {
		struct vma *v = vma_at(cur->mm, va_of(i));
		CHECK(!v == (cur->p[i].kind == FREE));
		if (v)
			cur->p[i].prot = v->flags & VM_PROT;
	}
}

static void do_protect(void)
{
	struct range r = some_range();
	int prot = rnd(8);
	u64 hole = 0;
	while (hole < r.n && cur->p[r.i + hole].kind != FREE)
		hole++;
	long e = mm_protect(cur->mm, va_of(r.i), r.n * P, prot);
	if (e == -ENOMEM && hole == r.n) {
		learn_prot();
		return;
	}
	if (e == -ENOMEM && nomem) {
		learn_prot();
		return;
	}
	CHECK(e == (hole == r.n ? 0 : -ENOMEM));
	for (u64 k = 0; k < hole; k++)
		cur->p[r.i + k].prot = prot;
}

static void do_dontneed(void)
{
	struct range r = some_range();
	long e = mm_advise(cur->mm, va_of(r.i), r.n * P, MADV_DONTNEED);
	CHECK(e == 0 || e == -ENOMEM);
	bool holes = false;
	for (u64 k = 0; k < r.n; k++)
		holes |= cur->p[r.i + k].kind == FREE;
	CHECK(!holes || e == -ENOMEM);
	if (e && !holes) { /* no memory to split a leaf: how far it came is not known */
		nomem++;
		CHECK(mm_unmap(cur->mm, va_of(r.i), r.n * P) == 0 || true);
		if (vma_find(cur->mm, va_of(r.i)) && vma_find(cur->mm, va_of(r.i))->start < va_of(r.i + r.n))
			exit(0);
		memset(&cur->p[r.i], 0, r.n * sizeof(struct mpage));
		return;
	}
	if (e && nomem)
		exit(0); /* cannot tell a hole from a failure any more */
	for (u64 k = 0; k < r.n; k++) {
		struct mpage *m = &cur->p[r.i + k];
		if (m->kind != FREE && m->kind != SHARED)
			m->val = initial(m);
	}
}

static void do_remap(void)
{
	struct range r = some_range();
	u64 to = rnd(PAGES), n = MIN(r.n, 600);
	if (rnd(3) == 0)
		to = (to & ~511UL) + (r.i & 511);
	if (to + n > PAGES || (to < r.i + n && r.i < to + n))
		return;
	struct vma *v = vma_at(cur->mm, va_of(r.i));
	bool one = v && v->end >= va_of(r.i + n);
	long e = mm_remap(cur->mm, va_of(r.i), n * P, n * P, MREMAP_MAYMOVE | MREMAP_FIXED, va_of(to));
	if (!one) {
		CHECK(e == -EFAULT);
		return;
	}
	if (e == -ENOMEM) {
		nomem++;
		for (u64 i = 0; i < PAGES; i++) /* the target may be unmapped already */
			if (!vma_at(cur->mm, va_of(i)))
				cur->p[i] = (struct mpage){ 0 };
		return;
	}
	CHECK(e == (long)va_of(to));
	memcpy(&cur->p[to], &cur->p[r.i], n * sizeof(struct mpage));
	memset(&cur->p[r.i], 0, n * sizeof(struct mpage));
}

static void do_poke(void)
{
	u64 i = rnd(PAGES);
	struct mpage *m = &cur->p[i];
	long e = mm_poke(cur->mm, va_of(i), &stamp, 8);
	if (e == -ENOMEM && m->kind != FREE) {
		nomem++;
		return;
	}
	CHECK((e == 0) == (m->kind != FREE && (m->kind == ANON || m->index < FILE_PAGES)));
	if (!e)
		*value(m) = stamp++;
}

static void do_fork(void)
{
	unsigned k = rnd(SPACES);
	if (space[k] == cur)
		return;
	if (space[k]) {
		mm_put(space[k]->mm);
		free(space[k]);
		space[k] = NULL;
	}
	struct mm *mm = mm_fork(cur->mm);
	if (!mm) {
		nomem++;
		return;
	}
	space[k] = malloc(sizeof(struct space));
	*space[k] = *cur;
	space[k]->mm = mm;
}

static void do_switch(void)
{
	unsigned k = rnd(SPACES);
	if (space[k]) {
		cur = space[k];
		user_switch(cur->mm);
	}
}

static void step(void)
{
	unsigned op = rnd(100);
	if (op < 8)
		do_map();
	else if (op < 13)
		do_unmap();
	else if (op < 18)
		do_protect();
	else if (op < 21)
		do_dontneed();
	else if (op < 24)
		do_remap();
	else if (op < 27)
		do_poke();
	else if (op == 27 && rnd(4) == 0)
		do_fork();
	else if (op == 28)
		do_switch();
	else if (op < 60)
		touch(rnd(PAGES), PROT_WRITE);
	else if (op < 65)
		touch(rnd(PAGES), PROT_EXEC);
	else
		touch(rnd(PAGES), PROT_READ);
	/* Runs in order, as programs do. */
	if (op == 99) {
		u64 i = rnd(PAGES), n = rnd(300);
		for (u64 k = i; k < i + n && k < PAGES; k++)
			touch(k, PROT_WRITE);
	}
}

static void run(unsigned long seed)
{
	static const u64 rams[] = { 256 << 20, 100 << 20, 32 << 20, 16 << 20 };
	srandom(seed);
	machine_start(rams[seed % 4]);
	fake_sleep = seed % 3 ? 37 : 0;
	image = fake_image(50, FILE_PAGES * P);
	stream = fake_stream(FILE_PAGES * P - 100);
	u64 free0 = page_free_bytes();
	cur = space[0] = calloc(1, sizeof(struct space));
	cur->mm = fake_mm;
	for (int i = 0; i < 12000; i++) {
		step();
		if (i % 400 == 0)
			check_all();
	}
	for (u64 i = 0; i < PAGES; i++)
		touch(i, PROT_READ);
	check_all();
	struct mm *empty = mm_create();
	user_switch(empty);
	for (unsigned k = 0; k < SPACES; k++)
		if (space[k])
			mm_put(space[k]->mm);
	user_switch(NULL);
	mm_put(empty);
	pt_drain();
	family_drain();
	for (unsigned k = 0; k < nobj; k++) {
		CHECK(obj[k].f->refs == 1);
		file_put(obj[k].f);
	}
	CHECK(image->refs == 1 && stream->refs == 1);
	CHECK(free0 - page_free_bytes() <= 40 * P); /* at most a slab of each size, and the zero page */
}

int main(int argc, char **argv)
{
	int bad = 0;
	unsigned long from = argc > 1 ? strtoul(argv[1], NULL, 0) : 1, n = argc > 2 ? strtoul(argv[2], NULL, 0) : argc > 1 ? 1 : 24;
	for (unsigned long seed = from; seed < from + n && !bad; seed++)
		if ((bad = host_run(run, seed)))
			fprintf(stderr, "mm_random_test: seed %lu\n", seed);
	return bad ? 1 : 0;
}
