/* SPDX-License-Identifier: Apache-2.0 */
/* mm_page_test.c: page.c and heap.c: random use against a model, misuse, exhaustion. */
#include <stdio.h>
#include <stdlib.h>
#include "../mm/internal.h"
#include "platform.h"
#include "time.h"
#include "mm_fake.h"

#define SLOTS 400

static struct { u64 *p; unsigned order, flags; u64 tag; } slot[SLOTS];

static void fill_block(u64 *p, unsigned order, u64 tag)
{
	for (u64 i = 0; i < 1ULL << order; i++)
		p[i * 512] = p[i * 512 + 511] = tag + i;
}

static void check_block(const u64 *p, unsigned order, u64 tag)
{
	for (u64 i = 0; i < 1ULL << order; i++)
		CHECK(p[i * 512] == tag + i && p[i * 512 + 511] == tag + i);
}

static void check_zero(const u64 *p, unsigned order)
{
	for (u64 i = 0; i < 512ULL << order; i++)
		CHECK(p[i] == 0);
}

static void random_pages(unsigned long seed)
{
	machine_start(24 << 20);
	srandom(seed);
	page_add_range(0x101000, 0x200000);
	u64 free0 = page_free_bytes();
	for (int round = 0; round < 20000; round++) {
		unsigned k = random() % SLOTS;
		if (slot[k].p) {
			check_block(slot[k].p, slot[k].order, slot[k].tag);
			if (random() % 4 == 0 && slot[k].order) {
				page_split(slot[k].p, slot[k].order);
				for (u64 i = 0; i < 1ULL << slot[k].order; i++)
					page_put(slot[k].p + i * 512);
			} else {
				page_get(slot[k].p);
				page_put(slot[k].p);
				CHECK(page_refs(slot[k].p) == 1);
				page_put(slot[k].p);
			}
			slot[k].p = NULL;
			continue;
		}
		unsigned order = random() % 3 ? random() % 4 : random() % 11, flags = random() % 4;
		u64 before = page_free_bytes(), *p = page_alloc(order, flags);
		CHECK(p || before < 20 << 20);
		if (!p)
			continue;
		CHECK(virt_to_phys(p) % (PAGE_SIZE << order) == 0 && page_free_bytes() == before - (PAGE_SIZE << order));
		if (flags & PG_ZERO)
			check_zero(p, order);
		slot[k].p = p;
		slot[k].order = order;
		slot[k].tag = (u64)round << 20;
		fill_block(p, order, slot[k].tag);
	}
	for (unsigned k = 0; k < SLOTS; k++)
		if (slot[k].p) {
			check_block(slot[k].p, slot[k].order, slot[k].tag);
			page_put(slot[k].p);
		}
	CHECK(page_free_bytes() == free0);
	CHECK(CTL->ram_used == page_total_bytes() - free0 && CTL->ram_libos == CTL->ram_used);
	/* All joined again: as many 4 MiB blocks as lie in the free part. */
	unsigned blocks = 0;
	while (page_alloc(10, 0))
		blocks++;
	CHECK(blocks == 5);
}

static void frontier(unsigned long arg)
{
	machine_start(64 << 20);
	u64 first = virt_to_phys(page_alloc(0, 0)), next = virt_to_phys(page_alloc(0, 0));
	CHECK(first < 4 << 20 && next == first + PAGE_SIZE);
	/* Small blocks stay together even when large ones are taken in between. */
	u64 huge = virt_to_phys(page_alloc(9, PG_USER)), small = virt_to_phys(page_alloc(0, 0));
	CHECK(huge == 4 << 20 && small < 4 << 20);
	/* What was written to does not become clean by joining what was not. */
	memset(phys_to_virt(huge), 1, HUGE_SIZE);
	page_put(phys_to_virt(huge));
	u64 *joined = page_alloc(10, PG_ZERO);
	CHECK(virt_to_phys(joined) == huge);
	check_zero(joined, 10);
	/* The program cannot take the last pages, the libos can. */
	while (page_alloc(0, PG_USER))
		;
	CHECK(page_free_bytes() > 0 && page_alloc(0, 0));
	while (page_alloc(0, 0))
		;
	CHECK(page_free_bytes() == 0 && !page_alloc(0, 0) && !kmalloc(8000) && !page_alloc(11, 0));
}

/* What the monitor is told: page tables that lie elsewhere, and when its block is not only theirs any more. */
static void tables(unsigned long arg)
{
	machine_start(16 << 20);
	CHECK(CTL->tables_out == 0);
	page_reserve_tables(UFS_TABLES_PA + 500 * PAGE_SIZE, UFS_TABLES_PA, UFS_TABLES_END);
	void *in[12], *out[3], *page;
	for (int i = 0; i < 12; i++)
		CHECK((in[i] = page_alloc(0, PG_TABLE)) && virt_to_phys(in[i]) - UFS_TABLES_PA < UFS_TABLES_END - UFS_TABLES_PA && CTL->tables_out == 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK((out[i] = page_alloc(0, PG_TABLE | PG_ZERO)) && virt_to_phys(out[i]) - UFS_TABLES_PA >= UFS_TABLES_END - UFS_TABLES_PA && CTL->tables_out == i + 1);
	page_put(in[3]);
	CHECK(CTL->tables_out == 3 && page_alloc(0, PG_TABLE) == in[3] && CTL->tables_out == 3);
	page_put(out[1]);
	CHECK(CTL->tables_out == 2 && (page = page_alloc(0, 0)) && CTL->tables_out == 2);
	page_put(page);
	page_get(out[0]);
	page_put(out[0]);
	CHECK(CTL->tables_out == 2);
	page_put(out[0]);
	page_put(out[2]);
	CHECK(CTL->tables_out == 0);
	page_put(in[5]);
	CHECK(CTL->tables_out == 0);
	while ((page = page_alloc(0, 0)))
		;
	CHECK(CTL->tables_out == 1); /* in[5] was the last one */
}

/* ---- memory given back ---- */

#define HUGES 40
static u64 *huge[HUGES];

static void take_and_free(unsigned n, bool write)
{
	for (unsigned i = 0; i < n; i++) {
		CHECK((huge[i] = page_alloc(9, PG_USER)));
		for (unsigned k = 0; write && k < 512; k++)
			huge[i][k * 512] = k + 1;
	}
	for (unsigned i = 0; i < n; i++)
		page_put(huge[i]);
}

static void second(void)
{
	memory_idle();
	fake_now += NSEC;
	fake_timers();
}

/* What the monitor does. */
static u64 monitor_frees(void)
{
	u64 sum = 0;
	CHECK(page_any_out());
	for (unsigned i = 0; i < fake_ngiven; i++) {
		struct ufs_range *r = &fake_given[i];
		CHECK(r->size && r->pa % HUGE_SIZE == 0 && r->size % HUGE_SIZE == 0 && r->pa >= UFS_TABLES_END && r->pa + r->size <= page_total_bytes());
		memset(phys_to_virt(r->pa), 0, r->size);
		sum += r->size;
	}
	for (unsigned i = 0; i < fake_ngiven; i++)
		memory_freed(fake_given[i].pa, fake_given[i].size);
	fake_ngiven = 0;
	CHECK(!page_any_out());
	return sum;
}

static void free_again(void *p) { memory_freed((u64)p, HUGE_SIZE); }

static void give_back(unsigned long arg)
{
	machine_start(128 << 20);
	u64 free0 = page_free_bytes(), used0 = CTL->ram_used;
	/* Never used: nothing to give. A little: not worth it. */
	second();
	take_and_free(4, true);
	second();
	second();
	CHECK(!fake_ngiven);
	/* Much, and it stays free: all but a few blocks goes, and is neither free nor used meanwhile. */
	take_and_free(HUGES, true);
	memory_idle();
	fake_timers();
	CHECK(!fake_ngiven && !page_any_out()); /* not yet */
	fake_now += NSEC;
	fake_timers();
	CHECK(fake_ngiven && page_any_out() && page_free_bytes() < free0 && CTL->ram_used < used0 + HUGES * sizeof(u64) * 512 + PAGE_SIZE);
	/* The program goes on with what is left. */
	u64 *p = page_alloc(9, PG_ZERO | PG_USER);
	CHECK(p);
	check_zero(p, 9);
	CHECK(expect_panic(free_again, (void *)virt_to_phys(p)));
	page_put(p);
	u64 sum = monitor_frees();
	CHECK(sum >= (HUGES - 4) * HUGE_SIZE && page_free_bytes() == free0);
	CHECK(expect_panic(free_again, (void *)fake_given[0].pa));
	CHECK(expect_panic(free_again, (void *)(1UL << 40)));
	/* It is clean now: not given again, taken last, and zero. */
	second();
	second();
	CHECK(!fake_ngiven);
	for (unsigned i = 0; i < HUGES; i++) {
		CHECK((huge[i] = page_alloc(9, PG_ZERO | PG_USER)));
		check_zero(huge[i], 9);
		huge[i][7] = 1;
	}
	/* Memory that each request needs stays, however long it is free in between, and the timer stops nothing. */
	for (unsigned i = 0; i < HUGES; i++)
		page_put(huge[i]);
	for (int i = 0; i < 5; i++) {
		memory_idle();
		fake_now += NSEC / 2;
		fake_timers();
		take_and_free(HUGES - 3, false);
		memory_idle();
		fake_now += NSEC / 2;
		fake_timers();
		CHECK(!fake_ngiven);
	}
	/* No room in the ring: later. */
	fake_full = true;
	second();
	second();
	CHECK(!fake_ngiven && !page_any_out() && page_free_bytes() == free0);
	fake_full = false;
	second();
	CHECK(fake_ngiven);
	monitor_frees();
	CHECK(page_free_bytes() == free0);
	/* Small pages in between: only whole blocks go. */
	static void *small[128 << 8];
	unsigned n = 0;
	while (n < ARRAY_SIZE(small) && (small[n] = page_alloc(0, PG_USER)))
		*(u64 *)small[n++] = 1;
	for (unsigned i = 0; i < n; i++)
		if (virt_to_phys(small[i]) % (4 * HUGE_SIZE))
			page_put(small[i]);
	second();
	CHECK(fake_ngiven);
	for (unsigned i = 0; i < fake_ngiven; i++)
		CHECK(fake_given[i].size == HUGE_SIZE || fake_given[i].pa % (4 * HUGE_SIZE));
	monitor_frees();
	for (unsigned i = 0; i < n; i++)
		if (virt_to_phys(small[i]) % (4 * HUGE_SIZE) == 0) {
			CHECK(*(u64 *)small[i] == 1);
			page_put(small[i]);
		}
	CHECK(page_free_bytes() == free0);
}

/* More than one message holds. */
static void give_back_much(unsigned long arg)
{
	machine_start(1UL << 30);
	static u64 *block[400];
	for (unsigned i = 0; i < ARRAY_SIZE(block); i++) {
		CHECK((block[i] = page_alloc(9, PG_USER)));
		block[i][0] = 1;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(block); i += 2) /* none of them joins another */
		page_put(block[i]);
	u64 sum = 0;
	for (int i = 0; i < 4; i++) {
		second();
		CHECK(fake_ngiven == UFS_FREE_MAX || i == 3);
		sum += fake_ngiven ? monitor_frees() : 0;
	}
	CHECK(sum == (ARRAY_SIZE(block) / 2 - 2) * HUGE_SIZE);
	second();
	CHECK(!fake_ngiven);
}

static void random_heap(unsigned long seed)
{
	machine_start(24 << 20);
	srandom(seed);
	u64 free0 = page_free_bytes();
	static struct { u8 *p; size_t n; u8 tag; } s[SLOTS];
	for (int round = 0; round < 60000; round++) {
		unsigned k = random() % SLOTS;
		size_t n = random() % 8 ? random() % 700 : random() % 20000;
		for (size_t i = 0; i < s[k].n; i += 1 + s[k].n / 8)
			CHECK(s[k].p[i] == s[k].tag);
		switch (random() % 3) {
		case 0:
			kfree(s[k].p);
			s[k].p = NULL;
			s[k].n = 0;
			break;
		case 1:
			if (s[k].p)
				continue;
			s[k].p = kzalloc(n);
			CHECK(s[k].p && (u64)s[k].p % 16 == 0);
			for (size_t i = 0; i < n; i++)
				CHECK(s[k].p[i] == 0);
			s[k].n = n;
			break;
		case 2:
			s[k].p = krealloc(s[k].p, n);
			CHECK(s[k].p && (u64)s[k].p % 16 == 0);
			for (size_t i = 0; i < MIN(n, s[k].n); i += 1 + n / 8)
				CHECK(i % (1 + s[k].n / 8) || s[k].p[i] == s[k].tag);
			s[k].n = n;
			break;
		}
		s[k].tag = random();
		if (s[k].n)
			memset(s[k].p, s[k].tag, s[k].n);
	}
	for (unsigned k = 0; k < SLOTS; k++)
		kfree(s[k].p);
	CHECK(free0 - page_free_bytes() <= 23 * 4 * PAGE_SIZE); /* one empty slab a size stays */
}

static void free_it(void *p)
{
	kfree(p);
}

static void put_it(void *p)
{
	page_put(p);
}

static void misuse(unsigned long arg)
{
	machine_start(16 << 20);
	char *p = kmalloc(40), *q = kmalloc(9000), *page = page_alloc(0, 0);
	kmalloc(40);
	CHECK(expect_panic(free_it, p + 16));
	CHECK(expect_panic(free_it, page));
	CHECK(expect_panic(free_it, q + PAGE_SIZE));
	kfree(p);
	kfree(q);
	CHECK(expect_panic(free_it, p));
	CHECK(expect_panic(free_it, q));
	page_put(page);
	CHECK(expect_panic(put_it, page));
}

int main(void)
{
	int bad = 0;
	for (unsigned long seed = 1; seed <= 4; seed++)
		bad |= host_run(random_pages, seed) | host_run(random_heap, seed);
	bad |= host_run(frontier, 0) | host_run(tables, 0) | host_run(give_back, 0) | host_run(give_back_much, 0) | host_run(misuse, 0);
	return bad ? 1 : 0;
}
