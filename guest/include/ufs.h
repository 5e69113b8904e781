/* SPDX-License-Identifier: Apache-2.0 */
/* ufs.h: what every file of the libos may use: types, strings, lists, printing, panics. */
#ifndef UFS_H
#define UFS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../abi/unifaas_abi.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef long ssize_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define HUGE_SIZE 0x200000UL
#define HUGE_MASK (~(HUGE_SIZE - 1))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a) (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define barrier() __asm__ volatile("" ::: "memory")

/* The shared area. The linker places it: it is near enough for addresses relative to RIP, which take 3 bytes where a constant takes 10.
 * Tests on the host have it elsewhere. */
#if UFS_SHARED_VA == 0x600040000000
extern u8 ufs_shared[] __attribute__((visibility("hidden")));
#else
#define ufs_shared ((u8 *)UFS_SHARED_VA)
#endif

/* Pointers that may be a negative errno. */
#define ERR_PTR(e) ((void *)(long)(e))
#define PTR_ERR(p) ((long)(p))
#define IS_ERR(p) ((unsigned long)(p) >= (unsigned long)-4095)

/* lib/string.c; gcc may emit calls to the first four. */
void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
/* Copies at most n-1 bytes and always terminates; returns strlen(s). */
size_t strlcpy(char *d, const char *s, size_t n);

/* lib/printf.c: %d %u %x %p %s %c %ld %lu %lx %lld %llu %zu, width, 0 and - flags, %.*s. Returns like C's. */
int vsnprintf(char *buf, size_t n, const char *fmt, va_list ap);
int snprintf(char *buf, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* platform/report.c */
/* A line on the instance's log (stderr stream), prefix "unifaas: ". */
void klog(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Ends the instance with a report. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define BUG_ON(c) do { if (unlikely(c)) panic("%s:%d: %s", __FILE__, __LINE__, #c); } while (0)

/* Doubly linked list with a head. */
struct list { struct list *next, *prev; };
#define LIST_INIT(name) { &(name), &(name) }
static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
#ifdef UFS_SMALL /* lib/list.c: a call takes a third of the bytes */
void list_insert(struct list *n, struct list *prev, struct list *next);
void list_add(struct list *n, struct list *head);
void list_add_tail(struct list *n, struct list *head);
void list_del(struct list *n);
#else
static inline void list_insert(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev; n->next = next; prev->next = n; next->prev = n;
}
static inline void list_add(struct list *n, struct list *head) { list_insert(n, head, head->next); }
static inline void list_add_tail(struct list *n, struct list *head) { list_insert(n, head->prev, head); }
/* Leaves n initialised, so that removing twice is harmless. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next; n->next->prev = n->prev; list_init(n);
}
#endif
#define list_entry(p, type, member) container_of(p, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, nx, head) \
	for (struct list *it = (head)->next, *nx = it->next; it != (head); it = nx, nx = it->next)

#endif
