/* SPDX-License-Identifier: Apache-2.0 */
/* printf.c: formatted text for reports, logs and /proc. No floating point, no %n. */
#include "ufs.h"

struct out { char *buf; size_t size, len; };
struct spec { bool left, zero, alt, plus; int width, prec, size; };

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put(o, c);
}

static void put_string(struct out *o, const struct spec *sp, const char *s)
{
	if (!s)
		s = "(null)";
	int n = sp->prec >= 0 ? strnlen(s, sp->prec) : strlen(s);
	if (!sp->left)
		pad(o, ' ', sp->width - n);
	for (int i = 0; i < n; i++)
		put(o, s[i]);
	if (sp->left)
		pad(o, ' ', sp->width - n);
}

static void put_number(struct out *o, const struct spec *sp, u64 v, unsigned base, bool upper, const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char tmp[24];
	int n = 0, plen = strlen(prefix);
	for (u64 x = v; x || (!n && sp->prec != 0); x /= base)
		tmp[n++] = digits[x % base];
	int zeros = MAX(sp->prec - n, 0);
	if (sp->zero && !sp->left && sp->prec < 0)
		zeros = MAX(sp->width - n - plen, 0);
	int blanks = sp->width - n - plen - zeros;
	if (!sp->left)
		pad(o, ' ', blanks);
	while (*prefix)
		put(o, *prefix++);
	pad(o, '0', zeros);
	while (n)
		put(o, tmp[--n]);
	if (sp->left)
		pad(o, ' ', blanks);
}

static void put_signed(struct out *o, const struct spec *sp, s64 v)
{
	put_number(o, sp, v < 0 ? -(u64)v : (u64)v, 10, false, v < 0 ? "-" : sp->plus ? "+" : "");
}

static int number(const char **fmt)
{
	int n = 0;
	while (**fmt >= '0' && **fmt <= '9' && n < 100000)
		n = n * 10 + *(*fmt)++ - '0';
	return n;
}

/* Flags, width, precision and size; leaves *fmt at the conversion. */
static struct spec parse(const char **fmt, va_list *ap)
{
	struct spec sp = { .prec = -1 };
	const char *p = *fmt;
	for (;; p++) {
		if (*p == '-')
			sp.left = true;
		else if (*p == '0')
			sp.zero = true;
		else if (*p == '#')
			sp.alt = true;
		else if (*p == '+')
			sp.plus = true;
		else if (*p != ' ')
			break;
	}
	if (*p == '*') {
		sp.width = va_arg(*ap, int);
		if (sp.width < 0)
			sp.left = true, sp.width = -sp.width;
		p++;
	} else {
		sp.width = number(&p);
	}
	if (*p == '.') {
		p++;
		if (*p == '*')
			sp.prec = va_arg(*ap, int), p++;
		else
			sp.prec = number(&p);
	}
	for (; *p == 'l' || *p == 'z' || *p == 'h' || *p == 'j' || *p == 't'; p++)
		sp.size += *p == 'h' ? -1 : 1;
	*fmt = p;
	return sp;
}

static u64 unsigned_arg(const struct spec *sp, va_list *ap)
{
	if (sp->size > 0)
		return va_arg(*ap, u64);
	u32 v = va_arg(*ap, u32);
	return sp->size == -1 ? (u16)v : sp->size < -1 ? (u8)v : v;
}

static s64 signed_arg(const struct spec *sp, va_list *ap)
{
	if (sp->size > 0)
		return va_arg(*ap, s64);
	s32 v = va_arg(*ap, s32);
	return sp->size == -1 ? (int16_t)v : sp->size < -1 ? (int8_t)v : v;
}

static void convert(struct out *o, struct spec *sp, char conv, va_list *ap)
{
	u64 v;
	switch (conv) {
	case 'd':
	case 'i':
		put_signed(o, sp, signed_arg(sp, ap));
		break;
	case 'u':
		put_number(o, sp, unsigned_arg(sp, ap), 10, false, "");
		break;
	case 'o':
		put_number(o, sp, unsigned_arg(sp, ap), 8, false, sp->alt ? "0" : "");
		break;
	case 'x':
	case 'X':
		v = unsigned_arg(sp, ap);
		put_number(o, sp, v, 16, conv == 'X', sp->alt && v ? "0x" : "");
		break;
	case 'p':
		put_number(o, sp, (u64)va_arg(*ap, void *), 16, false, "0x");
		break;
	case 's':
		put_string(o, sp, va_arg(*ap, const char *));
		break;
	case 'c':
		pad(o, ' ', sp->left ? 0 : sp->width - 1);
		put(o, va_arg(*ap, int));
		pad(o, ' ', sp->left ? sp->width - 1 : 0);
		break;
	default:
		put(o, '%');
		if (conv != '%')
			put(o, conv);
	}
}

int vsnprintf(char *buf, size_t n, const char *fmt, va_list ap)
{
	struct out o = { buf, n, 0 };
	va_list args;
	va_copy(args, ap);
	while (*fmt) {
		if (*fmt != '%') {
			put(&o, *fmt++);
			continue;
		}
		fmt++;
		struct spec sp = parse(&fmt, &args);
		if (!*fmt)
			break;
		convert(&o, &sp, *fmt++, &args);
	}
	va_end(args);
	if (n)
		buf[MIN(o.len, n - 1)] = 0;
	return o.len;
}

int snprintf(char *buf, size_t n, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = vsnprintf(buf, n, fmt, ap);
	va_end(ap);
	return r;
}
