/* SPDX-License-Identifier: Apache-2.0 */
/* fs_calls.c: see fs_calls.h. */
#include "fs_calls.h"

#define FULL(name) long sys_##name(u64, u64, u64, u64, u64, u64);
#define PARTIAL(name) FULL(name)
#define ABSENT(name)
#define SYS(nr, name, state, note) state(name)
#include "../sys/fs.def"
#undef SYS
#undef FULL
#undef PARTIAL
#undef ABSENT

#define FULL(name) sys_##name
#define PARTIAL(name) sys_##name
#define ABSENT(name) NULL
#define SYS(nr, name, state, note) [nr] = state(name),
static const call_fn table[512] = {
#include "../sys/fs.def"
};

call_fn fake_call(int nr)
{
	CHECK(table[nr]);
	return table[nr];
}
