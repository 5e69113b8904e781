/* SPDX-License-Identifier: Apache-2.0 */
/* fs_folder.c: the host's side of UFS_MSG_FILE for the tests of fs/: one real folder. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX 7 /* entries in one answer */
#define AREA 0x10000000UL

void folder_open(const char *dir);
int folder_serve(unsigned op, const char *path, const struct ufs_file_req *req, void *out, unsigned *n);
int folder_refuse, folder_stale;
unsigned long folder_requests;

static int top = -1;
static unsigned long area_next, mapped;

void folder_open(const char *dir)
{
	top = open(dir, O_RDONLY | O_DIRECTORY);
	if (top < 0) {
		perror(dir);
		exit(1);
	}
	if (mmap((void *)UFS_FILES_VA, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		exit(1);
	area_next = mapped = 0;
}

static unsigned long long ns(struct timespec t) { return t.tv_sec * 1000000000ULL + t.tv_nsec; }

static int stat_at(int dir, const char *name, struct ufs_file_stat *out)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return errno;
	*out = (struct ufs_file_stat){ .inode = st.st_ino, .size = st.st_size, .blocks = st.st_blocks, .rdev = st.st_rdev,
		.atime_ns = ns(st.st_atim), .mtime_ns = ns(st.st_mtim), .ctime_ns = ns(st.st_ctim),
		.mode = st.st_mode, .nlink = st.st_nlink, .uid = st.st_uid, .gid = st.st_gid };
	return 0;
}

static int list(const char *path, unsigned long long from, unsigned char *out, unsigned *n)
{
	int fd = openat(top, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned long long index = 0, next = 0;

	if (!d)
		return errno;
	*n = 8;
	while ((e = readdir(d))) {
		struct ufs_file_entry *fe = (void *)(out + *n);
		if (index++ < from)
			continue;
		if (index > from + LIST_MAX) {
			next = index - 1;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || stat_at(fd, e->d_name, &fe->stat))
			continue;
		fe->name_len = strlen(e->d_name);
		fe->pad = 0;
		memcpy(fe + 1, e->d_name, fe->name_len);
		*n += sizeof(*fe) + ((fe->name_len + 7) & ~7U);
	}
	if (next && *n == 8) /* nothing but . and .. so far */
		return closedir(d), list(path, next, out, n);
	memcpy(out, &next, 8);
	closedir(d);
	return 0;
}

static int open_file(const char *path, unsigned long long inode, struct stat *st)
{
	int fd = openat(top, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, st) || st->st_ino != inode)) {
		close(fd);
		fd = -1;
		errno = ESTALE;
	}
	return fd;
}

static int map(const char *path, const struct ufs_file_req *req, struct ufs_file_map *out)
{
	struct stat st;
	int fd = open_file(path, req->inode, &st);
	unsigned long align, at;

	if (fd < 0)
		return errno;
	align = st.st_size >= 0x200000 ? 0x200000 : 4096;
	at = (area_next + align - 1) / align * align;
	if (folder_refuse || at + st.st_size > AREA) {
		close(fd);
		return folder_refuse ? folder_refuse : ENOSPC;
	}
	if (mmap((void *)(UFS_FILES_VA + at), st.st_size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return ENOMEM;
	close(fd);
	mapped++;
	area_next = at + (st.st_size + 4095) / 4096 * 4096;
	*out = (struct ufs_file_map){ .offset = at, .size = st.st_size };
	return 0;
}

int folder_serve(unsigned op, const char *path, const struct ufs_file_req *req, void *out, unsigned *n)
{
	struct stat st;
	long r;
	int fd;

	folder_requests++;
	if (folder_stale && (op == UFS_FILE_MAP || op == UFS_FILE_READ))
		return folder_stale--, ESTALE;
	switch (op) {
	case UFS_FILE_STAT:
		*n = sizeof(struct ufs_file_stat);
		return stat_at(top, path, out);
	case UFS_FILE_LIST:
		return list(path, req->from, out, n);
	case UFS_FILE_LINK:
		r = readlinkat(top, path, out, 4096);
		*n = r < 0 ? 0 : r;
		return r < 0 ? errno : 0;
	case UFS_FILE_MAP:
		*n = sizeof(struct ufs_file_map);
		return map(path, req, out);
	case UFS_FILE_READ:
		if (req->len > UFS_FILE_READ_MAX)
			return EINVAL;
		fd = open_file(path, req->inode, &st);
		if (fd < 0)
			return errno;
		r = pread(fd, out, req->len, req->from);
		close(fd);
		*n = r < 0 ? 0 : r;
		return r < 0 ? errno : 0;
	case UFS_FILE_UNMAP: /* whoever still looks there ends by a fault */
		if (mprotect((void *)(UFS_FILES_VA + req->from), 4096, PROT_NONE))
			exit(1);
		if (--mapped <= 1) /* the first one may stay */
			area_next = 0x1000000;
		return 0;
	}
	return EINVAL;
}
