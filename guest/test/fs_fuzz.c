/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_fuzz.c: the image reader on damaged images until time is up.
 * Usage: fs_fuzz SECONDS IMAGE...   With clang: -DLIBFUZZER -fsanitize=fuzzer instead of this main.
 */
#include "fs_fake.h"
#include "fs_erofs_walk.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	visit_image(data, size);
	return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
	unsigned long end = host_seconds() + (argc > 1 ? atoi(argv[1]) : 60), seed = host_seconds(), runs = 0;
	u8 *image = malloc(FAKE_IMAGE_MAX);

	if (argc < 3) {
		printf("usage: fs_fuzz SECONDS IMAGE...\n");
		return 2;
	}
	printf("seed %lu\n", seed);
	while (host_seconds() < end) {
		for (int i = 2; i < argc; i++) {
			u64 size = host_load(argv[i], image, FAKE_IMAGE_MAX);
			for (int k = 0; k < 1000; k++, runs++) {
				u64 n, flips;
				u8 *m;
				seed = seed * 6364136223846793005UL + 1442695040888963407UL;
				n = seed >> 60 ? size : (seed >> 20) % size;
				m = malloc(n);
				memcpy(m, image, n);
				for (flips = seed >> 33 & 15; flips && n > 1024; flips--) {
					seed = seed * 6364136223846793005UL + 1442695040888963407UL;
					m[seed >> 63 ? 1024 + (seed >> 20) % MIN(n - 1024, 16384UL) : (seed >> 20) % n] ^= seed >> 50;
				}
				visit_image(m, n);
				free(m);
			}
		}
	}
	printf("%lu damaged images read\n", runs);
	free(image);
	return 0;
}
#endif
