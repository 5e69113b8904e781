/* SPDX-License-Identifier: Apache-2.0 */
/* dirs.c: folders: making, listing, moving, the working directory. */
#include "check.h"

static int byname(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path)
{
	char *names[300];
	int n = 0;
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d) {
		printf("list %s: %s\n", path, ename(errno));
		return;
	}
	while ((e = readdir(d)) && n < 300)
		if (asprintf(&names[n], "%s%s", e->d_name, e->d_type == DT_DIR ? "/" : e->d_type == DT_LNK ? "@" : e->d_type == DT_FIFO ? "|" : "") > 0)
			n++;
	closedir(d);
	qsort(names, n, sizeof(*names), byname);
	printf("list %s:", path);
	for (int i = 0; i < n; i++)
		printf(" %s", names[i]);
	printf("\n");
}

int main(void)
{
	char buf[4096], name[64];
	struct stat st;
	int fd, n;

	scratch();
	T("mkdir", mkdir("d", 0755));
	T("mkdir exists", mkdir("d", 0755));
	T("mkdir no parent", mkdir("x/y", 0755));
	T("mkdir slash", mkdir("slash/", 0700));
	T("mkdir empty", mkdir("", 0755));
	T("mkdir dot", mkdir(".", 0755));
	T("mkdir dot inside", mkdir("d/.", 0755));
	stat("d", &st);
	printf("mode: %o\n", st.st_mode);
	T("mkdir deep", mkdir("d/e", 0755));
	put("d/f", "x");
	symlink("f", "d/s");
	mkfifo("d/p", 0600);
	list("d");
	list(".");
	T("rmdir not empty", rmdir("d"));
	T("rmdir file", rmdir("d/f"));
	T("rmdir missing", rmdir("none"));
	T("rmdir dot", rmdir("."));
	T("rmdir slash", rmdir("slash/"));
	T("rmdir through link", (symlink("d", "dl"), rmdir("dl")));
	T("unlink dir", unlink("d/e"));
	T("unlinkat removedir", unlinkat(AT_FDCWD, "d/e", AT_REMOVEDIR));
	T("unlinkat bad flags", unlinkat(AT_FDCWD, "d/e", 1));
	T("open through link dir", fd = open("dl/f", O_RDONLY));
	close(fd);
	T("open parent", fd = open("d/../d/./f", O_RDONLY));
	close(fd);
	T("open above root", open("/../../../etc/none", O_RDONLY));

	T("chdir", chdir("d"));
	getcwd(buf, sizeof(buf));
	S("cwd", strrchr(buf, '/'));
	T("getcwd short", syscall(SYS_getcwd, buf, 3));
	T("chdir file", chdir("f"));
	T("chdir missing", chdir("none"));
	T("chdir up", chdir(".."));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	T("fchdir", fchdir(fd));
	T("openat", (n = openat(fd, "f", O_RDONLY)));
	T("fchdir file", fchdir(n));
	close(n);
	T("mkdirat", mkdirat(fd, "at", 0755));
	T("fstatat", fstatat(fd, "at", &st, 0));
	T("renameat", renameat(fd, "at", fd, "at2"));
	T("chdir", chdir(".."));
	close(fd);

	mkdir("m1", 0755);
	mkdir("m1/sub", 0755);
	mkdir("m2", 0755);
	put("file", "x");
	T("rename dir into itself", rename("m1", "m1/sub/m1"));
	T("rename dir over empty", rename("m1", "m2"));
	T("rename dir over full", (mkdir("m3", 0755), rename("m3", "m2")));
	T("rename dir over file", rename("m3", "file"));
	T("rename file over dir", rename("file", "m3"));
	T("rename dot", rename(".", "m4"));
	T("sub moved along", access("m2/sub", F_OK));

	mkdir("many", 0755);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "many/a-file-with-a-name-%03d", i);
		put(name, "x");
	}
	DIR *d = opendir("many");
	long at = -1;
	struct dirent *e;
	n = 0;
	while ((e = readdir(d))) {
		if (n == 100)
			at = telldir(d);
		n++;
	}
	V("entries", n);
	seekdir(d, at);
	for (n = 0; readdir(d); n++)
		;
	V("entries after seek", n);
	rewinddir(d);
	for (n = 0; (e = readdir(d)); n++)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	V("entries while removing", n);
	closedir(d);
	T("rmdir many", rmdir("many"));

	fd = open(".", O_RDONLY | O_DIRECTORY);
	T("getdents tiny", syscall(SYS_getdents64, fd, buf, 10));
	T("getdents bad buffer", syscall(SYS_getdents64, fd, BAD, 4096));
	close(fd);
	fd = open("d/f", O_RDONLY);
	T("getdents file", syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	close(fd);
	T("opendir file", opendir("d/f") ? 0 : -1);

	mkdir("gone", 0755);
	chdir("gone");
	rmdir("../gone");
	T("getcwd removed", syscall(SYS_getcwd, buf, sizeof(buf)));
	T("create in removed", open("x", O_RDWR | O_CREAT, 0644));
	fd = open(".", O_RDONLY);
	OK("open removed", fd >= 0);
	return 0;
}
