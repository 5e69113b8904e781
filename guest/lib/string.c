/* SPDX-License-Identifier: Apache-2.0 */
/* string.c: memory and string functions. Large moves use the CPU's string instructions, small ones plain loads. */
#include "ufs.h"

/* The compiler would recognise these loops as the very functions they implement and call them. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#define STRING_INSN_MIN 256 /* below this the start-up of rep movsb costs more than a loop */

typedef u64 __attribute__((may_alias, aligned(1))) word;
typedef u32 __attribute__((may_alias, aligned(1))) half;
typedef u16 __attribute__((may_alias, aligned(1))) quarter;

#define W(p, i) (*(word *)((char *)(p) + (i)))
#define H(p, i) (*(half *)((char *)(p) + (i)))
#define Q(p, i) (*(quarter *)((char *)(p) + (i)))

/* At most 16 bytes, all loaded before any is stored, so overlap is harmless. */
static inline void move_small(char *d, const char *s, size_t n)
{
	if (n >= 8) {
		u64 a = W(s, 0), b = W(s, n - 8);
		W(d, 0) = a;
		W(d, n - 8) = b;
	} else if (n >= 4) {
		u32 a = H(s, 0), b = H(s, n - 4);
		H(d, 0) = a;
		H(d, n - 4) = b;
	} else if (n >= 2) {
		u16 a = Q(s, 0), b = Q(s, n - 2);
		Q(d, 0) = a;
		Q(d, n - 2) = b;
	} else if (n) {
		*d = *s;
	}
}

void *memcpy(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;
	if (n <= 16) {
		move_small(d, s, n);
		return dst;
	}
	if (n >= STRING_INSN_MIN) {
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		return dst;
	}
	for (; n > 16; n -= 16, d += 16, s += 16) {
		u64 a = W(s, 0), b = W(s, 8);
		W(d, 0) = a;
		W(d, 8) = b;
	}
	move_small(d, s, n);
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;
	if ((u64)d - (u64)s >= n)
		return memcpy(dst, src, n); /* forward order never overwrites what is still to be read */
	for (; n > 16; n -= 16) {
		u64 a = W(s, n - 8), b = W(s, n - 16);
		W(d, n - 8) = a;
		W(d, n - 16) = b;
	}
	move_small(d, s, n);
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	char *d = dst;
	u64 v = (u8)c * 0x0101010101010101ULL;
	if (n >= STRING_INSN_MIN) {
		__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
		return dst;
	}
	if (n < 8) {
		while (n)
			d[--n] = c;
		return dst;
	}
	W(d, n - 8) = v;
	for (; n > 8; n -= 8, d += 8)
		W(d, 0) = v;
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;
	for (; n >= 8; n -= 8, x += 8, y += 8) {
		u64 v = W(x, 0), w = W(y, 0);
		if (v != w)
			return __builtin_bswap64(v) < __builtin_bswap64(w) ? -1 : 1;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *s, int c, size_t n)
{
	const u64 ones = 0x0101010101010101ULL, tops = ones << 7;
	const u8 *p = s;
	for (; n >= 8; n -= 8, p += 8) {
		u64 w = W(p, 0) ^ (ones * (u8)c);
		if ((w - ones) & ~w & tops)
			break;
	}
	for (; n; n--, p++)
		if (*p == (u8)c)
			return (void *)p;
	return NULL;
}

size_t strlen(const char *s)
{
	const char *p = s;
	while (*p)
		p++;
	return p - s;
}

size_t strnlen(const char *s, size_t n)
{
	const char *p = s; /* not by memchr: nothing past the NUL may be read */
	while (n-- && *p)
		p++;
	return p - s;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (!*a || *a != *b)
			return (u8)*a - (u8)*b;
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;
	do {
		if (*s == (char)c)
			last = s;
	} while (*s++);
	return (char *)last;
}

size_t strlcpy(char *d, const char *s, size_t n)
{
	size_t len = strlen(s);
	if (n) {
		size_t k = MIN(len, n - 1);
		memcpy(d, s, k);
		d[k] = 0;
	}
	return len;
}
