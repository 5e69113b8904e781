/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openssl.c: a provider for OpenSSL 3 with one random generator, which asks the kernel for every byte.
 *
 * OpenSSL's own generators keep state in the process and take new seed only after a fork, after minutes or after
 * thousands of calls: two instances of one snapshot would give the same keys. One that keeps nothing cannot.
 *
 * The declarations are those of openssl/core.h and core_dispatch.h, which are a stable ABI, so that nothing of OpenSSL
 * is needed to build this.
 */
#include "system.h"

typedef struct { int id; void (*function)(void); } dispatch;
typedef struct { const char *names, *properties; const dispatch *functions; const char *description; } algorithm;
typedef struct { const char *key; unsigned type; void *data; size_t size, returned; } param;

enum { OP_RAND = 5, PARAM_INTEGER = 1, PARAM_UNSIGNED = 2, STATE_READY = 1 };
enum { PROVIDER_TEARDOWN = 1024, PROVIDER_QUERY = 1027 };
enum { RAND_NEWCTX = 1, RAND_FREECTX, RAND_INSTANTIATE, RAND_UNINSTANTIATE, RAND_GENERATE, RAND_RESEED, RAND_NONCE,
       RAND_ENABLE_LOCKING, RAND_LOCK, RAND_UNLOCK, RAND_GETTABLE_CTX_PARAMS = 12, RAND_GET_CTX_PARAMS = 15 };

#define MAX_REQUEST ((size_t)1 << 30)

static char nothing; /* what a generator consists of */

static void *newctx(void *provider, void *parent, const dispatch *calls) { return &nothing; }
static void freectx(void *g) {}
static int instantiate(void *g, unsigned strength, int fresh, const unsigned char *text, size_t n, const param *p) { return 1; }
static int uninstantiate(void *g) { return 1; }
/* What callers add is the kernel's affair already: nothing here could hold it. */
static int reseed(void *g, int fresh, const unsigned char *entropy, size_t n, const unsigned char *more, size_t m) { return 1; }
static int enable_locking(void *g) { return 1; }
static int lock(void *g) { return 1; }
static void unlock(void *g) {}

static int generate(void *g, unsigned char *out, size_t n, unsigned strength, int fresh, const unsigned char *more, size_t m)
{
	return system_random(out, n);
}

static size_t nonce(void *g, unsigned char *out, unsigned strength, size_t min, size_t max)
{
	size_t n = min > strength / 8 ? min : strength / 8;
	if (n > max)
		n = max;
	return !out ? n : system_random(out, n) ? n : 0;
}

static const param readable[] = {
	{ "state", PARAM_INTEGER, NULL, sizeof(int), 0 },
	{ "strength", PARAM_UNSIGNED, NULL, sizeof(unsigned), 0 },
	{ "max_request", PARAM_UNSIGNED, NULL, sizeof(size_t), 0 },
	{ NULL, 0, NULL, 0, 0 },
};

static int same(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return *a == *b;
}

static int put(param *p, uint64_t v)
{
	if (p->type != PARAM_INTEGER && p->type != PARAM_UNSIGNED)
		return 0;
	p->returned = p->size;
	if (!p->data) {
		p->returned = sizeof v;
		return 1;
	}
	if (p->size < 4 || p->size > 8 || (p->size < 8 && v >> (p->size * 8 - 1)))
		return 0;
	for (size_t i = 0; i < p->size; i++)
		((unsigned char *)p->data)[i] = v >> (8 * i);
	return 1;
}

static int get_ctx_params(void *g, param *p)
{
	for (; p && p->key; p++)
		if (same(p->key, "state") ? !put(p, STATE_READY) : same(p->key, "strength") ? !put(p, 256) :
		    same(p->key, "max_request") && !put(p, MAX_REQUEST))
			return 0;
	return 1;
}

static const param *gettable_ctx_params(void *g, void *provider) { return readable; }

#define F(id, f) { id, (void (*)(void))(f) }
static const dispatch functions[] = {
	F(RAND_NEWCTX, newctx), F(RAND_FREECTX, freectx), F(RAND_INSTANTIATE, instantiate), F(RAND_UNINSTANTIATE, uninstantiate),
	F(RAND_GENERATE, generate), F(RAND_RESEED, reseed), F(RAND_NONCE, nonce), F(RAND_ENABLE_LOCKING, enable_locking),
	F(RAND_LOCK, lock), F(RAND_UNLOCK, unlock), F(RAND_GETTABLE_CTX_PARAMS, gettable_ctx_params),
	F(RAND_GET_CTX_PARAMS, get_ctx_params), { 0, NULL },
};
static const algorithm generators[] = {
	{ "SYSTEM-RANDOM", "provider=unifaas", functions, "the kernel's generator, nothing kept" },
	{ NULL, NULL, NULL, NULL },
};

static const algorithm *query(void *provider, int operation, int *no_cache)
{
	*no_cache = 0;
	return operation == OP_RAND ? generators : NULL;
}

static void teardown(void *provider) {}

static const dispatch provider_functions[] = { F(PROVIDER_QUERY, query), F(PROVIDER_TEARDOWN, teardown), { 0, NULL } };

__attribute__((visibility("default"))) int OSSL_provider_init(const void *core, const dispatch *in, const dispatch **out, void **provider)
{
	*out = provider_functions;
	*provider = &nothing;
	return 1;
}
