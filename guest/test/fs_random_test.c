/* SPDX-License-Identifier: Apache-2.0 */
/* fs_random_test.c: the generator: ChaCha20 as RFC 8439 has it, seeds and reseeds. */
#define random_bytes test_bytes
#define random_fops test_fops
#define sys_getrandom test_getrandom
#include "../fs/random.c"
#include "fs_fake.h"

int main(void)
{
	/* RFC 8439, 2.3.2. */
	static const u32 nonce[4] = { 1, 0x09000000, 0x4a000000, 0 };
	static const u8 want[16] = { 0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4 };
	volatile struct ufs_ctl *ctl;
	u8 k[32], a[100], b[100];
	u32 out[16], bits = 0;

	for (int i = 0; i < 32; i++)
		k[i] = i;
	memcpy(out, k, 32);
	chacha_block(out, nonce, out);
	CHECK(!memcmp(out, want, 16));

	host_map();
	fake_boot(0, 1 << 20);
	ctl = CTL;
	test_bytes(a, sizeof(a));
	test_bytes(b, sizeof(b));
	CHECK(memcmp(a, b, sizeof(a)));
	/* The same state with another seed goes another way. */
	u32 key0[8];
	memcpy(key0, key, sizeof(key));
	left = 0;
	test_bytes(a, sizeof(a));
	memcpy(key, key0, sizeof(key));
	left = 0;
	test_bytes(b, sizeof(b));
	CHECK(!memcmp(a, b, sizeof(a)));
	memcpy(key, key0, sizeof(key));
	ctl->seed[5] = 9;
	ctl->seed_seq++;
	test_bytes(b, sizeof(b));
	CHECK(memcmp(a, b, sizeof(a)));
	/* What was handed out is nowhere in the state. */
	test_bytes(a, 32);
	for (u32 i = 0; i + 8 <= BUFFER; i++)
		CHECK(memcmp(buffer + i, a, 8));
	for (int i = 0; i < 1000; i++) {
		u64 v;
		test_bytes(&v, 8);
		for (; v; v &= v - 1)
			bits++;
	}
	CHECK(bits > 31000 && bits < 33000);
	CHECK_EQ(test_getrandom((u64)a, 10, 8, 0, 0, 0), -EINVAL);
	CHECK_EQ(test_getrandom((u64)a, 10, 6, 0, 0, 0), -EINVAL);
	CHECK_EQ(test_getrandom((u64)a, 100, 1, 0, 0, 0), 100);
	CHECK_EQ(test_getrandom(8, 10, 0, 0, 0, 0), -EFAULT);
	return 0;
}
