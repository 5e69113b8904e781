/* SPDX-License-Identifier: Apache-2.0 */
/* xattr.c: extended attributes: setting, reading, listing, removing; names, sizes, flags, who may. */
#include "check.h"
#include <sys/wait.h>
#include <sys/xattr.h>

static char buf[70000];

static int cmp(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names in order, those of security modules left out. */
static void names(const char *what, const char *path)
{
	char *at[64];
	ssize_t n = listxattr(path, buf, sizeof(buf));
	int k = 0;

	for (char *p = buf; n > 0 && p < buf + n; p += strlen(p) + 1)
		if (strncmp(p, "security.", 9) && k < 64)
			at[k++] = p;
	qsort(at, k, sizeof(*at), cmp);
	printf("%s:", what);
	for (int i = 0; i < k; i++)
		printf(" %s", at[i]);
	printf("\n");
}

static void basics(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), p;

	T("get none", getxattr("f", "user.a", buf, 10));
	T("set", setxattr("f", "user.a", "value", 5, 0));
	T("get", getxattr("f", "user.a", buf, 10));
	OK("value", !memcmp(buf, "value", 5));
	T("get size", getxattr("f", "user.a", NULL, 0));
	T("get short", getxattr("f", "user.a", buf, 4));
	T("get bad buffer", getxattr("f", "user.a", BAD, 10));
	T("create existing", setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	T("replace missing", setxattr("f", "user.b", "x", 1, XATTR_REPLACE));
	T("replace", setxattr("f", "user.a", "new", 3, XATTR_REPLACE));
	T("create", setxattr("f", "user.b", "", 0, XATTR_CREATE));
	T("get empty", getxattr("f", "user.b", buf, 10));
	T("bad flags", setxattr("f", "user.c", "x", 1, 8));
	T("both flags, existing", setxattr("f", "user.a", "x", 1, 3));
	T("both flags, missing", setxattr("f", "user.zz", "x", 1, 3));
	T("fget", fgetxattr(fd, "user.a", buf, 10));
	T("fset", fsetxattr(fd, "user.c", "12345678", 8, 0));
	names("names", "f");
	T("list size", listxattr("f", NULL, 0) > 20);
	T("list short", listxattr("f", buf, 3));
	T("list bad buffer", listxattr("f", BAD, 1000));
	T("remove", removexattr("f", "user.a"));
	T("remove again", removexattr("f", "user.a"));
	T("fremove", fremovexattr(fd, "user.c"));
	T("get removed", fgetxattr(fd, "user.c", buf, 10));
	names("names after", "f");
	T("bad fd", fgetxattr(77, "user.a", buf, 10));
	p = open("f", O_PATH);
	T("fget of O_PATH", fgetxattr(p, "user.b", buf, 10));
	T("flist of O_PATH", flistxattr(p, buf, 10));
	close(p);
	p = open("f", O_RDONLY);
	T("fset read-only", fsetxattr(p, "user.ro", "x", 1, 0));
	close(p);
	T("missing file", getxattr("none", "user.a", buf, 10));
	T("missing file list", listxattr("none", buf, 10));
	T("missing file set", setxattr("none", "user.a", "x", 1, 0));
	T("empty path", getxattr("", "user.a", buf, 10));
	T("bad path", getxattr(BAD, "user.a", buf, 10));
	close(fd);
}

static void name_rules(void)
{
	char n[300] = "user.";

	T("empty name", setxattr("f", "", "x", 1, 0));
	T("no namespace", setxattr("f", "plain", "x", 1, 0));
	T("unknown namespace", setxattr("f", "other.name", "x", 1, 0));
	T("get unknown namespace", getxattr("f", "other.name", buf, 10));
	T("only the prefix", setxattr("f", "user.", "x", 1, 0));
	T("get only the prefix", getxattr("f", "user.", buf, 10));
	T("no dot", setxattr("f", "user", "x", 1, 0));
	memset(n + 5, 'n', 250);
	n[255] = 0;
	T("name of 255", setxattr("f", n, "x", 1, 0));
	n[255] = 'n';
	n[256] = 0;
	T("name of 256", setxattr("f", n, "x", 1, 0));
	T("get name of 256", getxattr("f", n, buf, 10));
	T("bad name", setxattr("f", BAD, "x", 1, 0));
	T("bad value", setxattr("f", "user.v", BAD, 10, 0));
	T("too big", setxattr("f", "user.big", buf, 65537, 0));
	T("some size", setxattr("f", "user.big", buf, 2000, 0));
	T("get some size", getxattr("f", "user.big", buf, 65536));
	T("grow", setxattr("f", "user.big", buf, 3000, XATTR_REPLACE));
	T("get grown", getxattr("f", "user.big", NULL, 0));
}

static void kinds(void)
{
	mkdir("d", 0755);
	symlink("f", "l");
	mkfifo("p", 0644);
	T("directory", setxattr("d", "user.d", "1", 1, 0));
	T("directory get", getxattr("d", "user.d", buf, 10));
	T("through link", setxattr("l", "user.l", "1", 1, 0));
	T("of target", getxattr("f", "user.l", buf, 10));
	T("link itself", lsetxattr("l", "user.l", "1", 1, 0));
	T("link itself get", lgetxattr("l", "user.l", buf, 10));
	T("link trusted", lsetxattr("l", "trusted.l", "22", 2, 0));
	T("link trusted get", lgetxattr("l", "trusted.l", buf, 10));
	T("link remove", lremovexattr("l", "trusted.l"));
	T("link list", llistxattr("l", buf, 100) >= 0);
	T("fifo", setxattr("p", "user.p", "1", 1, 0));
	T("fifo get", getxattr("p", "user.p", buf, 10));
	T("fifo trusted", setxattr("p", "trusted.p", "1", 1, 0));
	T("null get", getxattr("/dev/null", "user.p", buf, 10));
	T("null set", setxattr("/dev/null", "user.p", "", 0, 0));
	T("trusted", setxattr("f", "trusted.t", "abc", 3, 0));
	T("trusted get", getxattr("f", "trusted.t", buf, 10));
	names("with trusted", "d");
	rename("f", "g");
	T("after rename", getxattr("g", "user.big", buf, 10000));
	link("g", "h");
	T("other name", getxattr("h", "trusted.t", buf, 10));
	unlink("g");
	rename("h", "f");
}

/* Must run as root to tell. */
static void others(void)
{
	int st;

	chmod(".", 0777);
	chmod("f", 0640);
	put("theirs", "x");
	chown("theirs", 1000, 1000);
	setxattr("theirs", "trusted.t", "x", 1, 0);
	mkdir("sticky", 01777);
	fflush(stdout);
	if (fork() == 0) {
		setgid(1000);
		setuid(1000);
		T("other set", setxattr("f", "user.o", "x", 1, 0));
		T("other get", getxattr("f", "user.big", buf, 10000));
		T("other list", listxattr("f", NULL, 0) >= 0);
		T("other trusted get", getxattr("theirs", "trusted.t", buf, 10));
		T("other trusted set", setxattr("theirs", "trusted.u", "x", 1, 0));
		T("own set", setxattr("theirs", "user.mine", "x", 1, 0));
		T("sticky directory of another", setxattr("sticky", "user.s", "x", 1, 0));
		names("other names", "theirs");
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
}

int main(void)
{
	scratch();
	basics();
	name_rules();
	kinds();
	others();
	return 0;
}
