/* SPDX-License-Identifier: Apache-2.0 */
/* mm_fake.c: a fake machine for the tests of mm/: files, a software MMU with a TLB, and a check of all invariants. */
#include "boot_hooks.h"
#include <stdio.h>
#include <stdlib.h>
#include "../mm/internal.h"
#include "platform.h"
#include "mm_fake.h"
#include "time.h"
#include "net.h"
#include <linux/fcntl.h>

struct percpu percpu;
struct mm *fake_mm;
unsigned fake_sleep;
void (*fake_meanwhile)(void);

static struct process fake_process;
static struct thread fake_thread = { .proc = &fake_process };

void machine_start(u64 ram)
{
	host_memory(ram);
	page_init(FAKE_LIBOS_END, ram);
	percpu.current = &fake_thread;
	for (unsigned i = 0; i < ARRAY_SIZE(fake_process.rlim); i++)
		fake_process.rlim[i].cur = fake_process.rlim[i].max = ~0ULL;
	fake_process.rlim[3].cur = 8 << 20;
	fake_mm = mm_boot_adopt(FAKE_PML4);
	fake_process.mm = fake_mm;
	for (u64 p = 0; p < FAKE_IMAGE_SIZE / PAGE_SIZE; p++)
		*(u64 *)(UFS_IMAGE_VA + p * PAGE_SIZE) = fake_value(p);
}

/* ---- files ---- */

struct fake { struct inode i; u64 first; void **pages; };

u64 fake_value(u64 page)
{
	return 0xf11e000000000000ULL + page;
}

static void maybe_sleep(void)
{
	static unsigned n;
	if (fake_sleep && ++n % fake_sleep == 0)
		fake_mm->seq++;
	void (*fn)(void) = fake_meanwhile;
	fake_meanwhile = NULL;
	if (fn)
		fn();
}

static void *image_page(struct inode *ino, u64 off, bool write)
{
	struct fake *f = container_of(ino, struct fake, i);
	maybe_sleep();
	if (write)
		return ERR_PTR(-EACCES);
	return (void *)(UFS_IMAGE_VA + (f->first << PAGE_SHIFT) + off);
}

static void *memory_page(struct inode *ino, u64 off, bool write)
{
	struct fake *f = container_of(ino, struct fake, i);
	void **slot = &f->pages[off >> PAGE_SHIFT];
	maybe_sleep();
	if (!*slot)
		*slot = page_alloc(0, PG_ZERO | PG_USER);
	if (!*slot)
		return ERR_PTR(-ENOMEM);
	page_get(*slot);
	return *slot;
}

static long stream_read(struct inode *ino, struct iter *it, u64 off)
{
	u64 v = fake_value(off >> PAGE_SHIFT);
	if (off >= ino->size)
		return 0;
	maybe_sleep();
	return iter_put(it, &v, sizeof(v));
}

static void memory_release(struct inode *ino)
{
	struct fake *f = container_of(ino, struct fake, i);
	for (u64 p = 0; f->pages && p < ALIGN_UP(ino->size, PAGE_SIZE) >> PAGE_SHIFT; p++)
		if (f->pages[p])
			page_put(f->pages[p]);
	free(f->pages);
	free(f);
}

static const struct inode_ops image_ops = { .page = image_page, .release = memory_release };
static const struct inode_ops memory_ops = { .page = memory_page, .release = memory_release };
static const struct inode_ops stream_ops = { .read = stream_read, .release = memory_release };
static const struct file_ops file_ops = { .name = "fake" };

void inode_put(struct inode *ino)
{
	if (!--ino->refs)
		ino->ops->release(ino);
}

struct file *file_alloc(const struct file_ops *ops, u32 flags, void *priv)
{
	struct file *f = calloc(1, sizeof(*f));
	f->ops = ops;
	f->refs = 1;
	f->flags = flags;
	return f;
}

void file_get(struct file *f)
{
	f->refs++;
}

void file_put(struct file *f)
{
	if (--f->refs)
		return;
	inode_put(f->ino);
	free(f);
}

static struct fake *fake_inode(const struct inode_ops *ops, u64 size)
{
	struct fake *k = calloc(1, sizeof(*k));
	k->i = (struct inode){ .ops = ops, .refs = 1, .mode = S_IFREG, .size = size };
	return k;
}

static struct file *fake_file(struct fake *k, u32 flags)
{
	struct file *f = file_alloc(&file_ops, flags, NULL);
	f->ino = &k->i;
	return f;
}

struct file *fake_image(u64 first_page, u64 size)
{
	struct fake *k = fake_inode(&image_ops, size);
	k->first = first_page;
	return fake_file(k, O_RDONLY);
}

struct inode *shm_inode_create(u64 size)
{
	struct fake *k = fake_inode(&memory_ops, size);
	k->pages = calloc(ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT, sizeof(void *));
	return &k->i;
}

struct file *fake_memory(u64 size)
{
	struct inode *ino = shm_inode_create(size);
	return fake_file(container_of(ino, struct fake, i), O_RDWR);
}

struct file *fake_stream(u64 size)
{
	return fake_file(fake_inode(&stream_ops, size), O_RDONLY);
}

/* ---- the MMU: a TLB that forgets only when told to ---- */

#define TLB 512
static struct { u64 va, pa; bool write, exec, valid; } tlb[TLB];

void patch_forget(struct mm *mm)
{
}

void platform_flush(u64 va, u64 len)
{
	for (unsigned i = 0; i < TLB; i++)
		if (tlb[i].va >= ALIGN_DOWN(va, PAGE_SIZE) && tlb[i].va < va + len)
			tlb[i].valid = false;
}

void platform_switch_mm(u64 cr3)
{
	percpu.cr3 = cr3;
	memset(tlb, 0, sizeof(tlb));
}

void swap_bytes(void *a, void *b, u64 n)
{
	char *p = malloc(n);
	memcpy(p, a, n);
	memcpy(a, b, n);
	memcpy(b, p, n);
	free(p);
}

void user_switch(struct mm *mm)
{
	fake_mm = mm;
	fake_process.mm = mm;
	if (mm)
		mm_activate(mm);
}

static u64 leaf_at(struct mm *mm, u64 va)
{
	int level;
	u64 e = *pt_find(mm, va, &level);
	if (!(e & PTE_P))
		return 0;
	CHECK((e & (PTE_U | PTE_A | PTE_D)) == (PTE_U | PTE_A | PTE_D));
	CHECK(level == 0 || (level == 1 && (e & PTE_HUGE)));
	return (e & ~PTE_HUGE) + (va & (level_size(level) - 1) & PAGE_MASK);
}

static void check_tlb(void)
{
	for (unsigned i = 0; i < TLB; i++) {
		if (!tlb[i].valid)
			continue;
		u64 e = leaf_at(fake_mm, tlb[i].va);
		CHECK(e);
		CHECK((e & PTE_ADDR) == tlb[i].pa);
		CHECK(!tlb[i].write || (e & PTE_W));
		CHECK(!tlb[i].exec || !(e & PTE_NX));
	}
}

static bool permits(u64 e, u64 error)
{
	return e && (!(error & FAULT_WRITE) || (e & PTE_W)) && (!(error & FAULT_EXEC) || !(e & PTE_NX));
}

static int translate(u64 va, u64 error, void **at)
{
	u64 e = leaf_at(fake_mm, va);
	for (int tries = 0; !permits(e, error); tries++) {
		int code = 0;
		int r = mm_fault(fake_mm, va, error | FAULT_USER | (e ? 1 : 0), &code);
		if (r)
			return r == SIGSEGV ? r + (code << 8) : r;
		CHECK(tries < 2);
		e = leaf_at(fake_mm, va);
	}
	unsigned i = (va >> PAGE_SHIFT) % TLB;
	if (tlb[i].valid && tlb[i].va == ALIGN_DOWN(va, PAGE_SIZE)) {
		CHECK(tlb[i].pa == (e & PTE_ADDR));
		tlb[i].write |= e & PTE_W;
	}
	tlb[i].va = ALIGN_DOWN(va, PAGE_SIZE);
	tlb[i].pa = e & PTE_ADDR;
	tlb[i].write = e & PTE_W;
	tlb[i].exec = !(e & PTE_NX);
	tlb[i].valid = true;
	*at = (char *)pte_page(e) + (va & (PAGE_SIZE - 1));
	return 0;
}

int user_read(u64 va, u64 *val)
{
	void *at;
	int r = translate(va, 0, &at);
	if (!r)
		*val = *(u64 *)at;
	return r;
}

int user_write(u64 va, u64 val)
{
	void *at;
	int r = translate(va, FAULT_WRITE, &at);
	if (!r)
		*(u64 *)at = val;
	return r;
}

int user_exec(u64 va)
{
	void *at;
	return translate(va, FAULT_EXEC, &at);
}

/* ---- invariants ---- */

static u32 *refs_seen; /* leaves found for each page of RAM */

/* Families share their tables. */
static bool first_with_tables(struct mm *mm)
{
	struct list *l = mm_list.next;
	while (list_entry(l, struct mm, all)->pml4 != mm->pml4)
		l = l->next;
	return list_entry(l, struct mm, all) == mm;
}

static void see_leaf(struct mm *mm, u64 e, u64 va, int level)
{
	struct vma *v = vma_at(mm, va);
	CHECK(v && va >= v->start && va + level_size(level) <= v->end);
	CHECK(!(e & PTE_W) || (v->flags & VM_WRITE));
	CHECK(!(e & PTE_P) == !(v->flags & VM_PROT));
	CHECK(!(e & PTE_P) || !(e & PTE_NX) == !!(v->flags & VM_EXEC));
	if (!in_ram(e)) {
		CHECK((e & PTE_ADDR) >= UFS_IMAGE_GPA && (e & PTE_ADDR) < UFS_IMAGE_GPA + FAKE_IMAGE_SIZE);
		CHECK(!(e & PTE_W));
		return;
	}
	refs_seen[(e & PTE_ADDR) >> PAGE_SHIFT] += first_with_tables(mm);
	CHECK(!level || (page_refs(pte_page(e)) == 1 && page_order(pte_page(e)) == 9));
	CHECK(level || page_order(pte_page(e)) == 0);
	/* A private page that can be written belongs to one mapping. */
	CHECK(!(e & PTE_W) || !vma_private(v) || page_refs(pte_page(e)) == 1);
}

static u64 see_table(struct mm *mm, u64 *table, int level, u64 base, u64 *tables)
{
	u64 rss = 0;
	for (unsigned i = 0; i < 512; i++) {
		u64 va = base + i * level_size(level), e = table[i];
		if (level == 3 && i >= UFS_WINDOW_VA >> 39 && i < UFS_WINDOW_END >> 39)
			continue;
		if (!pte_live(e))
			continue;
		if (level == 0 || (e & PTE_HUGE)) {
			see_leaf(mm, e, va, level);
			rss += level_size(level) >> PAGE_SHIFT;
			continue;
		}
		struct vma *v = vma_find(mm, va);
		u64 below = see_table(mm, phys_to_virt(e & PTE_ADDR), level - 1, va, tables);
		/* No table without a mapping, but those that an earlier address space left. */
		CHECK((v && v->start < va + level_size(level)) || !below);
		++*tables;
		rss += below;
	}
	return rss;
}

u64 count_tables(struct mm *mm)
{
	u64 tables = 0;
	refs_seen = calloc(page_total_bytes() >> PAGE_SHIFT, sizeof(*refs_seen));
	see_table(mm, phys_to_virt(mm->pml4), 3, 0, &tables);
	free(refs_seen);
	return tables;
}

static u64 see_tree(const struct vma *t, u64 *count)
{
	if (!t)
		return 0;
	u64 l = see_tree(t->left, count), r = see_tree(t->right, count), gap = MAX(l, r);
	CHECK(t->start < t->end && !((t->start | t->end) & (PAGE_SIZE - 1)));
	CHECK(t->lo == (t->left ? t->left->lo : t->start) && t->hi == (t->right ? t->right->hi : t->end));
	CHECK(!t->left || (t->left->hi <= t->start && t->left->prio <= t->prio));
	CHECK(!t->right || (t->right->lo >= t->end && t->right->prio <= t->prio));
	if (t->left)
		gap = MAX(gap, t->start - t->left->hi);
	if (t->right)
		gap = MAX(gap, t->right->lo - t->end);
	CHECK(gap == t->gap);
	++*count;
	return gap;
}

static void check_space(struct mm *mm)
{
	u64 count = 0, total = 0, data = 0, tables = 0;
	see_tree(mm->root, &count);
	CHECK(count == mm->count);
	for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end)) {
		total += v->end - v->start;
		data += vma_private(v) && (v->flags & VM_WRITE) ? v->end - v->start : 0;
		CHECK(access_ok((void *)v->start, v->end - v->start));
	}
	CHECK(total == mm->total && data == mm->data);
	CHECK(see_table(mm, phys_to_virt(mm->pml4), 3, 0, &tables) == mm->rss);
	CHECK(mm->flush_lo == mm->flush_hi);
}

void check_all(void)
{
	refs_seen = calloc(page_total_bytes() >> PAGE_SHIFT, sizeof(*refs_seen));
	list_for_each(l, &mm_list)
		check_space(list_entry(l, struct mm, all));
	/* Files and the zero page hold references of their own: never fewer than the leaves. */
	for (u64 p = 0; p < page_total_bytes() >> PAGE_SHIFT; p++)
		if (refs_seen[p])
			CHECK(page_refs(phys_to_virt(p << PAGE_SHIFT)) >= refs_seen[p]);
	free(refs_seen);
	check_tlb();
}

/* ---- clock, messages ---- */

u64 fake_now = 1000;
static struct ktimer *armed;
u64 now_ns(void) { return fake_now; }
void timer_set(struct ktimer *t, u64 deadline)
{
	CHECK(!armed || armed == t);
	armed = t;
	t->deadline = deadline;
	t->slot = 1;
}
void fake_timers(void)
{
	struct ktimer *t = armed;
	if (!t || t->deadline > fake_now)
		return;
	armed = NULL;
	t->slot = 0;
	t->fn(t);
}

struct ufs_range fake_given[UFS_FREE_MAX];
unsigned fake_ngiven;
bool fake_full;
bool queue_send(u16 type, u32 conn, u32 arg, const void *data, u32 len)
{
	CHECK(type == UFS_MSG_FREE && !conn && !arg && len && len % sizeof(fake_given[0]) == 0 && len <= sizeof(fake_given) && !fake_ngiven);
	if (fake_full)
		return false;
	memcpy(fake_given, data, len);
	fake_ngiven = len / sizeof(fake_given[0]);
	return true;
}
