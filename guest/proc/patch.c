/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patch.c: rewrite `syscall` and `cpuid` sites so that they jump straight into the libos.
 *
 * Trapping costs microseconds on a software KVM, a jump nothing. A site is two bytes, a jump five, and the red zone
 * forbids a call. So the jump also covers what stands around the site, which moves to a stub. Forms, tried in this order; what
 * none fits keeps trapping, which is slower but always right:
 *
 *   A  before ; site          the instruction before has five bytes or more, as `mov $n,%eax` has. The site stays, so that code
 *                             which jumps straight to it still works (and a restarted call runs it).
 *   C  before ; site          it has three or four. Only if no direct branch leads to the site.
 *   B  [before ;] site ; others   only if no direct branch leads into the five bytes.
 *
 * A site, and the instruction before it, must begin an instruction: the same bytes inside an immediate are data (insn.c).
 * Stubs are 32 bytes, in a page range within reach of the site; its first words hold the libos's entry addresses. The libos
 * takes the return address in a register that the instruction overwrites anyway: RCX for syscall, RDX for cpuid.
 *
 *   A, C  before; movabs $site_end,%reg; jmp *entry
 *   B     before; lea 1f(%rip),%reg; jmp *entry; 1: others; jmp back
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

#define B_ENTRY 13 /* bytes of a form B stub from its lea to its return address */

/*
 * Where to run a system call again whose return address is ret: see syscall_restart(). Not the instruction before it. The
 * site, if it stands there still; in form C what the jump in its place leads to.
 */
u64 patch_restart_rip(u64 ret)
{
	u8 code[6], stub[12];
	u64 imm;
	if (mm_name(curproc()->mm, ret) == stubs_name)
		return ret - B_ENTRY;
	if (copy_from_user(code, (void *)(ret - 6), 6) || (code[4] == 0x0f && code[5] == 0x05))
		return ret - 2;
	for (unsigned len = 3; len <= 4; len++) {
		s32 rel;
		memcpy(&rel, code + 6 - 2 - len + 1, 4);
		u64 at = ret - 2 - len + 5 + (s64)rel;
		if (code[4 - len] != 0xe9 || mm_name(curproc()->mm, at) != stubs_name || copy_from_user(stub, (void *)at, 4) ||
		    copy_from_user(stub, (void *)(at + len), 10))
			continue;
		memcpy(&imm, stub + 2, 8);
		if (imm == ret)
			return at + len;
	}
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

/* What a site is rewritten with. */
struct around {
	const u8 *code;        /* from the instruction before the site on, or the site */
	u64 va;                /* of it */
	unsigned before;       /* its length, 0: none */
	unsigned after;        /* bytes of instructions behind the site that move too */
};

/* Instructions from p on that go to the stub; NULL: one cannot. */
static u8 *emit_moved(u8 *out, const u8 *end, u64 to, const u8 *p, unsigned n, u64 from, bool *ends)
{
	while (n) {
		u8 insn[19];
		unsigned len = insn_len(p, n), got = len ? insn_move(p, len, from, to, insn, ends) : 0;
		if (!got || out + got > end)
			return NULL;
		out = emit(out, insn, got);
		to += got;
		from += len;
		p += len;
		n -= len;
	}
	return out;
}

static bool patch_site(struct mm *mm, struct arena *a, const struct around *r, enum kind kind)
{
	u64 at = a->base + a->used, ret = r->va + r->before + 2;
	u8 stub[STUB], *p = stub;
	bool ends = false;
	memset(stub, 0xcc, STUB);
	p = emit_moved(p, stub + STUB - 16, at, r->code, r->before, r->va, &ends);
	if (!p || ends)
		return false;
	if (r->after) {
		p = emit_rel32(p, kind == SITE_CPUID ? "\x48\x8d\x15" : "\x48\x8d\x0d", 3, at + (p - stub), at + (p - stub) + B_ENTRY);
		p = emit_entry(p, a, at + (p - stub), kind);
		p = emit_moved(p, stub + STUB - 5, at + (p - stub), r->code + r->before + 2, r->after, ret, &ends);
		if (!p)
			return false;
		emit_rel32(p, "\xe9", 1, at + (p - stub), ret + r->after);
	} else {
		p = emit(p, kind == SITE_CPUID ? "\x48\xba" : "\x48\xb9", 2);
		p = emit(p, &ret, 8);
		emit_entry(p, a, at + (p - stub), kind);
	}
	finish(mm, a, r->va, stub);
	return true;
}

/* A contiguous view of code as the program will see it. */
struct view { const u8 *bytes; u64 va; size_t len; };

/* Sites in one view that may become form B, and into which of them something may jump. */
#define CANDIDATES 256
struct candidates {
	u32 n;
	u64 filter[16];          /* bit (offset & 1023) of each byte that would be overwritten: keeps the scan from searching */
	u32 off[CANDIDATES];     /* of the site in the view */
	u8 reached[CANDIDATES];  /* which of the five bytes from the site on something may jump to */
};
static struct candidates cand;

static void candidate(u32 off)
{
	if (cand.n == CANDIDATES)
		return;
	for (u32 i = off; i < off + 5; i += i == off ? 2 : 1) /* not into the site itself */
		cand.filter[i >> 6 & 15] |= 1ULL << (i & 63);
	cand.reached[cand.n] = 0;
	cand.off[cand.n++] = off;
}

static void reached(u64 off)
{
	if (likely(!(cand.filter[off >> 6 & 15] & 1ULL << (off & 63))))
		return;
	for (u32 i = 0; i < cand.n; i++)
		if (off - cand.off[i] < 5 && off != cand.off[i] + 1)
			cand.reached[i] |= 1 << (off - cand.off[i]);
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

#define BEFORE_MAX 11

/* Bytes of the instruction that ends at i, if it may move; 0: none. */
static unsigned insn_before(const struct view *v, size_t i)
{
	const u8 *c = v->bytes + i;
	for (unsigned len = MIN(BEFORE_MAX, i); len >= 2; len--) {
		u8 out[19];
		bool ends;
		if (insn_len(c - len, len) == len && insn_move(c - len, len, v->va + i - len, v->va, out, &ends) && !ends && !insn_nop(c - len, len) &&
		    insn_starts(v->bytes, v->len, i - len))
			return len;
	}
	return 0;
}

/* Is the site at i the rest of a form A that an earlier pass made? Its stub comes back right behind the site. */
static bool patched_before(struct mm *mm, const struct view *v, size_t i)
{
	for (size_t mov = 5; mov <= BEFORE_MAX && mov <= i; mov++) {
		const u8 *c = v->bytes + i - mov;
		if (c[0] == 0xe9 && mm_name(mm, v->va + i - mov + 5 + (s64)load32(c + 1)) == stubs_name)
			return true;
	}
	return false;
}

/* Three moves between whole registers, one after the other. */
static bool three_moves(const u8 *p)
{
	for (int i = 0; i < 3; i++, p += 3)
		if ((p[0] & 0xfa) != 0x48 || (p[1] & 0xfd) != 0x89 || p[2] < 0xc0)
			return false;
	return true;
}

/*
 * Executable segments hold tables, too: OpenSSL's of curve points are 150 KiB of noise, with whatever two bytes one looks for in it, and
 * instructions around them. Nothing tells code from noise for certain but what code does around a site, and what noise has there
 * less than once in 2^19: it puts the number of a call or leaf (up to 1023, from 0x80000000 or 0x40000000 up to 63 more) into a register not
 * far before, or three arguments into theirs; it compares the result with -4095, hands it to a function (as musl does), or stores
 * three of CPUID's. Other sites trap.
 */
static bool surely_code(const struct view *v, size_t i)
{
	const u8 *b = v->bytes;
	for (size_t k = i > 256 ? i - 256 : 0; k + 5 <= i; k++) {
		u32 n = load32(b + k + 1);
		if ((b[k] & 0xf8) == 0xb8 && (n < 1024 || (n & 0x3fffffff) < 64))
			return true;
		if (k + 32 > i && k + 9 <= i && three_moves(b + k))
			return true;
	}
	for (size_t k = i + 2; k + 5 <= v->len && k < i + 34; k++)
		if (b[k] == 0x3d && (b[k + 1] & 0xfe) == 0 && b[k + 2] == 0xf0 && b[k + 3] == 0xff && b[k + 4] == 0xff)
			return true;
	if (i + 6 <= v->len && !memcmp(b + i + 2, "\x48\x89\xc7", 3) && (b[i + 5] & 0xfe) == 0xe8)
		return true;
	unsigned stores = 0, len;
	for (size_t k = i + 2; b[i + 1] == 0xa2 && k < v->len && stores < 3; k += len, stores++) {
		len = insn_len(b + k, v->len - k);
		if (!len || b[k + (b[k] == 0x41 || b[k] == 0x44)] != 0x89)
			return false;
	}
	return stores == 3;
}

static void found_site(struct mm *mm, const struct view *v, size_t i)
{
	const u8 *c = v->bytes + i;
	if (patched_before(mm, v, i) || !surely_code(v, i))
		return;
	unsigned before = insn_before(v, i);
	if (before >= 5) {
		struct arena *a = arena_for(mm, v->va, v->va + v->len);
		struct around r = { c - before, v->va + i - before, before, 0 };
		if (a && patch_site(mm, a, &r, kind_of(c)))
			return;
	}
	if (before || insn_starts(v->bytes, v->len, i))
		candidate(i);
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

#define AFTER_MAX 14 /* more never fits in a stub */

/* Bytes of whole instructions behind the site, need at least, that may move; 0: they may not. */
static unsigned insns_after(const u8 *code, size_t n, unsigned need)
{
	unsigned got = 0;
	bool ended = false;
	while (got < need) {
		u8 out[19];
		bool ends;
		const u8 *p = code + got;
		unsigned len = n > got ? insn_len(p, n - got) : 0;
		if (!len || got + len > AFTER_MAX)
			return 0;
		/* After the end of a function or block only its padding: what else stands there may be called. */
		if (!insn_nop(p, len) && (ended || !insn_move(p, len, 0, 0, out, &ends)))
			return 0;
		ended |= !insn_nop(p, len) && ends;
		got += len;
	}
	return got;
}

static void try_candidate(struct mm *mm, const struct view *v, u32 k)
{
	u8 code[BEFORE_MAX + 2 + AFTER_MAX + 15];
	u32 off = cand.off[k];
	unsigned before = insn_before(v, off);
	size_t n = live_bytes(mm, v, off - before, code, sizeof(code));
	if (n < before + 2 || memcmp(code, v->bytes + off - before, before + 2))
		return; /* another site's jump is there now */
	struct arena *a = arena_for(mm, v->va, v->va + v->len);
	if (!a)
		return;
	enum kind kind = kind_of(code + before);
	u8 reached = cand.reached[k];
	struct around c = { code, v->va + off - before, before, 0 }, b = { code + before, v->va + off, 0, 0 };
	if (before >= 3 && !(reached & 1) && patch_site(mm, a, &c, kind))
		return;
	b.after = reached & 0x1e ? 0 : insns_after(code + before + 2, n - before - 2, 3);
	if (b.after && patch_site(mm, a, &b, kind))
		return;
	c.after = before != 2 || (reached & 7) ? 0 : insns_after(code + before + 2, n - before - 2, 1);
	if (c.after)
		patch_site(mm, a, &c, kind);
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
		try_candidate(mm, v, i);
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
