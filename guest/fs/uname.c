/* SPDX-License-Identifier: Apache-2.0 */
/* uname.c: who this system says it is, and how much of everything it has. */
#include "vfs.h"

struct new_utsname { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };

const char *boot_string(u32 off)
{
	u32 size = MIN(BOOT->size, (u32)UFS_BOOT_SIZE);
	const char *s = (const char *)BOOT + off;

	return off && off < size && memchr(s, 0, size - off) ? s : "";
}

/* Empty: as it was at the start. */
static char host_name[65], domain_name[65] = "(none)";

const char *boot_hostname(void)
{
	const char *s = *host_name ? host_name : boot_string(BOOT->hostname);
	return *s ? s : "localhost";
}

SYSCALL(uname)
{
	struct new_utsname u;

	memset(&u, 0, sizeof(u));
	strlcpy(u.sysname, "Linux", sizeof(u.sysname));
	strlcpy(u.nodename, boot_hostname(), sizeof(u.nodename));
	strlcpy(u.release, UFS_OSRELEASE, sizeof(u.release));
	strlcpy(u.version, UFS_OSVERSION, sizeof(u.version));
	strlcpy(u.machine, "x86_64", sizeof(u.machine));
	strlcpy(u.domainname, domain_name, sizeof(u.domainname));
	return copy_to_user((void *)a, &u, sizeof(u));
}

static long set_name(char *name, u64 from, s64 len)
{
	char buf[65] = { 0 };
	if (!(curproc()->cap_eff & 1ULL << 21))
		return -EPERM;
	if (len < 0 || len > 64)
		return -EINVAL;
	if (copy_from_user(buf, (void *)from, len))
		return -EFAULT;
	memcpy(name, buf, sizeof(buf));
	return 0;
}

void set_hostname(const char *name, u32 n)
{
	memcpy(host_name, name, n);
	host_name[n] = 0;
}

SYSCALL(sethostname) { return set_name(host_name, a, (int)b); }
SYSCALL(setdomainname) { return set_name(domain_name, a, (int)b); }

struct sysinfo_k {
	s64 uptime;
	u64 loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	u32 pad2;
	u64 totalhigh, freehigh;
	u32 mem_unit;
	u32 pad3;
};

SYSCALL(sysinfo)
{
	struct sysinfo_k s;

	memset(&s, 0, sizeof(s));
	s.uptime = (now_ns() + CLOCK->boot_off) / NSEC;
	s.totalram = page_total_bytes();
	s.freeram = page_free_bytes();
	s.mem_unit = 1;
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		s.procs += p->nthreads;
	}
	return copy_to_user((void *)a, &s, sizeof(s));
}
