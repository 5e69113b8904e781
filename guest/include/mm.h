/* SPDX-License-Identifier: Apache-2.0 */
/* mm.h: physical pages, kernel heap, address spaces, access to the program's memory. */
#ifndef UFS_MM_H
#define UFS_MM_H
#include "ufs.h"

struct inode;
struct file;

/* ---- physical pages (mm/page.c). All RAM is mapped at UFS_PHYS_VA; a page is named by that address. ---- */
static inline void *phys_to_virt(u64 pa) { return (void *)(pa + UFS_PHYS_VA); }
static inline u64 virt_to_phys(const void *va) { return (u64)va - UFS_PHYS_VA; }

#define PG_ZERO 1    /* contents must be zero (never-used RAM is known to be, and costs nothing) */
#define PG_TABLE 4   /* a page table: kept apart from all else, see UFS_TABLES_PA */
#define PG_USER 2    /* charged to the program, else to the libos (ufs_ctl.ram_libos) */
/* start: first free PA; size: of RAM. Never-used RAM is handed out from a frontier, low addresses first. */
void page_init(u64 start, u64 size);
/* More RAM that was never used: what lies between the end of the libos's text and 2 MiB. */
void page_add_range(u64 start, u64 end);
u64 page_books_size(u64 ram);       /* what page_init() needs at start */
/* [block, end) is for page tables; below start they exist already. */
void page_reserve_tables(u64 start, u64 block, u64 end);
/* 2^order contiguous pages, naturally aligned; refcount 1. NULL when there is none. */
void *page_alloc(unsigned order, unsigned flags);
void page_get(void *page);           /* one more reference (order-0 pages and the head of a block) */
void page_put(void *page);           /* one less; frees the whole block at zero */
unsigned page_refs(void *page);
/* Turn a block of 2^order pages into single pages, each with refcount 1, so that parts can be freed. */
void page_split(void *page, unsigned order);
u64 page_free_bytes(void);
u64 page_total_bytes(void);

/* Memory that was not needed for a while goes back to the monitor (mm/giveback.c). */
void memory_idle(void);              /* nobody has anything to do now */
__attribute__((visibility("hidden"))) void memory_freed(u64 pa, u64 size); /* UFS_MSG_FREED */
bool page_any_out(void);             /* does the monitor have some that it has not told of yet? */

/* ---- kernel heap (mm/heap.c) ---- */
void *kmalloc(size_t n);             /* 16-byte aligned, NULL when out of memory; large sizes come from pages */
void *kzalloc(size_t n);
void *krealloc(void *p, size_t n);
void kfree(void *p);                 /* NULL is fine */

/* ---- address spaces (mm/vma.c, mm/map.c, mm/fault.c, mm/pgtable.c) ---- */
struct mm;                           /* page tables, mappings, brk; shared by threads; refcounted */
struct mm *mm_create(void);          /* libos window included; NULL when out of memory */
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);          /* before the last one other page tables must be in force */
extern struct mm *mm_boot;           /* page tables the monitor made, adopted for process 1 */
/* Called once, with the PML4 that the monitor made; sets mm_boot. Later address spaces share its libos window. */
struct mm *mm_boot_adopt(u64 pml4_pa);
/* A copy for fork: private pages are copied when written; NULL when out of memory. */
struct mm *mm_fork(struct mm *src);
u64 mm_cr3(struct mm *mm);
void mm_activate(struct mm *mm);     /* what user addresses mean from now on */
bool mm_tables_shared(struct mm *mm); /* mm_put() of the last reference leaves its page tables to other processes */
/* The file changed under its mappings: bytes [from,to) were cut off (gone), or are about to move to other pages (to be
 * called before the file lets go of the old ones). */
void mm_file_changed(struct inode *ino, u64 from, u64 to, bool gone);
/* At a restore: MADV_WIPEONFORK regions of all address spaces read as zero again. */
void mm_wipe(void);
void mm_warm(void);                  /* before a snapshot: what requests would otherwise do after each restore */

/* The files area (mm/filesarea.c): what the monitor has put at [off, off + len) of it shows at UFS_FILES_VA + off. 0 or -ENOMEM. */
int mm_files_init(void);
int mm_files_map(u64 off, u64 len);
void mm_files_unmap(u64 off, u64 len);

/* PROT_* and MAP_* are Linux's. addr 0 or hint without MAP_FIXED: top-down from the mmap base. ino: NULL for
 * anonymous; a reference is taken. off: bytes, page-aligned. Returns the address or a negative errno. */
long mm_map(struct mm *mm, u64 addr, u64 len, int prot, int flags, struct file *f, u64 off);
long mm_unmap(struct mm *mm, u64 addr, u64 len);
long mm_protect(struct mm *mm, u64 addr, u64 len, int prot);
void mm_set_brk(struct mm *mm, u64 start);       /* after ELF loading: start of the heap */
long mm_brk(struct mm *mm, u64 addr);            /* Linux's brk: returns the break in force */
/* A free range of len bytes within +-1.9 GiB of [lo,hi), for patch trampolines; address or negative errno. */
long mm_find_near(struct mm *mm, u64 lo, u64 hi, u64 len);
/* Make [addr,addr+len) present (writable if write), without faults; 0 or negative errno. */
long mm_populate(struct mm *mm, u64 addr, u64 len, bool write);
/* Make private copies of the file pages of [addr,addr+len), which is cheaper than mapping them where the host shadows page tables. */
#define EAGER_TEXT (8UL << 20) /* text up to this is worth it */
long mm_own(struct mm *mm, u64 addr, u64 len);
/* Write bytes to a mapping whatever its protection (ELF loader, patcher): private pages are made as needed. */
long mm_poke(struct mm *mm, u64 addr, const void *src, size_t n);

/* The libos's own address of the page at user address va (page-aligned): present, or of a file mapping whose page
 * is in memory anyway; NULL when there is none. Makes no page, takes no reference. For the patcher. */
const void *mm_peek(struct mm *mm, u64 va);

#define FAULT_WRITE 2
#define FAULT_USER 4
#define FAULT_EXEC 16
/* 0: resolved, run the instruction again. Else the signal: SIGSEGV or SIGBUS, *code its si_code.
 * -ENOMEM: the memory limit is hit. error: the CPU's page-fault error code. */
int mm_fault(struct mm *mm, u64 addr, u64 error, int *code);
/* Calls fn for each mapping in order (for /proc/self/maps). */
struct mapinfo { u64 start, end, off; int prot, flags; struct inode *ino; const char *name; /* "[stack]", "[heap]" or NULL */ };
void mm_each(struct mm *mm, void (*fn)(const struct mapinfo *, void *), void *arg);
void mm_set_name(struct mm *mm, u64 addr, const char *name);  /* of the mapping at addr; kept by fork and merging */
const char *mm_name(struct mm *mm, u64 addr);                  /* that pointer, or NULL */
struct mmstat { u64 vsize, rss, data, stack, text; };
void mm_stat(struct mm *mm, struct mmstat *st);

/* ---- access to the program's memory (mm/uaccess.S, mm/uaccess.c) ---- */
/* True if [p,p+n) may belong to the program at all. */
static inline bool access_ok(const void *p, size_t n)
{
	u64 a = (u64)p, e = a + n;
	return e >= a && e <= UFS_USER_END && (e <= UFS_WINDOW_VA || a >= UFS_WINDOW_END);
}
/* 0 or -EFAULT; a fault inside is resolved or turned into the error. */
int copy_from_user(void *dst, const void *usrc, size_t n);
int copy_to_user(void *udst, const void *src, size_t n);
int clear_user(void *udst, size_t n);
/* Length without NUL, -EFAULT, or -ENAMETOOLONG when no NUL within n. dst is terminated. */
long strncpy_from_user(char *dst, const char *usrc, size_t n);
#define get_user(var, uptr) copy_from_user(&(var), (const void *)(uptr), sizeof(var))
#define put_user(val, uptr) ({ __typeof__(val) v_ = (val); copy_to_user((void *)(uptr), &v_, sizeof(v_)); })
/* Atomic operations on user words, for futexes; -EFAULT or 0. cmpxchg stores the old value in *old. */
int user_load32(u32 *uaddr, u32 *val);
int user_cmpxchg32(u32 *uaddr, u32 expect, u32 desired, u32 *old);

/* Iterator over user (or kernel) buffers: one form for read, readv, preadv and kernel-internal use. */
struct iovec { void *iov_base; size_t iov_len; };
struct iter { const struct iovec *iov; size_t niov, off, left; bool kernel; struct iovec one; };
void iter_user(struct iter *it, void *ubuf, size_t n);
void iter_kernel(struct iter *it, void *buf, size_t n);
/* iov lives in kernel memory, points to user buffers; every range is checked. Returns 0 or -EFAULT/-EINVAL. */
int iter_iov(struct iter *it, const struct iovec *iov, size_t niov);
/* Copy n bytes (at most it->left) and advance; bytes copied, or -EFAULT when none could be. */
long iter_put(struct iter *it, const void *src, size_t n);   /* kernel -> buffers */
long iter_get(struct iter *it, void *dst, size_t n);         /* buffers -> kernel */
long iter_zero(struct iter *it, size_t n);
/* Reads a little of each page of the first n bytes, so that faults that sleep are over. */
void iter_touch(struct iter it, size_t n);
#endif
