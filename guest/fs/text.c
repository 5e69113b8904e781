/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: text of generated files, in a buffer that grows. */
#include "vfs.h"

#define TEXT_MAX (4U << 20)

static bool room(struct text *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 512;
	char *p;

	if (b->failed || b->n + n > TEXT_MAX) {
		b->failed = true;
		return false;
	}
	if (b->n + n <= b->cap)
		return true;
	while (cap < b->n + n)
		cap *= 2;
	p = krealloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void text_write(struct text *b, const void *s, size_t n)
{
	if (!room(b, n))
		return;
	memcpy(b->p + b->n, s, n);
	b->n += n;
}

void text_printf(struct text *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!room(b, 128))
		return;
	va_start(ap, fmt);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n >= b->cap - b->n) {
		if (!room(b, n + 1))
			return;
		va_start(ap, fmt);
		n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
		va_end(ap);
	}
	b->n += n > 0 ? n : 0;
}
