/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patch.c: rewrite `syscall` and `cpuid` sites so that they jump straight into the libos.
 *
 * Trapping costs microseconds on a software KVM, a jump nothing. A site is two bytes, a jump five, and the red zone
 * forbids a call. Two forms are rewritten, all others keep trapping, which is slower but always right:
 *
 *   A  mov $n,%eax ; site   the first five bytes of the mov become the jump. The site stays, so that code which jumps straight
 *                           to it still works (and a restarted call runs it).
 *   B  site ; others        the first five bytes become the jump; the instructions after the site that it covers move to
 *                           the stub. Only if they may stand anywhere and no direct branch leads to them.
 *
 * A site must begin an instruction: the same bytes inside an immediate are data (insn.c). Stubs are 32 bytes, in a page
 * range within reach of the site; its first words hold the libos's entry addresses. The libos takes the return address in
 * a register that the instruction overwrites anyway: RCX for syscall, RDX for cpuid.
 *
 *   A  mov $n,%eax; movabs $site_end,%reg; jmp *entry
 *   B  lea 1f(%rip),%reg; jmp *entry; 1: moved instructions; jmp back
 */
#include "boot_hooks.h"
#include "insn.h"
#include "mm.h"
#include "platform.h"
#include "proc.h"
#include <linux/mman.h>

#define STUB 32
#define STUB_PAGES 4

struct arena { u64 base, used, size; struct mm *mm; };
/* Ranges that still have room for stubs. What is a stub is decided by the mapping's name, which a fork copies. */
static struct arena arenas[64];
static u32 narenas;

static const char stubs_name[] = "[stubs]";

extern char syscall_entry[], cpuid_entry[];

enum kind { SITE_SYSCALL, SITE_CPUID };

static bool reaches(u64 a, u64 b)
{
	s64 d = (s64)(a - b);
	return d < 0x7ff00000LL && d > -0x7ff00000LL;
}

static struct arena *arena_for(struct mm *mm, u64 lo, u64 hi)
{
	for (u32 i = 0; i < narenas; i++) {
		struct arena *a = &arenas[i];
		/* The program may have mapped something else there. */
		if (a->mm == mm && mm_name(mm, a->base) == stubs_name && a->used + STUB <= a->size && reaches(a->base, lo) && reaches(a->base, hi) && reaches(a->base + a->size, lo))
			return a;
	}
	if (narenas == ARRAY_SIZE(arenas))
		return NULL;
	u64 size = STUB_PAGES * PAGE_SIZE, entries[] = { (u64)syscall_entry, (u64)cpuid_entry };
	long at = mm_find_near(mm, lo, hi, size);
	if (at < 0 || mm_map(mm, at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0) < 0)
		return NULL;
	mm_set_name(mm, at, stubs_name);
	if (mm_poke(mm, at, entries, sizeof(entries)))
		return NULL;
	struct arena *a = &arenas[narenas++];
	*a = (struct arena){ at, STUB, size, mm };
	return a;
}

/* Where to run a system call again whose return address is ret: see syscall_restart(). */
u64 patch_restart_rip(u64 ret)
{
	if (mm_name(curproc()->mm, ret) == stubs_name)
		return ALIGN_DOWN(ret, STUB);
	return ret - 2;
}

/* The address space is gone; another may get its address. */
void patch_forget(struct mm *mm)
{
	for (u32 i = 0; i < narenas;)
		if (arenas[i].mm == mm)
			arenas[i] = arenas[--narenas];
		else
			i++;
}

static u8 *emit(u8 *p, const void *src, size_t n)
{
	memcpy(p, src, n);
	return p + n;
}

static u8 *emit_rel32(u8 *p, const char *op, size_t n, u64 here, u64 target)
{
	p = emit(p, op, n);
	u32 rel = (u32)(target - (here + n + 4));
	return emit(p, &rel, 4);
}

static bool poke_jump(struct mm *mm, u64 site, u64 target)
{
	u8 jump[5];
	emit_rel32(jump, "\xe9", 1, site, target);
	return mm_poke(mm, site, jump, 5) == 0;
}

static u8 *emit_entry(u8 *p, const struct arena *a, u64 here, enum kind kind)
{
	return emit_rel32(p, "\xff\x25", 2, here, a->base + 8 * kind);
}

static void finish(struct mm *mm, struct arena *a, u64 site, const u8 *stub)
{
	u64 at = a->base + a->used;
	if (mm_poke(mm, at, stub, STUB))
		return;
	a->used += STUB;
	poke_jump(mm, site, at);
}

/* code: the mov of len bytes, at mov in the program. */
static void patch_a(struct mm *mm, struct arena *a, u64 mov, const u8 *code, unsigned len, enum kind kind)
{
	u64 at = a->base + a->used, ret = mov + len + 2;
	u8 stub[STUB], *p = stub;
	memset(stub, 0xcc, STUB);
	p = emit(p, code, len);
	p = emit(p, kind == SITE_CPUID ? "\x48\xba" : "\x48\xb9", 2);
	p = emit(p, &ret, 8);
	emit_entry(p, a, at + (p - stub), kind);
	finish(mm, a, mov, stub);
}

/* moved: bytes after the site that go to the stub. */
static void patch_b(struct mm *mm, struct arena *a, u64 site, const u8 *code, unsigned moved, enum kind kind)
{
	u64 at = a->base + a->used;
	u8 stub[STUB], *p = stub;
	memset(stub, 0xcc, STUB);
	p = emit_rel32(p, kind == SITE_CPUID ? "\x48\x8d\x15" : "\x48\x8d\x0d", 3, at, at + 13);
	p = emit_entry(p, a, at + (p - stub), kind);
	p = emit(p, code + 2, moved);
	emit_rel32(p, "\xe9", 1, at + (p - stub), site + 2 + moved);
	finish(mm, a, site, stub);
}

/* A contiguous view of code as the program will see it. */
struct view { const u8 *bytes; u64 va; size_t len; };

/* Sites in one view that may become form B, and into which of them something may jump. */
#define CANDIDATES 256
struct candidates {
	u32 n;
	u64 filter[16];          /* bit (offset & 1023) of each byte that would be overwritten: keeps the scan from searching */
	u32 off[CANDIDATES];     /* of the site in the view */
	bool reached[CANDIDATES];
};
static struct candidates cand;

static void candidate(u32 off)
{
	if (cand.n == CANDIDATES)
		return;
	for (u32 i = off + 2; i < off + 5; i++)
		cand.filter[i >> 6 & 15] |= 1ULL << (i & 63);
	cand.reached[cand.n] = false;
	cand.off[cand.n++] = off;
}

static void reached(u64 off)
{
	if (likely(!(cand.filter[off >> 6 & 15] & 1ULL << (off & 63))))
		return;
	for (u32 i = 0; i < cand.n; i++)
		if (off - cand.off[i] < 5 && off != cand.off[i])
			cand.reached[i] = true;
}

static s32 load32(const u8 *p)
{
	s32 v;
	memcpy(&v, p, 4);
	return v;
}

/* scan.S: a bit for each of 64 bytes at p, of which 65 are read. */
__attribute__((visibility("hidden"))) u64 scan_sites(const u8 *p);
__attribute__((visibility("hidden"))) u64 scan_jumps(const u8 *p);

/* The mask for the bytes at i; at the end of the view, for what is left of it. */
static u64 scan_at(const struct view *v, size_t i, u64 (*scan)(const u8 *))
{
	u8 last[65];
	size_t n = v->len - i;
	if (likely(n >= sizeof(last)))
		return scan(v->bytes + i);
	memset(last, 0xcc, sizeof(last));
	memcpy(last, v->bytes + i, n);
	return scan(last);
}

/* Near jumps, conditional or not (e9, 0f 8x). Bytes that only look like one count too: then the site just traps. */
static void long_branches(const struct view *v)
{
	const u8 *c = v->bytes;
	for (size_t i = 0; i < v->len; i += 64) {
		for (u64 hits = scan_at(v, i, scan_jumps); hits; hits &= hits - 1) {
			size_t k = i + __builtin_ctzll(hits), op = c[k] == 0xe9 ? 1 : 2;
			if (k + op + 4 <= v->len)
				reached(k + op + 4 + (s64)load32(c + k + op));
		}
	}
}

/* Short ones reach 128 bytes, so only what is around a candidate matters. */
static void short_branches(const struct view *v)
{
	for (u32 n = 0; n < cand.n; n++) {
		size_t at = cand.off[n], lo = at > 130 ? at - 130 : 0, hi = MIN(at + 135, v->len - 1);
		for (size_t k = lo; k < hi; k++) {
			u8 b = v->bytes[k];
			if (((b & 0xf0) == 0x70 || b == 0xeb || (b & 0xfc) == 0xe0))
				reached(k + 2 + (s64)(signed char)v->bytes[k + 1]);
		}
	}
}

static enum kind kind_of(const u8 *site)
{
	return site[1] == 0xa2 ? SITE_CPUID : SITE_SYSCALL;
}

/* Bytes of the mov to EAX or RAX that ends at i, 0 if there is none. */
static unsigned mov_before(const struct view *v, size_t i)
{
	const u8 *c = v->bytes + i;
	if (i >= 5 && c[-5] == 0xb8 && insn_starts(v->bytes, v->len, i - 5))
		return 5;
	if (i >= 7 && c[-7] == 0x48 && c[-6] == 0xc7 && c[-5] == 0xc0 && insn_starts(v->bytes, v->len, i - 7))
		return 7;
	return 0;
}

/* Is the site at i the rest of a form A that an earlier pass made? Its stub comes back right behind the site. */
static bool patched_before(struct mm *mm, const struct view *v, size_t i)
{
	for (size_t mov = 5; mov <= 7 && mov <= i; mov += 2) {
		const u8 *c = v->bytes + i - mov;
		if (c[0] == 0xe9 && mm_name(mm, v->va + i - mov + 5 + (s64)load32(c + 1)) == stubs_name)
			return true;
	}
	return false;
}

static void found_site(struct mm *mm, const struct view *v, size_t i)
{
	const u8 *c = v->bytes + i;
	unsigned mov = mov_before(v, i);
	if (mov) {
		struct arena *a = arena_for(mm, v->va, v->va + v->len);
		if (a)
			patch_a(mm, a, v->va + i - mov, c - mov, mov, kind_of(c));
	} else if (insn_starts(v->bytes, v->len, i) && !patched_before(mm, v, i)) {
		candidate(i);
	}
}

static void find_sites(struct mm *mm, const struct view *v)
{
	for (size_t i = 0; i < v->len; i += 64)
		for (u64 hits = scan_at(v, i, scan_sites); hits; hits &= hits - 1)
			found_site(mm, v, i + __builtin_ctzll(hits));
}

/* What stands in memory now: sites patched before may have changed it. */
static size_t live_bytes(struct mm *mm, const struct view *v, u32 off, u8 *buf, size_t n)
{
	size_t got = 0;
	while (got < n && off + got < v->len) {
		u64 va = v->va + off + got;
		const u8 *page = mm_peek(mm, ALIGN_DOWN(va, PAGE_SIZE));
		size_t k = MIN(n - got, ALIGN_DOWN(va, PAGE_SIZE) + PAGE_SIZE - va);
		if (!page)
			break;
		memcpy(buf + got, page + (va & (PAGE_SIZE - 1)), k);
		got += k;
	}
	return MIN(got, v->len - off);
}

#define MOVED_MAX 14 /* what a stub has room for */

static void try_form_b(struct mm *mm, const struct view *v, u32 off)
{
	u8 code[2 + MOVED_MAX + 15];
	size_t n = live_bytes(mm, v, off, code, sizeof(code));
	unsigned moved = 0;
	bool ended = false;
	while (moved < 3) {
		const u8 *p = code + 2 + moved;
		unsigned len = n > 2 + moved ? insn_len(p, n - 2 - moved) : 0;
		if (!len || moved + len > MOVED_MAX)
			return;
		bool ret = len == 1 && *p == 0xc3;
		/* After the end of a function only its padding: what else stands there may be called. */
		if (!insn_nop(p, len) && (ended || (!ret && !insn_movable(p, len))))
			return;
		ended |= ret;
		moved += len;
	}
	struct arena *a = arena_for(mm, v->va, v->va + v->len);
	if (a)
		patch_b(mm, a, v->va + off, code, moved, kind_of(code));
}

/* whole: nothing outside of v is part of the same code. */
static void patch_view(struct mm *mm, const struct view *v, bool whole)
{
	memset(&cand, 0, offsetof(struct candidates, off));
	find_sites(mm, v);
	if (!cand.n || !whole)
		return;
	long_branches(v);
	short_branches(v);
	for (u32 i = 0; i < cand.n; i++)
		if (!cand.reached[i])
			try_form_b(mm, v, cand.off[i]);
}

/* Pages from start on that lie side by side in memory, as an image's do. */
static struct view view_at(struct mm *mm, u64 start, u64 end)
{
	struct view v = { mm_peek(mm, start), start, PAGE_SIZE };
	while (v.bytes && start + v.len < end && mm_peek(mm, start + v.len) == v.bytes + v.len)
		v.len += PAGE_SIZE;
	return v;
}

void patch_range(struct mm *mm, u64 start, u64 end)
{
	if (BOOT->flags & UFS_BOOT_NOPATCH)
		return;
	for (u64 at = start; at < end;) {
		struct view v = view_at(mm, at, end);
		/* Branches from other parts are not seen, so form B is for what is seen whole. */
		if (v.bytes)
			patch_view(mm, &v, at == start && v.len == end - start);
		at += v.len;
	}
}

const u8 *patch_source(struct mm *mm, u64 start, u64 end)
{
	struct view v = view_at(mm, start, end);
	return v.len == end - start ? v.bytes : NULL;
}

void patch_from(struct mm *mm, u64 start, u64 end, const u8 *source)
{
	struct view v = { source, start, end - start };
	if (!(BOOT->flags & UFS_BOOT_NOPATCH))
		patch_view(mm, &v, true);
}
