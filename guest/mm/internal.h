/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h: what the files of mm/ share and no other folder uses.
 *
 *   page.c     physical pages          vma.c      the ordered set of mappings
 *   heap.c     kmalloc                 map.c      mmap, munmap, mprotect, brk
 *   pgtable.c  page tables             remap.c    mremap
 *   fault.c    page faults: the decisions          anon.c, filemap.c: memory behind them
 *   space.c    an address space: made, shared, copied (fork.c, family.c), ended
 *   advise.c   madvise, mlock, mincore, msync      reclaim.c  zero pages back when memory runs out
 *
 * Invariants
 *   - A present leaf lies inside a mapping, and a 2 MiB leaf inside one mapping.
 *   - The flags of a leaf grant no more than its mapping; they may grant less (write faults copy, or ask the file).
 *   - A 2 MiB leaf's block has one reference. A 4 KiB leaf in RAM holds one reference of its page.
 *   - A private page in RAM with one reference belongs to the mapping alone, so it may be written in place.
 */
#ifndef UFS_MM_INTERNAL_H
#define UFS_MM_INTERNAL_H
#include "mm.h"
#include "errno.h"
#include <linux/mman.h>
#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFCHR 0020000
#endif

/* ---- page.c, for heap.c ---- */
enum { PK_NONE, PK_LARGE, PK_SLAB, PK_SLAB_BIG };
void page_set_kind(void *page, unsigned pages, unsigned kind);
unsigned page_kind(const void *p);
unsigned page_order(const void *page);

/* ---- page.c, for giveback.c: blocks of orders 9 and 10 ---- */
u32 page_spare(void);                    /* 2 MiB blocks' worth that is free and not known to be zero */
u32 page_spare_low(void);                /* the least of that since this was asked before */
bool page_take_spare(unsigned order, u64 *pa); /* one of them, for the monitor */
bool page_came_back(u64 pa, unsigned order, bool clean); /* false: it was not out */

/* ---- page tables ---- */
#define PTE_P 0x1UL
#define PTE_W 0x2UL
#define PTE_U 0x4UL
#define PTE_A 0x20UL
#define PTE_D 0x40UL
#define PTE_HUGE 0x80UL
#define PTE_NONE 0x200UL /* not accessible (PROT_NONE), but the page is there; P is clear */
#define PTE_NX (1UL << 63)
#define PTE_ADDR 0x000ffffffffff000UL
#define PTE_TABLE (PTE_P | PTE_W | PTE_U | PTE_A)

static inline bool pte_live(u64 e) { return e & (PTE_P | PTE_NONE); }
static inline u64 level_size(int level) { return PAGE_SIZE << (9 * level); }
static inline bool in_ram(u64 e) { return (e & PTE_ADDR) < page_total_bytes(); }
static inline void *pte_page(u64 e) /* libos address of what a leaf maps */
{
	u64 pa = e & PTE_ADDR;
	if (pa < UFS_IMAGE_GPA)
		return phys_to_virt(pa);
	return (void *)(pa < UFS_FILES_GPA ? pa - UFS_IMAGE_GPA + UFS_IMAGE_VA : pa - UFS_FILES_GPA + UFS_FILES_VA);
}
static inline u64 page_pa(const void *page)
{
	u64 va = (u64)page;
	if (va - UFS_FILES_VA < UFS_FILES_MAX)
		return va - UFS_FILES_VA + UFS_FILES_GPA;
	return va - UFS_IMAGE_VA < UFS_IMAGE_MAX ? va - UFS_IMAGE_VA + UFS_IMAGE_GPA : virt_to_phys(page);
}

/* ---- mappings ---- */
#define VM_READ 1 /* = PROT_READ, PROT_WRITE, PROT_EXEC */
#define VM_WRITE 2
#define VM_EXEC 4
#define VM_PROT 7
#define VM_SHARED 0x8
#define VM_MAYWRITE 0x10   /* a shared mapping that mprotect may make writable */
#define VM_GROWSDOWN 0x20
#define VM_NOHUGE 0x40
#define VM_DONTFORK 0x80
#define VM_WIPEONFORK 0x100
#define VM_LOCKED 0x200
#define VM_NORESERVE 0x400

struct vma {
	struct vma *left, *right; /* treap by start */
	u64 start, end;
	u64 lo, hi, gap;          /* of the subtree: first start, last end, largest hole between */
	u64 off;                  /* file offset of start */
	struct file *file;        /* NULL: anonymous and private */
	const char *name;
	u64 next;                 /* where the next fault comes if pages are touched one after the other */
	u32 prio, flags;
	u32 window;               /* pages mapped around the last fault */
};

struct mm {
	u32 refs;
	u64 pml4;                 /* physical */
	struct vma *root;
	u32 count;                /* mappings */
	u32 default_flags;        /* VM_LOCKED after mlockall(MCL_FUTURE) */
	u64 total, data;          /* bytes mapped; of these private and writable */
	u64 rss;                  /* pages present */
	u64 warmed;               /* of these, by mm_warm(): nobody has asked for them, so they are not told of */
	u64 brk_start, brk;
	u64 seq;                  /* grows with each change of the mappings: who may have slept looks again */
	u64 flush_lo, flush_hi;   /* translations that went stale and were not dropped yet */
	u32 membarrier;           /* registrations */
	struct list all;          /* in mm_list */
	struct family *fam;       /* with whom it shares page tables, NULL: with nobody */
	struct list kin;          /* in fam->members */
	char **copies;            /* its bytes of the family's spots while another is resident */
};
extern struct list mm_list;

#define MAP_COUNT_MAX 65530
#define MMAP_MIN 0x10000UL
#define MMAP_BASE 0x7ffff7fff000UL
#define STACK_GAP (256 * PAGE_SIZE) /* kept free below a growing stack */

/* vma.c */
struct vma *vma_find(struct mm *mm, u64 addr);           /* first that ends after addr */
struct vma *vma_at(struct mm *mm, u64 addr);             /* that contains addr */
struct vma *vma_before(struct mm *mm, u64 addr);         /* last that ends at or before addr */
void vma_insert(struct mm *mm, struct vma *v);
void vma_remove(struct mm *mm, struct vma *v);
void vma_set_flags(struct mm *mm, struct vma *v, u32 flags);
void vma_resize(struct mm *mm, struct vma *v, u64 start, u64 end);
struct vma *vma_alloc(u64 start, u64 end, u32 flags, struct file *f, u64 off);
void vma_free(struct vma *v);
int vma_split(struct mm *mm, struct vma *v, u64 at);     /* v keeps the part below at */
int vma_carve(struct mm *mm, u64 start, u64 end);        /* no mapping crosses start or end */
void vma_merge(struct mm *mm, u64 start, u64 end);       /* join equal neighbours at start, inside and at end */
u64 vma_hole(struct mm *mm, u64 len, u64 lo, u64 hi);    /* highest hole of len bytes in [lo,hi), 0: none */
static inline bool vma_private(const struct vma *v) { return !(v->flags & VM_SHARED); }

/* space.c */
struct mm *space_alloc(u64 pml4);

/* family.c */
struct family;
bool family_join(struct mm *src, struct mm *child);      /* false: not possible, nothing done */
int family_leave(struct mm *mm);                         /* page tables of its own; -ENOMEM */
u64 family_drain(void);                                  /* memory kept for the next child; pages freed */
void family_end(struct mm *mm);                          /* it ends: no page tables are left to it */
char *family_page(struct mm *mm, u64 va, u64 *left);     /* the copy of what is at va; NULL: what the page tables say is right */
bool family_fault(struct mm *mm, const struct vma *v, bool write); /* will the page look the same to all? */
bool family_write(struct mm *mm, const struct vma *v, u64 va); /* make a private page writable for all; false: leave first */
void family_rss(struct mm *mm, u64 before);              /* mm's rss changed by that of a page for all */
/* Before a change of mappings or leaves. */
static inline int mm_alone(struct mm *mm) { return mm->fam ? family_leave(mm) : 0; }

/* pgtable.c */
u64 pt_root(void);                                       /* a top table with the libos's window and no leaves, 0: no memory */
void pt_end(struct mm *mm);                              /* the last use of its page tables; they are in force nowhere */
u64 pt_kept(void);                                       /* page tables that ended, without leaves; 0: none */
u64 pt_drain(void);                                      /* frees those; how many pages */
bool pt_make_room(struct mm *mm, u64 va);                /* no empty table in the way of a 2 MiB leaf */
u64 *pt_find(struct mm *mm, u64 va, int *level);         /* the deepest entry for va that exists */
u64 *pt_make(struct mm *mm, u64 va, int level);          /* the entry at level, tables made; NULL: no memory */
void pt_set(struct mm *mm, u64 *e, u64 va, int level, u64 entry); /* takes over a page reference, drops the old one */
int pt_split(struct mm *mm, u64 va);                     /* no 2 MiB leaf crosses va */
typedef void pt_visit(struct mm *mm, u64 *e, u64 va, int level, void *arg);
void pt_each(struct mm *mm, u64 start, u64 end, pt_visit *fn, void *arg); /* live leaves in order */
void pt_clear(struct mm *mm, u64 start, u64 end);        /* drop the leaves, keep the tables */
void pt_free_tables(struct mm *mm, u64 start, u64 end, u64 floor, u64 ceil); /* those of [start,end) that lie in [floor,ceil) */
void pt_protect(struct mm *mm, struct vma *v, u64 start, u64 end);        /* after v->flags changed */
int pt_move(struct mm *mm, u64 from, u64 to, u64 len);
u64 pt_leaf(const struct vma *v, u64 pa, bool write);    /* flags for a leaf of v */
void pt_stale(struct mm *mm, u64 va, u64 len);
void pt_flush(struct mm *mm);

extern u64 boot_pml4; /* space.c: of the first address space, whose window tables all others share */

/* map.c */
int mm_unmap_range(struct mm *mm, u64 start, u64 end);   /* no checks */
bool range_ok(u64 start, u64 end);                       /* may belong to the program */
u64 mm_rlimit(int which);
u64 mm_choose(struct mm *mm, u64 len, u32 flags, bool low); /* where a new mapping goes, 0: no room */
bool overcommits(u64 len, u32 flags);
bool over_limits(struct mm *mm, u64 len, u32 flags);     /* RLIMIT_AS, RLIMIT_DATA */

/* fault.c, anon.c, filemap.c */
#define WINDOW_BASE 16
#define WINDOW_ANON 64
#define WINDOW_FILE 128
/* Make the page at va present, writable or the mapping's own if write. 0, -ENOMEM, -EFAULT (SIGBUS), -EAGAIN: mappings changed. */
int fault_page(struct mm *mm, struct vma *v, u64 va, bool write);
struct window { u64 lo, hi; };
struct window fault_window(struct vma *v, u64 va, u32 base, u32 max);
bool memory_scarce(void);
bool huge_fits(const struct vma *v, u64 va);              /* may the 2 MiB around va be one leaf? */
int anon_fault(struct mm *mm, struct vma *v, u64 va, bool write);
void *anon_page(void);                                   /* one page for the program, contents undefined */
int anon_copy(struct mm *mm, struct vma *v, u64 va, u64 *e);
int file_fault(struct mm *mm, struct vma *v, u64 va, bool write);
long file_own_read(struct mm *mm, struct vma *v, u64 va, u64 end); /* own pages, read: bytes made present, 0: not for this file, -EAGAIN: mappings changed */
bool file_own_huge(struct mm *mm, struct vma *v, u64 va); /* copy 2 MiB of the file into one leaf; false: not possible */
int file_fault_write(struct mm *mm, struct vma *v, u64 va);

/* reclaim.c */
u64 mm_reclaim(void);                                    /* pages freed; 0: too few to go on */

/* map.c, remap.c, advise.c: the calls */
long mm_remap(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 to);
long mm_advise(struct mm *mm, u64 addr, u64 len, int advice);
long mm_lock(struct mm *mm, u64 addr, u64 len, bool lock, bool now);
long mm_lock_all(struct mm *mm, u64 flags);
void mm_unlock_all(struct mm *mm);
long mm_incore(struct mm *mm, u64 addr, u64 len, u8 *uvec);
long mm_sync(struct mm *mm, u64 addr, u64 len, u64 flags);
#endif
