/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c: what node.js needs of the system and JavaScript cannot reach: a page that is wiped in every copy of the process,
 * as an array, random words without OpenSSL, and the number of the last restore. The declarations are Node-API's, a stable ABI.
 */
#include "system.h"

typedef struct env *napi_env;
typedef struct value *napi_value;
typedef struct info *napi_info;
typedef napi_value (*napi_callback)(napi_env, napi_info);
typedef void (*napi_finalize)(napi_env, void *, void *);
enum { AUTO_LENGTH = -1, UINT32_ARRAY = 6 };

int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
int napi_create_external_arraybuffer(napi_env, void *, size_t, napi_finalize, void *, napi_value *);
int napi_create_typedarray(napi_env, int, size_t, napi_value, size_t, napi_value *);
int napi_create_bigint_uint64(napi_env, uint64_t, napi_value *);
int napi_get_boolean(napi_env, _Bool, napi_value *);
int napi_get_undefined(napi_env, napi_value *);
int napi_get_cb_info(napi_env, napi_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_value_int32(napi_env, napi_value, int32_t *);
int napi_get_typedarray_info(napi_env, napi_value, int *, size_t *, void **, napi_value *, size_t *);

static void unmap(napi_env env, void *p, void *hint) { system_call(NR_MUNMAP, (long)p, 4096, 0, 0, 0, 0); }

/* page(): a Uint32Array of one page, all 0 at first and in each copy of the process; undefined where there is no such page. */
static napi_value page(napi_env env, napi_info info)
{
	napi_value buffer, array = NULL;
	void *p = (void *)wiped_page();

	if (p && napi_create_external_arraybuffer(env, p, 4096, unmap, NULL, &buffer)) {
		unmap(env, p, NULL);
		p = NULL;
	}
	if (!p || napi_create_typedarray(env, UINT32_ARRAY, 1024, buffer, 0, &array))
		napi_get_undefined(env, &array);
	return array;
}

/* fill(array): random words into a Uint32Array; false if there are none. */
static napi_value fill(napi_env env, napi_info info)
{
	size_t n = 1, words = 0;
	napi_value arg, out = NULL;
	void *data = NULL;
	int kind = -1;

	if (napi_get_cb_info(env, info, &n, &arg, NULL, NULL) || n != 1 || napi_get_typedarray_info(env, arg, &kind, &words, &data, NULL, NULL))
		return NULL;
	napi_get_boolean(env, kind == UINT32_ARRAY && system_random(data, words * 4), &out);
	return out;
}

/* generation(fd): a number for the last restore, asked of /dev/snapshot; undefined where that is something else. */
static napi_value generation(napi_env env, napi_info info)
{
	size_t n = 1;
	napi_value arg, out = NULL;
	int32_t fd;
	uint64_t g = 0;

	if (napi_get_cb_info(env, info, &n, &arg, NULL, NULL) || n != 1 || napi_get_value_int32(env, arg, &fd) ||
	    system_call(NR_IOCTL, fd, 0x5501, (long)&g, 0, 0, 0) < 0 || napi_create_bigint_uint64(env, g, &out))
		napi_get_undefined(env, &out);
	return out;
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
	napi_value f;

	if (!napi_create_function(env, "page", AUTO_LENGTH, page, NULL, &f))
		napi_set_named_property(env, exports, "page", f);
	if (!napi_create_function(env, "fill", AUTO_LENGTH, fill, NULL, &f))
		napi_set_named_property(env, exports, "fill", f);
	if (!napi_create_function(env, "generation", AUTO_LENGTH, generation, NULL, &f))
		napi_set_named_property(env, exports, "generation", f);
	return exports;
}
