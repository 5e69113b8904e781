/* SPDX-License-Identifier: Apache-2.0 */
/* procfs.c: the files under /proc, /dev and /sys that programs read. */
#include "check.h"
#include <sys/mman.h>
#include <sys/auxv.h>

static char buf[200000];

static int slurp(const char *p)
{
	int fd = open(p, O_RDONLY), n = 0, r;

	if (fd < 0)
		return -1;
	while ((r = read(fd, buf + n, sizeof(buf) - 1 - n)) > 0)
		n += r;
	close(fd);
	buf[n] = 0;
	return r < 0 ? -1 : n;
}

static void has(const char *path, const char *what)
{
	char name[200];

	snprintf(name, sizeof(name), "%s has %s", path, what);
	OK(name, slurp(path) > 0 && strstr(buf, what));
}

int main(int argc, char **argv)
{
	char link[400], line[400];
	int n, fd;
	FILE *f;

	scratch();
	n = readlink("/proc/self/exe", link, sizeof(link) - 1);
	OK("exe link", n > 0 && link[0] == '/');
	link[n > 0 ? n : 0] = 0;
	OK("exe exists", access(link, X_OK) == 0);
	OK("exe name", strrchr(link, '/') && strstr(link, "procfs"));
	OK("cmdline", slurp("/proc/self/cmdline") == (int)strlen(argv[0]) + 1 && !strcmp(buf, argv[0]));
	OK("comm", slurp("/proc/self/comm") > 0 && strstr(buf, "procfs"));
	OK("environ", slurp("/proc/self/environ") >= 0);
	OK("maps", slurp("/proc/self/maps") > 0);
	OK("maps stack", strstr(buf, "[stack]"));
	OK("maps heap", (sbrk(0), malloc(1), slurp("/proc/self/maps"), 1));
	/* Each line parses and the ranges go up; main lies in one that is executable. */
	f = fopen("/proc/self/maps", "r");
	unsigned long a, b, last = 0, off;
	char perm[8];
	int bad = 0, mine = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %4s %lx", &a, &b, perm, &off) != 4 || a >= b || a < last)
			bad++;
		last = b;
		if ((unsigned long)main >= a && (unsigned long)main < b)
			mine = perm[2] == 'x';
		if (strstr(line, "[vsyscall]"))
			break;
	}
	fclose(f);
	V("bad maps lines", bad);
	OK("main is in maps", mine);
	OK("status", slurp("/proc/self/status") > 0);
	OK("status name", strstr(buf, "Name:\t") && strstr(buf, "\nPid:\t") && strstr(buf, "\nVmRSS:\t") && strstr(buf, "\nThreads:\t1\n"));
	OK("stat", slurp("/proc/self/stat") > 0 && atoi(buf) == getpid() && strchr(buf, ')'));
	n = 0;
	for (char *p = strrchr(buf, ')'); p && *p; p++)
		n += *p == ' ';
	V("stat fields", n);
	OK("statm", slurp("/proc/self/statm") > 0 && atoi(buf) > 0);
	has("/proc/meminfo", "MemTotal:");
	has("/proc/meminfo", "MemAvailable:");
	has("/proc/cpuinfo", "processor\t: 0");
	has("/proc/cpuinfo", "flags");
	has("/proc/stat", "cpu ");
	has("/proc/uptime", ".");
	has("/proc/loadavg", "/");
	has("/proc/version", "Linux version");
	has("/proc/self/mounts", " / ");
	has("/proc/mounts", " /proc ");
	has("/proc/self/mountinfo", " / ");
	has("/proc/filesystems", "proc");
	has("/proc/self/limits", "Max open files");
	has("/proc/sys/kernel/ostype", "Linux");
	OK("osrelease", slurp("/proc/sys/kernel/osrelease") > 0);
	OK("pid_max", slurp("/proc/sys/kernel/pid_max") > 0 && atoi(buf) >= 32768);
	OK("overcommit", slurp("/proc/sys/vm/overcommit_memory") > 0);
	OK("max_map_count", slurp("/proc/sys/vm/max_map_count") > 0 && atoi(buf) > 1000);
	OK("somaxconn", slurp("/proc/sys/net/core/somaxconn") > 0 && atoi(buf) > 0);
	OK("boot_id", slurp("/proc/sys/kernel/random/boot_id") == 37);
	OK("uuid", slurp("/proc/sys/kernel/random/uuid") == 37);
	OK("hostname", slurp("/proc/sys/kernel/hostname") > 1);
	OK("cgroup", slurp("/proc/self/cgroup") >= 0);
	OK("auxv", slurp("/proc/self/auxv") > 100);
	fd = open("a file", O_RDWR | O_CREAT, 0644);
	snprintf(line, sizeof(line), "/proc/self/fd/%d", fd);
	n = readlink(line, link, sizeof(link));
	OK("fd link", n > 7 && !memcmp(link + n - 7, "/a file", 7));
	write(fd, "data", 4);
	int again = open(line, O_RDONLY);
	OK("open through fd", again >= 0 && read(again, buf, 10) == 4);
	close(again);
	snprintf(line, sizeof(line), "/dev/fd/%d", fd);
	OK("dev fd", access(line, F_OK) == 0);
	unlink("a file");
	snprintf(line, sizeof(line), "/proc/self/fd/%d", fd);
	n = readlink(line, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	OK("deleted", n > 0 && strstr(link, " (deleted)"));
	int p[2];
	pipe(p);
	snprintf(line, sizeof(line), "/proc/self/fd/%d", p[0]);
	n = readlink(line, link, sizeof(link) - 1);
	OK("pipe link", n > 6 && !memcmp(link, "pipe:[", 6));
	DIR *d = opendir("/proc/self/fd");
	n = 0;
	while (d && readdir(d))
		n++;
	V("open files listed", n);
	closedir(d);
	d = opendir("/proc/self/task");
	n = 0;
	while (d && readdir(d))
		n++;
	V("tasks listed", n);
	closedir(d);
	snprintf(line, sizeof(line), "/proc/%d/stat", getpid());
	OK("own pid folder", access(line, R_OK) == 0);
	snprintf(line, sizeof(line), "/proc/self/task/%d/comm", getpid());
	OK("task comm", access(line, R_OK) == 0);
	T("no such pid", open("/proc/999999/stat", O_RDONLY));
	T("no such file", open("/proc/nothing", O_RDONLY));
	T("create in proc", open("/proc/x", O_RDWR | O_CREAT, 0644) < 0 ? -2 : 0);
	T("write maps", write(open("/proc/self/maps", O_RDONLY), "x", 1));
	fd = open("/proc/self/comm", O_RDWR);
	OK("set comm", write(fd, "renamed", 7) == 7 && slurp("/proc/self/comm") == 8);
	S("comm", buf);
	OK("dev null", access("/dev/null", R_OK | W_OK) == 0);
	OK("dev zero", access("/dev/zero", R_OK) == 0);
	OK("dev random", access("/dev/random", R_OK) == 0);
	OK("dev shm", mkdir("/dev/shm/abi-test", 0700) == 0 && rmdir("/dev/shm/abi-test") == 0);
	OK("dev stdin", readlink("/dev/stdin", link, sizeof(link)) > 0);
	fd = open("/dev/zero", O_RDWR);
	char *z = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	OK("map dev zero", z != MAP_FAILED && z[0] == 0 && (z[0] = 1));
	OK("thp setting", slurp("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") > 0 && atoi(buf) == 2097152);
	OK("cpus online", slurp("/sys/devices/system/cpu/online") > 0);
	V("page size", getauxval(AT_PAGESZ));
	OK("execfn", getauxval(AT_EXECFN) && strstr((char *)getauxval(AT_EXECFN), "procfs"));
	OK("random", getauxval(AT_RANDOM) != 0);
	OK("phdr", getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 0);
	OK("vdso", getauxval(AT_SYSINFO_EHDR) != 0 && !memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
	V("secure", getauxval(AT_SECURE));
	OK("platform", getauxval(AT_PLATFORM) && !strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
	return 0;
}
