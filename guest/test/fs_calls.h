/* SPDX-License-Identifier: Apache-2.0 */
/* fs_calls.h: the library OS's calls by number, for tests that make each call twice, here and on the host. */
#ifndef UFS_TEST_FS_CALLS_H
#define UFS_TEST_FS_CALLS_H
#include "fs_fake.h"
typedef long (*call_fn)(u64, u64, u64, u64, u64, u64);
call_fn fake_call(int nr);
#define GUEST(nr, a, b, c, d, e, f) fake_call(nr)((u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))
#define HOST(nr, a, b, c, d, e, f) host_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#endif
