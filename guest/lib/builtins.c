/* SPDX-License-Identifier: Apache-2.0 */
/* builtins.c: what the compiler calls instead of emitting instructions that not every CPU has. */
#include "ufs.h"

int __popcountdi2(u64 v);
int __popcountdi2(u64 v)
{
	v -= v >> 1 & 0x5555555555555555ULL;
	v = (v & 0x3333333333333333ULL) + (v >> 2 & 0x3333333333333333ULL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return v * 0x0101010101010101ULL >> 56;
}
