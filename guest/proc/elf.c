/* SPDX-License-Identifier: Apache-2.0 */
/* elf.c: check ELF files and map their segments. Everything in the file is hostile. */
#include "elf.h"
#include "errno.h"
#include "mm.h"
#include <linux/mman.h>

/* Faults cost more than copying. And a host that shadows page tables maps the eight pages around a fault together, but only in RAM:
 * pages of the image come one by one (docs/decisions/0006). */
#define EAGER_DATA (512UL << 10)

static int read_exact(struct file *f, void *buf, size_t n, u64 off)
{
	long r = file_read_kernel(f, buf, n, off);
	return r < 0 ? (int)r : (size_t)r == n ? 0 : -ENOEXEC;
}

static int check_load(struct elf *e, const struct elf_phdr *p)
{
	u64 end = p->vaddr + p->memsz;
	if (p->filesz > p->memsz || end < p->vaddr || end > UFS_USER_END - HUGE_SIZE || p->offset + p->filesz < p->offset)
		return -ENOEXEC;
	if ((p->vaddr ^ p->offset) & (PAGE_SIZE - 1))
		return -ENOEXEC;
	if (p->offset + p->filesz > e->file->ino->size)
		return -ENOEXEC;
	e->lo = MIN(e->lo, ALIGN_DOWN(p->vaddr, PAGE_SIZE));
	e->hi = MAX(e->hi, ALIGN_UP(end, PAGE_SIZE));
	return 0;
}

static int check_interp(struct elf *e, const struct elf_phdr *p)
{
	if (p->filesz < 2 || p->filesz >= sizeof(e->interp))
		return -ENOEXEC;
	int r = read_exact(e->file, e->interp, p->filesz, p->offset);
	if (r)
		return r;
	return e->interp[p->filesz - 1] ? -ENOEXEC : 0;
}

int elf_read(struct file *f, struct elf *e)
{
	memset(e, 0, sizeof(*e));
	e->file = f;
	e->lo = ~0ULL;
	int r = read_exact(f, &e->eh, sizeof(e->eh), 0);
	if (r)
		return r;
	if (memcmp(e->eh.ident, "\177ELF\2\1\1", 7) || e->eh.machine != EM_X86_64 || (e->eh.type != ET_EXEC && e->eh.type != ET_DYN))
		return -ENOEXEC;
	if (e->eh.phentsize != sizeof(struct elf_phdr) || !e->eh.phnum || e->eh.phnum > ELF_MAX_PHDRS)
		return -ENOEXEC;
	r = read_exact(f, e->ph, e->eh.phnum * sizeof(struct elf_phdr), e->eh.phoff);
	for (unsigned i = 0; !r && i < e->eh.phnum; i++) {
		if (e->ph[i].type == PT_LOAD && e->ph[i].memsz)
			r = check_load(e, &e->ph[i]);
		else if (e->ph[i].type == PT_INTERP)
			r = check_interp(e, &e->ph[i]);
		else if (e->ph[i].type == PT_GNU_STACK)
			e->exec_stack = e->ph[i].flags & PF_X;
	}
	if (!r && e->lo >= e->hi)
		r = -ENOEXEC;
	return r;
}

static int prot_of(u32 flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

/* Code and constants: copied if they are not too large, and code patched. */
static int map_text(struct mm *mm, struct file *f, u64 va, u64 end, bool code)
{
	const u8 *source = code && inode_prepare(f->ino) != 1 ? patch_source(mm, va, end) : NULL;
	long r = end - va <= EAGER_TEXT ? mm_own(mm, va, end - va) : 0;
	if (source)
		patch_from(mm, va, end, source);
	else if (code)
		patch_range(mm, va, end);
	return r;
}

/* The file part of a segment, then zeros to its end. */
static int map_segment(struct mm *mm, const struct elf *e, const struct elf_phdr *p, u64 bias)
{
	u64 va = ALIGN_DOWN(p->vaddr + bias, PAGE_SIZE), skew = p->vaddr & (PAGE_SIZE - 1);
	u64 file_end = p->vaddr + bias + p->filesz, mem_end = ALIGN_UP(p->vaddr + bias + p->memsz, PAGE_SIZE);
	u64 map_end = p->filesz ? ALIGN_UP(file_end, PAGE_SIZE) : va;
	int prot = prot_of(p->flags);
	if (p->filesz) {
		long r = mm_map(mm, va, map_end - va, prot, MAP_PRIVATE | MAP_FIXED, e->file, p->offset - skew);
		if (r < 0)
			return r;
	}
	if ((p->flags & PF_W) && p->filesz && inode_prepare(e->file->ino) == 1)
		mm_own(mm, va, MIN(map_end - va, EAGER_DATA));
	if (mem_end > map_end) {
		long r = mm_map(mm, map_end, mem_end - map_end, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, NULL, 0);
		if (r < 0)
			return r;
	}
	/* What follows the file part in its last page must read as zero; Linux does so for writable segments only. */
	if (p->memsz > p->filesz && p->filesz && (file_end & (PAGE_SIZE - 1)) && (p->flags & PF_W)) {
		static const u8 zeros[512];
		for (u64 at = file_end; at < map_end; at += MIN(map_end - at, sizeof(zeros))) {
			int r = mm_poke(mm, at, zeros, MIN(map_end - at, sizeof(zeros)));
			if (r)
				return r;
		}
	}
	if (!(p->flags & PF_W))
		return map_text(mm, e->file, va, map_end, p->flags & PF_X);
	if (p->flags & PF_X)
		patch_range(mm, va, map_end);
	return mm_populate(mm, va, MIN(mem_end - va, EAGER_DATA), true);
}

int elf_map(struct mm *mm, const struct elf *e, u64 hint, struct elf_image *img)
{
	img->bias = 0;
	if (e->eh.type == ET_DYN) {
		/* Reserve the whole extent first, so that segments land side by side. */
		long at = mm_map(mm, hint, e->hi - e->lo, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
		if (at < 0)
			return at;
		img->bias = at - e->lo;
	}
	for (unsigned i = 0; i < e->eh.phnum; i++) {
		const struct elf_phdr *p = &e->ph[i];
		if (p->type != PT_LOAD || !p->memsz)
			continue;
		int r = map_segment(mm, e, p, img->bias);
		if (r)
			return r;
		if (e->eh.phoff >= p->offset && e->eh.phoff < p->offset + p->filesz)
			img->phdr = e->eh.phoff - p->offset + p->vaddr + img->bias;
	}
	img->entry = e->eh.entry + img->bias;
	img->end = e->hi + img->bias;
	return 0;
}
