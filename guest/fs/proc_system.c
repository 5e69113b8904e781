/* SPDX-License-Identifier: Apache-2.0 */
/* proc_system.c: texts of /proc that describe the machine. */
#include "procfs.h"
#include "random.h"

static u64 uptime_ns(void) { return now_ns() + CLOCK->boot_off; }

static u64 all_cpu_ns(void)
{
	u64 ns = 0;

	list_for_each(l, &process_list)
		ns += process_cpu_ns(list_entry(l, struct process, all));
	return ns;
}

static void count(u32 *threads, u32 *running)
{
	*threads = *running = 0;
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		list_for_each(k, &p->threads) {
			++*threads;
			*running += list_entry(k, struct thread, siblings)->state == T_RUNNABLE;
		}
	}
}

void show_uptime(struct text *b, struct pnode *n)
{
	u64 up = uptime_ns(), cpu = all_cpu_ns(), idle = up > cpu ? up - cpu : 0;

	text_printf(b, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / NSEC), (unsigned long)(up % NSEC / 10000000), (unsigned long)(idle / NSEC),
		    (unsigned long)(idle % NSEC / 10000000));
}

void show_loadavg(struct text *b, struct pnode *n)
{
	u32 threads, running;

	count(&threads, &running);
	text_printf(b, "0.00 0.00 0.00 %u/%u %d\n", running, threads, curproc()->pid);
}

void show_system_stat(struct text *b, struct pnode *n)
{
	u64 up = uptime_ns(), cpu = all_cpu_ns();
	unsigned long user = cpu / 10000000, idle = (up > cpu ? up - cpu : 0) / 10000000;
	u32 threads, running;

	count(&threads, &running);
	text_printf(b, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\ncpu0 %lu 0 0 %lu 0 0 0 0 0 0\nintr 0\nctxt 0\n", user, idle, user, idle);
	text_printf(b, "btime %lu\nprocesses %u\nprocs_running %u\nprocs_blocked 0\n", (unsigned long)((real_ns() - up) / NSEC), threads, running);
}

void show_meminfo(struct text *b, struct pnode *n)
{
	unsigned long total = page_total_bytes() >> 10, free = page_free_bytes() >> 10;

	text_printf(b, "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n", total, free, free);
	text_printf(b, "Buffers:               0 kB\nCached:                0 kB\nSwapCached:            0 kB\nActive:         %8lu kB\n", total - free);
	text_printf(b, "Inactive:              0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:                 0 kB\n");
	text_printf(b, "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n");
}

void show_hostname(struct text *b, struct pnode *n) { text_printf(b, "%s\n", boot_hostname()); }

static void uuid(struct text *b, u8 *u)
{
	u[6] = (u[6] & 15) | 0x40;
	u[8] = (u[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
		text_printf(b, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	text_write(b, "\n", 1);
}

void show_uuid(struct text *b, struct pnode *n)
{
	u8 u[16];

	random_bytes(u, sizeof(u));
	uuid(b, u);
}

void show_boot_id(struct text *b, struct pnode *n)
{
	static u8 id[16];
	static bool made;

	if (!made)
		random_bytes(id, sizeof(id));
	made = true;
	uuid(b, id);
}

static void cpuid(u32 leaf, u32 sub, u32 r[4]) { __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub)); }

/* Names by bit, "" where there is none to tell. */
static void flags(struct text *b, u32 bits, const char *names)
{
	for (int i = 0; i < 32; i++) {
		size_t len = strlen(names);
		if (bits >> i & 1 && len)
			text_printf(b, " %s", names);
		names += len + 1;
	}
}

static const char edx1[] = "fpu\0vme\0de\0pse\0tsc\0msr\0pae\0mce\0cx8\0apic\0\0sep\0mtrr\0pge\0mca\0cmov\0pat\0pse36\0pn\0clflush\0\0dts\0acpi\0mmx\0"
			   "fxsr\0sse\0sse2\0ss\0ht\0tm\0ia64\0pbe\0";
static const char ecx1[] = "pni\0pclmulqdq\0dtes64\0monitor\0ds_cpl\0vmx\0smx\0est\0tm2\0ssse3\0cid\0sdbg\0fma\0cx16\0xtpr\0pdcm\0\0pcid\0dca\0sse4_1\0"
			   "sse4_2\0x2apic\0movbe\0popcnt\0tsc_deadline_timer\0aes\0xsave\0\0avx\0f16c\0rdrand\0hypervisor\0";
static const char ebx7[] = "fsgsbase\0tsc_adjust\0sgx\0bmi1\0hle\0avx2\0\0smep\0bmi2\0erms\0invpcid\0rtm\0cqm\0\0mpx\0rdt_a\0avx512f\0avx512dq\0rdseed\0"
			   "adx\0smap\0avx512ifma\0\0clflushopt\0clwb\0intel_pt\0avx512pf\0avx512er\0avx512cd\0sha_ni\0avx512bw\0avx512vl\0";

void show_cpuinfo(struct text *b, struct pnode *n)
{
	u32 r[4], v[4], s[4], family, model, name[13] = { 0 };
	unsigned long khz = CLOCK->tsc_khz;

	cpuid(0, 0, v);
	cpuid(1, 0, s);
	family = s[0] >> 8 & 15;
	model = (s[0] >> 4 & 15) | (family == 6 || family == 15 ? s[0] >> 12 & 0xf0 : 0);
	family += family == 15 ? s[0] >> 20 & 0xff : 0;
	cpuid(0x80000000, 0, r);
	for (u32 i = 0; i < 3 && r[0] >= 0x80000004; i++)
		cpuid(0x80000002 + i, 0, name + 4 * i);
	text_printf(b, "processor\t: 0\nvendor_id\t: %.4s%.4s%.4s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n", (char *)&v[1],
		    (char *)&v[3], (char *)&v[2], family, model, *name ? (char *)name : "unknown", s[0] & 15);
	text_printf(b, "cpu MHz\t\t: %lu.%03lu\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\napicid\t\t: 0\n", khz / 1000, khz % 1000);
	text_printf(b, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:", v[0]);
	flags(b, s[3], edx1);
	text_printf(b, " syscall nx lm constant_tsc nopl nonstop_tsc");
	flags(b, s[2], ecx1);
	if (v[0] >= 7) {
		cpuid(7, 0, r);
		flags(b, r[1], ebx7);
	}
	text_printf(b, "\nbogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\n\n",
		    khz / 500, khz / 5 % 100, (s[1] >> 8 & 0xff) * 8);
}
