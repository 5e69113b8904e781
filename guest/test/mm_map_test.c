/* SPDX-License-Identifier: Apache-2.0 */
/* mm_map_test.c: what mmap, munmap, mprotect, mremap, madvise, brk and friends promise, case by case. */
#include <stdio.h>
#include <stdlib.h>
#include "../mm/internal.h"
#include "platform.h"
#include "mm_fake.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define AT 0x10000000UL
#define MAPERR (SIGSEGV + (SEGV_MAPERR << 8))
#define ACCERR (SIGSEGV + (SEGV_ACCERR << 8))

static u64 v_;
#define READS(va, want) CHECK(user_read(va, &v_) == 0 && v_ == (want))
#define FAULTS(va, want) CHECK(user_read(va, &v_) == (want))

static long map(u64 at, u64 pages, int prot, int flags)
{
	return mm_map(fake_mm, at, pages * P, prot, flags, NULL, 0);
}

static u64 map_ok(u64 at, u64 pages, int prot)
{
	long r = map(at, pages, prot, ANON | MAP_FIXED);
	CHECK(r == (long)at);
	return r;
}

static void arguments(unsigned long arg)
{
	struct mm *mm = fake_mm;
	CHECK(mm_map(mm, 0, 0, RW, ANON, NULL, 0) == -EINVAL);
	CHECK(mm_map(mm, 0, P, RW, MAP_ANONYMOUS, NULL, 0) == -EINVAL);
	CHECK(mm_map(mm, 0, P, RW, ANON, NULL, 1) == -EINVAL);
	CHECK(mm_map(mm, 0, ~0UL, RW, ANON, NULL, 0) == -ENOMEM);
	CHECK(mm_map(mm, 0, 1UL << 47, PROT_NONE, ANON, NULL, 0) == -ENOMEM);
	CHECK(map(AT + 1, 1, RW, ANON | MAP_FIXED) == -EINVAL);
	CHECK(map(0x1000, 1, RW, ANON | MAP_FIXED) == -EPERM);
	CHECK(map(UFS_WINDOW_VA, 1, RW, ANON | MAP_FIXED) == -ENOMEM);
	CHECK(map(UFS_WINDOW_VA - P, 2, RW, ANON | MAP_FIXED) == -ENOMEM);
	CHECK(map(UFS_WINDOW_END - P, 1, RW, ANON | MAP_FIXED) == -ENOMEM);
	CHECK(map(UFS_USER_END, 1, RW, ANON | MAP_FIXED) == -ENOMEM);
	CHECK(map(UFS_USER_END - P, 1, RW, ANON | MAP_FIXED) == (long)(UFS_USER_END - P));
	CHECK(map(0, 1, RW, ANON | MAP_HUGETLB) == -ENOMEM);
	CHECK(map(0, 1, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_SYNC) == -EOPNOTSUPP);
	CHECK(map(0, 1, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN) == -EINVAL);
	map_ok(AT, 2, RW);
	CHECK(map(AT + P, 1, RW, ANON | MAP_FIXED_NOREPLACE) == -EEXIST);
	CHECK(map(AT + 2 * P, 1, RW, ANON | MAP_FIXED_NOREPLACE) == (long)(AT + 2 * P));
	CHECK(map(AT + 8 * P + 5, 1, RW, ANON) == (long)(AT + 8 * P)); /* a hint */
	CHECK(map(AT, 1, RW, ANON) != (long)AT);
	long low = map(0, 4, RW, ANON | MAP_32BIT);
	CHECK(low > 0 && low + 4 * P <= 0x80000000);
	/* More than there is: refused unless nobody counts on it. */
	u64 much = (page_total_bytes() / P) + 1;
	CHECK(map(0, much, RW, ANON) == -ENOMEM && map(0, much, PROT_NONE, ANON) > 0 && map(0, much, RW, ANON | MAP_NORESERVE) > 0);
	CHECK(map(0, 1UL << 32, PROT_NONE, ANON | MAP_NORESERVE) > 0); /* 16 TiB */
	CHECK(mm_unmap(mm, AT + 1, P) == -EINVAL && mm_unmap(mm, AT, 0) == -EINVAL && mm_unmap(mm, UFS_WINDOW_VA, P) == -EINVAL);
	CHECK(mm_unmap(mm, AT, ~0UL) == -EINVAL && mm_unmap(mm, 0x7000000, P) == 0);
	CHECK(mm_protect(mm, AT + 1, P, RW) == -EINVAL && mm_protect(mm, AT, P, 0x100) == -EINVAL && mm_protect(mm, AT, 0, RW) == 0);
	CHECK(mm_protect(mm, AT, ~0UL & ~0xfffUL, RW) == -ENOMEM && mm_protect(mm, UFS_SHARED_VA, P, RW) == -ENOMEM);
}

static void anonymous(unsigned long arg)
{
	struct mm *mm = fake_mm;
	map_ok(AT, 100, RW);
	READS(AT + 5 * P, 0);
	CHECK(user_write(AT + 5 * P, 77) == 0);
	READS(AT + 5 * P, 77);
	FAULTS(AT - P, MAPERR);
	FAULTS(AT + 100 * P, MAPERR);
	CHECK(user_exec(AT) == ACCERR);
	CHECK(mm_protect(mm, AT + 4 * P, 4 * P, PROT_READ) == 0 && mm->count == 3);
	CHECK(user_write(AT + 5 * P, 1) == ACCERR);
	READS(AT + 5 * P, 77);
	CHECK(mm_protect(mm, AT + 5 * P, P, PROT_NONE) == 0);
	FAULTS(AT + 5 * P, ACCERR);
	CHECK(mm_protect(mm, AT, 100 * P, RW) == 0 && mm->count == 1); /* joined again */
	READS(AT + 5 * P, 77);
	CHECK(mm_unmap(mm, AT + 50 * P, P) == 0 && mm->count == 2);
	FAULTS(AT + 50 * P, MAPERR);
	/* Across the hole: what comes before it is changed all the same. */
	CHECK(mm_protect(mm, AT + 49 * P, 3 * P, PROT_READ) == -ENOMEM);
	CHECK(user_write(AT + 49 * P, 1) == ACCERR && user_write(AT + 51 * P, 1) == 0);
	check_all();
	CHECK(mm_unmap(mm, AT, 100 * P) == 0 && mm->count == 0 && mm->rss == 0 && count_tables(mm) == 0);
}

static void huge(unsigned long arg)
{
	struct mm *mm = fake_mm;
	u64 free0 = page_free_bytes();
	map_ok(AT, 2048, RW);
	CHECK(user_write(AT + 3 * P, 3) == 0 && mm->rss == 512);
	CHECK(user_write(AT + 600 * P, 600) == 0 && mm->rss == 1024);
	CHECK(count_tables(mm) == 2);
	CHECK(mm_protect(mm, AT + 10 * P, P, PROT_READ) == 0); /* splits a leaf */
	CHECK(user_write(AT + 10 * P, 1) == ACCERR && user_write(AT + 11 * P, 11) == 0);
	READS(AT + 3 * P, 3);
	CHECK(mm_unmap(mm, AT + 512 * P, 256 * P) == 0 && mm->rss == 768);
	FAULTS(AT + 600 * P, MAPERR);
	CHECK(mm_advise(mm, AT + 3 * P, P, MADV_DONTNEED) == 0 && mm->rss == 767);
	READS(AT + 3 * P, 0);
	check_all();
	CHECK(mm_unmap(mm, AT, 2048 * P) == 0);
	CHECK(page_free_bytes() >= free0 - 8 * P);
	/* The freed block is dirty and must come back as zeros. */
	map_ok(AT, 512, RW);
	for (u64 i = 0; i < 512; i++)
		READS(AT + i * P, 0);
	CHECK(mm->rss == 512);
}

static void files(unsigned long arg)
{
	struct mm *mm = fake_mm;
	struct file *im = fake_image(100, 20 * P + 10), *ram = fake_memory(10 * P), *st = fake_stream(4 * P);
	CHECK(mm_map(mm, AT, 30 * P, PROT_READ, MAP_PRIVATE | MAP_FIXED, im, 2 * P) == (long)AT);
	READS(AT, fake_value(102));
	READS(AT + 18 * P, fake_value(120)); /* the last, partial page */
	FAULTS(AT + 19 * P, SIGBUS);
	CHECK(user_write(AT, 1) == ACCERR && page_total_bytes() > 0);
	CHECK(mm_protect(mm, AT, 30 * P, RW) == 0 && user_write(AT + P, 5) == 0);
	READS(AT + P, 5);
	CHECK(*(u64 *)(UFS_IMAGE_VA + 103 * P) == fake_value(103));
	CHECK(mm_advise(mm, AT, 10 * P, MADV_DONTNEED) == 0);
	READS(AT + P, fake_value(103));
	CHECK(mm_map(mm, 0, P, PROT_READ, MAP_SHARED, im, 0) > 0);
	CHECK(mm_map(mm, 0, P, RW, MAP_SHARED, im, 0) == -EACCES && mm_map(mm, 0, P, RW, MAP_SHARED, st, 0) == -EACCES);
	CHECK(mm_map(mm, 0, P, PROT_READ, MAP_SHARED, st, 0) == -ENODEV);
	long a = mm_map(mm, 0, 4 * P, RW, MAP_PRIVATE, st, P);
	CHECK(a > 0);
	READS(a + P, fake_value(2));
	READS(a + P + 8, 0);
	CHECK(user_write(a + P, 9) == 0);
	READS(a + P, 9);
	FAULTS(a + 3 * P, SIGBUS);
	/* Two shared mappings show the same bytes, a private one keeps its own. */
	long x = mm_map(mm, 0, 10 * P, RW, MAP_SHARED, ram, 0), y = mm_map(mm, 0, 10 * P, PROT_READ, MAP_SHARED, ram, 0);
	long z = mm_map(mm, 0, 10 * P, RW, MAP_PRIVATE, ram, 0);
	CHECK(x > 0 && y > 0 && z > 0);
	READS(y + 3 * P, 0);
	CHECK(user_write(x + 3 * P, 33) == 0);
	READS(y + 3 * P, 33);
	READS(z + 3 * P, 33);
	CHECK(user_write(z + 3 * P, 44) == 0);
	READS(x + 3 * P, 33);
	READS(z + 3 * P, 44);
	CHECK(mm_protect(mm, y, P, RW) == 0); /* opened for writing, so it may */
	mm_file_changed(ram->ino, 3 * P, 4 * P, false);
	READS(z + 3 * P, 44);
	ram->ino->size = 2 * P;
	mm_file_changed(ram->ino, 2 * P, ~0UL, true);
	FAULTS(x + 3 * P, SIGBUS);
	FAULTS(z + 3 * P, SIGBUS);
	check_all();
	ram->ino->size = 10 * P;
	file_put(im);
	file_put(ram);
	file_put(st);
	CHECK(mm_poke(mm, AT, &(u64){ 1 }, 8) == 0 && mm_poke(mm, y, &(u64){ 1 }, 8) == 0);
	READS(AT, 1);
}

static void growing(unsigned long arg)
{
	struct mm *mm = fake_mm;
	u64 top = 0x7fffff000000;
	CHECK(mm_map(mm, top - 16 * P, 16 * P, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, NULL, 0) > 0);
	CHECK(user_write(top - 1000 * P, 1) == 0 && user_write(top - 2048 * P, 2) == 0);
	FAULTS(top - 2049 * P, MAPERR); /* RLIMIT_STACK is 8 MiB */
	map_ok(top - 4096 * P, 16, RW);
	CHECK(mm_protect(mm, top - P, P, PROT_READ | PROT_GROWSDOWN) == 0);
	CHECK(user_write(top - 2048 * P, 1) == ACCERR);
	CHECK(mm_protect(mm, top - 4096 * P, P, PROT_READ | PROT_GROWSDOWN) == -EINVAL);
	/* A gap stays below a stack that meets a neighbour. */
	u64 top2 = AT + 1000 * P;
	map_ok(AT, 100, RW);
	CHECK(mm_map(mm, top2 - P, P, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, NULL, 0) > 0);
	CHECK(user_write(AT + 356 * P, 1) == 0 && user_write(AT + 355 * P, 1) == MAPERR);
	mm_set_brk(mm, AT + 2000 * P + 104);
	u64 brk = mm_brk(mm, 0);
	CHECK(brk == AT + 2000 * P + 104 && mm_brk(mm, brk + 16) == (long)brk + 16 && mm_brk(mm, brk + 5 * P) == (long)(brk + 5 * P));
	CHECK(user_write(brk + 4 * P, 4) == 0 && user_write(AT + 2000 * P, 1) == MAPERR); /* the first page is the program's data */
	CHECK(mm_brk(mm, brk + P) == (long)(brk + P));
	FAULTS(brk + 4 * P, MAPERR);
	map_ok(AT + 2010 * P, 1, RW);
	CHECK(mm_brk(mm, brk + 100 * P) == (long)(brk + P) && mm_brk(mm, brk - 200) == (long)(brk + P) && mm_brk(mm, ~0UL) == (long)(brk + P));
	check_all();
}

static void remaps(unsigned long arg)
{
	struct mm *mm = fake_mm;
	map_ok(AT, 20, RW);
	for (u64 i = 0; i < 20; i++)
		CHECK(user_write(AT + i * P, i) == 0);
	CHECK(mm_remap(mm, AT, 20 * P, 10 * P, 0, 0) == (long)AT);
	FAULTS(AT + 10 * P, MAPERR);
	CHECK(mm_remap(mm, AT, 10 * P, 12 * P, 0, 0) == (long)AT);
	READS(AT + 11 * P, 0);
	map_ok(AT + 12 * P, 1, PROT_READ);
	CHECK(mm_remap(mm, AT, 12 * P, 13 * P, 0, 0) == -ENOMEM);
	long to = mm_remap(mm, AT, 12 * P, 13 * P, MREMAP_MAYMOVE, 0);
	CHECK(to > 0 && to != (long)AT);
	READS(to + 9 * P, 9);
	FAULTS(AT, MAPERR);
	CHECK(mm_remap(mm, to + 2 * P, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, AT) == (long)AT);
	READS(AT + P, 3);
	FAULTS(to + 3 * P, MAPERR);
	CHECK(mm_remap(mm, to, 4 * P, 5 * P, MREMAP_MAYMOVE, 0) == -EFAULT); /* a hole inside */
	CHECK(mm_remap(mm, AT, 2 * P, 2 * P, MREMAP_FIXED, AT + 8 * P) == -EINVAL);
	CHECK(mm_remap(mm, AT, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, AT + P) == -EINVAL);
	CHECK(mm_remap(mm, AT, 0, P, MREMAP_MAYMOVE, 0) == -EINVAL && mm_remap(mm, AT, P, 0, MREMAP_MAYMOVE, 0) == -EINVAL);
	/* 2 MiB leaves move whole where alignment allows, else in parts. */
	u64 big = AT + (64 << 20);
	map_ok(big, 1024, RW);
	for (u64 i = 0; i < 1024; i += 7)
		CHECK(user_write(big + i * P, i) == 0);
	CHECK(mm_remap(mm, big, 1024 * P, 1024 * P, MREMAP_MAYMOVE | MREMAP_FIXED, 2 * big) == (long)(2 * big));
	check_all();
	CHECK(mm_remap(mm, 2 * big, 1024 * P, 1024 * P, MREMAP_MAYMOVE | MREMAP_FIXED, big + P) == (long)(big + P));
	for (u64 i = 0; i < 1024; i += 7)
		READS(big + P + i * P, i);
	check_all();
}

static void advice(unsigned long arg)
{
	struct mm *mm = fake_mm;
	map_ok(AT, 10, RW);
	CHECK(user_write(AT, 1) == 0 && user_write(AT + P, 2) == 0);
	CHECK(mm_advise(mm, AT, 10 * P, 12345) == -EINVAL && mm_advise(mm, AT, 0, 12345) == -EINVAL && mm_advise(mm, AT, 0, MADV_DONTNEED) == 0);
	CHECK(mm_advise(mm, AT + 1, P, MADV_DONTNEED) == -EINVAL && mm_advise(mm, AT + 20 * P, P, MADV_DONTNEED) == -ENOMEM);
	CHECK(mm_advise(mm, AT, 11 * P, MADV_DONTNEED) == -ENOMEM);
	READS(AT, 0); /* done before the hole was met */
	CHECK(mm_advise(mm, AT, P, MADV_HUGEPAGE) == 0 && mm_advise(mm, AT, P, MADV_COLLAPSE) == -EINVAL);
	CHECK(mm_advise(mm, AT, 10 * P, MADV_POPULATE_WRITE) == 0 && mm->rss >= 10);
	CHECK(mm_lock(mm, AT, P, true, true) == 0 && mm_advise(mm, AT, P, MADV_DONTNEED) == -EINVAL);
	CHECK(mm_sync(mm, AT, P, MS_INVALIDATE) == -EBUSY && mm_sync(mm, AT, 10 * P, MS_SYNC) == 0 && mm_sync(mm, AT, 11 * P, MS_ASYNC) == -ENOMEM);
	CHECK(mm_sync(mm, AT, P, MS_SYNC | MS_ASYNC) == -EINVAL && mm_sync(mm, AT, P, 64) == -EINVAL);
	CHECK(mm_lock(mm, AT, P, false, false) == 0 && mm_advise(mm, AT, P, MADV_DONTNEED) == 0 && mm->count == 1);
	CHECK(mm_lock(mm, AT + 9 * P, 2 * P, true, true) == -ENOMEM && mm_lock_all(mm, 0) == -EINVAL && mm_lock_all(mm, MCL_CURRENT | MCL_FUTURE) == 0);
	mm_unlock_all(mm);
	/* Fork: a region can be left out, or read as zeros in the child. */
	CHECK(user_write(AT, 10) == 0 && user_write(AT + P, 11) == 0 && user_write(AT + 2 * P, 12) == 0);
	CHECK(mm_advise(mm, AT + P, P, MADV_WIPEONFORK) == 0 && mm_advise(mm, AT + 2 * P, P, MADV_DONTFORK) == 0);
	struct mm *child = mm_fork(mm);
	user_switch(child);
	READS(AT, 10);
	READS(AT + P, 0);
	FAULTS(AT + 2 * P, MAPERR);
	CHECK(user_write(AT, 99) == 0);
	user_switch(mm);
	READS(AT, 10);
	READS(AT + P, 11);
	check_all();
	mm_wipe();
	READS(AT + P, 0);
	user_switch(mm);
	mm_put(child);
}

/* What must read as zeros after a restore: pages of one's own, shared by a fork in either order, shared zeros, 2 MiB leaves, part of one. */
static void wiped(unsigned long arg)
{
	struct mm *mm = fake_mm;
	int level;
	map_ok(AT, 8, RW);
	for (u64 i = 0; i < 8; i++)
		CHECK(user_write(AT + i * P, i + 1) == 0);
	struct mm *old = mm_fork(mm); /* a family: shares what is not a wiped mapping's yet */
	user_switch(old);
	CHECK(user_write(AT, 100) == 0);
	user_switch(mm);
	CHECK(mm_advise(mm, AT + P, 4 * P, MADV_WIPEONFORK) == 0); /* leaves the family */
	READS(AT + P, 2);
	struct mm *child = mm_fork(mm);
	user_switch(child);
	READS(AT + P, 0);
	CHECK(user_write(AT + P, 50) == 0 && user_write(AT + 5 * P, 51) == 0);
	user_switch(mm);
	READS(AT + P, 2);
	CHECK(mm_protect(mm, AT + 2 * P, P, PROT_NONE) == 0);
	u64 e = *pt_find(mm, AT + P, &level);
	check_all();
	mm_wipe();
	check_all();
	CHECK(*pt_find(mm, AT + P, &level) == e); /* its own page: in place */
	READS(AT, 1);
	for (u64 i = 1; i < 5; i++)
		if (i != 2)
			READS(AT + i * P, 0);
	READS(AT + 5 * P, 6);
	CHECK(mm_protect(mm, AT + 2 * P, P, RW) == 0);
	READS(AT + 2 * P, 0);
	user_switch(child);
	READS(AT, 1);
	READS(AT + P, 0);
	READS(AT + 5 * P, 51);
	user_switch(old);
	READS(AT, 100);
	for (u64 i = 1; i < 8; i++)
		READS(AT + i * P, i + 1);
	user_switch(mm);
	mm_put(child);
	mm_put(old);
	/* A page that another reference shares, as a pipe may: its bytes are not ours to change. */
	CHECK(user_write(AT + P, 9) == 0);
	u64 *page = pte_page(*pt_find(mm, AT + P, &level));
	page_get(page);
	mm_wipe();
	READS(AT + P, 0);
	CHECK(*page == 9);
	page_put(page);
	check_all();
	/* Large leaves: whole, and cut by the mapping's end. */
	u64 big = AT + (64UL << 20), n = 3 * HUGE_SIZE / P;
	big &= HUGE_MASK;
	map_ok(big, n, RW);
	for (u64 at = big; at < big + n * P; at += HUGE_SIZE)
		CHECK(user_write(at + 5 * P, 3) == 0);
	CHECK(mm_advise(mm, big, HUGE_SIZE + 7 * P, MADV_WIPEONFORK) == 0);
	mm_wipe();
	READS(big + 5 * P, 0);
	READS(big + HUGE_SIZE + 5 * P, 0);
	READS(big + 2 * HUGE_SIZE + 5 * P, 3);
	CHECK(user_write(big + HUGE_SIZE + 7 * P, 4) == 0);
	mm_wipe();
	READS(big + HUGE_SIZE + 7 * P, 4);
	check_all();
}

/* Before a snapshot: what is only read of the image, without memory for it. */
static void warmed(unsigned long arg)
{
	struct mm *mm = fake_mm;
	struct file *image = fake_image(5, 600 * P), *memory = fake_memory(8 * P);
	u64 at[5] = { AT, AT + (16UL << 20), AT + (32UL << 20), AT + (48UL << 20), AT + (64UL << 20) }, val;
	int level;
	CHECK(mm_map(mm, at[0], 600 * P, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, image, 0) == (long)at[0]);
	CHECK(mm_map(mm, at[1], 8 * P, RW, MAP_PRIVATE | MAP_FIXED, image, 0) == (long)at[1]);
	CHECK(mm_map(mm, at[2], 8 * P, PROT_READ, MAP_SHARED | MAP_FIXED, image, 0) == (long)at[2]);
	CHECK(mm_map(mm, at[3], 8 * P, PROT_NONE, MAP_PRIVATE | MAP_FIXED, image, 0) == (long)at[3]);
	CHECK(mm_map(mm, at[4], 8 * P, PROT_READ, MAP_PRIVATE | MAP_FIXED, memory, 0) == (long)at[4]);
	/* A page of its own before, and what the file does not have. */
	CHECK(mm_poke(mm, at[0] + 3 * P, &at[1], 8) == 0);
	struct mm *child = mm_fork(mm);
	mm_warm(); /* a family's page tables do not change */
	CHECK(!pte_live(*pt_find(mm, at[0] + 500 * P, &level)));
	mm_put(child);
	page_reserve_tables(UFS_TABLES_PA, UFS_TABLES_PA, UFS_TABLES_END);
	u64 free = page_free_bytes(), rss = mm->rss;
	((struct ufs_boot *)BOOT)->flags = UFS_BOOT_FILES;
	mm_warm();
	CHECK(mm->rss == rss);
	((struct ufs_boot *)BOOT)->flags = 0;
	struct mmstat before, after;
	mm_stat(mm, &before);
	mm_warm();
	mm_stat(mm, &after);
	CHECK(before.rss == after.rss);
	check_all();
	CHECK(free - page_free_bytes() <= 4 * P && mm->rss > rss);
	for (u64 i = 0; i < 600; i++) {
		u64 e = *pt_find(mm, at[0] + i * P, &level);
		CHECK(pte_live(e) && !(e & PTE_W) && (i == 3 || level || !in_ram(e) || user_read(at[0] + i * P, &val) == 0));
		if (i != 3)
			READS(at[0] + i * P, fake_value(5 + i));
	}
	READS(at[0] + 3 * P, at[1]);
	for (int i = 1; i < 4; i++)
		CHECK(!pte_live(*pt_find(mm, at[i], &level)));
	CHECK(!pte_live(*pt_find(mm, at[4] + 2 * P, &level)));
	rss = mm->rss;
	mm_warm();
	CHECK(mm->rss <= rss + 1);
	check_all();
	file_put(image);
	file_put(memory);
}

static void write_there(void)
{
	CHECK(user_write(AT, 77) == 0);
}

/* What one thread writes while another waits for the page stays, and a family sees what no member has written. */
static void waited(unsigned long arg)
{
	struct mm *mm = fake_mm;
	struct file *f[] = { fake_image(3, 8 * P), fake_stream(8 * P) };
	for (int i = 0; i < 4; i++) {
		u64 v;
		CHECK(mm_map(mm, AT, 8 * P, RW, MAP_PRIVATE | MAP_FIXED, f[i / 2], 0) == (long)AT);
		fake_meanwhile = write_there;
		CHECK(i & 1 ? user_write(AT + 8, 78) == 0 : user_read(AT, &v) == 0);
		READS(AT, 77);
		check_all();
	}
	CHECK(mm_map(mm, AT, 8 * P, RW, MAP_PRIVATE | MAP_FIXED, f[0], 0) == (long)AT);
	struct mm *child = mm_fork(mm);
	user_switch(child);
	READS(AT, fake_value(3));
	CHECK(user_write(AT, 5) == 0 && user_write(AT + P, 6) == 0);
	user_switch(mm);
	READS(AT, fake_value(3));
	READS(AT + P, fake_value(4));
	check_all();
	mm_put(child);
	file_put(f[0]);
	file_put(f[1]);
}

/* A program that touches one page here and there must not run out of memory before it has used it. */
static void sparse(unsigned long arg)
{
	struct mm *mm = fake_mm;
	u64 step = 64 * P, n = page_total_bytes() * 3 / 5 / P;
	CHECK(map(AT, n * 64, RW, ANON | MAP_FIXED | MAP_NORESERVE) == (long)AT);
	for (u64 i = 0; i < n; i++)
		CHECK(user_write(AT + i * step, i + 1) == 0);
	for (u64 i = 0; i < n; i++)
		READS(AT + i * step, i + 1);
	check_all();
	/* And when memory is used up, it is the fault that says so. */
	int r = 0;
	for (u64 i = 0; !r && i < n * 64; i++)
		r = user_write(AT + i * P, 1);
	CHECK(r == -ENOMEM);
	check_all();
	CHECK(mm_unmap(mm, AT, n * step) == 0);
}

static void start(unsigned long test)
{
	static void (*const tests[])(unsigned long) = { arguments, anonymous, huge, files, growing, remaps, advice, waited, sparse, sparse, wiped, warmed };
	machine_start(test == 9 ? 16 << 20 : 128 << 20);
	struct file *warm = fake_memory(P); /* so that every size of kmalloc has its slab */
	file_put(warm);
	mm_unmap(fake_mm, map_ok(AT, 1, RW), P);
	u64 free0 = page_free_bytes();
	tests[test](0);
	check_all();
	struct mm *other = mm_create();
	mm_get(fake_mm);
	mm_put(fake_mm);
	struct mm *mm = fake_mm;
	user_switch(other);
	mm_put(mm);
	user_switch(NULL);
	mm_put(other);
	pt_drain();
	family_drain();
	CHECK(free0 - page_free_bytes() <= 9 * P); /* a slab or two, which may have four pages, the zero page */
}

int main(void)
{
	int bad = 0;
	for (unsigned long t = 0; t < 12; t++)
		bad |= host_run(start, t);
	return bad ? 1 : 0;
}
