/* SPDX-License-Identifier: Apache-2.0 */
/* misc.c: limits, identity, system information, random numbers, process options. */
#include "check.h"
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <termios.h>

int main(void)
{
	struct rlimit rl, old;
	struct utsname un;
	struct sysinfo in;
	char buf[4096], other[4096];
	int fd, v, n;

	scratch();
	T("getrlimit nofile", getrlimit(RLIMIT_NOFILE, &old));
	OK("nofile", old.rlim_cur >= 64);
	rl = (struct rlimit){ 30, old.rlim_max };
	T("setrlimit nofile", setrlimit(RLIMIT_NOFILE, &rl));
	for (n = 0; (fd = open("/dev/null", O_RDONLY)) >= 0; n++)
		;
	printf("last open: %s after %d\n", ename(errno), n);
	T("dup at limit", dup(0));
	T("fcntl dupfd beyond", fcntl(0, F_DUPFD, 30));
	T("pipe at limit", pipe((int[2]){ 0 }));
	for (int i = 3; i < 30; i++)
		close(i);
	setrlimit(RLIMIT_NOFILE, &old);
	T("getrlimit bad", getrlimit(99, &rl));
	T("getrlimit bad pointer", syscall(SYS_getrlimit, RLIMIT_NOFILE, BAD));
	rl = (struct rlimit){ 100, 50 };
	T("setrlimit above max", setrlimit(RLIMIT_NOFILE, &rl));
	T("prlimit", prlimit(0, RLIMIT_STACK, NULL, &rl));
	OK("stack limit", rl.rlim_cur >= 1 << 20);
	T("getrlimit as", getrlimit(RLIMIT_AS, &rl));
	T("getrlimit core", getrlimit(RLIMIT_CORE, &rl));
	rl = (struct rlimit){ 100, 100 };
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit fs;
	getrlimit(RLIMIT_FSIZE, &fs);
	T("setrlimit fsize", setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 100, fs.rlim_max }));
	fd = open("f", O_RDWR | O_CREAT, 0644);
	T("write over the limit", write(fd, buf, 200));
	T("write at the limit", write(fd, buf, 1));
	T("truncate over the limit", ftruncate(fd, 101));
	setrlimit(RLIMIT_FSIZE, &fs);
	close(fd);

	T("uname", uname(&un));
	S("sysname", un.sysname);
	S("machine", un.machine);
	OK("release", atoi(un.release) >= 4);
	T("uname bad", syscall(SYS_uname, BAD));
	T("gethostname", gethostname(buf, sizeof(buf)));
	T("sysinfo", sysinfo(&in));
	OK("memory", in.totalram * in.mem_unit > 1 << 24 && in.freeram <= in.totalram);
	OK("processors", sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	cpu_set_t cs;
	OK("sched_getaffinity", sched_getaffinity(0, sizeof(cs), &cs) == 0 && CPU_COUNT(&cs) >= 1);
	T("sched_getaffinity small", syscall(SYS_sched_getaffinity, 0, 1, &cs));
	T("sched_setaffinity", sched_setaffinity(0, sizeof(cs), &cs));
	CPU_ZERO(&cs);
	T("sched_setaffinity none", sched_setaffinity(0, sizeof(cs), &cs));
	OK("getcpu", sched_getcpu() >= 0);
	V("policy", sched_getscheduler(0));
	V("priority max", sched_get_priority_max(SCHED_FIFO));
	T("getpriority", getpriority(PRIO_PROCESS, 0));
	T("sched_yield", sched_yield());

	char name[17] = "xxxxxxxxxxxxxxxx", host[65];
	T("set name", prctl(PR_SET_NAME, "a long name of it"));
	T("set name", prctl(PR_SET_NAME, "short"));
	T("get name", prctl(PR_GET_NAME, name));
	OK("name is padded", !memcmp(name, "short\0\0\0\0\0\0\0\0\0\0", 16));
	gethostname(host, sizeof(host)); /* the host's own must stay as it is */
	T("sethostname", sethostname(host, strlen(host)));
	T("sethostname too long", sethostname(host, 65));
	T("sethostname negative", syscall(SYS_sethostname, host, -1));
	T("sethostname bad pointer", syscall(SYS_sethostname, BAD, 3));
	uname(&un);
	OK("nodename", !strcmp(un.nodename, host));
	T("setdomainname", syscall(SYS_setdomainname, un.domainname, strlen(un.domainname)));
	T("setdomainname too long", syscall(SYS_setdomainname, host, 65));
	T("setdomainname bad pointer", syscall(SYS_setdomainname, BAD, 3));

	V("uid", getuid());
	V("euid", geteuid());
	V("gid", getgid());
	OK("ppid", getppid() >= 0);
	uid_t r, e, s;
	T("getresuid", getresuid(&r, &e, &s));
	printf("ids %d %d %d\n", r, e, s);
	OK("getgroups", getgroups(0, NULL) >= 0);
	T("setgid", setgid(0));
	T("setuid same", setuid(0));

	T("getrandom", getrandom(buf, 100, 0));
	getrandom(other, 100, 0);
	OK("random differs", memcmp(buf, other, 100));
	T("getrandom bad flags", getrandom(buf, 1, 0x100));
	T("getrandom bad pointer", syscall(SYS_getrandom, BAD, 10, 0));
	T("getrandom zero", getrandom(buf, 0, 0));
	T("getentropy", getentropy(buf, 256));

	T("prctl name", prctl(PR_SET_NAME, "a-long-name-that-is-cut"));
	prctl(PR_GET_NAME, buf);
	S("name", buf);
	T("prctl dumpable", prctl(PR_GET_DUMPABLE));
	T("prctl no new privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	T("prctl get no new privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	T("prctl bad", prctl(9999));
	T("prctl pdeathsig bad", prctl(PR_SET_PDEATHSIG, 99));
	T("arch_prctl bad", syscall(SYS_arch_prctl, 0x9999, 0));
	unsigned long fsb;
	T("arch_prctl get fs", syscall(SYS_arch_prctl, 0x1003, &fsb));
	OK("fs base", fsb == (unsigned long)pthread_self() || fsb != 0);
	T("personality", syscall(SYS_personality, 0xffffffff));
	struct __user_cap_header_struct ch = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct cd[2];
	T("capget", syscall(SYS_capget, &ch, cd));

	struct statfs sf;
	T("statfs", statfs(".", &sf));
	OK("block size", sf.f_bsize >= 512);
	T("statfs missing", statfs("none", &sf));
	T("statfs proc", statfs("/proc", &sf));
	OK("proc magic", sf.f_type == 0x9fa0);
	T("fstatfs bad", fstatfs(99, &sf));
	T("sync", (sync(), 0));

	fd = open("f", O_RDWR);
	struct winsize ws;
	struct termios tio;
	T("winsize of a file", ioctl(fd, TIOCGWINSZ, &ws));
	T("tcgetattr of a file", tcgetattr(fd, &tio));
	T("fionbio", ioctl(fd, FIONBIO, (v = 1, &v)));
	OK("is nonblock", fcntl(fd, F_GETFL) & O_NONBLOCK);
	T("fioclex", ioctl(fd, FIOCLEX));
	V("cloexec", fcntl(fd, F_GETFD));
	T("bad ioctl", ioctl(fd, 0x12345678, 0));
	T("ioctl bad fd", ioctl(99, TIOCGWINSZ, &ws));
	T("no such call", syscall(999, 1, 2, 3));
	T("no such call -1", syscall(-1));
	struct iovec l = { buf, 10 }, rm = { other, 10 };
	strcpy(other, "remember");
	T("process_vm_readv self", process_vm_readv(getpid(), &l, 1, &rm, 1, 0));
	T("membarrier query", syscall(SYS_membarrier, 0, 0, 0) >= 0 ? 0 : -1);
	T("rseq bad length", syscall(SYS_rseq, BAD, 1, 0, 0));
	T("reboot", syscall(SYS_reboot, 1, 2, 3, 4));
	T("mount", syscall(SYS_mount, BAD, "none", "none", 0, 0));
	T("chroot missing", chroot("none"));
	T("sethostname", sethostname("x", -1));
	T("kill init probe", kill(1, 0));
	T("inotify", fd = syscall(SYS_inotify_init1, 04000));
	T("inotify empty", read(fd, buf, 100));
	return 0;
}
