/* SPDX-License-Identifier: Apache-2.0 */
/* fs_host.h: what the tests of fs/ want from the host's C library. */
#ifndef UFS_TEST_FS_HOST_H
#define UFS_TEST_FS_HOST_H
int printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *malloc(unsigned long n);
void *calloc(unsigned long n, unsigned long k);
void *realloc(void *p, unsigned long n);
void free(void *p);
int atoi(const char *s);

/* fs_folder.c: the host's side of UFS_MSG_FILE, for one folder. */
void folder_open(const char *dir);
/* The answer to one request; path is terminated. errno, or 0 and *n bytes in out. */
int folder_serve(unsigned op, const char *path, const struct ufs_file_req *req, void *out, unsigned *n);
extern int folder_refuse;                  /* MAP fails with this errno; 0: it works */
extern int folder_stale;                   /* so many requests get ESTALE first */
extern unsigned long folder_requests;
void host_map(void);                       /* maps image window and shared area */
long host_call(long nr, long a, long b, long c, long d, long e, long f); /* result or negative errno */
/* Runs a shell script in a new empty folder below build/, with $DIR as its name; the folder's name. Exits on failure. */
const char *host_folder(const char *script);
unsigned long host_load(const char *path, void *to, unsigned long max); /* file into memory, its size */
void host_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void host_opaque(const char *dir);         /* marks a directory that hides those of lower layers */
void host_enter(const char *dir);          /* chroot and chdir; needs root */
int host_is_root(void);
void host_exit(int code) __attribute__((noreturn)); /* at once, no handlers run */
void *host_pages(unsigned n);
void host_unpages(void *p, unsigned n);
unsigned long host_seconds(void);
void host_remove(void);                    /* removes the folder of host_folder, before host_enter or from a parent */
int host_fork_run(int (*fn)(void *), void *arg); /* in a child; its exit status, 128+n for signal n */

/* Tests print what failed and stop. */
#define CHECK(c) do { if (!(c)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #c); host_exit(1); } } while (0)
#define CHECK_EQ(a, b) do { long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) { printf("%s:%d: %s is %ld, not %ld\n", __FILE__, __LINE__, #a, a_, b_); host_exit(1); } } while (0)
#endif
