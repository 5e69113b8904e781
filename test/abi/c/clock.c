/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: clocks: they exist, go forward and agree. */
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

int main(void)
{
	static const struct { const char *name; clockid_t id; } clocks[] = {
		{ "realtime", CLOCK_REALTIME }, { "monotonic", CLOCK_MONOTONIC }, { "process cpu", CLOCK_PROCESS_CPUTIME_ID },
		{ "thread cpu", CLOCK_THREAD_CPUTIME_ID }, { "monotonic raw", CLOCK_MONOTONIC_RAW },
		{ "realtime coarse", CLOCK_REALTIME_COARSE }, { "monotonic coarse", CLOCK_MONOTONIC_COARSE }, { "boottime", CLOCK_BOOTTIME },
		{ "tai", CLOCK_TAI }, { "number 10", 10 }, { "number 99", 99 }, { "number -1", -1 },
	};
	struct timespec a, b;
	struct timeval tv;
	char name[64];

	start();
	for (unsigned i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		T(clocks[i].name, clock_gettime(clocks[i].id, &a));
		snprintf(name, sizeof(name), "%s by call", clocks[i].name);
		T(name, syscall(SYS_clock_gettime, clocks[i].id, &b));
		snprintf(name, sizeof(name), "%s resolution", clocks[i].name);
		T(name, clock_getres(clocks[i].id, &b));
		if (i < 9) {
			int back = 0;

			clock_gettime(clocks[i].id, &a);
			for (int k = 0; k < 20000; k++) {
				clock_gettime(clocks[i].id, &b);
				if (b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec) || b.tv_nsec < 0 || b.tv_nsec > 999999999)
					back++;
				a = b;
			}
			snprintf(name, sizeof(name), "%s steps back", clocks[i].name);
			V(name, back);
		}
	}
	/* Library and call agree: between two library readings lies the call's. */
	int bad = 0;
	for (int k = 0; k < 1000; k++) {
		uint64_t t0 = mono_ns(), t1;
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a);
		t1 = mono_ns();
		uint64_t t = a.tv_sec * 1000000000ull + a.tv_nsec;
		bad += t < t0 || t > t1;
	}
	V("library and call disagree", bad);
	clock_getres(CLOCK_MONOTONIC, &a);
	printf("monotonic resolution: %ld %ld\n", (long)a.tv_sec, a.tv_nsec);
	T("gettimeofday", gettimeofday(&tv, NULL));
	OK("it is after 2024", tv.tv_sec > 1704067200 && tv.tv_sec < 4102444800);
	OK("time agrees", labs(time(NULL) - tv.tv_sec) <= 1);
	clock_gettime(CLOCK_REALTIME, &a);
	OK("realtime agrees", labs(a.tv_sec - tv.tv_sec) <= 1);
	clock_gettime(CLOCK_REALTIME_COARSE, &a);
	OK("coarse agrees", labs(a.tv_sec - tv.tv_sec) <= 1);
	T("clock_gettime bad pointer", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD));
	T("clock_gettime null", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, NULL));
	T("clock_getres null", syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
	T("gettimeofday bad pointer", syscall(SYS_gettimeofday, BAD, NULL));
	T("clock_settime monotonic", clock_settime(CLOCK_MONOTONIC, &a));
	/* CPU time moves with work, and not with sleep. */
	uint64_t m0 = mono_ns();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	while (mono_ns() - m0 < 30000000)
		;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	OK("work costs cpu time", (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec > 1000000);
	a = b;
	msleep(50);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	OK("sleep costs none", (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 30000000);
	struct rusage ru;
	T("getrusage", getrusage(RUSAGE_SELF, &ru));
	OK("user time", ru.ru_utime.tv_sec + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec > 0);
	T("getrusage thread", getrusage(RUSAGE_THREAD, &ru));
	T("getrusage children", getrusage(RUSAGE_CHILDREN, &ru));
	T("getrusage bad", getrusage(99, &ru));
	struct tms tms;
	W("times", times(&tms));
	OK("clock ticks", sysconf(_SC_CLK_TCK) == 100);
	return 0;
}
