/* SPDX-License-Identifier: Apache-2.0 */
/* lib_test.c: lib/string.c and lib/printf.c against plain loops and known answers. Names get the prefix ufs_ (mm.mk). */
#include "ufs.h"

int printf(const char *, ...);
void abort(void) __attribute__((noreturn));
#undef CHECK
#define CHECK(c) do { if (!(c)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #c); abort(); } } while (0)

void panic(const char *fmt, ...)
{
	abort();
}

static u8 a[4096], b[4096], want[4096];

static u32 rnd(void)
{
	static u32 x = 1;
	x = x * 1664525 + 1013904223;
	return x >> 8;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(a); i++) {
		a[i] = rnd();
		b[i] = rnd();
	}
}

static void plain_copy(u8 *d, const u8 *s, size_t n)
{
	for (volatile size_t i = 0; i < n; i++)
		d[i] = s[i];
}

static bool same(const u8 *x, const u8 *y, size_t n)
{
	for (volatile size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return false;
	return true;
}

static size_t some_length(void)
{
	return rnd() % 3 ? rnd() % 70 : rnd() % 1500;
}

static void test_moves(void)
{
	for (int round = 0; round < 20000; round++) {
		size_t n = some_length(), s = rnd() % 64, d = rnd() % 64;
		if (round % 16 == 0)
			fill();
		plain_copy(want, b, sizeof(b));
		plain_copy(want + d, a + s, n);
		CHECK(memcpy(b + d, a + s, n) == b + d);
		CHECK(same(b, want, sizeof(b)));
		/* Overlap: by way of a third buffer. */
		d = rnd() % 1600;
		s = rnd() % 1600;
		static u8 tmp[4096];
		plain_copy(tmp, b + s, n);
		plain_copy(want, b, sizeof(b));
		plain_copy(want + d, tmp, n);
		CHECK(memmove(b + d, b + s, n) == b + d);
		CHECK(same(b, want, sizeof(b)));
		u8 c = rnd();
		for (volatile size_t i = 0; i < n; i++)
			want[d + i] = c;
		CHECK(memset(b + d, c, n) == b + d);
		CHECK(same(b, want, sizeof(b)));
	}
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void test_compare(void)
{
	for (int round = 0; round < 20000; round++) {
		size_t n = some_length();
		fill();
		plain_copy(b, a, n);
		CHECK(memcmp(a, b, n) == 0);
		if (n) {
			size_t i = rnd() % n;
			b[i] = a[i] + 1 + rnd() % 255;
			CHECK(sign(memcmp(a, b, n)) == (a[i] < b[i] ? -1 : 1));
		}
		u8 c = rnd();
		const u8 *p = memchr(a, c, n), *q = NULL;
		for (volatile size_t i = 0; i < n && !q; i++)
			if (a[i] == c)
				q = &a[i];
		CHECK(p == q);
		if (round > 500)
			round += 19;
	}
}

static void test_strings(void)
{
	char d[8];
	CHECK(strlen("") == 0 && strlen("abc") == 3);
	CHECK(strnlen("abc", 2) == 2 && strnlen("abc", 9) == 3 && strnlen("", 0) == 0);
	CHECK(strcmp("a", "a") == 0 && strcmp("a", "b") < 0 && strcmp("ab", "a") > 0 && strcmp("\xff", "a") > 0);
	CHECK(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0 && strncmp("a", "a", 9) == 0);
	const char *s = "hello";
	CHECK(strchr(s, 'l') == s + 2 && strrchr(s, 'l') == s + 3 && !strchr(s, 'x') && strchr(s, 0) == s + 5 && strrchr(s, 0) == s + 5);
	CHECK(strlcpy(d, "1234567890", sizeof(d)) == 10 && !strcmp(d, "1234567"));
	CHECK(strlcpy(d, "12", sizeof(d)) == 2 && !strcmp(d, "12"));
	CHECK(strlcpy(d, "xy", 0) == 2 && !strcmp(d, "12"));
}

#define FORMATS(expect, ...) do { \
	char buf_[128]; int n_ = snprintf(buf_, sizeof(buf_), __VA_ARGS__); \
	if (strcmp(buf_, expect) || n_ != (int)strlen(expect)) { \
		printf("%s:%d: \"%s\", want \"%s\"\n", __FILE__, __LINE__, buf_, expect); abort(); } } while (0)

static void test_printf(void)
{
	const char *volatile null = NULL;
	FORMATS("1 -2 3", "%d %i %u", 1, -2, 3u);
	FORMATS("-2147483648", "%d", -2147483647 - 1);
	FORMATS("-9223372036854775808 18446744073709551615", "%ld %lu", -9223372036854775807L - 1, ~0UL);
	FORMATS("ffffffff DEAD beef", "%x %X %llx", ~0u, 0xdead, 0xbeefULL);
	FORMATS("0x10 0 0x00000010", "%#x %#x %#010x", 16, 0, 16);
	FORMATS("0x1234", "%p", (void *)0x1234);
	FORMATS("[   42][42   ][00042][-0042]", "[%5d][%-5d][%05d][%05d]", 42, 42, 42, -42);
	FORMATS("[  007][+7]", "[%5.3d][%+d]", 7, 7);
	FORMATS("[  abc][abc  ][ab][(null)]", "[%5s][%-5s][%.2s][%s]", "abc", "abc", "abc", null);
	FORMATS("[xy][  xy]", "[%.*s][%*s]", 2, "xyz", 4, "xy");
	FORMATS("a%b 12", "%c%%%c %zu", 'a', 'b', (size_t)12);
	FORMATS("755 255 65535", "%o %hhu %hu", 0755, 255, 65535);
	char tiny[4] = "zzz";
	CHECK(snprintf(tiny, sizeof(tiny), "%s", "abcdef") == 6 && !strcmp(tiny, "abc"));
	CHECK(snprintf(NULL, 0, "%d", 12345) == 5);
	CHECK(snprintf(tiny, 1, "x") == 1 && tiny[0] == 0);
}

int main(void)
{
	fill();
	test_moves();
	test_compare();
	test_strings();
	test_printf();
	return 0;
}
