/* SPDX-License-Identifier: Apache-2.0 */
/* perms.c: who may what with files: mode bits, groups, sticky and set-id bits, access, chown, chroot. */
#include "check.h"
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/wait.h>

static void as(uid_t u, gid_t g, void (*fn)(void))
{
	int st;

	fflush(stdout);
	if (fork() == 0) {
		if (setgroups(0, NULL) || setgid(g) || setuid(u))
			_exit(9);
		fn();
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	V("child", st);
}

static int mode(const char *p)
{
	struct stat st;
	return stat(p, &st) ? -1 : (int)(st.st_mode & 07777);
}

static int gid(const char *p)
{
	struct stat st;
	return stat(p, &st) ? -1 : (int)st.st_gid;
}

static int try(const char *p, int fl)
{
	int fd = open(p, fl, 0666);
	int e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	return fd < 0 ? -1 : 0;
}

static void stranger(void)
{
	T("o 600 read", try("m600", O_RDONLY));
	T("o 644 read", try("m644", O_RDONLY));
	T("o 644 write", try("m644", O_WRONLY));
	T("o 644 trunc", try("m644", O_RDONLY | O_TRUNC));
	T("o 666 write", try("m666", O_RDWR));
	T("o 622 read", try("m622", O_RDONLY));
	T("o 622 write", try("m622", O_WRONLY));
	T("o create", try("new", O_CREAT | O_WRONLY));
	T("o mkdir", mkdir("newdir", 0755));
	T("o unlink", unlink("m666"));
	T("o rename", rename("m666", "x"));
	T("o link", link("m666", "d777/l"));
	T("o symlink", symlink("m666", "x"));
	T("o mkfifo", mkfifo("fifo", 0666));
	T("o in 700 dir", try("d700/f", O_RDONLY));
	T("o stat in 700 dir", access("d700/f", F_OK));
	T("o in 711 dir", try("d711/f", O_RDONLY));
	T("o list 711 dir", try("d711", O_RDONLY | O_DIRECTORY));
	T("o list 744 dir", try("d744", O_RDONLY | O_DIRECTORY));
	T("o in 744 dir", try("d744/f", O_RDONLY));
	T("o chdir 744", chdir("d744"));
	T("o create in 777 dir", try("d777/mine", O_CREAT | O_EXCL | O_WRONLY));
	T("o unlink root's in 777 dir", unlink("d777/f"));
	T("o create in sticky", try("d1777/mine", O_CREAT | O_WRONLY));
	T("o unlink root's in sticky", unlink("d1777/f"));
	T("o rename root's in sticky", rename("d1777/f", "d1777/g"));
	T("o rename over root's in sticky", rename("d1777/mine", "d1777/f"));
	T("o rmdir root's in sticky", rmdir("d1777/d"));
	T("o rename own in sticky", rename("d1777/mine", "d1777/mine2"));
	T("o unlink own in sticky", unlink("d1777/mine2"));
	T("o chmod", chmod("m666", 0777));
	T("o chown", chown("m666", 1000, 1000));
	T("o chown keep", chown("m666", -1, -1));
	T("o utimes now on 666", utimensat(AT_FDCWD, "m666", NULL, 0));
	struct timespec ts[2] = { { 1, 0 }, { 2, 0 } };
	T("o utimes set on 666", utimensat(AT_FDCWD, "m666", ts, 0));
	T("o utimes now on 644", utimensat(AT_FDCWD, "m644", NULL, 0));
	T("o truncate 644", truncate("m644", 0));
	T("o truncate 666", truncate("m666", 3));
	T("o noatime", try("m644", O_RDONLY | O_NOATIME));
	T("o mknod", mknod("d777/null", S_IFCHR | 0666, 0x103));
	T("o chroot", chroot("d777"));
	T("o access r", access("m644", R_OK));
	T("o access w", access("m644", W_OK));
	T("o access x", access("m644", X_OK));
	T("o access x 755", access("m755", X_OK));
	T("o own chgrp elsewhere", chown("own", -1, 3));
	T("o own chgrp", chown("own", -1, 1000));
	T("o own chown", chown("own", 1001, -1));
	T("o own chown same", chown("own", 1000, -1));
	T("o own 000", try("own000", O_RDONLY));
	T("o own 000 chmod", chmod("own000", 0600));
	T("o own 600 now", try("own000", O_RDWR));
	T("o own 077", try("own077", O_RDONLY));
	T("o own sgid chmod", chmod("ownsgid", 02775));
	printf("o own sgid mode: %o\n", mode("ownsgid"));
	T("o chown drops suid", chown("ownsuid", 1000, 1000));
	printf("o suid mode: %o\n", mode("ownsuid"));
}

static void member(void)
{
	T("g 640 read", try("m640", O_RDONLY));
	T("g 604 read", try("m604", O_RDONLY));
	T("g 660 write", try("m660", O_WRONLY));
	T("g 070 dir", try("d070/f", O_RDONLY));
}

static void writer(void)
{
	int fd = open("suid", O_WRONLY);

	printf("before write: %o\n", mode("suid"));
	T("write suid file", write(fd, "x", 1));
	printf("after write: %o\n", mode("suid"));
	close(fd);
	printf("before truncate: %o\n", mode("suid2"));
	T("truncate suid file", truncate("suid2", 1));
	printf("after truncate: %o\n", mode("suid2"));
}

static void setgid_dirs(void)
{
	mkdir("sg", 0755);
	chown("sg", 0, 1234);
	chmod("sg", 02777);
	put("sg/f", "x");
	mkdir("sg/d", 0755);
	V("file in sgid dir", gid("sg/f"));
	V("dir in sgid dir", gid("sg/d"));
	printf("dir mode: %o\n", mode("sg/d"));
	mkdir("sg/d/e", 0700);
	printf("nested mode: %o\n", mode("sg/d/e"));
	V("nested group", gid("sg/d/e"));
	close(open("sg/x", O_CREAT | O_WRONLY, 02775));
	printf("root's sgid file: %o\n", mode("sg/x"));
	chmod("sg/f", 06755);
	printf("both bits: %o\n", mode("sg/f"));
	T("root chown", chown("sg/f", 0, 0));
	printf("after root's chown: %o\n", mode("sg/f"));
	chmod("sg/f", 06644);
	T("root chown again", chown("sg/f", 0, 0));
	printf("no group execute: %o\n", mode("sg/f"));
	int fd = open("sg/f", O_WRONLY);
	chmod("sg/f", 06755);
	T("root writes", write(fd, "x", 1));
	printf("after root's write: %o\n", mode("sg/f"));
	close(fd);
}

static void in_sgid_dir(void)
{
	close(open("sg/u", O_CREAT | O_WRONLY, 02775));
	printf("user's sgid file: %o\n", mode("sg/u"));
	V("its group", gid("sg/u"));
}

static void effective(void)
{
	gid_t groups[2] = { 500, 600 };
	int st;

	fflush(stdout);
	if (fork() == 0) {
		T("seteuid", seteuid(1000));
		T("e open 600", try("m600", O_RDONLY));
		T("e access 600 real", access("m600", R_OK));
		T("e access 600 effective", faccessat(AT_FDCWD, "m600", R_OK, AT_EACCESS));
		T("e access in 700 dir real", access("d700/f", R_OK));
		T("back", seteuid(0));
		T("b open 600", try("m600", O_RDONLY));
		setfsuid(1000);
		T("fs open 600", try("m600", O_RDONLY));
		T("fs own", try("own", O_RDWR));
		setfsuid(0);
		T("fs back", try("m600", O_RDONLY));
		T("setgroups", setgroups(2, groups));
		T("setuid", setresuid(1000, 1000, 0));
		T("groups 640 of 600", try("m640g", O_RDONLY));
		T("regain", setresuid(0, 0, 0));
		T("gone for good", setresuid(1000, 1000, 1000));
		T("no way back", setuid(0));
		T("groups still", try("m640g", O_RDONLY));
		T("dac override gone", try("m600", O_RDONLY));
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	V("effective child", st);
}

static void root_rules(void)
{
	T("root reads 000", try("z", O_RDONLY));
	T("root access x of 000", access("z", X_OK));
	T("root access w of 000", access("z", W_OK));
	T("access bad mode", access("z", 9));
	T("faccessat2 bad flags", syscall(439, AT_FDCWD, "z", 0, 0x8000));
	T("mknod null", mknod("null", S_IFCHR | 0666, 0x103));
	T("open own null", try("null", O_RDWR));
	T("mknod block", mknod("blk", S_IFBLK | 0600, 0xfff01));
	T("open unknown block", try("blk", O_RDONLY));
	T("mknod char", mknod("chr", S_IFCHR | 0600, 0xfff01));
	T("open unknown char", try("chr", O_RDONLY));
	T("mknod dir", mknod("dd", S_IFDIR | 0700, 0));
	T("mknod bad type", mknod("dd", S_IFLNK | 0700, 0));
	T("mknod file", mknod("ff", S_IFREG | 0640, 0));
	T("mknod no type", mknod("fg", 0640, 0));
	T("mknod socket", mknod("so", S_IFSOCK | 0640, 0));
	T("open socket", try("so", O_RDONLY));
	T("mknod existing", mknod("ff", S_IFREG | 0640, 0));
}

static void roots(void)
{
	char b[200];
	int st, fd;

	mkdir("jail", 0755);
	mkdir("jail/sub", 0755);
	put("jail/inside", "x");
	symlink("/inside", "jail/link");
	put("outside", "x");
	T("chroot missing", chroot("none"));
	T("chroot file", chroot("outside"));
	T("chroot bad", chroot(BAD));
	fflush(stdout);
	if (fork() == 0) {
		fd = open(".", O_RDONLY);
		T("chroot", chroot("jail"));
		T("cwd stays", access("outside", F_OK));
		T("chdir /", chdir("/"));
		S("cwd", getcwd(b, sizeof(b)));
		T("inside", access("/inside", F_OK));
		T("link", access("/link", F_OK));
		T("dotdot", access("../../outside", F_OK));
		T("dotdot inside", access("../../inside", F_OK));
		T("chdir sub", chdir("sub"));
		S("cwd sub", getcwd(b, sizeof(b)));
		T("by descriptor", faccessat(fd, "outside", F_OK, 0));
		T("no /dev", access("/dev/null", F_OK));
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	V("roots child", st);
}

static void make(const char *p, int m, int u, int g)
{
	put(p, "data");
	if (chown(p, u, g) || chmod(p, m))
		printf("%s: not made\n", p);
}

int main(void)
{
	static const int fm[] = { 0600, 0644, 0666, 0622, 0755, 0640, 0604, 0660 };
	static const int dm[] = { 0700, 0711, 0744, 0777, 01777, 0070 };
	char p[40];

	scratch();
	if (geteuid()) {
		printf("not root: no\n");
		return 0;
	}
	chmod(".", 0755);
	for (unsigned i = 0; i < sizeof(fm) / sizeof(*fm); i++) {
		snprintf(p, sizeof(p), "m%o", fm[i]);
		make(p, fm[i], 0, fm[i] < 0670 && (fm[i] == 0640 || fm[i] == 0604 || fm[i] == 0660) ? 1000 : 0);
	}
	for (unsigned i = 0; i < sizeof(dm) / sizeof(*dm); i++) {
		snprintf(p, sizeof(p), "d%o", dm[i]);
		if (dm[i] == 0070)
			strcpy(p, "d070");
		mkdir(p, 0700);
		chown(p, 0, dm[i] == 0070 ? 1000 : 0);
		strcat(p, "/f");
		put(p, "x");
		*strrchr(p, '/') = 0;
		if (dm[i] == 01777) {
			mkdir("d1777/d", 0755);
		}
		chmod(p, dm[i]);
	}
	make("own", 0644, 1000, 1000);
	make("own000", 0, 1000, 1000);
	make("own077", 077, 1000, 1000);
	make("ownsgid", 0775, 1000, 7);
	make("ownsuid", 04755, 1000, 1000);
	make("suid", 06777, 0, 0);
	make("suid2", 06777, 0, 0);
	make("m640g", 0640, 0, 600);
	make("z", 0, 0, 0);
	as(1000, 1000, stranger);
	as(1001, 1000, member);
	as(1000, 1000, writer);
	setgid_dirs();
	as(1000, 1000, in_sgid_dir);
	effective();
	root_rules();
	roots();
	return 0;
}
