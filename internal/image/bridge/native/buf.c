/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c: bytes in a row. Large ones go back to the kernel when they are used up: they would be part of a parked instance. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bridge.h"

char *buf_room(struct buf *b, size_t n)
{
	if (b->off == b->len)
		b->off = b->len = 0;
	if (b->len + n > b->cap && b->off) {
		memmove(b->p, b->p + b->off, BUF_LEFT(b));
		b->len -= b->off;
		b->off = 0;
	}
	if (b->len + n > b->cap) {
		size_t cap = b->cap ? b->cap : 1024;

		while (cap < b->len + n)
			cap *= 2;
		b->p = realloc(b->p, cap);
		if (!b->p)
			die("memory");
		b->cap = cap;
	}
	return b->p + b->len;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	if (n) {
		memcpy(buf_room(b, n), p, n);
		b->len += n;
	}
}

void buf_puts(struct buf *b, const char *s) { buf_put(b, s, strlen(s)); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(text))
		die("a line that is too long");
	buf_put(b, text, n);
}

void buf_take(struct buf *b, size_t n)
{
	b->off += n;
	if (b->off == b->len) {
		if (b->cap > 64 << 10)
			buf_free(b);
		b->off = b->len = 0;
	}
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

void buf_json(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = s[i];

		if (ch == '"' || ch == '\\')
			buf_printf(b, "\\%c", ch);
		else if (ch < ' ')
			buf_printf(b, "\\u%04x", ch);
		else
			buf_put(b, s + i, 1);
	}
}
