/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h: how the benchmark programs measure and report.
 *
 * The same static program runs as a plain process and in the guest. It prints one JSON line for each case:
 *   {"case":"getpid","unit":"ns","samples":[…]}
 * A sample is the mean time of one operation over a batch, by CLOCK_MONOTONIC at the batch's ends.
 */
#ifndef BENCH_H
#define BENCH_H
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 64

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static inline void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Runs batch(n) samples times after one unmeasured batch, and prints. Each batch does n operations. */
static inline void measure(const char *name, const char *unit, int samples, long n, void (*batch)(long n))
{
	double t[SAMPLES_MAX], scale = !strcmp(unit, "ns") ? 1 : !strcmp(unit, "us") ? 1e-3 : 1e-6;

	batch(n);
	for (int i = 0; i < samples && i < SAMPLES_MAX; i++) {
		uint64_t t0 = now_ns();

		batch(n);
		t[i] = (now_ns() - t0) * scale / n;
	}
	printf("{\"case\":\"%s\",\"unit\":\"%s\",\"samples\":[", name, unit);
	for (int i = 0; i < samples && i < SAMPLES_MAX; i++)
		printf("%s%.2f", i ? "," : "", t[i]);
	printf("]}\n");
	fflush(stdout);
}

/* An argument makes everything shorter: `small` only shows that it works. */
static inline int is_small(int argc, char **argv)
{
	return argc > 1 && !strcmp(argv[1], "small");
}
#endif
