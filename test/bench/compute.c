/* SPDX-License-Identifier: Apache-2.0 */
/* compute.c: work that needs no system call: hashing, sorting, matrices, JSON. The checksums keep it from being left out. */
#include "bench.h"

static volatile uint64_t sink;
static int scale = 1; /* how much smaller than in a real run */

/* ---- SHA-256 ---- */

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
	0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
	0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t *h, const uint8_t *p)
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
		uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

static uint8_t *hash_data;
#define HASH_SIZE (4 << 20)

static void sha256_batch(long n)
{
	while (n--) {
		uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

		for (long i = 0; i < HASH_SIZE / scale; i += 64)
			sha_block(h, hash_data + i);
		sink += h[0];
	}
}

/* ---- sorting ---- */

static uint32_t *sort_data;
#define SORT_COUNT 500000

static void quick(uint32_t *a, long lo, long hi)
{
	while (lo < hi) {
		uint32_t pivot = a[lo + (hi - lo) / 2];
		long i = lo, j = hi;

		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				uint32_t t = a[i];
				a[i++] = a[j];
				a[j--] = t;
			}
		}
		if (j - lo < hi - i) {
			quick(a, lo, j);
			lo = i;
		} else {
			quick(a, i, hi);
			hi = j;
		}
	}
}

static void sort_batch(long n)
{
	long count = SORT_COUNT / scale;

	while (n--) {
		uint32_t x = 12345;

		for (long i = 0; i < count; i++)
			sort_data[i] = x = x * 1664525 + 1013904223;
		quick(sort_data, 0, count - 1);
		sink += sort_data[count / 2];
	}
}

/* ---- matrix multiply ---- */

#define DIM 256
static double (*ma)[DIM], (*mb)[DIM], (*mc)[DIM];

static void matmul_batch(long n)
{
	int dim = scale > 1 ? DIM / 4 : DIM;

	while (n--) {
		for (int i = 0; i < dim; i++) {
			for (int j = 0; j < dim; j++)
				mc[i][j] = 0;
			for (int k = 0; k < dim; k++)
				for (int j = 0; j < dim; j++)
					mc[i][j] += ma[i][k] * mb[k][j];
		}
		sink += (uint64_t)mc[dim / 2][dim / 3];
	}
}

/* ---- JSON: parse a document into a tree and add up what is in it ---- */

struct value { char kind; double num; const char *str; long len; struct value *child, *next; };
static char *json_text, *json_pos;
static struct value *pool;
static long used;
#define JSON_ITEMS 10000
#define JSON_POOL (JSON_ITEMS * 14)

static void space(void)
{
	while (*json_pos == ' ' || *json_pos == '\n')
		json_pos++;
}

static struct value *parse(void)
{
	struct value *v = &pool[used++], **tail = &v->child;

	memset(v, 0, sizeof(*v));
	space();
	v->kind = *json_pos;
	if (*json_pos == '{' || *json_pos == '[') {
		char end = *json_pos == '{' ? '}' : ']';

		json_pos++;
		for (space(); *json_pos != end; space()) {
			*tail = parse();
			tail = &(*tail)->next;
			space();
			if (*json_pos == ',' || *json_pos == ':')
				json_pos++;
		}
		json_pos++;
	} else if (*json_pos == '"') {
		v->str = ++json_pos;
		while (*json_pos != '"')
			json_pos += *json_pos == '\\' ? 2 : 1;
		v->len = json_pos++ - v->str;
	} else if (*json_pos == '-' || (*json_pos >= '0' && *json_pos <= '9')) {
		v->kind = '0';
		v->num = strtod(json_pos, &json_pos);
	} else {
		while (*json_pos >= 'a' && *json_pos <= 'z')
			json_pos++;
	}
	return v;
}

static double add_up(const struct value *v)
{
	double s = v->num + v->len;

	for (const struct value *c = v->child; c; c = c->next)
		s += add_up(c);
	return s;
}

static void json_make(void)
{
	char *p = json_text;

	p += sprintf(p, "[");
	for (long i = 0; i < JSON_ITEMS / scale; i++)
		p += sprintf(p, "%s{\"id\": %ld, \"name\": \"item number %ld\", \"price\": %ld.%02ld, \"tags\": [\"a\", \"b\\n\"], \"ok\": true}\n",
			     i ? ", " : "", i, i * 7, i * 3, i % 100);
	sprintf(p, "]");
}

static void json_batch(long n)
{
	while (n--) {
		used = 0;
		json_pos = json_text;
		sink += (uint64_t)add_up(parse());
	}
}

static void *need(size_t size)
{
	void *p = malloc(size);

	if (!p)
		fail("malloc");
	memset(p, 1, size); /* touched before the clock runs */
	return p;
}

int main(int argc, char **argv)
{
	int small = is_small(argc, argv), k = small ? 2 : 5;

	scale = small ? 20 : 1;
	hash_data = need(HASH_SIZE);
	sort_data = need(SORT_COUNT * sizeof(*sort_data));
	ma = need(sizeof(double[DIM][DIM]));
	mb = need(sizeof(double[DIM][DIM]));
	mc = need(sizeof(double[DIM][DIM]));
	json_text = need(JSON_ITEMS * 160);
	pool = need(JSON_POOL * sizeof(*pool));
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			ma[i][j] = i + j * 0.5;
			mb[i][j] = i - j * 0.25;
		}
	json_make();
	measure("sha256", "us", k, 1, sha256_batch);
	measure("sort", "us", k, 1, sort_batch);
	measure("matmul", "us", k, 1, matmul_batch);
	measure("json", "us", k, 1, json_batch);
	return 0;
}
